"""Perth, the open watermark of Resemble AI, where its package is installed."""

import contextlib
import io
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from bonafide.provenance.finding import NO_PACKAGE, Finding, NotLookedFor, finding
from bonafide.types import Waveform

LISTENED_S, STRETCH_S = 30.0, 10.0
MARKED = 0.5  # of the answers of the decoder, each 0 or 1
PACKAGE = "resemble-perth"


class Watermark:
    """Keeps the beginning of a recording, in which the watermark is then looked for."""

    def __init__(self) -> None:
        self._detector, self._why = _detector()
        self._rate_hz, self._held = 0, list[Waveform]()

    def hear(self, rate_hz: int, mono: Waveform) -> None:
        """Process the next block."""
        if self._detector is None:
            return
        self._rate_hz = self._rate_hz or rate_hz
        seconds = sum(map(len, self._held)) / self._rate_hz
        if rate_hz == self._rate_hz and seconds < LISTENED_S:
            self._held.append(mono)

    def findings(self) -> list[Finding]:
        """Return what was found."""
        if self._detector is None:
            return []
        heard = np.concatenate([*self._held, np.zeros(0, np.float32)])
        size = round(STRETCH_S * self._rate_hz)
        answers = [
            float(np.mean(self._detector.get_watermark(heard[at : at + size], self._rate_hz)))
            for at in range(0, max(1, len(heard) - size // 2), size)
        ]
        marked = sum(answer > MARKED for answer in answers)
        if not marked:
            return []
        seen = f"The decoder of Perth hears its watermark in {marked} of {len(answers)} stretches"
        return [finding("perth_watermark", f"{seen} of {STRETCH_S:g} s at the beginning.")]

    def missing(self) -> list[NotLookedFor]:
        """Return why it was not looked for; nothing where it was."""
        return [NotLookedFor("perth_watermark", self._why)] if self._detector is None else []


def _detector() -> tuple[Any, str]:
    """Return the watermark's decoder, or None and why there is none."""
    if find_spec("perth") is None:
        return None, NO_PACKAGE.format(PACKAGE, f"pip install {PACKAGE}")
    try:
        import perth

        return _decoder(perth), ""
    except (AttributeError, ImportError, TypeError) as error:  # Perth hides what it lacks as None
        needed = "it needs torch, torchaudio, librosa and setuptools before 81"
        return None, f"{PACKAGE} is not whole: {needed} ({error})"
    except (OSError, MemoryError) as error:  # of a library that does not fit into a scorer
        return None, f"{PACKAGE} cannot be loaded: {error}"


@cache
def _decoder(perth: ModuleType) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):  # it says which weights it loads
        return perth.PerthImplicitWatermarker()
