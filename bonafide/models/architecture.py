"""What distinguishes one network from another: its sizes, its view and its recurrence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from bonafide.models.config import ModelConfig

Width = Annotated[int, Field(ge=4, le=512)]
Strides = Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(min_length=1)]


class NetworkConfig(ModelConfig):
    """Configuration of a network: its view, beside the statistics, and its layers."""

    view: str
    width: Width = 32
    strides: Strides = (2, 2, 2)
    dropout: float = Field(0.3, ge=0.0, lt=1.0)
    statistics_width: int = Field(128, ge=4, le=1024)
    statistics_dropout: float = Field(0.4, ge=0.0, lt=1.0)


class DenseConfig(ModelConfig):
    """Configuration of the dense network, with its defaults."""

    statistics_width: Annotated[int, Field(ge=4, le=1024)] = 192
    statistics_dropout: float = Field(0.4, ge=0.0, lt=1.0)


@dataclass(frozen=True)
class Recurrence:
    """A recurrent layer of Keras, and the ONNX operator that its weights go into.

    Parameters
    ----------
    layer : str
        Name in ``keras.layers``.
    operator : str
        Name in ONNX.
    gates : tuple of int
        Positions of the gates in Keras, in ONNX's order.
    attributes : mapping of str to int
        Of the ONNX node.
    recurrent_bias : bool
        Keras's bias has two rows, the second for the recurrent weights.
    bidirectional : bool
        It runs in both directions of time.
    """

    layer: str
    operator: str
    gates: tuple[int, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    recurrent_bias: bool = False
    bidirectional: bool = False
