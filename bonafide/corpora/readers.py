"""Readers: a manifest or a folder of recordings, recognised and read into rows."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bonafide.corpora.schema import COLUMNS, LABELS, UNKNOWN, Corpus, Row
from bonafide.errors import CorpusError

LABEL_NAMES = {
    **dict.fromkeys(("bonafide", "bona-fide", "real", "genuine", "human"), "bonafide"),
    **dict.fromkeys(("spoof", "fake", "deepfake", "generated"), "spoof"),
}
AUDIO_SUFFIXES = frozenset(
    f".{name}"
    for group in (
        ("wav", "flac", "mp3", "ogg", "oga", "opus", "aiff", "aif", "au", "caf", "w64", "sph"),
        ("m4a", "aac", "mp4", "m4v", "mov", "mkv", "webm", "wma", "amr", "3gp", "avi", "ac3"),
    )
    for name in group
)
REQUIRED = ("path", "label")


def _allowed_labels() -> str:
    return ", ".join(LABEL_NAMES)


def _row(values: dict[str, str], where: str) -> Row:
    """Make a row of one manifest line, or say what is wrong with it and where."""
    known = {name: (values.get(name) or "").strip() or UNKNOWN for name in COLUMNS}
    if known["path"] == UNKNOWN:
        raise CorpusError("bad_row", f"{where}: the path is empty")
    label = LABEL_NAMES.get(known["label"].lower())
    if label is None:
        raise CorpusError(
            "bad_label",
            f"{where}: label {known['label']!r} is not known; must be one of {_allowed_labels()}",
        )
    return Row(**{**known, "label": label})


def _check_columns(seen: list[str], path: Path) -> None:
    missing = [name for name in REQUIRED if name not in seen]
    if missing:
        raise CorpusError(
            "missing_column",
            f"{path}, row 1: column {missing[0]!r} is missing; seen are {', '.join(seen)}; "
            f"needed are {', '.join(REQUIRED)}, and known are {', '.join(COLUMNS)}",
        )


Lines = list[tuple[int, dict[str, str]]]


def _read_csv(path: Path) -> Lines:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="")
            _check_columns(list(reader.fieldnames or []), path)
            return [(reader.line_num, line) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError("bad_manifest", f"{path}: not a CSV file in UTF-8: {error}") from error


def _read_parquet(path: Path) -> Lines:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError("bad_manifest", f"{path}: not a Parquet file: {error}") from error
    _check_columns(table.column_names, path)
    return [
        (number, {name: "" if value is None else str(value) for name, value in row.items()})
        for number, row in enumerate(table.to_pylist(), start=2)
    ]


def read_manifest(path: Path) -> Corpus:
    """Read a CSV or Parquet manifest; its paths are relative to its folder.

    Raises
    ------
    CorpusError
        ``no_corpus``, ``missing_column``, ``bad_label``, ``bad_row`` or ``bad_manifest``, with the
        row's number (the header is row 1) and what is allowed.
    """
    if not path.is_file():
        raise CorpusError("no_corpus", f"{path}: no such file; a manifest is a file")
    lines = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    rows = [_row(values, f"{path}, row {number}") for number, values in lines]
    return Corpus(path.parent, rows)


def read_folder(path: Path) -> Corpus:
    """Read a folder with one subfolder for each class, such as ``real/`` and ``fake/``.

    Below the class, a first folder names the speaker of a bona fide and the system of a spoof.

    Raises
    ------
    CorpusError
        ``no_corpus`` if it is none, ``bad_folder`` if no subfolder names a class.
    """
    if not path.is_dir():
        raise CorpusError("no_corpus", f"{path}: no such folder")
    classes = sorted(d for d in path.iterdir() if d.is_dir() and d.name.lower() in LABEL_NAMES)
    if not classes:
        raise CorpusError(
            "bad_folder", f"{path}: no subfolder names a class, one of {_allowed_labels()}"
        )
    rows = []
    for folder in classes:
        label = LABEL_NAMES[folder.name.lower()]
        found = (f for f in folder.rglob("*") if f.suffix.lower() in AUDIO_SUFFIXES)
        files = (f for f in found if not f.is_dir())
        for file in sorted(files):
            inner = file.relative_to(folder).parts
            group = inner[0] if len(inner) > 1 else UNKNOWN
            rows.append(
                Row(
                    path=file.relative_to(path).as_posix(),
                    label=label,
                    system=group if label == "spoof" else UNKNOWN,
                    speaker=group if label == "bonafide" else UNKNOWN,
                    corpus=path.name,
                )
            )
    return Corpus(path, rows)


FORMATS: dict[str, Callable[[Path], Corpus]] = {"manifest": read_manifest, "folder": read_folder}


def recognise(path: Path) -> str:
    """Name the format of a corpus: ``manifest`` for a file, ``folder`` for a folder of classes.

    Raises
    ------
    CorpusError
        ``no_corpus`` if nothing is there, ``unknown_format`` if no format fits.
    """
    if path.is_dir():
        return "folder"
    if not path.exists():
        raise CorpusError("no_corpus", f"{path}: no such file or folder")
    if path.suffix.lower() in (".csv", ".parquet"):
        return "manifest"
    raise CorpusError(
        "unknown_format",
        f"{path}: no corpus format fits; must be a .csv or .parquet manifest or a folder "
        f"with one subfolder for each class",
    )


def read_corpus(path: Path, corpus_format: str | None = None) -> Corpus:
    """Read a corpus in any known format.

    Parameters
    ----------
    path : Path
        A manifest or a folder. A folder that holds ``manifest.csv`` is read through it.
    corpus_format : {"manifest", "folder"} or None
        None recognises it.

    Returns
    -------
    Corpus
        At least one row.

    Raises
    ------
    CorpusError
        What the reader raises, ``unknown_format`` or ``no_rows``.
    """
    if corpus_format is None and (path / "manifest.csv").is_file():
        path = path / "manifest.csv"
    name = corpus_format or recognise(path)
    if name not in FORMATS:
        raise CorpusError(
            "unknown_format", f"corpus format {name!r}: must be one of {', '.join(FORMATS)}"
        )
    corpus = FORMATS[name](path)
    if not len(corpus):
        raise CorpusError("no_rows", f"{path}: holds no recording")
    return corpus


def join(corpora: list[Corpus]) -> Corpus:
    """Put several corpora into one; paths become absolute, unknown sources the corpus's folder."""
    if len(corpora) == 1:
        return corpora[0]
    rows = []
    for corpus in corpora:
        for row in corpus:
            source = corpus.root.name if row.source == UNKNOWN else row.source
            path = str(corpus.audio_path(row).resolve())
            rows.append(replace(row, path=path, source=source))
    return Corpus(Path("/"), rows)


def require_both_labels(corpus: Corpus, where: str) -> None:
    """Refuse a corpus that nothing can be learned from.

    Raises
    ------
    CorpusError
        ``one_class`` if a label has no row.
    """
    seen = {row.label for row in corpus}
    missing = [label for label in LABELS if label not in seen]
    if missing:
        raise CorpusError(
            "one_class",
            f"{where}: rows 2 to {len(corpus) + 1} are all {', '.join(sorted(seen))}; "
            f"at least one {missing[0]} is needed",
        )
