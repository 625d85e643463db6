"""The file that `bonafide score` writes, and what an interrupted run left in it."""

import csv
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bonafide.errors import ConfigError
from bonafide.scoring import CSV_COLUMNS, Result
from bonafide.watching import is_half_row

RESUMED = ("csv", "jsonl")
BYTES = "surrogateescape"  # names of files keep their bytes, UTF-8 or not
Rows = list[Result]


@dataclass(frozen=True)
class Output:
    """Where results go, and those that are there already.

    Parameters
    ----------
    file : TextIO
        What to write to.
    kept : list of dict
        Results of an earlier run, of which `path`, `error` and the codes of `warnings` are known.
    fresh : bool
        Whether the file holds nothing, not even a header.
    """

    file: TextIO
    kept: Rows
    fresh: bool = True


@contextmanager
def opened_output(path: Path, style: str, sha256: str, *, overwrite: bool) -> Iterator[Output]:
    """Open a file of results, to write it anew or to go on where it ends.

    A last row that was not written whole is cut off. At the end the file is on the disk.

    Parameters
    ----------
    path : Path
        The file. A device or a pipe is written to as it is.
    style : str
        Its format, a key of `bonafide.scoring.WRITERS`.
    sha256 : str
        Hash of the bundle that scores: all results of a file are of one bundle.
    overwrite : bool
        Lose what is there.

    Yields
    ------
    Output

    Raises
    ------
    ConfigError
        ``output_exists`` for a file of another format, of another bundle, of anything else, or of
        a format that is not resumed; ``output_busy`` if another run writes to it.
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", errors=BYTES) as device:
            yield Output(device, [])
        return
    with locked_file(path) as file:
        kept, end = ([], 0) if overwrite else _read(path, style, sha256)
        os.truncate(path, end)
        yield Output(file, kept, fresh=not end)


@contextmanager
def locked_file(path: Path) -> Iterator[TextIO]:
    """Open a file of results, to add to it, which no other run writes to meanwhile.

    At the end it is on the disk.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    TextIO

    Raises
    ------
    ConfigError
        ``output_busy`` if another run writes to it.
    """
    with path.open("a", encoding="utf-8", errors=BYTES) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError("output_busy", f"{path}: another run writes to it") from error
        yield file
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, style: str, sha256: str) -> tuple[Rows, int]:
    """Return the whole rows of a file and the position, in bytes, where they end."""
    content = path.read_bytes()
    if not content:
        return [], 0
    if style not in RESUMED:
        raise _not_resumed(path, f"a {style} is not resumed, only {' and '.join(RESUMED)} are")
    try:
        rows, end = (_read_csv if style == "csv" else _read_jsonl)(content)
        bundles = {row["bundle"] for row in rows if row["path"]} - {""}
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise _not_resumed(path, f"these are no results in {style}: {error}") from error
    if others := bundles - {sha256}:
        seen = f"these are results of bundle {min(others)[:8]}, and {sha256[:8]} is to score"
        raise _not_resumed(path, seen)
    return rows, end


def _not_resumed(path: Path, why: str) -> ConfigError:
    return ConfigError(
        "output_exists", f"{path}: exists; {why}; name another file or pass --overwrite"
    )


def _read_jsonl(content: bytes) -> tuple[Rows, int]:
    *lines, half = content.split(b"\n")
    whole = bool(half) and not is_half_row(half)
    if whole and not {"bundle", "error"} & json.loads(half).keys():
        raise ValueError("the last line is none")
    rows = [json.loads(line) for line in lines]
    kept = [{**row, "bundle": row.get("bundle", {}).get("sha256", "")} for row in rows]
    return kept, len(content) - len(half)


def _read_csv(content: bytes) -> tuple[Rows, int]:
    header = ",".join(CSV_COLUMNS)
    if header.encode().startswith(content):
        return [], 0
    if not content.startswith(f"{header}\n".encode()):
        raise ValueError(f"the first line is not {header}")
    lines = re.findall(rb"[^\n]*\n", content)
    reader = csv.reader((os.fsdecode(line) for line in lines), strict=True)
    rows, ended = [], 0
    try:
        for fields in reader:
            rows.append(dict(zip(CSV_COLUMNS, fields, strict=True)))
            ended = reader.line_num
    except csv.Error:
        if reader.line_num < len(lines):
            raise
    return [_result(row) for row in rows[1:]], sum(map(len, lines[:ended]))


def _result(row: dict[str, str]) -> Result:
    codes = re.findall(r"(?:^|; )([a-z_]+): ", row["warnings"])
    return {
        "path": row["path"],
        "warnings": [{"code": code} for code in codes],
        "bundle": row["bundle"],
        **({"error": row["error"]} if row["error"] else {}),
    }
