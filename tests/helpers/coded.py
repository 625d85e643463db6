"""A detector whose scores are written into the sound: its tests choose every window's llr."""

import numpy as np

from bonafide.audio import Waveform
from bonafide.bundle import Bundle, read_bundle
from bonafide.detector import PARTS_FROM, Detector
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import SHIPPED
from bonafide.types import WindowScores

WINDOW = 4 * SAMPLE_RATE_HZ
THRESHOLDS = {"bonafide_to": 0.15, "spoof_from": 0.85, PARTS_FROM: 3.5}
NATS = 10.0  # llr -5 to 5 is a level of 0.1 to 1.1


def sound_of(*llrs: float, n_samples: int = WINDOW) -> Waveform:
    """Return noise whose level, window after window, is that of these scores."""
    noise = np.random.default_rng(0).choice([-1.0, 1.0], n_samples)
    return np.concatenate([noise * (0.6 + llr / NATS) for llr in llrs]).astype(np.float32)


class CodedDetector(Detector):
    """Scores by level, as `sound_of` writes it."""

    def __init__(self, thresholds: dict[str, float] = THRESHOLDS) -> None:
        shipped = read_bundle(SHIPPED)
        super().__init__(Bundle(SHIPPED, {**shipped.manifest, "thresholds": thresholds}))

    def score_windows(self, waveforms: Waveform) -> WindowScores:
        """Return the llr that the level stands for, and nothing that differs of the models."""
        llr = (NATS * (np.sqrt(np.mean(np.square(waveforms), axis=1)) - 0.6)).astype(np.float32)
        some = np.full((len(llr), 7), 0.5, np.float32)
        return WindowScores(llr, some[:, :5], some[:, :2])
