"""Joined stores: new recordings cost what they take, and all is read as if it lay in one place."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bonafide.features.spec import STATISTICS, FeatureSpec, ViewSpec
from bonafide.models.config import FitConfig
from bonafide.models.examples import BatchSampler, Joined
from bonafide.training import caching, extraction
from bonafide.training.caching import MOST_SHARDS, cached_extract
from bonafide.training.config import AugmentationConfig
from bonafide.training.extraction import extract
from bonafide.training.recordings import Recordings
from bonafide.training.scaling import standardised
from bonafide.training.store import AUGMENTATION, JOINED, SPEC, FeatureStore
from tests.unit.test_together import sounds

SPEC_ = FeatureSpec(
    window_s=1.0,
    views={"lfcc": ViewSpec("lfcc", n_filters=8, n_coefficients=4, deltas=True)},
    statistics={"few": ViewSpec("logband", n_filters=5, n_coefficients=0)},
    narrow={"low": ViewSpec("logband", n_filters=4, n_coefficients=0, high_hz=3_600.0)},
)
COPIES = AugmentationConfig(channels={"clean": 1, "noise": 1})
N_FILES = 40
NIGHTS = 30


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return sounds(tmp_path_factory.mktemp("sounds"), N_FILES)


@pytest.fixture(autouse=True)
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded; extraction stays in this process."""
    names: list[str] = []

    def in_this_process(function: Any, items: Any, **_: Any) -> Any:
        for number, item in enumerate(items):
            names.extend(path.name for path in item.paths)
            yield number, function(item)

    monkeypatch.setattr(extraction, "map_parallel", in_this_process)
    return names


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder, each counted once however often it is linked."""
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({file.st_ino: file.st_size for file in files}.values())


def assert_whole(store: FeatureStore, recordings: Recordings, folder: Path) -> None:
    """Compare a store with one that is extracted anew."""
    wanted = extract(recordings, store.spec, store.augmentation, folder)
    assert store.sounds == wanted.sounds and store.sha256 == wanted.sha256
    for name in store.names:
        seen, new = store.view(name), wanted.view(name)
        assert seen.shape == new.shape and len(seen) == len(new)
        np.testing.assert_array_equal(np.asarray(seen), new[:])  # whichever night, the very bits


def test_new_recordings_alone_are_extracted(
    everything: Recordings, extracted: list[str], tmp_path: Path
) -> None:
    root, steps = tmp_path / "features", list[tuple[int, int]]()
    cached_extract(everything.take(np.arange(6)), SPEC_, COPIES, root)
    extracted.clear()
    more = everything.take(np.array([11, 3, 0, 10, 5]))  # in any order, and some are gone
    store = cached_extract(more, SPEC_, COPIES, root, progress=lambda *s: steps.append(s))
    assert sorted(extracted) == ["10.wav", "11.wav"]
    assert (steps[0], steps[-1]) == ((3, 5), (5, 5))
    assert store.joined is not None and len(store.joined.folders) == 2
    assert_whole(store, more, tmp_path / "anew")
    extracted.clear()
    again = cached_extract(more, SPEC_, COPIES, root)
    assert not extracted and again.folder == store.folder


def test_thirty_nights_cost_their_recordings(
    everything: Recordings, extracted: list[str], tmp_path: Path
) -> None:
    """One new recording a night, ten at first: its share and what every night costs."""
    root, artifacts = tmp_path / "home" / "features", tmp_path / "home" / "artifacts"
    sizes = []
    for night in range(NIGHTS + 1):
        extracted.clear()
        store = cached_extract(everything.take(np.arange(10 + night)), SPEC_, COPIES, root)
        assert len(extracted) == (1 if night else 10)
        (artifacts / str(night)).mkdir(parents=True)
        store.save(artifacts / str(night))  # as ZenML keeps it
        sizes.append(size_of(root))
    rows, fixed = 10 + NIGHTS, 15_000  # bytes a night: of tables, specs and folders
    assert max(np.diff(sizes[:MOST_SHARDS])) < 0.1 * sizes[0] + fixed
    assert sizes[-1] < (rows + MOST_SHARDS) / 10 * sizes[0] + 3 * fixed
    assert size_of(tmp_path / "home") < (rows + 2 * MOST_SHARDS) / 10 * sizes[0] + NIGHTS * fixed
    assert store.joined is not None
    assert len(store.joined.folders) <= MOST_SHARDS + 1
    assert_whole(store, everything.take(np.arange(10 + NIGHTS)), tmp_path / "anew")
    before = np.asarray(store.view(STATISTICS))
    shutil.rmtree(root)
    kept = FeatureStore.load(artifacts / str(NIGHTS))
    np.testing.assert_array_equal(np.asarray(kept.view(STATISTICS)), before)


def test_models_are_fitted_on_the_very_numbers(everything: Recordings, tmp_path: Path) -> None:
    root, some = tmp_path / "features", everything.take(np.arange(12))
    cached_extract(everything.take(np.array([1, 3, 5, 7, 9, 11])), SPEC_, COPIES, root)
    store = cached_extract(some, SPEC_, COPIES, root)
    one = tmp_path / "one"
    one.mkdir()
    for name in store.names:
        np.save(one / f"{name}.npy", store.view(name)[:])
    for name in (SPEC, AUGMENTATION):
        shutil.copyfile(store.folder / name, one / name)
    batches = []
    for each in (store, FeatureStore(one)):
        assert isinstance(each.view("lfcc"), Joined) == (each is store)
        examples = standardised(
            np.arange(9), each.vectors([STATISTICS]), some.corpus.is_spoof, np.arange(12) % 4,
            each.view("lfcc"), augmentation_weight=0.5,
        )  # fmt: skip
        sampler = BatchSampler(examples, np.arange(9), FitConfig(), seed=3)
        batches.append([array for _ in range(5) for array in sampler.draw()[0]])
    for seen, wanted in zip(*batches, strict=True):
        np.testing.assert_array_equal(seen, wanted)


def test_a_shard_goes_with_the_last_store_that_needs_it(
    everything: Recordings, tmp_path: Path
) -> None:
    root = tmp_path / "features"
    first = cached_extract(everything.take(np.arange(3)), SPEC_, COPIES, root).folder
    joined = cached_extract(everything.take(np.arange(4)), SPEC_, COPIES, root).folder
    shards = list((first.parent / "shards").iterdir())
    assert len(shards) == 1
    for number in (10, 20):
        cached_extract(everything.take(np.array([number])), SPEC_, COPIES, root)
        assert first.exists() and shards[0].exists() and joined.exists()
    cached_extract(everything.take(np.array([30])), SPEC_, COPIES, root)
    assert not (first.exists() or shards[0].exists() or joined.exists())


@pytest.mark.parametrize("left", [(), (SPEC,), (SPEC, AUGMENTATION), (SPEC, AUGMENTATION, JOINED)])
def test_what_a_killed_run_left_behind_is_removed(
    left: tuple[str, ...], everything: Recordings, tmp_path: Path
) -> None:
    root = tmp_path / "features"
    cached_extract(everything.take(np.arange(3)), SPEC_, COPIES, root)
    joined = cached_extract(everything.take(np.arange(4)), SPEC_, COPIES, root)
    draft = joined.folder.with_name(f"{joined.folder.name}-999999999")
    draft.mkdir()
    for name in left:
        shutil.copyfile(joined.folder / name, draft / name)
    del joined
    store = cached_extract(everything.take(np.arange(5)), SPEC_, COPIES, root)
    assert not draft.exists()
    assert_whole(store, everything.take(np.arange(5)), tmp_path / "anew")


def test_two_runs_with_the_same_new_rows_share_them(everything: Recordings, tmp_path: Path) -> None:
    """And neither takes the other's away, though their corpora differ."""
    root = tmp_path / "features"
    cached_extract(everything.take(np.arange(4)), SPEC_, COPIES, root)
    one = cached_extract(everything.take(np.array([0, 1, 5])), SPEC_, COPIES, root)
    (shard,) = (one.folder.parent / "shards").iterdir()
    spec = (shard / SPEC).stat().st_ino
    draft = tmp_path / "draft"
    extract(everything.take(np.array([5])), SPEC_, COPIES, draft)
    held = caching._as_shard(draft, shard)
    assert held.folder == shard and (shard / SPEC).stat().st_ino == spec
    assert np.isfinite(np.asarray(one.view(STATISTICS))).all()


def test_a_few_of_many_rows_are_copied(everything: Recordings, tmp_path: Path) -> None:
    """An artifact of theirs would hold all of the others too."""
    root = tmp_path / "features"
    cached_extract(everything.take(np.arange(9)), SPEC_, COPIES, root)
    few = everything.take(np.array([2, 7]))
    store = cached_extract(few, SPEC_, COPIES, root)
    assert store.joined is None
    assert_whole(store, few, tmp_path / "anew")


@pytest.mark.parametrize("content", ["", '{"folders": [', '{"folders": []}'])
def test_a_join_that_was_not_written_to_its_end_is_none(
    content: str, everything: Recordings, tmp_path: Path
) -> None:
    root, some = tmp_path / "features", everything.take(np.arange(5))
    cached_extract(everything.take(np.arange(4)), SPEC_, COPIES, root)
    store = cached_extract(some, SPEC_, COPIES, root)
    (store.folder / JOINED).write_text(content)
    assert FeatureStore.held(store.folder) is None
    more = everything.take(np.arange(6))
    assert_whole(cached_extract(more, SPEC_, COPIES, root), more, tmp_path / "more")
    assert_whole(cached_extract(some, SPEC_, COPIES, root), some, tmp_path / "some")


ROWS = 7
PARTS = [np.arange(24, dtype=np.float32).reshape(4, 3, 2), np.ones((5, 3, 2), np.float32)]
ARRAY, PLACE = np.array([1, 0, 0, 1, 0, 1, 0]), np.array([4, 1, 0, 0, 3, 2, 2])
WHOLE = np.stack([PARTS[a][p] for a, p in zip(ARRAY, PLACE, strict=True)])
SLICES = st.slices(ROWS)
INDEX = st.one_of(
    st.integers(-ROWS, ROWS - 1),
    SLICES,
    st.lists(st.integers(-ROWS, ROWS - 1)).map(lambda rows: np.array(rows, np.int64)),
    st.lists(st.booleans(), min_size=ROWS, max_size=ROWS).map(np.array),
)


@given(INDEX, st.one_of(st.none(), st.slices(3)))
def test_it_is_indexed_as_an_array_is(rows: Any, rest: slice | None) -> None:
    joined, key = Joined(PARTS, ARRAY, PLACE), rows if rest is None else (rows, rest)
    np.testing.assert_array_equal(joined[key], WHOLE[key])
    assert joined.shape == WHOLE.shape and len(joined) == ROWS


def test_a_row_that_is_not_there_is_an_error() -> None:
    joined = Joined(PARTS, ARRAY, PLACE)
    for rows in (ROWS, [0, ROWS], np.zeros(3, bool)):
        with pytest.raises(IndexError):
            _ = joined[rows]
