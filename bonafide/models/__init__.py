"""Base models, one file a family: a registry by name, open to other packages.

A family is a `bonafide.models.base.BaseModel`. The ones that come with the project are modules of
this package; another package adds its own by an entry point in the group ``bonafide.models`` whose
name is the model's and whose value is the class. Looking a family up imports its module, which
imports its library only when it is fitted.

Examples
--------
>>> sorted(names())[:2]
['bilstm', 'cnn']
>>> family("gru").label
'GRU'
"""

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from bonafide.errors import ConfigError

if TYPE_CHECKING:
    from bonafide.models.base import BaseModel

GROUP = "bonafide.models"
# Name -> where its class is; the default configuration trains them in this order.
BUILT_IN = {
    "cnn": "cnn:CNN",
    "rnn": "rnn:RNN",
    "bilstm": "bilstm:BiLSTM",
    "gru": "gru:GRU",
    "xgboost": "xgboost:XGBoost",
}


@cache
def _known() -> dict[str, EntryPoint]:
    """Find every family: ours, then those of other packages, which cannot replace ours."""
    ours = {name: EntryPoint(name, f"{__name__}.{at}", GROUP) for name, at in BUILT_IN.items()}
    return {**{point.name: point for point in entry_points(group=GROUP)}, **ours}


def names() -> tuple[str, ...]:
    """Return the names of all families, those that come with the project first."""
    return (*BUILT_IN, *sorted(set(_known()) - set(BUILT_IN)))


def module_of(name: str) -> str:
    """Return the module that a family lives in, without importing it.

    Raises
    ------
    ConfigError
        ``unknown_model``.
    """
    return _point(name).module


def family(name: str) -> "type[BaseModel]":
    """Return the class of a family.

    Raises
    ------
    ConfigError
        ``unknown_model``; ``bad_plugin`` if another package's family cannot be imported.
    """
    point = _point(name)
    if name in BUILT_IN:
        found: type[BaseModel] = getattr(import_module(point.module), point.attr)
        return found
    try:
        found = point.load()
    except Exception as error:  # whatever a stranger's module raises
        raise ConfigError(
            "bad_plugin", f"base model {name!r} ({point.value}) cannot be imported: {error}"
        ) from error
    return found


def _point(name: str) -> EntryPoint:
    known = _known()
    if name not in known:
        raise ConfigError(
            "unknown_model", f"base model {name!r}: must be one of {', '.join(names())}"
        )
    return known[name]
