"""Base models, one file a family: a registry by name, open to other packages.

A family is a `bonafide.models.base.BaseModel`. The ones that come with the project are modules of
this package; another package adds its own by an entry point in the group ``bonafide.models`` whose
name is the model's and whose value is the class. Looking a family up imports its module, which
imports its library only when it is fitted.

Examples
--------
>>> family("gru").label
'GRU'
"""

from typing import TYPE_CHECKING

from bonafide.errors import ConfigError
from bonafide.plugins import Registry

if TYPE_CHECKING:
    from bonafide.models.base import BaseModel

# Name -> where its class is; the default configuration trains them in this order.
BUILT_IN = {
    "cnn": "bonafide.models.cnn:CNN",
    "rnn": "bonafide.models.rnn:RNN",
    "bilstm": "bonafide.models.bilstm:BiLSTM",
    "gru": "bonafide.models.gru:GRU",
    "xgboost": "bonafide.models.xgboost:XGBoost",
}
MODELS: "Registry[type[BaseModel]]" = Registry("bonafide.models", type, lazy=BUILT_IN)


def family(name: str) -> "type[BaseModel]":
    """Return the class of a family.

    Parameters
    ----------
    name : str
        As the configuration names it.

    Returns
    -------
    type
        A `bonafide.models.base.BaseModel`.

    Raises
    ------
    ConfigError
        ``unknown_model``; ``bad_plugin`` if another package's family cannot be imported.
    """
    found = MODELS.find(name)
    if found is None:
        known = ", ".join(MODELS.names())
        raise ConfigError("unknown_model", f"base model {name!r}: must be one of {known}")
    return found
