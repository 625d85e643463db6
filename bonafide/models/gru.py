"""A gated recurrent unit (Cho et al., 2014) over convolved frames."""

from bonafide.models.architecture import NetworkConfig, Recurrence, Strides
from bonafide.models.network import Network


class GRUConfig(NetworkConfig):
    """Configuration of the GRU, with its defaults."""

    view: str = "lfcc"
    strides: Strides = (4, 4, 2)


class GRU(Network):
    """Convolutions and a GRU; see `Network`."""

    name, label, Config = "gru", "GRU", GRUConfig
    # Keras and ONNX both keep z, r, h; Keras's reset_after is ONNX's linear_before_reset.
    recurrence = Recurrence(
        "GRU", "GRU", gates=(0, 1, 2), attributes={"linear_before_reset": 1}, recurrent_bias=True
    )
