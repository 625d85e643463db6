"""A bundle's graphs built anew from its own parts, after a mend of the front end.

    python -m research.rebuild --corpus MANIFEST [--bundle DIR]

``frontend.onnx`` and ``detector.onnx`` are built by the code of today from the models that lie in
the bundle, which stay as they were trained. The bundle is replaced in place under the next
version; what the llr of the corpus's recordings became is printed. Needs the extra ``train``.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bonafide.bundle import read_bundle
from bonafide.corpora import read_corpus
from bonafide.detector import Detector
from bonafide.export.rebuild import rebuild
from bonafide.home import SHIPPED
from bonafide.training.windows import training_windows

CLIPS = 200


def main(arguments: Sequence[str] | None = None) -> None:
    """Rebuild, print what changed, and replace."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of recordings")
    parser.add_argument("--bundle", type=Path, default=SHIPPED, help="default: the shipped one")
    chosen = parser.parse_args(arguments)
    old, corpus = read_bundle(chosen.bundle), read_corpus(chosen.corpus)
    rows = corpus.rows[:: max(1, len(corpus) // CLIPS)]
    waveforms = training_windows([corpus.audio_path(row) for row in rows], old.spec)
    draft = chosen.bundle.with_name(f".{chosen.bundle.name}")
    shutil.rmtree(draft, ignore_errors=True)
    version = str(int(old.manifest["version"]) + 1)
    new = rebuild(old, draft, waveforms, {"version": version})
    before, after = (Detector(bundle).score_windows(waveforms).llr for bundle in (old, new))
    moved = np.abs(after - before)
    print(
        f"{len(rows)} recordings: llr moved by {moved.mean():.3f} in the mean, "
        f"{np.median(moved):.4f} in the median, {moved.max():.2f} at most"
    )
    shutil.rmtree(chosen.bundle)
    draft.rename(chosen.bundle)
    print(f"{chosen.bundle}: version {version}, sha256 {new.digest()}")


if __name__ == "__main__":
    main()
