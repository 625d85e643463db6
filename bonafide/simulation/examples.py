"""The page's examples: a simulated voice, and the same through a vocoder.

``python -m bonafide.simulation.examples serving/app/examples`` makes their files again.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile as sf

from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.simulation.vocoders import GENERATORS
from bonafide.simulation.voices import Room, Voice, speak
from bonafide.types import Waveform

EXAMPLES = ("voice", "machine")
SECONDS, SEED, VOCODER = 8, 3, "channel_vocoder"


def make(name: str) -> Waveform:
    """Compute an example.

    Parameters
    ----------
    name : {"voice", "machine"}
        Which one.

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
    """Write the files into the folder that is named."""
    for name in EXAMPLES:
        sf.write(Path(sys.argv[1]) / f"{name}.flac", make(name), SAMPLE_RATE_HZ)


if __name__ == "__main__":
    main()
