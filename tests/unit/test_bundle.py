"""Bundles and the home folder: what is written is what is read, and nothing else is."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bonafide.bundle import (
    CIRCUMSTANCES,
    MANIFEST,
    Bundle,
    content_sha256,
    file_sha256,
    read_bundle,
    write_bundle,
)
from bonafide.detector import Detector
from bonafide.errors import BundleError, ConfigError, StorageError
from bonafide.explanation.bands import EDGES_HZ
from bonafide.features.spec import FeatureSpec
from bonafide.home import SHIPPED, clean_work, home, shipped_folder, work_folder
from bonafide.manifest import N_BANDS, OF_ERRORS, TYPICAL
from bonafide.registry import find_bundle, keep, production_folder, promote
from tests.helpers.bundles import BASE_MODELS, GRAPHS

SPEC = FeatureSpec(window_s=2.0)
ENTRIES: dict[str, Any] = {
    "name": "default",
    "version": "0",
    "created": "2025-01-01T00:00:00Z",
    "feature_spec": SPEC.to_json(),
    "views": {},
    "thresholds": {"bonafide_to": 0.2, "spoof_from": 0.8},
    "choice": "logistic",
    "calibration": {"slope": 1.0, "intercept": 0.0},
    "models": list(BASE_MODELS),
    "prior_spoof": 0.5,
    "code": "abc",
    "zenml": {"run": "r1"},
    "metrics": {"eer": {"value": 0.2, "low": 0.1, "high": 0.3}},
}


def fill(folder: Path, salt: str = "") -> Path:
    folder.mkdir(parents=True)
    for name in GRAPHS:
        (folder / f"{name}.onnx").write_bytes(f"graph {name} {salt}".encode())
    (folder / "note.md").write_bytes(b"note")
    return folder


def make(folder: Path, salt: str = "", **entries: Any) -> Bundle:
    return write_bundle(fill(folder, salt), {**ENTRIES, **entries})


def versions(root: Path, name: str = "default") -> list[str]:
    return sorted(path.name for path in (root / "bundles" / name).iterdir())


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return content


def store(folder: Path, manifest: Any) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


# --- write and read -------------------------------------------------------------------------------


def test_the_contracts_files_are_named(tmp_path: Path) -> None:
    wanted = "frontend scaler cnn rnn bilstm gru xgboost meta_logistic meta_xgboost"
    assert " ".join(make(tmp_path / "b").parts) == wanted


def test_base_models_are_those_that_the_manifest_names(tmp_path: Path) -> None:
    folder = fill(tmp_path / "b")
    (folder / "xgboost.onnx").unlink()
    (folder / "gru.onnx").rename(folder / "tcn.onnx")
    write_bundle(folder, {**ENTRIES, "models": ["tcn", "cnn", "rnn", "bilstm"]})
    bundle = read_bundle(folder)
    assert bundle.models == ("tcn", "cnn", "rnn", "bilstm")
    assert bundle.parts[2:6] == bundle.models
    (folder / "tcn.onnx").unlink()
    with pytest.raises(BundleError, match=r"tcn\.onnx is missing"):
        read_bundle(folder)


def test_a_bundle_of_format_1_holds_the_five(tmp_path: Path) -> None:
    bundle = make(tmp_path / "b")
    old = {key: value for key, value in bundle.manifest.items() if key != "models"} | {"format": 1}
    store(bundle.folder, {**old, "sha256": content_sha256(old)})
    read = read_bundle(bundle.folder)
    assert read.models == BASE_MODELS
    assert read.manifest["labels"]["bilstm"] == "BiLSTM"
    assert read.identity["sha256"] == content_sha256(
        old
    )  # of what is written, not of what is added


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = make(tmp_path / "b")
    read = read_bundle(tmp_path / "b")
    assert read == written
    assert read.manifest == manifest_of(tmp_path / "b")
    assert read.manifest.items() >= ENTRIES.items()
    assert read.manifest["format"] == 2
    assert read.spec == SPEC
    assert read.identity == {
        "name": "default",
        "version": "0",
        "sha256": content_sha256(read.manifest),
    }
    assert read.graph_path("cnn").read_bytes() == b"graph cnn "


def test_every_file_but_the_manifest_has_its_hash(tmp_path: Path) -> None:
    folder = fill(tmp_path / "b")
    (folder / MANIFEST).write_text("left over")
    bundle = write_bundle(folder, ENTRIES)
    files = {path.name for path in folder.iterdir()} - {MANIFEST}
    assert set(bundle.manifest["files"]) == files >= {"note.md", "cnn.onnx"}
    for name, sha256 in bundle.manifest["files"].items():
        assert sha256 == file_sha256(folder / name)


def test_file_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "f") == wanted


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_has_no_hash(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """At once: a pipe that nobody writes to would be waited for for ever."""
    make(tmp_path / "other")
    with pytest.raises(OSError, match=r"not a file|Is a directory"):
        file_sha256(tmp_path / "other")


def test_a_bundle_may_be_moved(tmp_path: Path) -> None:
    make(tmp_path / "b")
    (tmp_path / "b").rename(tmp_path / "Ünï ✓")
    assert read_bundle(tmp_path / "Ünï ✓").spec == SPEC


@pytest.mark.parametrize("entry", sorted(CIRCUMSTANCES))
def test_the_content_hash_ignores_circumstances(entry: str) -> None:
    assert content_sha256({**ENTRIES, entry: "other"}) == content_sha256(ENTRIES)
    without = {key: value for key, value in ENTRIES.items() if key != entry}
    assert content_sha256(without) == content_sha256(ENTRIES)


def test_circumstances_are_these() -> None:
    assert sorted(CIRCUMSTANCES) == ["code", "created", "sha256", "version", "zenml"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"feature_spec": FeatureSpec().to_json()},
        {"prior_spoof": 0.4},
        {"metrics": {"eer": 0.3}},
        {"format": 2},
        {"files": {"cnn.onnx": "0"}},
        {"anything": None},
    ],
)
def test_the_content_hash_sees_everything_else(change: dict[str, Any]) -> None:
    assert content_sha256({**ENTRIES, **change}) != content_sha256(ENTRIES)


def test_the_content_hash_sees_files_and_not_the_order_of_entries(tmp_path: Path) -> None:
    one = make(tmp_path / "one")
    same = make(tmp_path / "same", version="9", created="later", code="other", zenml=None)
    other = make(tmp_path / "other", salt="x")
    assert one.manifest["sha256"] == same.manifest["sha256"] != other.manifest["sha256"]
    turned = dict(reversed(one.manifest.items()))
    assert content_sha256(turned) == one.manifest["sha256"]


# --- reasons -------------------------------------------------------------------------------------


def edit(**entries: Any) -> Callable[[Path], None]:
    return lambda folder: store(folder, {**manifest_of(folder), **entries})


def without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        store(folder, {k: v for k, v in manifest_of(folder).items() if k not in names})

    return change


def listing(name: str, sha256: str = "0") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = manifest_of(folder)
        manifest["files"] = {name: sha256, **manifest["files"]}
        manifest["sha256"] = content_sha256(manifest)
        store(folder, manifest)

    return change


def unlisted(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = manifest_of(folder)
        del manifest["files"][name]
        manifest["sha256"] = content_sha256(manifest)
        store(folder, manifest)

    return change


def raw(content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / MANIFEST).write_bytes(content)


def directory_for(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


REFUSED: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no folder": (
        shutil.rmtree,
        "no_bundle",
        r"b: no bundle is here \(manifest.json is missing\)",
    ),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "no_bundle", "manifest.json is missing"),
    "manifest is a folder": (directory_for(MANIFEST), "no_bundle", "manifest.json is missing"),
    "no JSON": (raw(b"{"), "bad_manifest", r"manifest.json: not a bundle's manifest: "),
    "deep": (raw(b"[" * 100_000), "bad_manifest", "not a bundle's manifest: maximum recursion"),
    "no UTF-8": (raw(b'{"format": "\xff"}'), "bad_manifest", "not a bundle's manifest: .*utf-8"),
    "a list": (raw(b"[]"), "bad_manifest", "not a bundle's manifest: "),
    "null": (raw(b"null"), "bad_manifest", "not a bundle's manifest: "),
    "no format": (without("format"), "bad_manifest", "not a bundle's manifest: 'format'"),
    "no files": (without("files"), "bad_manifest", "not a bundle's manifest: 'files'"),
    "files null": (edit(files=None), "bad_manifest", "not a bundle's manifest: "),
    "files a number": (edit(files=3), "bad_manifest", "not a bundle's manifest: "),
    "files a text": (edit(files="abc"), "bad_manifest", "not a bundle's manifest: "),
    "later format": (edit(format=4), "bad_manifest", "format 4: must be one of 1, 2, 3"),
    "format a text": (edit(format="1"), "bad_manifest", "format '1': must be one of 1, 2, 3"),
    "no name": (without("name", "sha256"), "bad_manifest", "not a bundle's manifest: 'name'"),
    "unlisted graph": (unlisted("gru.onnx"), "missing_file", "lists no gru.onnx"),
    "missing graph": (lambda f: (f / "cnn.onnx").unlink(), "missing_file", "cnn.onnx is missing"),
    "graph is a folder": (directory_for("cnn.onnx"), "missing_file", "cnn.onnx is missing"),
    "missing other file": (
        lambda f: (f / "note.md").unlink(),
        "missing_file",
        "note.md is missing",
    ),
    "altered graph": (
        lambda f: (f / "rnn.onnx").write_bytes(b"evil"),
        "altered",
        "rnn.onnx: its sha256 is [0-9a-f]{64}; the manifest says [0-9a-f]{64}",
    ),
    "truncated graph": (
        lambda f: (f / "rnn.onnx").write_bytes(b""),
        "altered",
        "rnn.onnx: its sha256 is",
    ),
    "altered threshold": (
        edit(prior_spoof=0.9),
        "altered",
        "manifest.json: its content hash is [0-9a-f]{64}; it says [0-9a-f]{64}",
    ),
    "added entry": (edit(extra=1), "altered", "its content hash is"),
    "wrong content hash": (edit(sha256="0" * 64), "altered", "it says 0{64}"),
    "no content hash": (without("sha256"), "altered", "it says None"),
}


@pytest.mark.parametrize(("change", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(
    change: Callable[[Path], Any], code: str, message: str, tmp_path: Path
) -> None:
    make(tmp_path / "b")
    change(tmp_path / "b")
    with pytest.raises(BundleError, match=message) as error:
        read_bundle(tmp_path / "b")
    assert error.value.code == code
    assert str(tmp_path / "b") in error.value.message


@pytest.mark.parametrize("entry", ["name", "version", "feature_spec"])
def test_entries_that_a_bundle_answers_with_are_required(entry: str, tmp_path: Path) -> None:
    """All hashes fit, yet `identity` or `spec` could not be given."""
    entries = {key: value for key, value in ENTRIES.items() if key != entry}
    write_bundle(fill(tmp_path / "b"), entries)
    with pytest.raises(BundleError, match=entry) as error:
        read_bundle(tmp_path / "b")
    assert error.value.code == "bad_manifest"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"models": "cnn"}, "models='cnn': must be a list of names"),
        ({"models": {"cnn": 1}}, "must be a list of names"),
        ({"models": []}, "must be a list of names"),
        ({"models": ["cnn", 3]}, "must be a list of names"),
        ({"models": ["cnn", "rnn", "cnn"]}, "must not hold a name twice"),
        ({"labels": ["CNN"]}, "must give texts to names"),
        ({"labels": None}, "must give texts to names"),
        ({"labels": {"cnn": 3}}, "must give texts to names"),
    ],
)
def test_names_that_answers_cannot_be_made_of(
    entries: dict[str, Any], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "b", **entries)
    with pytest.raises(BundleError, match=said) as error:
        read_bundle(tmp_path / "b")
    assert error.value.code == "bad_manifest"


def test_a_graph_of_another_width_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    folder = shutil.copytree(SHIPPED, tmp_path / "b")
    manifest = manifest_of(folder)
    models = [*manifest["models"], "detector"]
    hears = {**manifest["hears"], "detector": ["statistics"]}
    write_bundle(folder, {**manifest, "models": models, "hears": hears, "labels": {}})
    with pytest.raises(BundleError, match=r"output models has shape \('batch', 7\); must") as error:
        Detector(folder)
    assert error.value.code == "bad_graph"


@pytest.mark.parametrize("form", ["../secret", "sub/../../secret", "{absolute}", "..", ".", ""])
def test_files_outside_the_folder_are_not_read(form: str, tmp_path: Path) -> None:
    """Even where the outer file exists and its hash is right."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s")
    folder = make(tmp_path / "b").folder
    (folder / "sub").mkdir()
    listing(form.format(absolute=secret), file_sha256(secret))(folder)
    with pytest.raises(BundleError, match="is missing") as error:
        read_bundle(folder)
    assert error.value.code == "missing_file"


def test_a_file_more_does_no_harm(tmp_path: Path) -> None:
    make(tmp_path / "b")
    (tmp_path / "b" / "note.txt").write_text("mine")
    assert "note.txt" not in read_bundle(tmp_path / "b").manifest["files"]


# --- home -----------------------------------------------------------------------------------------


def test_home_is_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("BONAFIDE_HOME", "here/../there")
    assert home() == tmp_path.resolve() / "there"
    monkeypatch.setenv("BONAFIDE_HOME", "")
    assert home() == tmp_path / "data" / "bonafide"
    monkeypatch.delenv("BONAFIDE_HOME")
    assert home() == tmp_path / "data" / "bonafide"
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    for clear in (monkeypatch.delenv, lambda name: monkeypatch.setenv(name, "")):
        clear("XDG_DATA_HOME")
        assert home() == tmp_path / "me" / ".local" / "share" / "bonafide"


def test_home_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "new"))
    assert production_folder(home()) is None
    clean_work(home())
    assert not (tmp_path / "new").exists()


def test_keep_gives_versions_in_turn(tmp_path: Path) -> None:
    root = tmp_path / "home"
    first = keep(root, make(tmp_path / "a", "a"), {"zenml": {"run": "r7"}}, "# Card A\n")
    second = keep(root, make(tmp_path / "b", "b"), {}, "# Card B\n")
    assert [first.identity["version"], second.identity["version"]] == ["1", "2"]
    assert first.folder == root / "bundles" / "default" / "1"
    assert (first.folder / "card.md").read_text() == "# Card A\n"
    assert "card.md" in first.manifest["files"]
    assert first.manifest["zenml"] == {"run": "r7"}
    assert read_bundle(first.folder) == first and read_bundle(second.folder) == second
    assert versions(root) == ["1", "2"]
    assert not list((root / "bundles" / "default").glob(".*"))


def test_keep_leaves_the_candidate_alone(tmp_path: Path) -> None:
    candidate = make(tmp_path / "a")
    before = {path.name: path.read_bytes() for path in candidate.folder.iterdir()}
    keep(tmp_path / "home", candidate, {"version": "77"}, "card")
    assert {path.name: path.read_bytes() for path in candidate.folder.iterdir()} == before


def test_the_version_is_the_homes_to_give(tmp_path: Path) -> None:
    kept = keep(tmp_path / "home", make(tmp_path / "a"), {"version": "77"}, "card")
    assert kept.identity["version"] == "1"


def test_the_same_detector_is_not_kept_twice(tmp_path: Path) -> None:
    root = tmp_path / "home"
    first = keep(root, make(tmp_path / "a"), {"created": "Monday"}, "card")
    other = keep(root, make(tmp_path / "b", "b"), {}, "card")
    again = keep(root, make(tmp_path / "c", version="5"), {"created": "Tuesday"}, "card")
    assert again == first and again.manifest["created"] == "Monday"
    assert read_bundle(first.folder) == first and read_bundle(other.folder) == other
    assert versions(root) == ["1", "2"]


def test_names_have_versions_of_their_own(tmp_path: Path) -> None:
    root = tmp_path / "home"
    keep(root, make(tmp_path / "a"), {}, "card")
    other = keep(root, make(tmp_path / "b", name="phone"), {}, "card")
    assert other.identity["version"] == "1"
    assert other.folder == root / "bundles" / "phone" / "1"
    assert versions(root) == versions(root, "phone") == ["1"]


def test_versions_are_numbers(tmp_path: Path) -> None:
    root = tmp_path / "home"
    kept = [keep(root, make(tmp_path / str(i), str(i)), {}, "card") for i in range(11)]
    assert [read_bundle(b.folder).identity["version"] for b in kept] == [
        str(i) for i in range(1, 12)
    ]


def test_a_removed_version_is_not_given_again_while_a_later_one_stands(tmp_path: Path) -> None:
    root = tmp_path / "home"
    first = keep(root, make(tmp_path / "a", "a"), {}, "card")
    keep(root, make(tmp_path / "b", "b"), {}, "card")
    shutil.rmtree(first.folder)
    assert keep(root, make(tmp_path / "c", "c"), {}, "card").identity["version"] == "3"


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_draft_left_by_a_run_that_died_is_no_bundle(version: str, tmp_path: Path) -> None:
    root = tmp_path / "home"
    first = keep(root, make(tmp_path / "a", "a"), {}, "card")
    shutil.copytree(first.folder, first.folder.parent / f".{version}")
    second = keep(root, make(tmp_path / "b", "b"), {}, "card")
    assert second.identity["version"] == "2"
    assert read_bundle(second.folder) == second and read_bundle(first.folder) == first


def test_a_full_disk_keeps_nothing_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "home"
    first = keep(root, make(tmp_path / "a", "a"), {}, "card")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("versions.write_bundle", "stores.sync"):
        with monkeypatch.context() as patch:
            patch.setattr(f"bonafide.registry.{name}", refuse)
            with pytest.raises(StorageError, match="No space left"):
                keep(root, make(tmp_path / name, name), {}, "card")
        assert list((root / "bundles" / "default").iterdir()) == [first.folder]
    promote(root, first, override="a test")
    second = keep(root, make(tmp_path / "b", "b"), {}, "card")
    with monkeypatch.context() as patch:
        patch.setattr("bonafide.registry.stores.sync", refuse)
        with pytest.raises(StorageError, match="No space left"):
            promote(root, second, override="a test")
    assert find_bundle(root) == first


def test_promote_and_find(tmp_path: Path) -> None:
    root = tmp_path / "home"
    first = keep(root, make(tmp_path / "a", "a"), {}, "card")
    second = keep(root, make(tmp_path / "b", "b"), {}, "card")
    promote(root, second, override="a test")
    assert production_folder(root) == second.folder
    assert find_bundle(root) == second
    promote(root, first, override="a test")  # a rollback
    assert find_bundle(root) == first
    assert find_bundle(root, second.folder) == second
    assert not list(root.glob(".*"))


def test_a_chosen_bundle_needs_no_home(tmp_path: Path) -> None:
    candidate = make(tmp_path / "a")
    assert find_bundle(tmp_path / "nowhere", candidate.folder) == candidate


def test_with_nothing_in_production_the_shipped_bundle_answers(tmp_path: Path) -> None:
    keep(tmp_path, make(tmp_path / "a"), {}, "card")
    shipped = find_bundle(tmp_path)
    assert shipped.folder == SHIPPED
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 40e6
    assert "simulated" not in (SHIPPED / "card.md").read_text()


def test_the_bundle_in_production_was_removed(tmp_path: Path) -> None:
    kept = keep(tmp_path, make(tmp_path / "a"), {}, "card")
    promote(tmp_path, kept, override="a test")
    shutil.rmtree(kept.folder)
    with pytest.raises(BundleError, match="no bundle is here") as error:
        find_bundle(tmp_path)
    assert error.value.code == "no_bundle"


def test_the_bundle_in_production_was_altered(tmp_path: Path) -> None:
    kept = keep(tmp_path, make(tmp_path / "a"), {}, "card")
    promote(tmp_path, kept, override="a test")
    kept.graph_path("cnn").write_bytes(b"evil")
    with pytest.raises(BundleError, match=r"cnn\.onnx: its sha256 is") as error:
        find_bundle(tmp_path)
    assert error.value.code == "altered"


@pytest.mark.parametrize("damage", ["gru.onnx", "manifest.json"])
def test_a_damaged_version_stands_in_nobodys_way(damage: str, tmp_path: Path) -> None:
    first = keep(tmp_path, make(tmp_path / "a", "a"), {}, "card")
    second = keep(tmp_path, make(tmp_path / "b", "b"), {}, "card")
    (first.folder / damage).unlink()
    assert keep(tmp_path, make(tmp_path / "b again", "b"), {}, "card") == second
    assert keep(tmp_path, make(tmp_path / "c", "c"), {}, "card").identity["version"] == "3"
    assert first.folder.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "default"}'])
def test_a_broken_note_of_what_is_in_production(content: str, tmp_path: Path) -> None:
    (tmp_path / "production.json").write_text(content)
    with pytest.raises(BundleError, match=r"production\.json"):
        find_bundle(tmp_path)


# --- work folders ---------------------------------------------------------------------------------


def test_a_work_folder_is_this_processes_and_is_cleaned(tmp_path: Path) -> None:
    folder = work_folder(tmp_path)
    assert folder.is_dir() and folder == work_folder(tmp_path)
    (folder / "half.bin").write_bytes(b"x")
    assert str(os.getpid()) in folder.parts
    clean_work(tmp_path)
    assert not folder.exists()


def test_work_of_the_living_stays_and_of_the_dead_goes(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        theirs = tmp_path / "work" / str(other.pid)
        theirs.mkdir(parents=True)
        (theirs / "f").write_bytes(b"x")
        clean_work(tmp_path)
        assert (theirs / "f").exists()
        other.communicate(b"\n")
    clean_work(tmp_path)
    assert not theirs.exists()


def test_clean_work_touches_nothing_else(tmp_path: Path) -> None:
    kept = keep(tmp_path, make(tmp_path / "a"), {}, "card")
    promote(tmp_path, kept, override="a test")
    work_folder(tmp_path)
    clean_work(tmp_path)
    assert find_bundle(tmp_path) == kept


def test_links_that_lead_to_each_other_are_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    for variable in ("BONAFIDE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv("BONAFIDE_HOME", raising=False)
        monkeypatch.setenv(variable, str(tmp_path / "one"))
        with pytest.raises(ConfigError, match=f"{variable}=") as caught:
            home()
        assert caught.value.code == "bad_home"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_manifest_with_what_json_lacks_is_none(tmp_path: Path, value: str) -> None:
    bundle = make(tmp_path / "bundle", note="here")
    path = bundle.folder / MANIFEST
    path.write_text(path.read_text().replace('"note": "here"', f'"note": {value}'))
    with pytest.raises(BundleError, match=f"{value} is no JSON") as caught:
        read_bundle(bundle.folder)
    assert caught.value.code == "bad_manifest"


# --- entries that are whole, hashes and all, and wrong --------------------------------------------

LINE = {"slope": 1.0, "intercept": 0.0}
INTERVAL = {"value": 0.1, "low": 0.05, "high": 0.2}
ERRORS = {"rows": 9, "undecided": 0.5, **dict.fromkeys(OF_ERRORS, INTERVAL)}
NUMBERS = ("0.5", True, None, 10**400, 1e308, [0.5])  # none is a share
WRONG: list[tuple[str, Any]] = [
    *(("prior_spoof", value) for value in ("x", 0, 1, -0.1, *NUMBERS)),
    *(("thresholds", value) for value in ({}, [], None, "x", {"bonafide_to": 0.2})),
    *(("thresholds.bonafide_to", v) for v in NUMBERS if v is not None),  # null: no such verdict
    *(("thresholds.spoof_from", value) for value in (1.1, "high")),
    *(("thresholds.distance_to", value) for value in ("x", None, True, -1.0, 10**400)),
    *(("thresholds.parts_from", value) for value in ("x", None, [1])),
    *(("thresholds.sequential", value) for value in (None, [], {}, {"channels": {}})),
    *(("thresholds.sequential.correlation", value) for value in NUMBERS),
    *(("thresholds.sequential.wrong_at_most", value) for value in NUMBERS),
    *(("thresholds.sequential.channels", value) for value in (None, [])),
    *(("thresholds.sequential.channels.clean", value) for value in (None, 0.5, {"spoof_to": 0.0})),
    *(("thresholds.sequential.channels.clean.spoof_to", v) for v in ("x", None, True, 10**400, 0)),
    *(("thresholds.channels", value) for value in (None, [])),
    *(("thresholds.channels.clean", value) for value in (0.5, None, {"spoof_from": "x"})),
    *(("choice", value) for value in ("best", None, 3, ["logistic"])),
    *(("calibration", value) for value in ({}, None, {"slope": 1.0}, {**LINE, "more": 1.0})),
    *(("calibration", {**LINE, "slope": value}) for value in ("1", None, True, 10**400)),
    *(("stages.0.calibration", value) for value in ({}, [1.0, 0.0])),
    *(("stages.0.thresholds", value) for value in ({}, None)),
    *(("views", value) for value in (None, [], {"cnn": 3}, {"cnn": None})),
    *(("metrics", value) for value in ([], None, "x", 0.1)),
    *(("metrics.eer", value) for value in (0.2, None, {"value": 0.2}, {**INTERVAL, "low": 0.9})),
    *(("metrics.eer", {**INTERVAL, "value": value}) for value in ("a", *NUMBERS)),
    *(("metrics.cllr", value) for value in (0.2, {"value": 0.2}, {**INTERVAL, "high": "a"})),
    *(("metrics.rows", value) for value in (3, ["x"])),
    *(("corpus", value) for value in ([], None, 3)),
    *(("corpus.rows", value) for value in ("x", 1.5, -1, True, None)),
    *(("corpus.rows_sha256", value) for value in (3, None)),
    *(("created", value) for value in (3, None, ["x"])),
    *(("channel_errors.clean", value) for value in ({}, None, {**ERRORS, "rows": "x"})),
    *(("channel_errors.clean.undecided", value) for value in NUMBERS),
    *((f"channel_errors.clean.{kind}", value) for kind in OF_ERRORS for value in (None, 0.1)),
    *(("typical_bands", value) for value in ([], [0.0], [[0.0] * 8] * 3, None, "x", {})),
    *(("typical_bands", [[value] * 8] * 2) for value in ("1", True, 10**400, 1e308, 1000.5, None)),
    *(("typical_bands", [0.0] * 7 + [value]) for value in ("1", False, -1e4)),
]


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(shipped_folder("fast"), tmp_path_factory.mktemp("wrong") / "fast")


@pytest.mark.parametrize(
    ("entry", "value"), WRONG, ids=[f"{entry}={value!r}"[:60] for entry, value in WRONG]
)
def test_a_wrong_entry_is_told_when_the_bundle_is_read(fast: Path, entry: str, value: Any) -> None:
    """Every hash is right, so nothing else would notice before something is worked out of it."""
    manifest = json.loads((shipped_folder("fast") / MANIFEST).read_text(encoding="utf-8"))
    *outer, last = [int(key) if key.isdigit() else key for key in entry.split(".")]
    inner = manifest
    for key in outer:
        inner = inner[key]
    inner[last] = value
    write_bundle(fast, manifest)
    with pytest.raises(BundleError, match=re.escape(str(last))) as caught:
        read_bundle(fast)
    assert caught.value.code == "bad_manifest"
    assert len(caught.value.message) < 500 + len(str(fast))  # however long what was seen is


def test_the_shipped_manifests_are_read_and_state_the_bands_that_explanations_tell_apart() -> None:
    for name in ("default", "fast"):
        manifest = read_bundle(shipped_folder(name)).manifest
        assert [len(row) for row in manifest[TYPICAL]] == [N_BANDS] * 2 == [len(EDGES_HZ) - 1] * 2
