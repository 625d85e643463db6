"""How a bundle is named, the same in every command: a name, a version, a hash or a folder."""

import json
import shutil
from pathlib import Path

import pytest

from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.cli import main
from bonafide.detector import Detector
from bonafide.errors import BundleError, ConfigError
from bonafide.home import SHIPPED, home
from bonafide.registry import bundle_folder, find_bundle, keep, kept_bundles, promote
from bonafide.registry.versions import Versions

OF_SHIPPED = read_bundle(SHIPPED).manifest


def made(folder: Path, name: str, salt: str) -> Bundle:
    """Copy the shipped bundle under another name."""
    shutil.copytree(SHIPPED, folder)
    entries = {key: value for key, value in OF_SHIPPED.items() if key != "version"}
    return write_bundle(folder, {**entries, "name": name, "version": "0", "salt": salt})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep two versions each of two bundles, the first one of `mine` in production."""
    folder = tmp_path_factory.mktemp("references")
    for number, name in enumerate(("mine", "mine", "cafe0123", "cafe0123")):
        candidate = made(folder / str(number), name, str(number))
        kept = keep(folder / "home", candidate, {"created": f"2026-01-0{number + 1}"}, "card")
        if number == 0:
            promote(folder / "home", kept, override="a test")
    return folder / "home"


REFERENCES = {
    "mine": "bundles/mine/1",  # the one in production
    "mine:2": "bundles/mine/2",
    "cafe0123": "bundles/cafe0123/2",  # the newest; a name before a hash
    "cafe0123:1": "bundles/cafe0123/1",
}


@pytest.mark.parametrize("ref", REFERENCES)
def test_names_and_versions(ref: str, root: Path) -> None:
    assert bundle_folder(root, ref) == root / REFERENCES[ref]
    bundle = find_bundle(root, ref)
    for prefix in (bundle.digest(), bundle.digest()[:8]):
        assert find_bundle(root, prefix) == bundle
    assert find_bundle(root, str(bundle.folder)) == find_bundle(root, bundle.folder) == bundle


@pytest.mark.parametrize(
    "ref", ["default", f"default:{OF_SHIPPED['version']}", OF_SHIPPED["sha256"][:10]]
)
def test_the_shipped_one(ref: str, root: Path) -> None:
    assert bundle_folder(root, ref) == SHIPPED


def test_a_kept_one_goes_before_the_shipped_one(tmp_path: Path) -> None:
    for name in ("default", "fast"):
        kept = keep(tmp_path, made(tmp_path / name, name, ""), {}, "card")
        assert bundle_folder(tmp_path, name) == kept.folder


def test_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "bundles")
    for ref in ("mine/2", "./mine/2", "../bundles/mine/2"):
        assert bundle_folder(root, ref) == root / "bundles" / "mine" / "2"
    assert bundle_folder(root, "mine") == root / "bundles" / "mine" / "1"  # a folder, but no bundle
    monkeypatch.chdir("mine")
    assert bundle_folder(root, "2") == root / "bundles" / "mine" / "2"


@pytest.mark.parametrize(
    "ref", ["gone", "mine:3", "mine:", ":1", "", "0123456", "0" * 64, "12345678"]
)
def test_what_names_no_bundle(ref: str, root: Path) -> None:
    with pytest.raises(BundleError, match=f"no bundle {ref!r}; known are cafe0123:2") as caught:
        bundle_folder(root, ref)
    assert caught.value.code == "no_bundle"
    assert caught.value.message.endswith("cafe0123:1, mine:2, mine:1, default, fast")


def test_the_start_of_two_hashes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = [{**each, "sha256": f"abcdef01{n}"} for n, each in enumerate(kept_bundles(root))]
    monkeypatch.setattr(Versions, "kept", lambda _: facts)
    with pytest.raises(BundleError, match="the hashes of cafe0123:2, cafe0123:1, mine:2, mine:1 b"):
        bundle_folder(root, "abcdef01")


def test_commands_agree(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(root))
    assert main(["models", "show", "mine:2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == find_bundle(root, "mine:2").digest()
    assert main(["score", "gone.wav", "--bundle", "mine:9"]) == 2
    assert main(["models", "show", "mine:9"]) == 2
    assert main(["serve", "--bundle", "mine:9"]) == 2
    assert main(["evaluate", "--corpus", str(root), "--bundle", "mine:9"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert sum("no_bundle: mine:9: no bundle" in line for line in errors) == 3


def test_models_list(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(root))
    assert main(["models", "list", "--json"]) == 0
    out, error = capsys.readouterr()
    listed = json.loads(out)
    assert [list(each) for each in listed] == [
        ["name", "version", "stage", "beside", "held", "created", "sha256"]
    ] * 6
    assert [(each["name"], each["version"], each["stage"]) for each in listed] == [
        ("cafe0123", "2", "staging"),
        ("cafe0123", "1", "staging"),
        ("mine", "2", "staging"),
        ("mine", "1", "production"),
        ("default", OF_SHIPPED["version"], "shipped"),
        ("fast", Detector.shipped("fast").bundle.manifest["version"], "shipped"),
    ]
    assert error == ""


def test_models_list_of_an_empty_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path))
    assert main(["models", "list", "--json"]) == 0
    out, error = capsys.readouterr()
    assert [each["name"] for each in json.loads(out)] == ["default", "fast"]
    assert error == f"{tmp_path}: no bundle is kept here yet; the shipped default answers\n"


def test_a_damaged_version_is_left_out_and_costs_the_others_nothing(tmp_path: Path) -> None:
    good = keep(tmp_path, made(tmp_path / "a", "mine", "a"), {}, "card")
    bad = keep(tmp_path, made(tmp_path / "b", "mine", "b"), {}, "card")
    for content in ("", "{", "[]", '{"name": "mine"}'):
        (bad.folder / "manifest.json").write_text(content)
        assert [each["version"] for each in kept_bundles(tmp_path)] == ["1"]
        assert find_bundle(tmp_path, "mine") == good


def test_the_home_is_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BONAFIDE_HOME", "mine")
    assert home() == tmp_path / "mine"
    monkeypatch.delenv("BONAFIDE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert home() == tmp_path / "data" / "bonafide"


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("BONAFIDE_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(ConfigError, match="name one with BONAFIDE_HOME"):
        home()


def test_a_home_that_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the shipped bundle would answer in place of the one that was trained."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "file"))
    assert main(["models", "list"]) == 2
    assert "file: the home (BONAFIDE_HOME) must be a folder" in capsys.readouterr().err
