"""The feature store: what the graph gives, and no work twice."""

import errno
import json
import os
import resource
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile as sf
from numpy.typing import NDArray

from bonafide.audio import decode
from bonafide.corpora.schema import Corpus, Row
from bonafide.errors import AudioError, ConfigError, CorpusError, StorageError
from bonafide.features.encoder import keep_encoder
from bonafide.features.frontend import build_frontend
from bonafide.features.pooling import build_encoder
from bonafide.features.spec import ENCODER, NARROW, STATISTICS, FeatureSpec, ViewSpec
from bonafide.runtime import Graph
from bonafide.training import extraction as features
from bonafide.training.arrays import STAMPS
from bonafide.training.caching import cached_extract, family_name
from bonafide.training.config import AugmentationConfig
from bonafide.training.extraction import augmented, extract
from bonafide.training.ingest import sound_sha256
from bonafide.training.recordings import Recordings
from bonafide.training.store import FeatureStore
from bonafide.training.windows import training_window
from tests.helpers.encoders import tiny_encoder

RATE = 16_000
SPEC = FeatureSpec(
    window_s=1.0,
    views={
        "lfcc": ViewSpec("lfcc", n_filters=8, n_coefficients=4, deltas=True),
        "bands": ViewSpec("logmel", n_filters=6, n_coefficients=0, n_fft=256, hop_samples=64),
    },
    statistics={"few": ViewSpec("logband", n_filters=5, n_coefficients=0)},
    narrow={"low": ViewSpec("logband", n_filters=4, n_coefficients=0, high_hz=3_600.0)},
)
SHAPES = {
    "lfcc": (51, 12),
    "bands": (251, 6),
    STATISTICS: (7 * 5 + 10,),
    NARROW: (7 * 4 + 6,),
}
NONE = AugmentationConfig(count=0)
TWO = AugmentationConfig(channels={"telephone": 1, "opus": 1})
FAMILY = family_name(SPEC, NONE)
N_FILES = 12
SENTINEL = 12345.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for number in range(N_FILES + 1):
        n_samples = int(rng.integers(8_000, 40_000))  # shorter and longer than the window
        sf.write(folder / f"{number}.wav", 0.1 * rng.normal(size=n_samples), RATE)
    return folder


def recordings_of(folder: Path, numbers: list[int]) -> Recordings:
    rows = [Row(f"{n}.wav", ("bonafide", "spoof")[n % 2]) for n in numbers]
    sounds = np.array([sound_sha256(decode(folder / row.path)) for row in rows])
    return Recordings(Corpus(folder, rows), sounds, np.zeros((len(numbers), 1)))


@pytest.fixture(scope="module")
def recordings(files: Path) -> Recordings:
    return recordings_of(files, list(range(N_FILES)))


@pytest.fixture(scope="module")
def pristine(recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return extract(recordings, SPEC, NONE, tmp_path_factory.mktemp("pristine") / "store", workers=1)


@pytest.fixture(scope="module")
def changed(recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return extract(recordings, SPEC, TWO, tmp_path_factory.mktemp("changed") / "store", workers=1)


@pytest.fixture
def work_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any extraction fail: what is taken over needs none."""

    def refuse(*args: Any, **options: Any) -> Any:
        if list(args[1]):
            raise AssertionError("rows were extracted again")
        return iter(())

    monkeypatch.setattr(features, "map_parallel", refuse)


def values_of(store: FeatureStore) -> dict[str, NDArray[np.float32]]:
    return {name: np.array(store.view(name)) for name in SHAPES}


def assert_equal(store: FeatureStore, other: FeatureStore) -> None:
    for name, values in values_of(store).items():
        np.testing.assert_array_equal(values, other.view(name))


def mark(store: FeatureStore, row: int) -> None:
    """Put a number that no sound gives into a finished row."""
    for name in SHAPES:
        view = np.lib.format.open_memmap(store.folder / f"{name}.npy", mode="r+")
        view[row] = SENTINEL
        view.flush()


def marked(store: FeatureStore) -> list[int]:
    values = values_of(store)
    flat = [array.reshape(len(array), -1) for array in values.values()]
    rows = [set(np.flatnonzero(np.all(v == SENTINEL, axis=1))) for v in flat]
    assert all(found == rows[0] for found in rows)
    return sorted(int(row) for row in rows[0])


def copy(store: FeatureStore, folder: Path) -> FeatureStore:
    """Copy a store without its stamps, so that it may be changed."""
    shutil.copytree(store.folder, folder, ignore=shutil.ignore_patterns(STAMPS))
    return FeatureStore(folder)


class TestTrainingWindow:
    @pytest.mark.parametrize("n_samples", [16_000, 16_001, 20_000, 47_999, 160_000])
    def test_the_middle(self, n_samples: int) -> None:
        sound = np.arange(n_samples, dtype=np.float32)
        window = training_window(sound, SPEC)
        assert (window.shape, window.dtype) == ((16_000,), np.float32)
        start = (n_samples - 16_000) // 2
        np.testing.assert_array_equal(window, sound[start : start + 16_000])
        assert abs(start - (n_samples - start - 16_000)) <= 1

    @pytest.mark.parametrize("n_samples", [1, 3_000, 15_999])
    def test_shorter_is_repeated(self, n_samples: int) -> None:
        sound = np.random.default_rng(0).normal(size=n_samples).astype(np.float32)
        window = training_window(sound, SPEC)
        assert (window.shape, window.dtype) == ((16_000,), np.float32)
        np.testing.assert_array_equal(window, sound[np.arange(16_000) % n_samples])


class TestExtract:
    def test_values_are_the_graphs(self, recordings: Recordings, pristine: FeatureStore) -> None:
        graph = Graph(build_frontend(SPEC).SerializeToString())
        for number, row in enumerate(recordings.corpus):
            sound = decode(recordings.corpus.audio_path(row))
            direct = graph({"waveform": training_window(sound, SPEC)[None]})
            assert set(direct) == set(SHAPES)
            for name, values in direct.items():
                np.testing.assert_allclose(
                    pristine.view(name)[number], values[0], rtol=0, atol=1e-4
                )
        for name in SHAPES:
            assert len({pristine.view(name)[n].tobytes() for n in range(N_FILES)}) == N_FILES

    def test_shapes_spec_and_sounds(self, recordings: Recordings, pristine: FeatureStore) -> None:
        assert pristine.spec == SPEC
        for name, shape in SHAPES.items():
            view = pristine.view(name)
            assert view.shape == (N_FILES, *shape)
            assert view.dtype == np.float32
            assert isinstance(view, np.memmap)
            with pytest.raises(ValueError, match="read-only"):
                view[0] = 0.0
        assert pristine.sounds == dict(enumerate(recordings.sha256.tolist()))

    @pytest.mark.parametrize("damage", ["cut short", "zeros", "gone", "text"])
    def test_an_array_that_is_not_what_was_written(
        self, pristine: FeatureStore, tmp_path: Path, damage: str
    ) -> None:
        shutil.copytree(pristine.folder, tmp_path / "s")
        path, store = tmp_path / "s" / f"{STATISTICS}.npy", FeatureStore(tmp_path / "s")
        np.testing.assert_array_equal(store.view(STATISTICS), pristine.view(STATISTICS))
        assert FeatureStore.held(store.folder)
        content = path.read_bytes()
        changed = {"cut short": content[:-4], "zeros": bytes(len(content)), "text": b"text"}
        path.unlink()
        if damage in changed:
            path.write_bytes(changed[damage])
        with pytest.raises(StorageError, match=f"{STATISTICS}.npy: ") as error:
            store.view(STATISTICS)
        assert error.value.code == "damaged_features"
        assert FeatureStore.held(store.folder) is None

    @pytest.mark.parametrize("workers", [1, 2])
    def test_shards_and_workers_change_nothing(
        self,
        recordings: Recordings,
        pristine: FeatureStore,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        workers: int,
    ) -> None:
        monkeypatch.setattr(features, "SHARD_ROWS", 5)
        steps: list[tuple[int, int]] = []
        store = extract(
            recordings,
            SPEC,
            NONE,
            tmp_path / "store",
            workers=workers,
            progress=lambda *step: steps.append(step),
        )
        for name, values in values_of(store).items():
            np.testing.assert_allclose(values, pristine.view(name), rtol=0, atol=1e-4)
        assert (steps[0], steps[-1]) == ((0, N_FILES), (N_FILES, N_FILES))
        assert [b[0] - a[0] for a, b in pairwise(steps)].count(5) == 2
        assert store.sounds == pristine.sounds
        assert store.sha256 == pristine.sha256

    def test_rows_are_the_recordings_rows(
        self, files: Path, pristine: FeatureStore, tmp_path: Path, work_is_refused: None
    ) -> None:
        order = [7, 2, 11, 0]
        store = extract(recordings_of(files, order), SPEC, NONE, tmp_path / "s", earlier=[pristine])
        for name, values in values_of(store).items():
            np.testing.assert_array_equal(values, pristine.view(name)[order])

    @pytest.mark.parametrize("change", [{"power_floor": 1e-5}, {"correlated": 3}])
    def test_a_store_of_another_spec_is_of_no_use(
        self,
        recordings: Recordings,
        pristine: FeatureStore,
        tmp_path: Path,
        work_is_refused: None,
        change: dict[str, Any],
    ) -> None:
        other = replace(SPEC, **change)
        with pytest.raises(AssertionError, match="extracted again"):
            extract(recordings, other, NONE, tmp_path / "store", earlier=[pristine])

    @pytest.mark.parametrize(
        ("content", "code"), [(b"no sound any more", "not_audio"), (b"", "empty")]
    )
    def test_a_file_that_changed_for_the_worse(
        self, files: Path, tmp_path: Path, content: bytes, code: str
    ) -> None:
        shutil.copytree(files, tmp_path / "files")
        changed = recordings_of(tmp_path / "files", [0, 1])
        (tmp_path / "files" / "1.wav").write_bytes(content)
        with pytest.raises(AudioError, match=r"1\.wav: ") as caught:
            extract(changed, SPEC, NONE, tmp_path / "store", workers=1)
        assert caught.value.code == code

    def test_a_file_that_became_a_pipe_is_not_waited_for(self, files: Path, tmp_path: Path) -> None:
        shutil.copytree(files, tmp_path / "files")
        ingested = recordings_of(tmp_path / "files", [0, 1])
        (tmp_path / "files" / "1.wav").unlink()
        os.mkfifo(tmp_path / "files" / "1.wav")
        with pytest.raises(AudioError, match=r"1\.wav: cannot be read: not a file"):
            extract(ingested, SPEC, NONE, tmp_path / "store", workers=1)

    def test_a_file_that_holds_another_sound(self, files: Path, tmp_path: Path) -> None:
        """Nothing is kept under the hash of a sound that it is not, and nothing of it reused."""
        shutil.copytree(files, tmp_path / "files")
        path = tmp_path / "files" / "1.wav"
        ingested, content = recordings_of(tmp_path / "files", [0, 1, 2]), path.read_bytes()
        sf.write(path, np.random.default_rng(9).normal(0, 0.1, (len(content) - 44) // 2), RATE)
        assert path.stat().st_size == len(content)
        with pytest.raises(CorpusError, match=r"1\.wav: its sound is not what it was") as caught:
            cached_extract(ingested, SPEC, NONE, tmp_path / "store")
        assert caught.value.code == "changed"
        path.write_bytes(content)
        store = cached_extract(ingested, SPEC, NONE, tmp_path / "store")
        want = extract(recordings_of(files, [0, 1, 2]), SPEC, NONE, tmp_path / "want", workers=1)
        assert_equal(store, want)

    @pytest.mark.parametrize(
        ("number", "code", "words"),
        [
            (
                errno.ENOSPC,
                "disk_full",
                r"No space left on device; \d+\.\d MB are needed: make room",
            ),
            (errno.EDQUOT, "disk_full", r"quota exceeded; \d+\.\d MB are needed"),
            (errno.EROFS, "unwritable", "Read-only file system; it must be a place to write to"),
        ],
    )
    def test_a_disk_without_room(
        self,
        files: Path,
        tmp_path: Path,
        work_is_refused: None,
        monkeypatch: pytest.MonkeyPatch,
        number: int,
        code: str,
        words: str,
    ) -> None:
        """It shows before anything is decoded, and what was taken of it is given back."""

        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(features.os, "posix_fallocate", refuse)
        with pytest.raises(StorageError, match=words) as caught:
            cached_extract(recordings_of(files, [0, 1]), SPEC, NONE, tmp_path)
        assert caught.value.code == code
        assert str(tmp_path / FAMILY) in caught.value.message
        assert not list((tmp_path / FAMILY).iterdir())

    def test_a_limit_on_the_size_of_files(
        self, files: Path, tmp_path: Path, work_is_refused: None
    ) -> None:
        some = recordings_of(files, [0, 1, 2, 3])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, before[1]))
        try:
            with pytest.raises(StorageError, match=r"File too large; .* MB are needed") as caught:
                cached_extract(some, SPEC, NONE, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.code == "disk_full"
        assert not list((tmp_path / FAMILY).iterdir())

    def test_room_is_set_aside_before_it_is_needed(self, pristine: FeatureStore) -> None:
        for path in pristine.folder.glob("*.npy"):
            assert path.stat().st_blocks * 512 >= path.stat().st_size

    def test_the_room_of_others_shows_where_none_can_be_set_aside(
        self, files: Path, tmp_path: Path, work_is_refused: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on macOS."""
        monkeypatch.setattr(features.sys, "platform", "darwin")
        monkeypatch.setattr(features.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
        with pytest.raises(StorageError, match=r"No space left on device; .* MB are needed"):
            extract(recordings_of(files, [0, 1]), SPEC, NONE, tmp_path / "store")
        assert not (tmp_path / "store").exists()


class TestCopies:
    def test_stand_after_the_recordings(
        self, recordings: Recordings, pristine: FeatureStore, changed: FeatureStore
    ) -> None:
        graph = Graph(build_frontend(SPEC).SerializeToString())
        assert changed.augmentation == TWO
        for name, values in values_of(changed).items():
            assert len(values) == 3 * N_FILES
            np.testing.assert_allclose(values[:N_FILES], pristine.view(name), rtol=0, atol=1e-4)
        for row in (0, 7):
            sound = decode(recordings.corpus.audio_path(recordings.corpus.rows[row]))
            window, sha = training_window(sound, SPEC), str(recordings.sha256[row])
            for number in (1, 2):
                direct = graph(
                    {"waveform": augmented(window, sha, number, TWO.stretches[number])[None]}
                )
                for name, values in direct.items():
                    seen = changed.view(name)[row + number * N_FILES]
                    np.testing.assert_allclose(seen, values[0], rtol=0, atol=1e-4)
                    assert np.abs(seen - pristine.view(name)[row]).max() > 0.01

    def test_go_with_their_recordings(
        self, files: Path, changed: FeatureStore, tmp_path: Path, work_is_refused: None
    ) -> None:
        order = [7, 2, 11, 0]
        store = extract(recordings_of(files, order), SPEC, TWO, tmp_path / "s", earlier=[changed])
        every = [row + number * N_FILES for number in range(3) for row in order]
        for name, values in values_of(store).items():
            np.testing.assert_array_equal(values, changed.view(name)[every])

    @pytest.mark.parametrize(
        "other", [NONE, AugmentationConfig(count=1), AugmentationConfig(channels={"g722": 2})]
    )
    def test_a_store_changed_in_another_way_is_of_no_use(
        self,
        recordings: Recordings,
        changed: FeatureStore,
        tmp_path: Path,
        work_is_refused: None,
        other: AugmentationConfig,
    ) -> None:
        assert family_name(SPEC, other) != family_name(SPEC, TWO)
        with pytest.raises(AssertionError, match="extracted again"):
            extract(recordings, SPEC, other, tmp_path / "store", earlier=[changed])


class TestEncoder:
    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
        return tmp_path / "home"

    def test_its_vector_is_extracted_beside_the_others(
        self, files: Path, changed: FeatureStore, home: Path, tmp_path: Path
    ) -> None:
        tiny_encoder(tmp_path / "tiny.onnx")
        spec = replace(SPEC, encoder=keep_encoder(home, tmp_path / "tiny.onnx"))
        assert spec.encoder is not None
        assert family_name(spec, TWO) != family_name(SPEC, TWO)
        some = recordings_of(files, [0, 7])
        store = extract(some, spec, TWO, tmp_path / "store", workers=1)
        assert store.names == (*SHAPES, ENCODER)
        seen = store.view(ENCODER)
        assert seen.shape == (6, spec.vectors[ENCODER])
        model = onnx.load(tmp_path / "tiny.onnx")
        built = build_encoder(model, spec.encoder, spec.window_samples, spec.rms_floor)
        graph = Graph(built.SerializeToString())
        for row, (number, name) in enumerate(zip((0, 7), ("0.wav", "7.wav"), strict=True)):
            window, sha = training_window(decode(files / name), SPEC), str(some.sha256[row])
            for stretch, channel in enumerate(TWO.stretches):
                heard = augmented(window, sha, stretch, channel) if stretch else window
                wanted = graph({"waveform": heard[None]})[ENCODER][0]
                np.testing.assert_allclose(seen[row + 2 * stretch], wanted, atol=1e-5)
                lfcc = changed.view("lfcc")[number + stretch * N_FILES]
                found = store.view("lfcc")[row + 2 * stretch]
                np.testing.assert_allclose(found, lfcc, rtol=0, atol=1e-4)

    def test_without_its_file_nothing_is_extracted(
        self, files: Path, home: Path, tmp_path: Path, work_is_refused: None
    ) -> None:
        spec = replace(SPEC, encoder=tiny_encoder(tmp_path / "tiny.onnx"))
        with pytest.raises(ConfigError, match="neither shipped nor in") as error:
            extract(recordings_of(files, [0, 1]), spec, NONE, tmp_path / "store")
        assert error.value.code == "no_encoder"


class TestHash:
    def test_of_spec_and_sounds_only(
        self, pristine: FeatureStore, recordings: Recordings, tmp_path: Path, work_is_refused: None
    ) -> None:
        moved = copy(pristine, tmp_path / "moved")
        mark(moved, 3)
        assert moved.sha256 == pristine.sha256
        rows = [replace(row, label="spoof", path="x") for row in recordings.corpus]
        renamed = replace(recordings, corpus=Corpus(Path("elsewhere"), rows))
        store = extract(renamed, SPEC, NONE, tmp_path / "renamed", earlier=[pristine])
        assert store.sha256 == pristine.sha256

    def test_another_sound_or_order_or_spec_or_copy_is_another(
        self, pristine: FeatureStore, tmp_path: Path
    ) -> None:
        sounds = pristine.sounds
        variants = [{**sounds, 0: "other"}, {**sounds, 0: sounds[1], 1: sounds[0]}]
        hashes = {pristine.sha256}
        for number, variant in enumerate(variants):
            store = copy(pristine, tmp_path / str(number))
            (store.folder / "rows.jsonl").write_text(json.dumps(variant) + "\n")
            hashes.add(store.sha256)
        store = copy(pristine, tmp_path / "spec")
        spec = replace(SPEC, rms_floor=1e-3)
        (store.folder / "spec.json").write_text(json.dumps(spec.to_json()))
        hashes.add(store.sha256)
        store = copy(pristine, tmp_path / "augmentation")
        (store.folder / "augmentation.json").write_text(TWO.model_dump_json())
        hashes.add(store.sha256)
        assert len(hashes) == 5

    def test_the_order_of_writing_does_not_count(
        self, pristine: FeatureStore, tmp_path: Path
    ) -> None:
        store = copy(pristine, tmp_path / "store")
        lines = [json.dumps({row: sound}) for row, sound in pristine.sounds.items()]
        (store.folder / "rows.jsonl").write_text("\n".join(reversed(lines)) + "\n")
        assert store.sha256 == pristine.sha256


class TestResume:
    def finished(self, store: FeatureStore, rows: range, tail: str) -> None:
        """Leave a store as a run that was killed after these rows."""
        line = json.dumps({row: store.sounds[row] for row in rows})
        (store.folder / "rows.jsonl").write_text(f"{line}\n{tail}")

    @pytest.mark.parametrize("tail", ["", '{"8": "sound 08", "9": "so'])
    def test_killed_half_way(
        self, recordings: Recordings, pristine: FeatureStore, tmp_path: Path, tail: str
    ) -> None:
        root = tmp_path / "cache"
        folder = root / FAMILY / recordings.rows_sha256[:12]
        left = copy(pristine, folder)
        mark(left, 2)
        mark(left, 9)  # written, but not known to be
        self.finished(left, range(8), tail)
        steps: list[tuple[int, int]] = []
        store = cached_extract(recordings, SPEC, NONE, root, progress=lambda *s: steps.append(s))
        assert store.folder == folder
        assert marked(store) == [2]
        assert steps[0] == (8, N_FILES)
        assert steps[-1] == (N_FILES, N_FILES)
        for name, values in values_of(store).items():
            rest = [row for row in range(N_FILES) if row != 2]
            np.testing.assert_allclose(values[rest], pristine.view(name)[rest], rtol=0, atol=1e-4)
        assert store.sounds == pristine.sounds
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    def test_whole_is_taken_as_it_is(
        self, recordings: Recordings, pristine: FeatureStore, tmp_path: Path, work_is_refused: None
    ) -> None:
        folder = tmp_path / FAMILY / recordings.rows_sha256[:12]
        mark(copy(pristine, folder), 5)
        inode = (folder / "lfcc.npy").stat().st_ino
        store = cached_extract(recordings, SPEC, NONE, tmp_path)
        assert store.folder == folder
        assert marked(store) == [5]
        assert (folder / "lfcc.npy").stat().st_ino == inode  # the very file: others may read it

    def test_one_file_more(
        self, files: Path, pristine: FeatureStore, recordings: Recordings, tmp_path: Path
    ) -> None:
        old = copy(pristine, tmp_path / FAMILY / recordings.rows_sha256[:12])
        for row in range(N_FILES):
            mark(old, row)
        more = recordings_of(files, [N_FILES, *range(N_FILES)])
        store = cached_extract(more, SPEC, NONE, tmp_path)
        assert marked(store) == list(range(1, N_FILES + 1))
        assert np.isfinite(store.view("lfcc")[0]).all()
        assert store.view("lfcc")[0].std() > 0
        assert old.folder.exists()

    def test_killed_before_the_spec_was_written(
        self, recordings: Recordings, pristine: FeatureStore, tmp_path: Path, work_is_refused: None
    ) -> None:
        folder = tmp_path / FAMILY / recordings.rows_sha256[:12]
        copy(pristine, folder.with_name("other"))
        folder.mkdir()
        (folder / "spec.json").write_text("{}")
        store = cached_extract(recordings, SPEC, NONE, tmp_path)
        assert_equal(store, pristine)

    def test_killed_while_taking_over(
        self, recordings: Recordings, pristine: FeatureStore, tmp_path: Path, work_is_refused: None
    ) -> None:
        """What the run before had finished still lies beside what this one had begun."""
        folder = tmp_path / FAMILY / recordings.rows_sha256[:12]
        copy(pristine, folder.with_name(f"{folder.name}-999999998"))
        begun = copy(pristine, folder.with_name(f"{folder.name}-999999999"))
        (begun.folder / "rows.jsonl").write_text("")
        store = cached_extract(recordings, SPEC, NONE, tmp_path)
        assert_equal(store, pristine)

    def test_the_three_newest_and_what_they_are_joined_from_are_kept(
        self, files: Path, pristine: FeatureStore, tmp_path: Path, work_is_refused: None
    ) -> None:
        family = tmp_path / FAMILY
        copy(pristine, family / "oldest")
        parts = [recordings_of(files, list(range(size))) for size in (10, 9, 8, 7)]
        names = [part.rows_sha256[:12] for part in parts]
        for part in parts[:3]:
            cached_extract(part, SPEC, NONE, tmp_path)
        assert {path.name for path in family.iterdir()} == {"oldest", *names[:3]}
        cached_extract(parts[2], SPEC, NONE, tmp_path)  # again: nothing new, nothing to lose
        assert {path.name for path in family.iterdir()} == {"oldest", *names[:3]}
        cached_extract(parts[3], SPEC, NONE, tmp_path)
        assert {path.name for path in family.iterdir()} == {"oldest", *names[1:]}
