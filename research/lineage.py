"""The lineage of the shipped bundles, from the corpus that they were trained on.

    python -m research.lineage --corpus MANIFEST

For bundles whose training kept no record: writes ``lineage.json`` and ``rows.parquet`` into each,
with hashes for the names of speakers and sources. What no manifest tells is said to be missing. The
corpus is decoded once, and must be the very one.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bonafide.bundle import Bundle, read_bundle
from bonafide.corpora import read_corpus
from bonafide.display import reporter
from bonafide.errors import CorpusError
from bonafide.home import SHIPPED_NAMES, SHIPPED_ROOT
from bonafide.lineage.record import Lineage, publish, write_lineage
from bonafide.training.config import parse_config
from bonafide.training.folds import split_corpus
from bonafide.training.ingest import ingest
from bonafide.training.record import corpus_facts, seeds_of, used_rows
from bonafide.training.recordings import Quarantine, Recordings

if TYPE_CHECKING:
    import pyarrow as pa

UNKNOWN = "environment: the installed packages and their versions"


def add_lineage(bundle: Bundle, recordings: Recordings, quarantine: Quarantine) -> Bundle:
    """Write into a bundle what its manifest and its corpus tell of how it was made.

    Parameters
    ----------
    bundle : Bundle
        Its content hash stays.
    recordings : Recordings
        What it was trained on.
    quarantine : Quarantine
        What was set aside.

    Returns
    -------
    Bundle
        As written, with hashes for names.

    Raises
    ------
    CorpusError
        ``other_corpus`` if it was trained on another one.
    """
    expected, seen = bundle.manifest["corpus"]["rows_sha256"], recordings.rows_sha256
    if seen != expected:
        raise CorpusError(
            "other_corpus",
            f"{bundle.folder}: was trained on the rows {expected}; those of the corpus are {seen}",
        )
    config = parse_config(bundle.manifest["config"], str(bundle.folder))
    folds = split_corpus(recordings.corpus, config.folds, config.seed)
    rows: pa.Table = used_rows(recordings, quarantine, folds.is_test)
    lineage = Lineage(
        made="trained",
        run={},
        steps=[],
        corpus=corpus_facts(recordings, rows),
        config=bundle.manifest["config"],
        seeds=seeds_of(config),
        code=bundle.manifest["code"],
        environment={},
        missing=[UNKNOWN],
    )
    return publish(write_lineage(bundle.folder, bundle.manifest, lineage, rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the corpus, and write its lineage into the shipped bundles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="what they were trained on")
    parser.add_argument("--output", type=Path, default=SHIPPED_ROOT, help="default: the package")
    chosen = parser.parse_args(arguments)
    bundles = [read_bundle(chosen.output / name) for name in SHIPPED_NAMES]
    found = ingest(read_corpus(chosen.corpus), progress=reporter("ingest"))
    for bundle in bundles:
        made = add_lineage(bundle, *found)
        size = sum(path.stat().st_size for path in made.folder.iterdir())
        print(f"{made.folder}: sha256 {made.digest()}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
