"""ONNX graphs run by onnxruntime, one thread each."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Read once, at its import: else it keeps an identifier of the machine and reports to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

Array = NDArray[np.float32]


class Graph:
    """One ONNX graph, ready to run.

    Parameters
    ----------
    model : Path or bytes
        An .onnx file or its content.

    Notes
    -----
    One thread a session: the models are small, and throughput comes from processes.
    """

    def __init__(self, model: Path | bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = model if isinstance(model, bytes) else model.read_bytes()
        self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the graph; return each output under its name. Inputs it does not take are ignored."""
        taken = {name: inputs[name] for name in self.inputs}
        return dict(zip(self.outputs, self._session.run(None, taken), strict=True))
