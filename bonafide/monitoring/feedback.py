"""The error itself, measured on answers of which people said later what the recordings were."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bonafide.artifact import file_sha256
from bonafide.corpora.schema import Corpus, Row
from bonafide.errors import CorpusError
from bonafide.monitoring.record import Answered

WRONG = {"bonafide": ("spoof", "partly_spoof"), "spoof": ("bonafide",)}  # verdicts, by the label

FEEDBACK = "feedback"  # the corpus that rows name which people judged
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Measured:
    """How many verdicts were wrong, of those that people judged.

    Parameters
    ----------
    labelled, decided, wrong : int
        Recordings with a label, each once, by its newest answer that has one; those of them with a
        verdict; those with a wrong one.
    low, high : float
        Ends of the 95 % interval of the share of wrong verdicts (Wilson), in [0, 1].
    answers : int
        Answers with a label: more than recordings where some were answered again.
    """

    labelled: int
    decided: int
    wrong: int
    low: float
    high: float
    answers: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    def in_words(self) -> str:
        """Return one sentence."""
        from bonafide.evaluation.evaluate import percent
        from bonafide.evaluation.metrics import Interval

        again = (
            f" {self.answers} answers to {self.labelled} files were judged: each file counts once, "
            "by the newest."
            if self.answers > self.labelled
            else ""
        )
        if not self.decided:
            return (
                f"Answers that people judged: {self.labelled}; none of them had a verdict.{again}"
            )
        share = percent(Interval(self.wrong / self.decided, self.low, self.high))
        return (
            f"Verdicts that people judged: {self.decided}; of these, wrong: {self.wrong}, {share}. "
            f"Who is asked decides what this is a share of.{again}"
        )


def measured(answers: Sequence[Answered]) -> Measured | None:
    """Count wrong verdicts among the recordings that people judged.

    Copies of an answer tell no more than one of them, so that each file counts once.

    Parameters
    ----------
    answers : sequence of Answered
        Of one bundle, in the order of time; those of older records, which name no files, count as
        answers to as many.

    Returns
    -------
    Measured or None
        None where nobody judged any.
    """
    judged = [each for each in answers if each.label]
    if not judged:
        return None
    newest = {each.file or f"answer {number}": each for number, each in enumerate(judged)}
    labelled = list(newest.values())
    decided = [each for each in labelled if each.verdict != "inconclusive"]
    wrong = sum(each.verdict in WRONG[each.label] for each in decided)
    low, high = wilson(wrong, len(decided)) if decided else (0.0, 1.0)
    return Measured(len(labelled), len(decided), wrong, low, high, len(judged))


def manifest_of(answers: Iterable[Answered], folder: Path) -> tuple[int, dict[Path, str]]:
    """Write a manifest of the recordings in a folder that people judged.

    Its rows have no source and no speaker: what is held out, and what golden sets are made of, are
    rows that have. A record holds no sound, so that only files that are still there can be rows.

    Parameters
    ----------
    answers : iterable of Answered
        Of a record; a file is known by its hash.
    folder : Path
        Looked through to its depth; `MANIFEST` is written into it.

    Returns
    -------
    written : int
        How many rows it has: one for each file with one label, sorted by path.
    left_out : dict of Path to str
        Files that were judged and are no rows, and why.

    Raises
    ------
    CorpusError
        ``no_corpus`` if there is no such folder, ``bad_manifest`` if it has a manifest,
        ``nothing_usable`` if nobody judged any file in it, or all of these are left out.
    OSError
        If it cannot be read or written.
    """
    if not folder.is_dir():
        raise CorpusError("no_corpus", f"{folder}: no such folder")
    target = folder / MANIFEST
    if target.exists():
        raise CorpusError("bad_manifest", f"{target}: is there; remove it, or name another folder")
    labels: dict[str, set[str]] = {}
    for each in answers:
        if each.label and each.file:
            labels.setdefault(each.file, set()).add(each.label)
    rows: list[Row] = []
    left_out: dict[Path, str] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        said = labels.get(file_sha256(path), set())
        name = path.relative_to(folder).as_posix()
        if len(said) > 1:
            left_out[path] = "it was called both"
        elif said and not _is_utf8(name):
            left_out[path] = "its name is no UTF-8, as a manifest must be"
        elif said:
            rows.append(Row(path=name, label=said.pop(), corpus=FEEDBACK))
    if not rows:
        but = f" but {len(left_out)} that must be left out" if left_out else ""
        first = "".join(f": {path}: {why}" for path, why in [*left_out.items()][:1])
        message = f"{folder}: no file in it was judged by anybody{but}{first}"
        raise CorpusError("nothing_usable", message)
    target.write_bytes(Corpus(folder, rows).to_csv().encode())
    return len(rows), left_out


def _is_utf8(name: str) -> bool:
    return name.encode(errors="replace").decode() == name


def wilson(found: int, of: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share (Wilson, by scipy).

    Parameters
    ----------
    found, of : int
        The share is the former of the latter, which is above 0.

    Returns
    -------
    low, high : float
        In [0, 1].
    """
    from scipy.stats import binomtest

    interval = binomtest(found, of).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
