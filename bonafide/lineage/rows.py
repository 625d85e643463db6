"""The rows of the corpus that a bundle was made from, one Parquet table, ``rows.parquet``.

It is searched without decoding any sound. Needs pyarrow, which the extra ``train`` brings.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bonafide.bundle import PARENT, ROWS, Bundle
from bonafide.corpora.schema import COLUMNS, UNKNOWN
from bonafide.errors import BundleError

if TYPE_CHECKING:
    import pyarrow as pa

USES = ("training", "held_out", "golden", "set_aside")
TRAINING, HELD_OUT, GOLDEN, SET_ASIDE = USES
HASHES = ("file_sha256", "sound_sha256")  # of the file; of what it decodes to
ADDED = ("row", "use", "reason", *HASHES)
# Names of people, or of what is named after them.
PERSONAL = ("path", "speaker", "source", "corpus", "text_id")
HIDDEN_DIGITS = 16


def schema() -> "pa.Schema":
    """Return the table's columns.

    Returns
    -------
    pyarrow.Schema
        ``row``, the position in the corpus, from 0; those of `bonafide.corpora.schema.Row`;
        ``use``, one of `USES`; ``reason``, the code of why a row was set aside; and the SHA-256 of
        file and sound, 32 bytes each. Null: not known.
    """
    import pyarrow as pa

    texts = [(name, pa.string()) for name in (*COLUMNS, "use", "reason")]
    return pa.schema([("row", pa.int32()), *texts, *((name, pa.binary(32)) for name in HASHES)])


def write_rows(rows: "pa.Table", path: Path) -> None:
    """Write the table; the same rows give the same file."""
    import pyarrow.parquet as pq

    texts = [name for name in rows.column_names if name not in (*HASHES, "path", "row")]
    packed = {name: "NONE" if name in HASHES else "ZSTD" for name in rows.column_names}
    pq.write_table(rows, path, use_dictionary=texts, compression=packed)


def read_rows(bundle: Bundle, columns: list[str] | None = None, prefix: str = "") -> "pa.Table":
    """Read some columns of a bundle's rows, by default all.

    Parameters
    ----------
    bundle : Bundle
        One with rows.
    columns : list of str or None
        Their names.
    prefix : str
        `bonafide.bundle.PARENT` for the rows of an adapted bundle's parent.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    BundleError
        ``bad_rows`` for a file that is no such table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, known = bundle.folder / f"{prefix}{ROWS}", schema()
    expected = pa.schema([known.field(name) for name in columns or known.names])
    try:
        table = pq.read_table(path, columns=expected.names, use_threads=False)
        return table.select(expected.names).cast(expected)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BundleError("bad_rows", f"{path}: not the rows of a corpus: {reason}") from error


def hide_name(name: str) -> str:
    """Return a hash to stand for a name; what is not known stays so.

    Parameters
    ----------
    name : str
        Of a speaker, a source, a file.

    Returns
    -------
    str
        Sixteen hexadecimal digits; who knows a name can look for it, who does not cannot read it.

    Examples
    --------
    >>> hide_name("Ann"), hide_name("-")
    ('17239b6e25011033', '-')
    """
    if name == UNKNOWN:
        return name
    return hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:HIDDEN_DIGITS]


def hide(rows: "pa.Table") -> "pa.Table":
    """Return rows with hashes for what may name people, for a bundle that is published.

    Parameters
    ----------
    rows : pyarrow.Table
        Of `schema`.

    Returns
    -------
    pyarrow.Table
        Likewise, the columns `PERSONAL` by `hide_name`.
    """
    import pyarrow as pa

    for name in PERSONAL:
        hidden = pa.array([hide_name(text) for text in rows[name].to_pylist()], pa.string())
        rows = rows.set_column(rows.column_names.index(name), name, hidden)
    return rows


def find_rows(
    bundle: Bundle,
    wanted: Mapping[str, Sequence[str]],
    columns: Sequence[str],
    prefix: str = "",
) -> "pa.Table":
    """Return the rows that hold one of some values.

    Parameters
    ----------
    bundle : Bundle
        One with rows.
    wanted : mapping of str to sequence of str
        Column -> what to look for in it, hashes in hexadecimal digits; one of them suffices.
    columns : sequence of str
        What to return of the rows.
    prefix : str
        As in `read_rows`.

    Returns
    -------
    pyarrow.Table
        In the order of the corpus; often empty.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    searched = read_rows(bundle, list(wanted), prefix)
    found = np.zeros(len(searched), dtype=np.bool_)
    for name, texts in wanted.items():
        values = [bytes.fromhex(text) for text in texts] if name in HASHES else list(texts)
        within = pc.is_in(searched[name], value_set=pa.array(values, searched[name].type))
        found |= within.to_numpy()
    if not found.any():
        return pa.table({name: [] for name in columns})
    return read_rows(bundle, list(columns), prefix).take(np.flatnonzero(found))


def every_row(bundle: Bundle) -> "pa.Table":
    """Return every row that a bundle goes back to: its own and, of an adapted one, its parent's.

    Parameters
    ----------
    bundle : Bundle
        Any.

    Returns
    -------
    pyarrow.Table
        ``bundle``, whose corpus a row is of, before the columns of `schema`; hashes in hexadecimal
        digits.

    Raises
    ------
    BundleError
        ``no_rows`` for a bundle that does not hold them.
    """
    import pyarrow as pa

    identities = {"": bundle.identity, PARENT: bundle.manifest.get("parent", {})}
    tables = []
    for prefix, identity in identities.items():
        if not (bundle.folder / f"{prefix}{ROWS}").is_file():
            continue
        rows = read_rows(bundle, None, prefix)
        for name in HASHES:
            digits = [value and value.hex() for value in rows[name].to_pylist()]
            column = pa.array(digits, pa.string())
            rows = rows.set_column(rows.column_names.index(name), name, column)
        of = pa.array(["{name}:{version}".format(**identity)] * len(rows), pa.string())
        tables.append(rows.add_column(0, "bundle", of))
    if not tables:
        raise BundleError(
            "no_rows", f"{bundle.folder}: {ROWS} is missing: made before rows were kept in bundles"
        )
    return pa.concat_tables(tables)


def plain_rows(rows: "pa.Table") -> list[dict[str, Any]]:
    """Return rows as plain values by name, hashes in hexadecimal digits."""
    return [
        {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
        for row in rows.to_pylist()
    ]
