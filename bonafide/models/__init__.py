"""Base models, one file per family: a registry by name, open to other packages.

A family is a `bonafide.models.base.BaseModel`. The built-in ones are modules of this package;
another package adds its own by an entry point in the group ``bonafide.models`` whose name is the
model's and whose value is the class. Looking a family up imports its module, which imports its
library only when a method needs it.

Examples
--------
>>> family("gru").label
'GRU'
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bonafide.errors import ConfigError
from bonafide.plugins import Registry

if TYPE_CHECKING:
    from bonafide.models.base import BaseModel
    from bonafide.models.config import ModelConfig

# Module of this package -> its class.
BUILT_IN = {
    "cnn": "CNN",
    "rnn": "RNN",
    "bilstm": "BiLSTM",
    "gru": "GRU",
    "xgboost": "XGBoost",
    "dense": "Dense",
}
MODELS: "Registry[type[BaseModel]]" = Registry(
    "bonafide.models",
    type,
    lazy={name: f"{__name__}.{name}:{found}" for name, found in BUILT_IN.items()},
)
# Files, steps and lines of tables are called after a model: what they may be, and others of them.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}")
TAKEN = (
    *("detector", "frontend", "scaler", "router", "encoder", "adapter", "decision"),
    *(f"{stage}meta_{name}" for stage in ("", "fast_") for name in ("logistic", "xgboost")),
)


def family_of(name: str, model: "ModelConfig | Mapping[str, Any]") -> "type[BaseModel]":
    """Return the class of a base model: of the family that its section names, or of its own name.

    Parameters
    ----------
    name : str
        As the configuration calls the base model.
    model : ModelConfig or mapping
        Its section of the configuration, or the values of that by name.

    Returns
    -------
    type
        As `family` returns it.
    """
    values = model if isinstance(model, Mapping) else vars(model)
    return family(values.get("family") or name)


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
        ``unknown_model`` if no package has it; ``bad_plugin`` if its package cannot be imported,
        it is no `BaseModel`, or its name cannot be a file's.
    """
    found = MODELS.find(name)
    if found is None:
        known = ", ".join(MODELS.names())
        raise ConfigError("unknown_model", f"base model {name!r}: must be one of {known}")
    if name not in BUILT_IN:
        _require_fit_for_use(name, found)
    return found


def _require_fit_for_use(name: str, found: "type[BaseModel]") -> None:
    from bonafide.models.base import BaseModel

    if not issubclass(found, BaseModel):
        raise ConfigError("bad_plugin", f"base model {name!r} is {found!r}: must be a BaseModel")
    if not NAME.fullmatch(name) or name in TAKEN:
        raise ConfigError(
            "bad_plugin",
            f"base model {name!r}: its name must be letters, digits, _ and -, a letter first, and "
            f"none of {', '.join(TAKEN)}",
        )
