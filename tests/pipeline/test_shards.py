"""Features in a store of objects: each file is stored once, and fetched once a machine."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest
import yaml
from zenml.enums import StackComponentType
from zenml.integrations.s3.artifact_stores import S3ArtifactStore
from zenml.integrations.s3.flavors import S3ArtifactStoreConfig

from bonafide.errors import BonafideError
from bonafide.features.spec import FeatureSpec, ViewSpec
from bonafide.home import home_name
from bonafide.simulation.corpus import simulate
from bonafide.training.config import AugmentationConfig
from bonafide.training.store import AUGMENTATION, DONE, SPEC, FeatureStore, Join
from materializers import ArtifactMaterializer
from materializers.shards import PLACE, kept_folder
from tests.conftest import REPOSITORY
from tests.helpers.homes import Home, demo_home
from tests.helpers.objects import BUCKET, object_store

SPEC_ = FeatureSpec(
    views={"lfcc": ViewSpec("lfcc"), "mfcc": ViewSpec("mfcc")},
    statistics={"few": ViewSpec("logband", n_filters=5, n_coefficients=0)},
    narrow={"low": ViewSpec("logband", n_filters=4, n_coefficients=0, high_hz=3_600.0)},
)
ARRAYS = 4  # of each shard: two views, two vectors
STORE = f"s3://{BUCKET}/artifacts"


@dataclass(frozen=True)
class Objects:
    """A store of objects, and what it was asked."""

    environment: dict[str, str]
    log: Path

    def asked(self, method: str) -> Counter[str]:
        """Count the requests of a method for shards, by their hash."""
        found = (line.split() for line in self.log.read_text().splitlines())
        paths = [path for how, path, _ in found if how == method and PLACE in path]
        return Counter(path.rpartition("/")[2] for path in paths)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Objects]:
    log = tmp_path_factory.mktemp("objects") / "log"
    with object_store(log) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield Objects(dict(environment), log)


class Machine:
    """A machine: its home, and ZenML's way to the store of objects."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self._patch = home, patch
        now, kind = datetime.now(UTC), StackComponentType.ARTIFACT_STORE
        self._store = S3ArtifactStore(
            name="objects", id=uuid4(), config=S3ArtifactStoreConfig(path=STORE), flavor="s3",
            type=kind, user=None, created=now, updated=now,
        )  # fmt: skip

    def materializer(self, name: str) -> ArtifactMaterializer:
        self._patch.setenv("BONAFIDE_HOME", str(self.home))
        return ArtifactMaterializer(f"{STORE}/{self.home.parent.name}/{name}", self._store)

    def kept(self) -> set[str]:
        return {path.name for path in kept_folder(self.home).iterdir()}


@pytest.fixture
def machines(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Machine, Machine]:
    objects.log.write_text("")
    return Machine(tmp_path / "one", monkeypatch), Machine(tmp_path / "other", monkeypatch)


def shard(folder: Path, rows: int) -> FeatureStore:
    """Make a store of random numbers, that no other test stores."""
    folder.mkdir(parents=True)
    for name in (*SPEC_.views, *SPEC_.vectors):
        shape = (2 * rows, 5, 3) if name in SPEC_.views else (2 * rows, 3)
        np.save(folder / f"{name}.npy", np.random.default_rng().random(shape, np.float32))
    (folder / SPEC).write_text(json.dumps(SPEC_.to_json()))
    (folder / AUGMENTATION).write_text(AugmentationConfig(channels={"noise": 1}).model_dump_json())
    (folder / DONE).write_text(json.dumps({n: f"{folder.name} {n}" for n in range(rows)}) + "\n")
    return FeatureStore(folder)


def joined(folder: Path, *stores: FeatureStore) -> FeatureStore:
    folder.mkdir(parents=True)
    for name in (SPEC, AUGMENTATION):
        (folder / name).write_bytes((stores[0].folder / name).read_bytes())
    sounds = [sound for store in stores for sound in store.sounds.values()]
    Join.of(stores, sounds).write(folder)
    return FeatureStore(folder)


def test_new_rows_alone_are_stored_and_nothing_is_fetched_where_it_was_made(
    objects: Objects, machines: tuple[Machine, Machine]
) -> None:
    one, _ = machines
    features = one.home / "features" / "family"
    first = shard(features / "first", 8)
    one.materializer("monday").save(first)
    assert len(objects.asked("PUT")) == ARRAYS
    both = joined(features / "both", first, shard(features / "shards" / "new", 2))
    one.materializer("tuesday").save(both)
    one.materializer("again").save(both)
    stored = objects.asked("PUT")
    assert len(stored) == 2 * ARRAYS and set(stored.values()) == {1}
    read = one.materializer("tuesday").load(FeatureStore)
    assert read == FeatureStore(read.folder) and read.digest() == both.digest()
    for name in read.names:
        np.testing.assert_array_equal(np.asarray(read.view(name)), np.asarray(both.view(name)))
    assert not objects.asked("GET")
    arrays = features.rglob("*.npy")
    assert {path.stat().st_nlink for path in arrays} == {2}  # and it takes no more of the disk


def test_what_is_read_is_fetched_once_however_many_steps_read_it(
    objects: Objects, machines: tuple[Machine, Machine]
) -> None:
    one, other = machines
    made = joined(
        one.home / "both", *(shard(one.home / name, rows) for name, rows in (("a", 3), ("b", 2)))
    )
    one.materializer("night").save(made)
    loading = other.materializer("night")

    def step(_: int) -> np.ndarray:
        read = loading.load(FeatureStore)
        read.bring(["mfcc"])  # for a process that is given the folder alone
        mine = FeatureStore(read.folder)
        return np.concatenate([np.asarray(mine.view("mfcc")).ravel(), read.view("narrow")[0]])

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(step, range(8)))
    wanted = np.concatenate([np.asarray(made.view("mfcc")).ravel(), made.view("narrow")[0]])
    for values in seen:
        np.testing.assert_array_equal(values, wanted)
    fetched = objects.asked("GET")
    assert len(fetched) == 4 and set(fetched.values()) == {1}  # two arrays of two shards
    assert other.kept() == set(fetched)


def test_shards_that_are_lost_or_damaged(
    objects: Objects, machines: tuple[Machine, Machine]
) -> None:
    one, other = machines
    made = shard(one.home / "a", 3)
    one.materializer("night").save(made)
    read = other.materializer("night").load(FeatureStore)
    before = np.array(read.view("mfcc")[0])
    (name,) = other.kept()
    kept = kept_folder(other.home) / name
    kept.write_bytes(b"not what it was")  # here: it is fetched anew
    np.testing.assert_array_equal(
        other.materializer("night").load(FeatureStore).view("mfcc")[0], before
    )
    assert objects.asked("GET")[name] == 2
    kept.unlink()
    files = fsspec.filesystem("s3")
    (url,) = files.glob(f"{BUCKET}/artifacts/{PLACE}/*/{name}")
    files.pipe_file(url, b"x" * files.size(url))
    for code, said in (
        ("damaged_shard", "remove it, and have the features"),
        ("lost_shard", "is gone from"),
    ):
        with pytest.raises(BonafideError, match=f"{name}: .*{said}") as caught:
            other.materializer("night").load(FeatureStore).view("mfcc")
        assert caught.value.code == code and other.kept() == set()
        if code == "damaged_shard":
            files.rm_file(url)
    one.materializer("repaired").save(made)
    np.testing.assert_array_equal(
        other.materializer("repaired").load(FeatureStore).view("mfcc")[0], before
    )


CONFIG = """
name: small
resamples: 50
folds: {count: 2, test_share: 0.2}
augmentation: {channels: {clean: 1}}
models: {xgboost: {trees: 10}}
gate: {max_eer: 1.0}
"""
STACK = """
import sys
from pipelines.store import prepare_store
prepare_store()
from zenml.client import Client
from zenml.enums import StackComponentType as T
client = Client()
client.create_flavor("tests.helpers.here.HereFlavor", T.STEP_OPERATOR)
client.create_stack_component("nearby", "here", T.STEP_OPERATOR, {})
client.create_stack_component("objects", "s3", T.ARTIFACT_STORE, {"path": sys.argv[1]})
parts = {kind: parts[0].id for kind, parts in client.active_stack_model.components.items()}
parts |= {T.ARTIFACT_STORE: "objects", T.STEP_OPERATOR: "nearby"}
client.create_stack("with_objects", parts)
client.activate_stack("with_objects")
"""


def test_a_run_fetches_each_file_that_it_reads_once(objects: Objects, tmp_path: Path) -> None:
    """One machine extracts the features, another does the rest."""
    corpus = simulate(tmp_path / "corpus", clips=48, speakers=6)
    home, elsewhere = demo_home(tmp_path / "home"), tmp_path / "elsewhere"
    (tmp_path / "small.yaml").write_text(CONFIG)
    environment = home.environment | {"ZENML_CUSTOM_SOURCE_ROOT": str(REPOSITORY)}
    command = [sys.executable, "-c", STACK, f"s3://{BUCKET}/run"]
    subprocess.run(command, env=environment, check=True, capture_output=True, cwd=REPOSITORY)
    there = {"step_operator": "nearby", "environment": {"BONAFIDE_HOME": str(elsewhere)}}
    settings = {"steps": {"extract": there}, "enable_step_logs": False}
    (tmp_path / "zenml.yaml").write_text(yaml.safe_dump(settings))
    objects.log.write_text("")

    words = ("--config", tmp_path / "small.yaml", "--corpus", corpus)
    done = home.run("train", *words, "--zenml", tmp_path / "zenml.yaml")
    assert done.returncode == 0, done.stderr
    stored = objects.asked("PUT")
    assert set(stored) == {path.name for path in kept_folder(elsewhere).iterdir()}
    assert objects.asked("GET") == stored and set(stored.values()) == {1}
    _prune_what_is_left(home, elsewhere, list(stored))


def _prune_what_is_left(home: Home, elsewhere: Path, stored: list[str]) -> None:
    """What was cut short goes where this home stores, and nothing that another one stored."""
    files = fsspec.filesystem("s3")
    place, theirs = (f"{BUCKET}/run/{PLACE}/{home_name(each)}" for each in (home.folder, elsewhere))
    for each in (place, theirs):
        files.pipe_file(f"{each}/{'0' * 64}", b"of an upload that was killed")
    kept = kept_folder(home.folder)
    (kept / f"{'1' * 64}.draft").write_bytes(b"of a download that was killed")
    (kept / "notes").write_bytes(b"somebody's own")
    done = home.run("prune", "--keep", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shards"] == 1
    files.invalidate_cache()
    assert not files.exists(place)
    left = {each.rpartition("/")[2] for each in files.ls(theirs)}
    assert left == {*stored, "0" * 64}
    assert {path.name for path in kept.iterdir()} == {*stored, "notes"}
