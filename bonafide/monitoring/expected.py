"""What a bundle is expected to answer: to training recordings, by what never heard their source.

`EXPECTED` is a file of each bundle that a training run makes: columns of up to `EXPECTED_ROWS`
recordings, of each its first window alone, and the name of none.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from bonafide.bundle import Bundle
from bonafide.detection import VERDICTS, rounded
from bonafide.errors import MALFORMED, BundleError
from bonafide.monitoring.record import Answered
from bonafide.types import AnyFloats

EXPECTED = "expected.json"
EXPECTED_ROWS = 1000  # at most
UNKNOWN_S = float("nan")  # of recordings of which one window is known


@dataclass(frozen=True)
class Said:
    """What the stages of a detector up to one answered, recording by recording.

    Parameters
    ----------
    llr : sequence of float
        Natural-log likelihood ratios, higher for bona fide, out of fold.
    verdict : sequence of str
        By the bundle's thresholds.
    models : mapping of str to sequence of float or None
        p_spoof of each base model, out of fold; None where it was not asked.
    """

    llr: Sequence[float]
    verdict: Sequence[str]
    models: Mapping[str, Sequence[float | None]]


def said_of(llr: AnyFloats, verdict: Sequence[str], models: Mapping[str, AnyFloats]) -> Said:
    """Return what a stage answered.

    Parameters
    ----------
    llr : ndarray of float, shape (n,)
        In nats.
    verdict : sequence of str
        As in `Said`.
    models : mapping of str to ndarray of float, each of shape (n,)
        p_spoof; NaN: not asked.

    Returns
    -------
    Said
    """
    asked = {name: [None if p != p else p for p in each.tolist()] for name, each in models.items()}
    return Said(llr.tolist(), verdict, asked)


@dataclass(frozen=True)
class Expected:
    """What a bundle is expected to answer.

    Parameters
    ----------
    channel : sequence of str
        Of each recording, the channel that is named.
    stages : mapping of str to Said
        By the prefix of a stage in the manifest.
    """

    channel: Sequence[str]
    stages: Mapping[str, Said]

    def write(self, folder: Path) -> None:
        """Write `EXPECTED` into a bundle's folder."""
        text = json.dumps(rounded(asdict(self)), separators=(",", ":"), allow_nan=False)
        (folder / EXPECTED).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, bundle: Bundle) -> Self:
        """Read what `write` wrote.

        Parameters
        ----------
        bundle : Bundle
            Its hashes hold.

        Returns
        -------
        Self

        Raises
        ------
        BundleError
            ``no_expected`` for a bundle that has none: an adapted one, or one from before there
            were any; ``bad_expected`` for a file that is not what `write` writes.
        """
        path = bundle.folder / EXPECTED
        if EXPECTED not in bundle.manifest["files"]:
            raise BundleError(
                "no_expected",
                f"{bundle.folder}: does not say what its training recordings were answered "
                f"({EXPECTED}): it was adapted, or trained by an older version",
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            stages = {prefix: Said(**said) for prefix, said in values["stages"].items()}
            found = cls(values["channel"], stages)
            found._require(bundle)
        except MALFORMED as error:
            raise BundleError("bad_expected", f"{path}: cannot be used: {error}") from error
        return found

    def _require(self, bundle: Bundle) -> None:
        """Raise a ValueError unless there is a whole answer of each stage to each recording."""
        rows = len(self.channel)
        if not rows or not set(self.channel) <= {*bundle.channels}:
            raise ValueError("channel: must name channels of the bundle, at least one")
        for stage in bundle.stages:
            said = self.stages[stage["prefix"]]
            if not set(said.verdict) <= set(VERDICTS):
                raise ValueError(f"verdict: must be one of {', '.join(VERDICTS)}")
            if said.models.keys() != {*stage["models"]}:
                raise ValueError(f"models: must be {', '.join(stage['models'])}")
            columns = {"llr": said.llr, "verdict": said.verdict, **said.models}
            for name, values in columns.items():
                if len(values) != rows:
                    raise ValueError(f"{name}: {len(values)} values; must be {rows}")
            if not all(map(_is_number, said.llr)):
                raise ValueError("llr: must be finite numbers")
            asked = (p for each in said.models.values() for p in each if p is not None)
            if not all(_is_number(p) and 0 <= p <= 1 for p in asked):
                raise ValueError("models: must be probabilities, or null")

    def first(self, prefix: str) -> "Expected":
        """Return what a first stage answers where it is a bundle of its own.

        Parameters
        ----------
        prefix : str
            The stage's in the whole bundle.

        Returns
        -------
        Expected
        """
        return Expected(self.channel, {"": self.stages[prefix]})

    def answers(self, bundle: Bundle) -> list[Answered]:
        """Return it as answers, of no time and no length.

        Parameters
        ----------
        bundle : Bundle
            The one that it is of.

        Returns
        -------
        list of Answered
            By its last stage; lengths are NaN.
        """
        said, sha256 = self.stages[bundle.stages[-1]["prefix"]], bundle.digest()
        return [
            Answered(
                *(0.0, "", "", sha256, channel, 1.0, llr, verdict, UNKNOWN_S),
                {name: values[row] for name, values in said.models.items()},
            )
            for row, (channel, llr, verdict) in enumerate(
                zip(self.channel, said.llr, said.verdict, strict=True)
            )
        ]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def expected_of(bundle: Bundle) -> list[Answered]:
    """Return what a bundle answers to its training recordings; see `Expected.read` for errors."""
    return Expected.read(bundle).answers(bundle)
