"""What two bundles said to the same requests."""

import pytest

from bonafide.monitoring.pairs import disagreements
from bonafide.monitoring.record import Answered


def said(request_id: str, bundle: str, verdict: str, llr: float, file: str = "") -> Answered:
    return Answered(0.0, request_id, file, bundle, "clean", 1.0, llr, verdict, 4.0, {})


ANSWERS = [
    said("one", "a", "bonafide", 2.0),
    said("one", "b", "spoof", -1.0),
    said("two", "a", "inconclusive", 0.5),
    said("two", "b", "bonafide", 1.0),
    said("three", "b", "spoof", -3.0),
    said("three", "a", "spoof", -3.5),
    said("four", "a", "partly_spoof", -1.0),
    said("four", "b", "bonafide", 3.0),
    said("five", "a", "spoof", -1.0),
    said("six", "b", "spoof", -1.0),
    said("seven", "c", "spoof", -1.0),
]


def test_only_the_same_requests_count() -> None:
    (found,) = disagreements(ANSWERS, "a")
    assert (found.bundle, found.recordings, found.differ, found.opposite) == ("b", 4, 3, 2)
    assert found.llr == 1.75
    assert (found.low, found.high) == pytest.approx((0.3006, 0.9544), abs=1e-3)  # Wilson's 3 of 4
    assert found.in_words() == (
        "Recordings that bundle b answered, too: 4; with another verdict: 3, 75.0 % [30.1, 95.4]; "
        "with the opposite one: 2; scores differ by 1.75 nats in the median."
    )
    assert found.to_json()["differ"] == 3


def test_from_the_other_side_it_is_the_same() -> None:
    (there,), (back,) = disagreements(ANSWERS, "a"), disagreements(ANSWERS, "b")
    assert (there.differ, there.opposite, there.llr) == (back.differ, back.opposite, back.llr)


def test_nobody_else_answered() -> None:
    assert disagreements(ANSWERS, "c") == [] == disagreements([], "a")


def test_where_a_client_repeats_an_id_each_file_has_its_own_pair() -> None:
    verdicts = ("spoof", "bonafide") * 18
    files = [f"{number:064x}" for number in range(len(verdicts))]
    both = [
        said("same", bundle, verdict, 1.0, file)
        for bundle in ("a", "b")
        for verdict, file in zip(verdicts, files, strict=True)
    ]
    (found,) = disagreements(both, "a")
    assert (found.recordings, found.differ, found.opposite, found.llr) == (36, 0, 0, 0.0)


def test_a_file_that_is_repeated_counts_once() -> None:
    """Its answers are the same each time, and would narrow the interval for nothing."""
    heard = [said(f"id {each % 2}", "a", "spoof", 1.0, "f") for each in range(6)]
    shadow = [said(f"id {each % 2}", "b", "bonafide", 2.0, "f") for each in range(4)]  # it skipped
    other = [said("id 0", bundle, "spoof", -1.0, "another") for bundle in ("a", "b")]
    (found,) = disagreements([heard[0], *shadow, *heard[1:], *other], "a")
    assert (found.recordings, found.differ, found.opposite, found.llr) == (2, 1, 1, 0.5)


def test_repeated_ids_of_records_that_name_no_files_are_left_out() -> None:
    again = [said("seven", "b", "spoof", 1.0), said("seven", "b", "bonafide", 1.0)]
    assert disagreements([*again, said("seven", "a", "spoof", 1.0)], "a") == []
