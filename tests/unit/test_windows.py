"""Cutting a recording into windows, and turning scores into probabilities."""

import math
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonafide.audio import Waveform, too_short
from bonafide.detector import windows
from bonafide.judging import p_spoof_of

SECOND = 16_000
SIZE = 2 * SECOND


def ramp(n: int) -> Waveform:
    """Every sample tells its place: float32 holds integers to 2 ** 24."""
    return np.arange(1, n + 1, dtype=np.float32)


def chopped(waveform: Waveform, cuts: list[int]) -> list[Waveform]:
    return np.split(waveform, sorted(cut % (len(waveform) + 1) for cut in cuts))


lengths = st.one_of(
    st.integers(0, 6 * SIZE),
    st.builds(
        lambda k, d: max(0, k * SECOND + d),
        st.integers(0, 12),
        st.sampled_from((-81, -80, -1, 0, 1)),
    ),
)
cuts = st.lists(st.integers(0, 6 * SIZE), max_size=20)


def expected(n: int, size: int) -> list[int]:
    """First samples, from the rules as they are written."""
    whole = list(range(0, n - size + 1, size))
    rest = n - len(whole) * size
    if n and not whole:
        return [0]
    return [*whole, n - size] if whole and not too_short(rest) else whole


@settings(max_examples=60, deadline=None)
@given(n=lengths, cuts=cuts)
def test_any_chopping_gives_the_same_windows(n: int, cuts: list[int]) -> None:
    waveform = ramp(n)
    whole = list(windows([waveform], SIZE))
    pieces = list(windows(iter(chopped(waveform, cuts)), SIZE))
    assert [start for start, _ in pieces] == [start for start, _ in whole] == expected(n, SIZE)
    for (_, one), (_, other) in zip(pieces, whole, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(n=lengths, cuts=cuts, size=st.sampled_from((SECOND, SIZE, 4 * SECOND, 1_000)))
def test_windows_stand_where_they_say(n: int, cuts: list[int], size: int) -> None:
    waveform = ramp(n)
    seen = np.zeros(n, dtype=bool)
    for start, window in windows(chopped(waveform, cuts), size):
        assert window.shape == (size,) and window.dtype == np.float32
        if n < size:
            assert start == 0
            np.testing.assert_array_equal(window, np.resize(waveform, size))
        else:
            np.testing.assert_array_equal(window, waveform[start : start + size])
        seen[start : start + size] = True
    missing = int(np.count_nonzero(~seen))
    assert missing < SECOND and seen[: n - missing].all()  # only a short tail is left out


@settings(max_examples=30, deadline=None)
@given(n=st.integers(SIZE, 6 * SIZE), cuts=cuts)
def test_the_whole_windows_put_together_are_the_recording(n: int, cuts: list[int]) -> None:
    waveform = ramp(n)
    whole = [
        window for start, window in windows(chopped(waveform, cuts), SIZE) if start % SIZE == 0
    ]
    joined = np.concatenate(whole)
    np.testing.assert_array_equal(joined, waveform[: len(joined)])
    assert n - len(joined) < SIZE


@pytest.mark.parametrize(
    ("n", "starts"),
    [
        (0, []),
        (1, [0]),
        (SECOND, [0]),
        (SIZE - 1, [0]),
        (SIZE, [0]),
        (SIZE + 1, [0]),
        (SIZE + SECOND - 200, [0]),  # 0.99 s left over
        (SIZE + SECOND, [0, SECOND]),
        (2 * SIZE - 1, [0, SIZE - 1]),
        (2 * SIZE, [0, SIZE]),
        (2 * SIZE + SECOND + 5, [0, SIZE, SIZE + SECOND + 5]),
        (5 * SIZE, [0, SIZE, 2 * SIZE, 3 * SIZE, 4 * SIZE]),
    ],
)
def test_where_windows_start(n: int, starts: list[int]) -> None:
    assert [start for start, _ in windows([ramp(n)], SIZE)] == starts


def test_a_tail_ends_with_the_recording() -> None:
    waveform = ramp(SIZE + SECOND)
    (_, first), (start, tail) = windows(chopped(waveform, [SIZE - 7, SIZE + 9]), SIZE)
    assert start == SECOND
    np.testing.assert_array_equal(first, waveform[:SIZE])
    np.testing.assert_array_equal(tail, waveform[-SIZE:])


def test_a_short_recording_is_tiled() -> None:
    ((start, window),) = windows([ramp(3), ramp(0), ramp(2)], 12)
    assert start == 0
    np.testing.assert_array_equal(window, [1, 2, 3, 1, 2, 1, 2, 3, 1, 2, 1, 2])


@pytest.mark.parametrize("blocks", [[], [np.zeros(0, np.float32)], [np.zeros(0, np.float32)] * 3])
def test_nothing_gives_no_window(blocks: list[Waveform]) -> None:
    assert list(windows(blocks, SIZE)) == []


def test_windows_come_as_soon_as_they_are_full() -> None:
    pulled = 0

    def blocks() -> Iterator[Waveform]:
        nonlocal pulled
        for _ in range(100):
            pulled += SECOND // 2
            yield np.zeros(SECOND // 2, dtype=np.float32)

    for start, _ in windows(blocks(), SIZE):
        assert pulled == start + SIZE


def test_memory_does_not_grow_with_the_recording() -> None:
    def peak(n_blocks: int) -> int:
        tracemalloc.start()
        try:
            blocks = (np.zeros(SECOND, dtype=np.float32) for _ in range(n_blocks))
            n_windows = sum(1 for _ in windows(blocks, SIZE))
            assert n_windows == n_blocks // 2
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # At most: what is held, the block that joins it, both joined, and the last window's base.
    bound = 4 * 4 * (SIZE + SECOND)
    assert peak(10) < bound
    assert peak(600) < bound  # ten minutes are 38 MB


def test_a_window_keeps_its_samples_while_the_next_are_cut() -> None:
    waveform = ramp(5 * SIZE)
    kept = [
        window for _, window in windows(chopped(waveform, list(range(0, len(waveform), 999))), SIZE)
    ]
    np.testing.assert_array_equal(np.concatenate(kept), waveform)


# --- probabilities --------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [0.001, 0.05, 0.5, 0.9])
def test_no_evidence_leaves_the_prior(prior: float) -> None:
    assert p_spoof_of(0.0, prior) == pytest.approx(prior)


@pytest.mark.parametrize(
    ("llr", "prior", "p"),
    [
        (math.log(9), 0.5, 0.1),
        (-math.log(9), 0.5, 0.9),
        (-math.log(19), 0.05, 0.5),
        (math.log(3), 0.75, 0.5),
    ],
)
def test_bayes_by_hand(llr: float, prior: float, p: float) -> None:
    assert p_spoof_of(llr, prior) == pytest.approx(p)


@settings(max_examples=60)
@given(llr=st.floats(-600, 600), prior=st.floats(0.001, 0.999))
def test_bayes_as_odds(llr: float, prior: float) -> None:
    p = float(p_spoof_of(llr, prior))
    assert 0.0 <= p <= 1.0
    assert p == pytest.approx(1 - float(p_spoof_of(-llr, 1 - prior)), abs=1e-12)
    assert p >= float(p_spoof_of(llr + 1.0, prior))
    if 1e-12 < p < 1 - 1e-3:
        odds = prior / (1 - prior) * math.exp(-llr)
        assert p / (1 - p) == pytest.approx(odds, rel=1e-6)


@pytest.mark.parametrize(("llr", "p"), [(-1e30, 1.0), (1e30, 0.0), (-np.inf, 1.0), (np.inf, 0.0)])
def test_overwhelming_evidence_overflows_nothing(llr: float, p: float) -> None:
    assert p_spoof_of(llr, 0.5) == pytest.approx(p, abs=1e-12)


def test_arrays_go_through_element_by_element() -> None:
    llr = np.array([[-2.0, 0.0], [1.0, 30.0]], dtype=np.float32)
    seen = p_spoof_of(llr, 0.2)
    assert seen.shape == (2, 2) and seen.dtype == np.float64
    wanted = [[float(p_spoof_of(float(x), 0.2)) for x in row] for row in llr]
    np.testing.assert_allclose(seen, wanted, rtol=1e-6)
