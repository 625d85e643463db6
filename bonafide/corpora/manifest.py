"""Reader of manifests: CSV or Parquet files with the columns of the row schema."""

import codecs
import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import Any

from bonafide.corpora.reader import Rank, Reader
from bonafide.corpora.schema import COLUMNS, UNKNOWN, Corpus, Row, read_label, read_value
from bonafide.errors import CorpusError, missing_extra

REQUIRED = ("path", "label")
DELIMITERS = ",;\t|"  # Excel writes semicolons where the comma is the decimal point
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the one of UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SHOWN = 500  # characters of a header in a message
Lines = Iterator[tuple[int, Sequence[str]]]


def sniff(path: Path) -> bool:
    """Return whether the path is a file whose name ends in .csv or .parquet, in any case."""
    return path.suffix.lower() in (".csv", ".parquet") and path.is_file()


def read(path: Path) -> Corpus:
    """Read a CSV or Parquet manifest.

    Columns are known by their names, in any case. A CSV file is in UTF-8 or UTF-16, its cells
    separated by commas, semicolons, tabs or bars. Blank rows are left out, and what stands for
    "unknown" is ``-`` (see `bonafide.corpora.schema.read_value`).

    Parameters
    ----------
    path : Path
        The file. Paths in it are relative to its folder, or absolute; backslashes may separate
        their parts, as Windows writes them.

    Returns
    -------
    Corpus
        A row for each row of the file, in its order.

    Raises
    ------
    CorpusError
        ``no_corpus`` if there is no such file, ``bad_manifest`` if it is neither CSV in Unicode nor
        Parquet, ``missing_column``, ``duplicate_column``, ``bad_label`` or ``bad_row``; the message
        names the row (the header is row 1).
    ConfigError
        ``not_installed`` for Parquet without pyarrow.
    """
    if not path.is_file():
        raise CorpusError("no_corpus", f"{path}: no such file; a manifest is a file")
    if path.suffix.lower() == ".parquet":
        header, lines = _read_parquet(path)
    else:
        header, lines = _read_csv(path)
    columns = _columns(header, path)
    rows = [
        _row(columns, cells, len(header), path, f"{path}, row {number}")
        for number, cells in lines
        if any(cell.strip() for cell in cells)  # Excel ends a sheet with rows of commas alone
    ]
    return Corpus(path.parent, rows)


def _row(columns: dict[str, int], cells: Sequence[str], width: int, path: Path, where: str) -> Row:
    """Return one line of the manifest as a row; errors say where it is."""
    if any(cell.strip() for cell in cells[width:]):
        raise CorpusError(
            "bad_row",
            f"{where}: {len(cells)} cells under {width} columns; must be at most {width}: quote a "
            "text that holds the separator",
        )
    texts = {name: cells[at] for name, at in columns.items() if at < len(cells)}
    known = {name: read_value(text) for name, text in texts.items()}
    if known["path"] == UNKNOWN:
        raise CorpusError("bad_row", f"{where}: the path is empty")
    label = read_label(texts.get("label", "").strip() or UNKNOWN, where)
    return Row(**{**known, "path": _local(known["path"], path.parent), "label": label})


def _local(path: str, root: Path) -> str:
    """Return a path as this system writes it, unless a file has backslashes in its very name."""
    # Path.is_file would raise for a name that is too long, or where it may not look
    if "\\" not in path or os.sep == "\\" or os.path.isfile(root / path):  # noqa: PTH113
        return path
    return PureWindowsPath(path).as_posix()


def _named(header: Sequence[str]) -> list[str]:
    """Return the names of columns as the schema writes them."""
    return [name.strip().lower() for name in header]


def _columns(header: Sequence[str], path: Path) -> dict[str, int]:
    """Return where each column of the schema stands; reject a header that is not clear."""
    names = _named(header)
    seen = "".join(c if c.isprintable() else "?" for c in ", ".join(header))[:SHOWN]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise CorpusError(
            "missing_column",
            f"{path}, row 1: column {missing[0]!r} is missing; seen are {seen}; "
            f"needed are {', '.join(REQUIRED)}, and known are {', '.join(COLUMNS)}",
        )
    counts = Counter(names)
    twice = [name for name in COLUMNS if counts[name] > 1]
    if twice:
        raise CorpusError(
            "duplicate_column",
            f"{path}, row 1: column {twice[0]!r} stands {counts[twice[0]]} times; seen are {seen}; "
            "each must stand once, whatever the case of its letters",
        )
    return {name: names.index(name) for name in COLUMNS if name in names}


def _read_csv(path: Path) -> tuple[Sequence[str], Lines]:
    text = _decoded(path)
    start, delimiter = _delimiter(text)
    # Strict, or a quote that is never closed would swallow the rows that follow.
    reader = csv.reader(io.StringIO(text[start:], newline=""), delimiter=delimiter, strict=True)
    skipped = 1 if start else 0

    def lines() -> Lines:
        try:
            for cells in reader:
                yield reader.line_num + skipped, cells
        except csv.Error as error:
            where = f"{path}, row {reader.line_num + skipped}"
            raise CorpusError(
                "bad_manifest", f"{where}: not a CSV file in UTF-8: {error}"
            ) from error

    found = lines()
    return _header(cells for _, cells in found), found


def _header(lines: Iterable[Sequence[str]]) -> Sequence[str]:
    """Return the first line that is not blank, taken off the lines; empty if there is none."""
    return next((cells for cells in lines if any(map(str.strip, cells))), ())


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    if content[1:2] == b"\0" and content[:1] != b"\0":
        encoding = "utf-16-le"
    else:
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-8"
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if content.startswith(mark)), encoding)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            "bad_manifest",
            f"{path}: not a CSV file in UTF-8: row {row}: {error}; save it as CSV UTF-8",
        ) from error


def _delimiter(text: str) -> tuple[int, str]:
    """Return where the header starts, and what separates its cells."""
    first = text.partition("\n")[0]
    if first.lower().startswith("sep=") and len(mark := first[4:].rstrip("\r")) == 1:
        return len(first) + 1, mark  # a line that Excel writes and reads
    for mark in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        with suppress(csv.Error):  # it is reported when the file is read
            if set(REQUIRED) <= set(_named(_header(reader))):
                return 0, mark
    return 0, ","


def _read_parquet(path: Path) -> tuple[Sequence[str], Lines]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise missing_extra("pyarrow", "train") from error
    try:
        with pq.ParquetFile(path) as file:
            header = file.schema_arrow.names
            _columns(header, path)
            known = [name for name in header if name.strip().lower() in COLUMNS]
            table = file.read(columns=known)  # others may hold whole recordings
    except (pa.ArrowException, OSError) as error:
        raise CorpusError("bad_manifest", f"{path}: not a Parquet file: {error}") from error
    cells = zip(*(map(_text, column.to_pylist()) for column in table.columns), strict=True)
    return table.column_names, enumerate(cells, start=2)


def _text(value: Any) -> str:
    """Return a value of a Parquet cell as a CSV file would hold it."""
    if value is None or value != value:  # NaN is how a missing number is kept
        return ""
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


READER = Reader("manifest", "a .csv or .parquet manifest", sniff, read, Rank.SHAPE)
