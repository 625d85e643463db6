"""What a bundle was trained on: no number on that says how it does on anything else."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bonafide.bundle import PARENT, ROWS, Bundle
from bonafide.corpora.schema import UNKNOWN, Corpus
from bonafide.errors import BundleError
from bonafide.lineage.rows import TRAINING, hide_name, read_rows
from bonafide.types import Mask


@dataclass(frozen=True)
class TrainedOn:
    """What a bundle was trained on.

    Parameters
    ----------
    sounds : frozenset of str
        Hashes of the decoded sounds: at 16 kHz, rounded to 16 bits.
    sources, speakers : frozenset of str
        Those that are known: names or, of a bundle that hides them, their hashes.
    """

    sounds: frozenset[str]
    sources: frozenset[str]
    speakers: frozenset[str]

    @classmethod
    def of_corpus(cls, corpus: Corpus, sounds: NDArray[np.str_]) -> Self:
        """Return what is heard by what is trained on some rows; as in `among`."""
        return cls(
            frozenset(sounds.tolist()),
            _known(corpus.column("source").tolist()),
            _known(corpus.column("speaker").tolist()),
        )

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Self:
        """Return what a bundle was trained on, and its parent.

        Parameters
        ----------
        bundle : Bundle
            Its hashes verified.

        Returns
        -------
        TrainedOn

        Raises
        ------
        BundleError
            ``no_rows`` where it does not hold them all; ``bad_rows`` as in `read_rows`.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = ["use", "sound_sha256", "source", "speaker"]
        tables = []
        for prefix in ("", PARENT) if bundle.is_adapted else ("",):
            path = bundle.folder / f"{prefix}{ROWS}"
            if path.name not in bundle.manifest["files"]:  # what lies beside is not believed
                raise BundleError("no_rows", f"{bundle.folder}: {path.name} is missing")
            rows = read_rows(bundle, columns, prefix)
            rows = rows.filter(pc.equal(rows["use"], TRAINING))
            if not len(rows) or rows["sound_sha256"].null_count:
                raise BundleError("no_rows", f"{path}: does not tell what it learned from")
            tables.append(rows)
        rows = pa.concat_tables(tables)
        sounds = (sound.hex() for sound in rows["sound_sha256"].to_pylist())
        sources, speakers = (_known(rows[name].to_pylist()) for name in ("source", "speaker"))
        return cls(frozenset(sounds), sources, speakers)

    def among(self, corpus: Corpus, sounds: NDArray[np.str_]) -> Mask:
        """Find rows whose sound, source or speaker was heard.

        Parameters
        ----------
        corpus : Corpus
            With names as they are.
        sounds : ndarray of str, shape (n_rows,)
            Hash of each decoded sound; empty where it is not known.

        Returns
        -------
        ndarray of bool, shape (n_rows,)
        """
        heard = np.isin(sounds, sorted(self.sounds))
        for column, known in (("source", self.sources), ("speaker", self.speakers)):
            names = corpus.column(column)
            seen = [name for name in set(names.tolist()) if {name, hide_name(name)} & known]
            heard |= np.isin(names, seen)
        return heard


def heard_note(bundle: Bundle, corpus: Corpus) -> tuple[str, ...]:
    """Return the note on rows that a bundle knows by their sources or speakers.

    Parameters
    ----------
    bundle : Bundle
        The one that is judged.
    corpus : Corpus
        What it is judged on.

    Returns
    -------
    tuple of str
        Empty where it was trained on none of these.
    """
    try:
        heard = TrainedOn.of_bundle(bundle).among(corpus, np.full(len(corpus), "", dtype=np.str_))
    except (BundleError, ModuleNotFoundError) as error:
        return (f"Whether it was trained on any of these is not known: {error}.",)
    if not (count := int(heard.sum())):
        return ()
    return (
        f"{count} of the {len(corpus)} recordings are of sources or speakers that it was trained "
        "on: on others it errs more than these numbers say.",
    )


def _known(names: Iterable[str | None]) -> frozenset[str]:
    return frozenset(name for name in names if name and name != UNKNOWN)
