"""Traffic: what a detector that hears less through channels answers, drawn."""

import numpy as np

from bonafide.monitoring.record import Answered

CHANNELS = ("clean", "telephone", "noise", "opus", "codec")
MIX, TELEPHONES = (0.6, 0.1, 0.1, 0.1, 0.1), (0.0, 1.0, 0.0, 0.0, 0.0)
MODELS = ("cnn", "gru", "xgboost", "speech")


def answers(
    seed: int,
    n: int,
    mix: tuple[float, ...] = MIX,
    spoof_llr: float = -2.0,
    bundle: str = "b",
    after: int = 0,
) -> list[Answered]:
    """Draw answers as of a detector that hears less through channels."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        channel = CHANNELS[rng.choice(len(CHANNELS), p=mix)]
        mean = 2.0 if rng.random() < 0.6 else spoof_llr
        llr = mean * (1.0 if channel == "clean" else 0.4) + rng.normal() * 1.2
        p = 1 / (1 + np.exp(llr + rng.normal(size=len(MODELS)) * 0.7))
        models: dict[str, float | None] = dict(zip(MODELS, p.tolist(), strict=True))
        if channel == "clean" and abs(llr) > 2:
            models["speech"] = None
        verdict = "bonafide" if llr > 1.7 else "spoof" if llr < -1.7 else "inconclusive"
        length_s = float(rng.lognormal(2.0, 1.0))
        made = (
            f"r{seed}-{number}",
            f"{number:064x}",
            bundle,
            channel,
            0.9,
            float(llr),
            verdict,
            length_s,
            models,
        )
        found.append(Answered(float(number), *made, "", after + number + 1))
    return found
