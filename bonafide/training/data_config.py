"""The parts of a training run's configuration that say how its data are split and augmented."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bonafide.channel import CLEAN
from bonafide.models.config import Section


def beside(info: ValidationInfo, path: str) -> Path:
    """Return a file that a configuration names: one that lies beside it, or an absolute path."""
    return Path((info.context or {}).get("folder", ""), path)


class FoldsConfig(Section):
    """How rows are split; groups (source and speaker) always stay whole.

    ``of`` writes down the fold of each source, by name or `source_id`, -1 for the test side: a
    mapping, or a CSV file with the columns ``source`` and ``fold`` beside the configuration.
    Nothing is drawn then, and ``test_share`` does not count.

    There are at least three folds, so that the scores that stacks are judged on can be nested
    (`fit_stack`); two, which earlier versions took, are read as three. With a ``test_share`` of 0
    no row is held out: the final models are fitted on all of them, and the candidate is judged by
    its out-of-fold scores alone.
    """

    count: int = Field(4, ge=3, le=20)
    test_share: float = Field(0.2, ge=0.0, lt=1.0)
    of: dict[str, Annotated[int, Field(ge=-1, lt=20)]] = Field(default_factory=dict)

    @field_validator("of", mode="before")
    @classmethod
    def _of_a_file(cls, of: Any, info: ValidationInfo) -> Any:
        if not isinstance(of, str):
            return of
        try:
            path = beside(info, of)
            with path.open(newline="", encoding="utf-8-sig") as file:
                pairs = [(row["source"], row["fold"]) for row in csv.DictReader(file)]
        except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
            raise ValueError(f"no CSV file with the columns source and fold: {error!r}") from error
        if not pairs:
            raise ValueError(f"{path} names no source")
        twice = [source for source, n in Counter(source for source, _ in pairs).items() if n > 1]
        if twice:
            raise ValueError(f"{path} names {', '.join(twice[:3])} more than once")
        return dict(pairs)

    @model_validator(mode="after")
    def _numbered(self) -> "FoldsConfig":
        seen = sorted(set(self.of.values()) - {-1})
        if self.of and seen != list(range(self.count)):
            raise ValueError(f"of names folds {seen}: must be 0 to {self.count - 1}, as count says")
        return self

    @field_validator("count", mode="before")
    @classmethod
    def _three_at_least(cls, count: Any) -> Any:
        return 3 if count == 2 else count


def default_channels() -> dict[str, int]:
    """Return how many augmented copies go through each channel by default."""
    return {"clean": 3, "telephone": 2, "noise": 2, "low_rate": 1, "opus": 1, "g722": 1, "codec": 1}


# The order in which the copies of earlier versions' ``augmentation.count`` go through channels.
COUNTED = ("telephone", "noise", "low_rate", "opus", "codec", "g722", "clean")


class AugmentationConfig(Section):
    """Augmented copies of each recording, made once and kept with the features.

    ``channels`` says how many go through each of `bonafide.training.channels.CHANNELS`. A number of
    copies alone, ``count``, which earlier versions took, is spread over them.
    """

    channels: dict[str, Annotated[int, Field(ge=0, le=16)]] = Field(
        default_factory=default_channels
    )

    @property
    def stretches(self) -> tuple[str, ...]:
        """The channel of each stretch of the store: of the recordings, and of each copy."""
        copies = (name for name, count in self.channels.items() for _ in range(count))
        return (CLEAN, *copies)

    @property
    def count(self) -> int:
        """How many copies each recording has."""
        return len(self.stretches) - 1

    @model_validator(mode="before")
    @classmethod
    def _of_a_number(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "count" not in values:
            return values
        if "channels" in values or type(values["count"]) is not int or values["count"] < 0:
            raise ValueError(
                f"count={values['count']!r}: must be 0 or more, and stand alone; channels says more"
            )
        names = [COUNTED[number % len(COUNTED)] for number in range(values["count"])]
        rest = {key: value for key, value in values.items() if key != "count"}
        return {"channels": {name: names.count(name) for name in COUNTED}, **rest}

    @field_validator("channels")
    @classmethod
    def _known(cls, channels: dict[str, int]) -> dict[str, int]:
        known_channels(channels)
        return channels


def known_channels(names: Iterable[str]) -> list[str]:
    """Return names of channels.

    Parameters
    ----------
    names : iterable of str
        As a configuration has them.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If no installed package has one of them.
    """
    # By its name, so that no step is taken to depend on how copies are made.
    channels = import_module("bonafide.training.channels").CHANNELS
    listed = list(names)
    if unknown := [name for name in listed if channels.find(name) is None]:
        raise ValueError(f"names {', '.join(unknown)}: must be {', '.join(channels.names())}")
    return listed
