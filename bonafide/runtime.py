"""ONNX graphs, run by onnxruntime with one thread each."""

import os
from collections.abc import Mapping
from pathlib import Path

from bonafide.errors import BundleError
from bonafide.types import Tensor

# onnxruntime reads this once, at import; without it, it stores an identifier of the machine and
# sends telemetry to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort


class Graph:
    """One ONNX graph, ready to run.

    Parameters
    ----------
    model : Path or bytes
        An .onnx file or its content.

    Raises
    ------
    BundleError
        ``bad_graph`` if onnxruntime cannot load it.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names, in the order of the graph.

    Notes
    -----
    One thread per session: the models are small, and throughput comes from processes.
    """

    def __init__(self, model: Path | bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = model if isinstance(model, bytes) else model.read_bytes()
        try:
            providers = ["CPUExecutionProvider"]
            self._session = ort.InferenceSession(content, options, providers=providers)
        except Exception as error:  # onnxruntime's own have no base but this
            name = "a graph" if isinstance(model, bytes) else model
            raise BundleError("bad_graph", f"{name}: cannot be loaded: {error}") from error
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())
        self.shapes = {value.name: tuple(value.shape) for value in self._session.get_outputs()}

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph.

        Parameters
        ----------
        inputs : mapping of str to ndarray of float32
            At least the graph's `inputs`, in the shapes that it declares; others are ignored.

        Returns
        -------
        dict of str to ndarray of float32
            Every output under its name.
        """
        taken = {name: inputs[name] for name in self.inputs}
        return dict(zip(self.outputs, self._session.run(None, taken), strict=True))
