"""A CNN: convolutions over time and nothing after them."""

from bonafide.models.architecture import NetworkConfig, Strides
from bonafide.models.network import Network


class CNNConfig(NetworkConfig):
    """Configuration of the CNN, with its defaults."""

    view: str = "lfcc_high"
    strides: Strides = (4, 2, 2)


class CNN(Network):
    """Convolutions, mean and maximum over time; see `Network`."""

    name, label, Config = "cnn", "CNN", CNNConfig
