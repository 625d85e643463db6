"""A plain recurrent network (Elman, 1990) over convolved frames."""

from bonafide.models.architecture import NetworkConfig, Recurrence
from bonafide.models.network import Network


class RNNConfig(NetworkConfig):
    """Configuration of the RNN, with its defaults."""

    view: str = "lfcc_top"


class RNN(Network):
    """Convolutions and Keras's SimpleRNN; see `Network`."""

    name, label, Config = "rnn", "RNN", RNNConfig
    recurrence = Recurrence("SimpleRNN", "RNN", gates=(0,))
