"""A detector whose scores are written into the sound: its tests choose every window's llr."""

from typing import Any

import numpy as np

from bonafide.audio import Waveform
from bonafide.bundle import META_MODELS, Bundle, read_bundle
from bonafide.detector import Detector
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import SHIPPED
from bonafide.judging import PARTS_FROM
from bonafide.manifest import OF_CHANNELS
from bonafide.types import WindowScores

WINDOW = 4 * SAMPLE_RATE_HZ
THRESHOLDS = {"bonafide_to": 0.15, "spoof_from": 0.85, PARTS_FROM: 3.5}
OF_FORMAT_3 = (*OF_CHANNELS, "route", "channel_errors", "format", "files")
NATS = 10.0  # llr -5 to 5 is a level of 0.1 to 1.1


def sound_of(*llrs: float, n_samples: int = WINDOW) -> Waveform:
    """Return noise whose level, window after window, is that of these scores."""
    noise = np.random.default_rng(0).choice([-1.0, 1.0], n_samples)
    return np.concatenate([noise * (0.6 + llr / NATS) for llr in llrs]).astype(np.float32)


def without_channels(bundle: Bundle) -> dict[str, Any]:
    """Return the entries of a manifest of format 2, and those that `write_bundle` works out not."""
    return {key: value for key, value in bundle.manifest.items() if key not in OF_FORMAT_3}


class CodedDetector(Detector):
    """Scores by level, as `sound_of` writes it."""

    def __init__(self, thresholds: dict[str, float] = THRESHOLDS) -> None:
        plain = without_channels(read_bundle(SHIPPED))
        super().__init__(Bundle(SHIPPED, {**plain, "thresholds": thresholds}))

    def score_windows(self, waveforms: Waveform) -> WindowScores:
        """Return the llr that the level stands for, and nothing that differs of the models."""
        llr = (NATS * (np.sqrt(np.mean(np.square(waveforms), axis=1)) - 0.6)).astype(np.float32)
        widths = len(self.bundle.models), len(META_MODELS)
        models, stack = (np.full((len(llr), width), 0.5, np.float32) for width in widths)
        return WindowScores(llr, models, stack)
