"""Recordings for who has none at hand: a simulated voice, and the same through a vocoder.

``python -m serving.app.examples`` makes their files again; it needs the extra ``train``.
"""

from pathlib import Path

import numpy as np
import soundfile as sf

from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.simulation.vocoders import GENERATORS
from bonafide.simulation.voices import Room, Voice, speak
from bonafide.types import Waveform

FOLDER = Path(__file__).with_name("examples")
EXAMPLES = ("voice", "machine")
SECONDS, SEED, VOCODER = 8, 3, "channel_vocoder"


def example(name: str) -> bytes:
    """Return a recording: a FLAC file.

    Parameters
    ----------
    name : str
        One of `EXAMPLES`.
    """
    return (FOLDER / f"{name}.flac").read_bytes()


def make(name: str) -> Waveform:
    """Compute an example.

    Parameters
    ----------
    name : str
        One of `EXAMPLES`.

    Returns
    -------
    ndarray of float32, shape (n_samples,)
        Mono at 16 kHz; the same each time.
    """
    rng = np.random.default_rng(SEED)
    sound = speak(rng, Voice.draw(rng), SECONDS * SAMPLE_RATE_HZ).astype(np.float32)
    if name == "machine":
        sound = GENERATORS[VOCODER](sound, rng)
    return Room.draw(rng).record(sound, rng).astype(np.float32)


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name in EXAMPLES:
        sf.write(FOLDER / f"{name}.flac", make(name), SAMPLE_RATE_HZ)


if __name__ == "__main__":
    main()
