"""Reader of manifests: CSV or Parquet files with the columns of the row schema."""

import csv
from pathlib import Path

from bonafide.corpora.reader import Rank, Reader
from bonafide.corpora.schema import COLUMNS, UNKNOWN, Corpus, Row, read_label
from bonafide.errors import CorpusError, missing_extra

REQUIRED = ("path", "label")
Lines = list[tuple[int, dict[str, str]]]


def sniff(path: Path) -> bool:
    """Return whether the path is a file whose name ends in .csv or .parquet, in any case."""
    return path.suffix.lower() in (".csv", ".parquet") and path.is_file()


def read(path: Path) -> Corpus:
    """Read a CSV or Parquet manifest.

    Parameters
    ----------
    path : Path
        The file. Paths in it are relative to its folder, or absolute.

    Returns
    -------
    Corpus
        A row for each row of the file, in its order.

    Raises
    ------
    CorpusError
        ``no_corpus`` if there is no such file, ``bad_manifest`` if it is neither CSV in UTF-8 nor
        Parquet, ``missing_column``, ``bad_label`` or ``bad_row``; the message names the row (the
        header is row 1).
    ConfigError
        ``not_installed`` for Parquet without pyarrow.
    """
    if not path.is_file():
        raise CorpusError("no_corpus", f"{path}: no such file; a manifest is a file")
    lines = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    rows = [_row(values, f"{path}, row {number}") for number, values in lines]
    return Corpus(path.parent, rows)


def _row(values: dict[str, str], where: str) -> Row:
    """Return one line of the manifest as a row; errors say where it is."""
    known = {name: (values.get(name) or "").strip() or UNKNOWN for name in COLUMNS}
    if known["path"] == UNKNOWN:
        raise CorpusError("bad_row", f"{where}: the path is empty")
    return Row(**{**known, "label": read_label(known["label"], where)})


def _check_columns(seen: list[str], path: Path) -> None:
    missing = [name for name in REQUIRED if name not in seen]
    if missing:
        raise CorpusError(
            "missing_column",
            f"{path}, row 1: column {missing[0]!r} is missing; seen are {', '.join(seen)}; "
            f"needed are {', '.join(REQUIRED)}, and known are {', '.join(COLUMNS)}",
        )


def _read_csv(path: Path) -> Lines:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="")
            _check_columns(list(reader.fieldnames or []), path)
            return [(reader.line_num, line) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError("bad_manifest", f"{path}: not a CSV file in UTF-8: {error}") from error


def _read_parquet(path: Path) -> Lines:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise missing_extra("pyarrow", "train") from error
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError("bad_manifest", f"{path}: not a Parquet file: {error}") from error
    _check_columns(table.column_names, path)
    return [
        (number, {name: "" if value is None else str(value) for name, value in row.items()})
        for number, row in enumerate(table.to_pylist(), start=2)
    ]


READER = Reader("manifest", "a .csv or .parquet manifest", sniff, read, Rank.SHAPE)
