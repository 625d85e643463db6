"""What a run writes of its lineage into the bundle that it made; see `bonafide.lineage`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bonafide.artifact import Artifact, sha256_of
from bonafide.bundle import Bundle
from bonafide.corpora.schema import COLUMNS, Row
from bonafide.home import scratch
from bonafide.lineage.code import code_version, environment
from bonafide.lineage.record import Lineage, Step, write_lineage
from bonafide.lineage.rows import GOLDEN, HASHES, HELD_OUT, SET_ASIDE, TRAINING, schema
from bonafide.training.config import Config
from bonafide.training.fitting import model_seed
from bonafide.training.folds import TEST, GoldenRows
from bonafide.training.recordings import Quarantine, Recordings
from bonafide.types import Mask

if TYPE_CHECKING:
    import pyarrow as pa


def digest_of(value: Any) -> str:
    """Return the hash of what a step made.

    Parameters
    ----------
    value : Artifact, list of Artifact, or plain values
        Plain values count by their JSON.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    if isinstance(value, Artifact):
        return value.digest()
    if isinstance(value, list) and all(isinstance(each, Artifact) for each in value):
        return sha256_of(*(each.digest() for each in value))
    return sha256_of(json.dumps(value, sort_keys=True))


def step_of(name: str, inputs: Sequence[str], **outputs: Any) -> Step:
    """Return the record of a step.

    Parameters
    ----------
    name : str
        The step's.
    inputs : sequence of str
        Names of the artifacts that it took.
    **outputs : Any
        What it made, by name; see `digest_of`.

    Returns
    -------
    Step
    """
    return Step(name, tuple(inputs), {key: digest_of(value) for key, value in outputs.items()})


def used_rows(
    recordings: Recordings,
    quarantine: Quarantine,
    held_out: Mask,
    golden: GoldenRows | None = None,
) -> "pa.Table":
    """Return every row of a corpus with its hashes, and what became of it.

    Parameters
    ----------
    recordings : Recordings
        The usable rows.
    quarantine : Quarantine
        Those that were set aside.
    held_out : ndarray of bool, shape (n_rows,)
        Which of the usable ones were judged on alone.
    golden : GoldenRows or None
        Which of these a golden set holds.

    Returns
    -------
    pyarrow.Table
        Of `bonafide.lineage.rows.schema`, in the order of the corpus.
    """
    import pyarrow as pa

    aside = {each.row: each for each in quarantine.rejected}
    kept = [row for row in range(len(recordings.corpus) + len(aside)) if row not in aside]
    files = recordings.file_sha256.tolist() or [""] * len(kept)
    uses = np.where(held_out, HELD_OUT, TRAINING)
    uses[golden.rows if golden else []] = GOLDEN
    rows: list[tuple[int, Row, str, str | None, str, str]] = [
        (row, entry, use, None, file, sound)
        for row, entry, use, file, sound in zip(
            *(kept, recordings.corpus, uses.tolist(), files, recordings.sha256.tolist()),
            strict=True,
        )
    ]
    rows += [
        (row, each.entry, SET_ASIDE, each.code, each.file_sha256, "")
        for row, each in aside.items()
        if each.entry
    ]
    rows.sort(key=lambda each: each[0])
    number, entries, use, reason, *hashes = zip(*rows, strict=True)
    columns: dict[str, Any] = {"row": number, "use": use, "reason": reason}
    columns |= {name: [getattr(entry, name) for entry in entries] for name in COLUMNS}
    for name, found in zip(HASHES, hashes, strict=True):
        columns[name] = [bytes.fromhex(text) if text else None for text in found]
    return pa.table({name: list(values) for name, values in columns.items()}, schema())


def seeds_of(config: Config) -> dict[str, int]:
    """Return the seed of a run, and that of the final fit of each base model."""
    return {"run": config.seed} | {
        name: model_seed(config.seed, name, TEST) for name in config.models
    }


def corpus_facts(recordings: Recordings, rows: "pa.Table") -> dict[str, Any]:
    """Return what `Lineage.corpus` holds of recordings and of all rows of their corpus."""
    return {
        "root": str(recordings.corpus.root),
        "rows_sha256": recordings.rows_sha256,
        "use": {each["values"]: each["counts"] for each in rows["use"].value_counts().to_pylist()},
        "names": "plain",
    }


def lineage_of(
    made: str,
    recordings: Recordings,
    rows: "pa.Table",
    *,
    run: Mapping[str, str] | None = None,
    steps: Sequence[Step] = (),
    config: Config | None = None,
    golden: str = "",
) -> Lineage:
    """Return the record of a run that ends now, of the code and environment that it runs in.

    Parameters
    ----------
    made : str
        ``trained`` or ``adapted``.
    recordings : Recordings
        What was learned from.
    rows : pyarrow.Table
        As `used_rows` returns them.
    run : mapping of str to str
        The orchestrator's names of the run.
    steps : sequence of Step
        What the run made.
    config : Config or None
        Of a training run.
    golden : str
        SHA-256 of the golden set whose recordings it held out; empty without one.

    Returns
    -------
    Lineage
    """
    unread = "hashes of some files, which could not be read"
    return Lineage(
        made=made,
        run={"ended": datetime.now(UTC).isoformat(timespec="seconds"), **(run or {})},
        steps=list(steps),
        corpus=corpus_facts(recordings, rows),
        config=config.model_dump(mode="json") if config else {},
        seeds=seeds_of(config) if config else {},
        golden={"sha256": golden} if golden else {},
        code=code_version(),
        environment=environment(),
        missing=[unread] if rows["file_sha256"].null_count else [],
    )


@contextmanager
def with_lineage(
    root: Path, candidate: Bundle, lineage: Lineage, rows: "pa.Table"
) -> Iterator[Bundle]:
    """Lend a copy of a candidate that holds its lineage.

    Parameters
    ----------
    root : Path
        The home folder, which holds the copy while the block lasts.
    candidate : Bundle
        Stays as it is.
    lineage : Lineage
        The record.
    rows : pyarrow.Table
        The rows.

    Yields
    ------
    Bundle
        Of the same content hash.
    """
    with scratch(root) as folder:
        candidate.save(folder)  # of hard links, where that is possible
        yield write_lineage(folder, candidate.manifest, lineage, rows)
