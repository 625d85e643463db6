"""What may be claimed of rows that were held out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bonafide.corpora.schema import Corpus
from bonafide.training.folds import make_folds
from bonafide.training.sides import LONE_NOTE, Sides
from tests.helpers.gate import corpus_of


def sides_of(corpus: Corpus) -> Sides:
    return Sides(corpus, make_folds(corpus, count=3, test_share=0.2, seed=1))


def with_split(*, sources: bool, speakers: bool) -> Corpus:
    """Return 20 sources, the last four held out; some of their sources or speakers trained on."""
    rows = []
    for k, row in enumerate(corpus_of(20, 6, speaker="-")):
        number, test = k // 6, k // 6 >= 16
        source = "s0" if sources and number == 19 else row.source
        speaker = f"v{number % 10 if speakers else number}"
        split = "test" if test else "train"
        rows.append(replace(row, source=source, speaker=speaker, split=split))
    return Corpus(Path("nowhere"), rows)


class TestSides:
    def test_whole_sources(self) -> None:
        sides = sides_of(corpus_of())
        assert sides.title() == "Held-out sources, as served"
        assert (sides.unheard(), sides.notes()) == ("sources it never heard", ())
        np.testing.assert_array_equal(sides.never_heard, sides.folds.is_test)

    def test_whole_speakers(self) -> None:
        rows = [replace(r, source="-", speaker=f"v{k // 6}") for k, r in enumerate(corpus_of())]
        sides = sides_of(Corpus(Path("c"), rows))
        assert sides.title() == "Held-out speakers, as served"
        assert sides.unheard() == "speakers it never heard"

    def test_rows_of_nobody(self) -> None:
        sides = sides_of(corpus_of(source="-"))
        assert sides.title() == "Held-out rows, as served"
        assert sides.unheard() == "recordings it never heard"
        assert sides.notes() == (LONE_NOTE,)
        assert not sides.never_heard.any()  # who knows

    def test_a_split_of_its_own_that_is_clean(self) -> None:
        sides = sides_of(with_split(sources=False, speakers=False))
        assert sides.title() == "Held-out sources, as served"
        assert sides.never_heard.sum() == 24

    @pytest.mark.parametrize(
        ("sources", "speakers", "counted", "examples", "clean"),
        [
            (False, True, "4 speakers", "speaker v6, v7, v8 ...", 0),
            (True, False, "1 source", "source s0", 18),
            (True, True, "4 speakers and 1 source", "v8 ...; source s0", 0),
        ],
    )
    def test_a_split_that_shares_is_titled_what_it_is(
        self, sources: bool, speakers: bool, counted: str, examples: str, clean: int
    ) -> None:
        sides = sides_of(with_split(sources=sources, speakers=speakers))
        assert sides.title() == f"Held-out rows, {counted} on both sides, as served"
        assert sides.unheard() == f"held-out recordings, with {counted} on both sides"
        (note,) = sides.notes()
        assert counted in note and examples in note
        assert sides.never_heard.sum() == clean  # what the gate looks at
