"""The registry: stages, holds, the way back, and the journal that tells them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minisign import KeyPair

from bonafide.bundle import Bundle, read_bundle
from bonafide.cli import main
from bonafide.errors import BonafideError, BundleError, ConfigError, RegistryError
from bonafide.home import SHIPPED
from bonafide.registry import Entry, Registry, Role, State, Version, find_bundle, registry_of
from bonafide.registry.beside import begin, end, percent, split_share
from bonafide.registry.listing import listed, measured, reference, waiting
from bonafide.registry.trust import VARIABLE
from tests.unit.test_bundle import make

PASSED = json.dumps({"reasons": [], "compared": "it is better"}).encode()


@pytest.fixture(params=["folder", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """An empty registry, in a folder or in an object store."""
    url = tmp_path / "home" if request.param == "folder" else f"memory://{uuid4().hex}/models"
    return Registry(url, tmp_path / "cache")


@pytest.fixture
def bundles(registry: Registry, tmp_path: Path) -> list[Bundle]:
    """Four versions of one bundle, kept."""
    return [kept(registry, tmp_path, str(number)) for number in range(4)]


def kept(registry: Registry, folder: Path, salt: str, name: str = "mine") -> Bundle:
    candidate = make(folder / f"candidate {name} {salt}", salt, name=name)
    return registry.versions.keep(candidate, {}, f"# {salt}\n")


def promote(registry: Registry, *bundles: Bundle) -> None:
    for bundle in bundles:
        registry.promote(bundle, override="a test")


def stages(registry: Registry, bundles: list[Bundle]) -> list[str]:
    state = registry.state()
    return [state.stage(Version.of(bundle)) for bundle in bundles]


def actions(registry: Registry) -> list[tuple[str, str, str]]:
    """Return what the journal says: action, version it is about, version in production since."""
    return [
        (entry.action, entry.bundle.version, entry.after.version if entry.after else "-")
        for entry in registry.journal()
    ]


# --- promotion ------------------------------------------------------------------------------------


def test_stages(registry: Registry, bundles: list[Bundle]) -> None:
    assert registry.production() is None and registry.find().folder == SHIPPED
    assert stages(registry, bundles) == ["staging"] * 4
    promote(registry, bundles[0], bundles[2])
    assert stages(registry, bundles) == ["archived", "staging", "production", "staging"]
    assert registry.find().identity == bundles[2].identity
    assert registry.find("mine").identity == bundles[2].identity


def test_the_journal_says_who_when_why_from_and_to(
    registry: Registry, bundles: list[Bundle]
) -> None:
    registry.add_report(bundles[0], ".gate.json", PASSED)
    registry.promote(bundles[0], why="it is better")
    registry.promote(bundles[1], override="on call")
    first, second = registry.journal()
    assert (first.number, first.action, first.why, first.override) == (
        *(1, "promote", "it is better", False),
    )
    assert first.before is None and first.after == Version.of(bundles[0]) == second.before
    assert (second.why, second.override, second.after) == (
        *("on call", True, Version.of(bundles[1])),
    )
    assert "@" in first.by and first.at.endswith("+00:00") and first.at <= second.at
    assert second.to_json()["from"] == bundles[0].identity
    assert Registry(registry.url).journal() == [first, second]


def test_what_is_in_production_already_is_no_switch(
    registry: Registry, bundles: list[Bundle]
) -> None:
    promote(registry, bundles[0], bundles[0])
    assert len(registry.journal()) == 1


REFUSED = {
    "no report": (None, "no report of the gate can be read"),
    "not JSON": (b"{", "no report of the gate can be read"),
    "no reasons": (b"{}", "no report of the gate can be read"),
    "failed": (b'{"reasons": ["EER is 45 %"]}', "EER is 45 %"),
    "another champion": (
        json.dumps({"reasons": [], "champion": {"name": "a", "version": "7", "sha256": "0"}}),
        "the gate compared it with a:7, not with the shipped default",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_passes_without_the_gate(
    registry: Registry, bundles: list[Bundle], case: str
) -> None:
    content, said = REFUSED[case]
    if content is not None:
        registry.add_report(
            bundles[0], ".gate.json", content.encode() if isinstance(content, str) else content
        )
    with pytest.raises(RegistryError, match=f"mine:1: {said}.*--override REASON") as caught:
        registry.promote(bundles[0])
    assert caught.value.code == "not_gated"
    assert registry.journal() == [] and registry.production() is None


def test_a_gate_that_compared_with_what_is_in_production(
    registry: Registry, bundles: list[Bundle]
) -> None:
    promote(registry, bundles[0])
    report = {"reasons": [], "champion": bundles[0].identity}
    registry.add_report(bundles[1], ".gate.json", json.dumps(report).encode())
    promote(registry, bundles[2])
    with pytest.raises(RegistryError, match="compared it with mine:1, not with mine:3"):
        registry.promote(bundles[1])
    registry.rollback()
    registry.release(bundles[0])
    registry.promote(bundles[1])
    assert registry.production() == Version.of(bundles[1])


def test_a_promotion_that_was_decided_on_another_state_is_refused_and_told(
    registry: Registry, bundles: list[Bundle]
) -> None:
    promote(registry, bundles[0])
    seen = registry.state()
    promote(registry, bundles[1])
    with pytest.raises(RegistryError, match="mine:3: mine:2 came into production") as caught:
        registry.promote(bundles[2], override="late", seen=seen)
    assert caught.value.code == "overtaken"
    assert actions(registry) == [
        ("promote", "1", "1"),
        ("promote", "2", "2"),
        ("refused", "3", "2"),
    ]


# --- the way back ---------------------------------------------------------------------------------


def test_rollback_goes_back_and_holds(registry: Registry, bundles: list[Bundle]) -> None:
    promote(registry, *bundles[:3])
    assert registry.rollback(why="it is loud").after == Version.of(bundles[1])
    assert stages(registry, bundles) == ["archived", "production", "archived", "staging"]
    for bundle in (bundles[2], bundles[3]):
        with pytest.raises(RegistryError, match=r"mine:2: held since .* \(it is loud\)") as caught:
            registry.promote(bundle, override="again")
        assert caught.value.code == "held"
    assert registry.rollback().after == Version.of(bundles[0])  # not to and fro
    assert list(registry.state().holds) == [Version.of(bundles[0])]


def test_rollback_is_of_what_was_seen(registry: Registry, bundles: list[Bundle]) -> None:
    promote(registry, *bundles[:2])
    seen = registry.state()
    promote(registry, bundles[2])
    with pytest.raises(RegistryError) as caught:
        registry.rollback("mine:1", seen=seen)
    assert caught.value.code == "overtaken"
    assert registry.production() == Version.of(bundles[2])


def test_rollback_to_a_name_and_forward_again(registry: Registry, bundles: list[Bundle]) -> None:
    promote(registry, *bundles[:3])
    registry.rollback("mine:1")
    registry.rollback("mine:3")
    assert registry.production() == Version.of(bundles[2])
    registry.rollback()
    assert registry.production() == Version.of(bundles[0])


def test_rollback_of_the_first_leads_to_what_ships(
    registry: Registry, bundles: list[Bundle]
) -> None:
    with pytest.raises(RegistryError, match="nothing is in production"):
        registry.rollback()
    promote(registry, bundles[0])
    registry.rollback()
    shipped = read_bundle(SHIPPED).identity
    assert registry.find().identity == shipped and registry.find().folder != SHIPPED
    with pytest.raises(RegistryError, match=r"default:\S+: held"):
        promote(registry, bundles[0])
    registry.rollback("mine:1")  # a person may
    assert registry.production() == Version.of(bundles[0])


def test_what_cannot_be_rolled_back_to(registry: Registry, bundles: list[Bundle]) -> None:
    promote(registry, bundles[0], bundles[1])
    for ref, code in {"mine:2": "no_earlier", "mine:3": "never_served"}.items():
        with pytest.raises(RegistryError) as caught:
            registry.rollback(ref)
        assert caught.value.code == code
    with pytest.raises(BundleError, match="no bundle 'mine:9'"):
        registry.rollback("mine:9")


def test_a_damaged_bundle_is_not_gone_back_to(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home")
    first, second = (kept(registry, tmp_path, salt) for salt in "ab")
    promote(registry, first, second)
    first.graph_path("cnn").write_bytes(b"evil")
    with pytest.raises(BundleError, match=r"cnn\.onnx"):
        registry.rollback()
    assert registry.production() == Version.of(second)


def test_holds(registry: Registry, bundles: list[Bundle]) -> None:
    promote(registry, bundles[0])
    registry.hold(bundles[1], why="for a person to hear")
    assert registry.hold(bundles[1]) is None
    with pytest.raises(RegistryError, match=r"mine:2: held .*\(for a person to hear\)"):
        registry.promote(bundles[1], override="now")
    registry.release(bundles[1])
    assert registry.release(bundles[1]) is None
    registry.promote(bundles[1], override="now")
    assert registry.production() == Version.of(bundles[1])


# --- beside production ----------------------------------------------------------------------------


def beside(registry: Registry) -> dict[str, str]:
    """Return what the journal says is beside production."""
    found = Registry(registry.url).state().beside
    return {role: f"{entry.bundle}:{percent(entry.share)}" for role, entry in found.items()}


def test_a_shadow_and_a_canary_leave_production_as_it_is(
    registry: Registry, bundles: list[Bundle]
) -> None:
    promote(registry, bundles[0], bundles[1])
    stamp = registry.sound().stamp
    begin(registry, "shadow", bundles[2])
    begin(registry, "canary", bundles[3], share=0.05, why="a trial")
    assert beside(registry) == {"shadow": "mine:3:0%", "canary": "mine:4:5%"}
    assert begin(registry, "canary", bundles[3], share=0.05) is None
    begin(registry, "canary", bundles[3], share=0.2)
    begin(registry, "canary", bundles[2], share=0.5)  # may be both
    assert beside(registry) == {"shadow": "mine:3:0%", "canary": "mine:3:50%"}
    assert registry.sound().stamp == stamp and stages(registry, bundles)[2:] == ["staging"] * 2
    assert end(registry, "shadow") and end(registry, "shadow") is None
    assert beside(registry) == {"canary": "mine:3:50%"}
    assert registry.rollback().after == Version.of(bundles[0])
    assert beside(registry) == {"canary": "mine:3:50%"}
    registry.release(bundles[0])
    promote(registry, bundles[2])
    assert beside(registry) == {} and stages(registry, bundles)[2] == "production"
    assert [entry.action for entry in registry.journal()[2:]] == [
        *("shadow", "canary", "canary", "canary", "no_shadow", "rollback", "release", "promote"),
    ]
    assert [entry.share for entry in registry.journal()[2:6]] == [0.0, 0.05, 0.2, 0.5]
    assert "share" not in registry.journal()[0].to_json()


def test_a_canary_returns_once_and_no_other_in_its_place(
    registry: Registry, bundles: list[Bundle]
) -> None:
    first = begin(registry, "canary", bundles[0], share=0.05)
    again = begin(registry, "canary", bundles[0], share=0.2)
    assert first and again
    assert end(registry, "canary", why="it errs", returned=first.number) is None
    returned = end(Registry(registry.url), "canary", why="it errs", returned=again.number)
    assert returned and (returned.action, returned.why) == ("returned", "it errs")
    assert end(registry, "canary", why="it errs", returned=again.number) is None
    assert beside(registry) == {} and registry.production() is None


def test_a_canary_that_is_held_is_none_any_more(registry: Registry, bundles: list[Bundle]) -> None:
    begin(registry, "shadow", bundles[0])
    begin(registry, "canary", bundles[0], share=0.05)
    registry.hold(bundles[1])
    assert set(beside(registry)) == {"shadow", "canary"}
    registry.hold(bundles[0], why="it is loud")
    assert set(beside(registry)) == {"shadow"}  # which answers nobody
    registry.release(bundles[0])
    assert set(beside(registry)) == {"shadow"} and registry.journal()[3].why == "it is loud"


@pytest.mark.parametrize(
    ("typed", "share"),
    [("7%", 0.07), ("99.9999999%", 0.999999999), ("0.000001%", 1e-8), ("20.0%", 0.2)],
)
def test_a_share_is_told_as_it_can_be_typed(typed: str, share: float) -> None:
    assert split_share(f"mine:3:{typed}") == ("mine:3", share)
    assert split_share(f"mine:3:{percent(share)}") == ("mine:3", share)
    assert percent(share) == typed.replace(".0%", "%")


def test_what_cannot_be_beside_production(
    registry: Registry, bundles: list[Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(registry, bundles[0])
    registry.hold(bundles[1], why="it is loud")
    refused: list[tuple[Role, Bundle, str]] = [
        ("shadow", bundles[0], "in_production"),
        ("canary", bundles[0], "in_production"),
        ("canary", bundles[1], "held"),
        ("canary", read_bundle(SHIPPED), "not_kept"),
        ("shadow", read_bundle(SHIPPED), "not_kept"),
    ]
    for role, bundle, code in refused:
        with pytest.raises(RegistryError) as caught:
            begin(registry, role, bundle, share=0.05 if role == "canary" else 0.0)
        assert caught.value.code == code
    begin(registry, "shadow", bundles[1])  # it may listen
    monkeypatch.setenv(VARIABLE, KeyPair.generate().public_key.to_base64().decode())
    with pytest.raises(BundleError) as unsigned:
        begin(registry, "shadow", bundles[2])
    assert unsigned.value.code == "unsigned" and beside(registry) == {"shadow": "mine:2:0%"}


# --- any order of switches ------------------------------------------------------------------------

KNOWN = [Version("mine", str(number), "0" * 64) for number in range(1, 4)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["promote", "rollback"]), st.sampled_from(KNOWN))))
def test_going_back_never_ends_where_it_began(steps: list[tuple[str, Version]]) -> None:
    state = State()
    for action, version in steps:
        if version == state.production or (action == "rollback" and version not in state.served):
            continue
        entry = Entry(state.number + 1, action, version, state.production, version, "")
        state = state.after(Entry.from_bytes(entry.to_bytes(), entry.number))
        assert state.production == version and state.line[-1] == version
        assert state.switch == state.number and set(state.line) <= state.served
        assert [state.stage(each) for each in KNOWN].count("production") == 1
    depth = len(state.line)
    for left in range(depth - 1, 0, -1):
        target = state.line[-2]
        if target == state.production:
            break
        entry = Entry(state.number + 1, "rollback", target, state.production, target, "")
        state = state.after(entry)
        assert len(state.line) <= left


# --- what is there --------------------------------------------------------------------------------


def test_homes_of_earlier_versions(tmp_path: Path) -> None:
    root = tmp_path / "home"
    registry = Registry(root)
    first, second = (kept(registry, tmp_path, salt) for salt in "ab")
    note = root / "production.json"
    note.write_text(json.dumps(first.identity))
    assert find_bundle(root) == first and registry.journal() == []
    promote(registry, second)
    assert not note.exists()
    assert registry.journal()[0].before == Version.of(first)
    note.write_text(json.dumps(first.identity))  # one that an old process writes says nothing
    assert find_bundle(root) == second
    registry.rollback()
    assert find_bundle(root) == first


def test_a_damaged_note_is_said_and_replaced(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    bundle = kept(registry, tmp_path, "a")
    (tmp_path / "production.json").write_text("{")
    with pytest.raises(BundleError, match=r"production\.json: does not name a bundle"):
        registry.production()
    promote(registry, bundle)
    assert registry.production() == Version.of(bundle)


def garble(journal: Path) -> None:
    (journal / "00000002.json").write_text("{")


def lose(journal: Path) -> None:
    (journal / "00000001.json").unlink()


def renumber(journal: Path) -> None:
    (journal / "00000002.json").write_bytes((journal / "00000001.json").read_bytes())


@pytest.mark.parametrize("damage", [garble, lose, renumber])
def test_a_damaged_journal_is_an_error(damage: Callable[[Path], None], tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    bundles = [kept(registry, tmp_path, salt) for salt in "abc"]
    promote(registry, *bundles[:2])
    damage(tmp_path / "journal")
    for act in (registry_of(tmp_path).state, registry_of(tmp_path).rollback):
        with pytest.raises(RegistryError, match=r"journal/0000000\d\.json: not an entry") as error:
            act()
        assert error.value.code == "bad_journal"


ODD: dict[str, dict[str, Any]] = {
    "an action that is none": {"action": "zzz"},
    "no reason": {"why": None},
    "nobody": {"by": 5},
    "a number that is none": {"number": 2.0},
    "an override that is none": {"override": "no"},
    "a share of a promotion": {"share": 0.5},
    "a canary without a share": {"action": "canary"},
    "a canary for all": {"action": "canary", "share": 1.0},
    "a share that is none": {"action": "canary", "share": "5%"},
    "a name that is none": {"bundle": {"name": ["x"], "version": "1", "sha256": "0" * 64}},
    "a name that leads elsewhere": {"to": {"name": "../../x", "version": "1", "sha256": "0" * 64}},
    "a version that leads elsewhere": {"to": {"name": "mine", "version": "..", "sha256": "0"}},
    "a hash that is none": {"to": {"name": "mine", "version": "1", "sha256": {}}},
}


@pytest.mark.parametrize("odd", ODD)
def test_an_entry_that_is_json_but_none_of_the_journal(odd: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    promote(registry, *(kept(registry, tmp_path, salt) for salt in "ab"))
    path = tmp_path / "journal/00000002.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | ODD[odd]))
    with pytest.raises(RegistryError, match=r"journal/00000002\.json: not an entry") as caught:
        registry_of(tmp_path).state()
    assert caught.value.code == "bad_journal"


def test_the_end_of_a_hold_that_is_none_changes_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    promote(registry, kept(registry, tmp_path, "a"))
    registry.hold(registry.find())
    path = tmp_path / "journal/00000002.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"action": "release"}))
    assert registry_of(tmp_path).state().holds == {}


def test_another_bundle_in_its_place_is_not_served(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home")
    first, second = (kept(registry, tmp_path, salt) for salt in "ab")
    promote(registry, first)
    shutil.rmtree(first.folder)
    shutil.copytree(second.folder, first.folder)
    with pytest.raises(BundleError, match="the journal says") as caught:
        registry.find()
    assert caught.value.code == "altered"


def test_what_a_running_reader_sees(registry: Registry, bundles: list[Bundle]) -> None:
    other, seen = Registry(registry.url), [registry.sound().stamp]
    for act in (
        lambda: promote(other, bundles[0]),
        lambda: promote(other, bundles[1]),
        other.rollback,
    ):
        act()
        seen.append(registry.sound().stamp)
    other.release(bundles[0])
    assert len(set(seen)) == 4 and registry.sound().stamp == seen[-1]


def test_an_object_store_in_place_of_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"memory://{uuid4().hex}"
    monkeypatch.setenv("BONAFIDE_REGISTRY", url)
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    registry = registry_of(tmp_path / "home")
    bundle = kept(registry, tmp_path, "a")
    assert main(["models", "promote", "mine", "--override", "a test"]) == 0
    assert find_bundle(tmp_path / "home").identity == bundle.identity
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("\n")[2])[0]["stage"] == "production"
    assert not (tmp_path / "home" / "bundles").exists()


@pytest.mark.parametrize("url", ["ftp://host/models", "http://host", "://", "s4://bucket"])
def test_stores_that_cannot_hold_a_registry(url: str) -> None:
    with pytest.raises(ConfigError, match="must be a folder or begin with one of s3, gs") as caught:
        Registry(url)
    assert caught.value.code == "unsupported_store"


def test_a_store_that_does_not_keep_to_conditions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    write = MemoryFileSystem.pipe_file
    monkeypatch.setattr(
        MemoryFileSystem, "pipe_file", lambda self, path, value, mode="": write(self, path, value)
    )
    registry = Registry(f"memory://{uuid4().hex}", tmp_path)
    with pytest.raises(ConfigError, match="wrote an object where one was") as caught:
        kept(registry, tmp_path, "a")
    assert caught.value.code == "unsupported_store"


# --- between registries ---------------------------------------------------------------------------


def test_push_and_pull(registry: Registry, bundles: list[Bundle], tmp_path: Path) -> None:
    registry.add_report(bundles[1], ".gate.json", PASSED)
    other = Registry(tmp_path / "other")
    there = registry.copy_to(other, bundles[1])
    assert there.identity == bundles[1].identity and there.folder.is_relative_to(tmp_path / "other")
    assert {path.name for path in there.folder.iterdir()} == {
        path.name for path in bundles[1].folder.iterdir()
    }
    assert registry.copy_to(other, bundles[1]) == there
    other.promote(there)  # the report of the gate came along
    back = other.copy_to(registry, other.find())
    assert back.identity == bundles[1].identity
    assert len(registry.versions.kept()) == 4


def test_a_report_that_is_there_is_not_replaced(registry: Registry, bundles: list[Bundle]) -> None:
    """Or whoever can write a registry could lift a refusal of another."""
    refusal = json.dumps({"reasons": ["worse"]}).encode()
    registry.add_report(bundles[0], ".gate.json", refusal)
    other = Registry(f"memory://{uuid4().hex}/models")
    there = registry.copy_to(other, bundles[0])
    other.add_report(there, ".gate.json", PASSED)
    other.copy_to(registry, there)
    with pytest.raises(RegistryError, match="worse"):
        registry.promote(bundles[0])


def test_what_lies_beside_a_bundle_is_none_of_it(
    registry: Registry, bundles: list[Bundle], tmp_path: Path
) -> None:
    (bundles[0].folder / ".DS_Store").write_bytes(b"x")
    (bundles[0].folder / "notes").mkdir()
    there = registry.copy_to(Registry(tmp_path / "other"), read_bundle(bundles[0].folder))
    assert there.identity == bundles[0].identity
    assert not (there.folder / ".DS_Store").exists()


@pytest.mark.parametrize("name", ["../../victim", "..", "a/b", "", "A", 5, None, ["a"], "x" * 50])
def test_a_name_that_leads_elsewhere_is_no_name(name: Any, tmp_path: Path) -> None:
    """A registry of others may name anything; what is read and written lies in folders of it."""
    folder = tmp_path / "other/bundles/mine/1"
    make(folder, name=name)
    with pytest.raises(BundleError, match=r"name .*: must match") as caught:
        read_bundle(folder)
    assert caught.value.code == "bad_manifest"
    assert Registry(tmp_path / "other").versions.kept() == []


def test_nothing_is_removed_but_drafts_of_ours(registry: Registry, tmp_path: Path) -> None:
    for name in (".ssh", ".draft"):
        (tmp_path / "home/bundles/mine" / name).mkdir(parents=True)
    first = kept(registry, tmp_path, "a")
    assert first.identity["version"] == "1"
    if registry.url == str(tmp_path / "home"):
        assert sorted(path.name for path in (tmp_path / "home/bundles/mine").iterdir()) == [
            *(".ssh", "1"),
        ]


@pytest.mark.parametrize("what", ["shipped", "elsewhere", "another of its name"])
def test_only_what_is_kept_is_promoted_or_held(
    registry: Registry, tmp_path: Path, what: str
) -> None:
    there = tmp_path / "elsewhere"
    if what == "shipped":
        bundle = registry.find("fast")
    elif what == "elsewhere":
        bundle = make(there, name="mine", version="1")
    else:
        mine = kept(registry, tmp_path, "a")
        registry.add_report(mine, ".gate.json", PASSED)
        bundle = make(there, "b", name="mine", version="1")
    for switch in (lambda: registry.promote(bundle, override="x"), lambda: registry.hold(bundle)):
        with pytest.raises(RegistryError, match="keep it first: bonafide models push") as caught:
            switch()
        assert caught.value.code == "not_kept"
    assert registry.journal() == []
    registry.promote(registry.copy_to(registry, bundle), override="x")
    assert registry.find().digest() == bundle.digest()


REPORTS: list[Any] = [
    *({"reasons": None}, {"reasons": ""}, {"reasons": 5}, {"reasons": [1]}, {}, [], None),
    *({"reasons": [], "champion": each} for each in ([], "x", {}, {"sha256": 5})),
]


@pytest.mark.parametrize("report", REPORTS, ids=json.dumps)
def test_what_is_no_report_of_the_gate_lets_nothing_pass(report: Any, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home")
    mine = kept(registry, tmp_path, "a")
    registry.add_report(mine, ".gate.json", json.dumps(report).encode())
    with pytest.raises(RegistryError, match="no report of the gate can be read") as caught:
        registry.promote(mine)
    assert caught.value.code == "not_gated"


def test_a_version_that_is_taken_becomes_the_next(registry: Registry, tmp_path: Path) -> None:
    mine = kept(registry, tmp_path, "a")
    other = Registry(tmp_path / "other")
    theirs = kept(other, tmp_path, "b")
    there = registry.copy_to(other, mine)
    assert there.identity == {**mine.identity, "version": "2"}
    assert read_bundle(theirs.folder) == theirs


def held(registry: Registry) -> str:
    """Return how the last hold is told."""
    entry = next(each for each in registry.journal()[::-1] if each.action == "hold")
    said = f"{entry.at} by {entry.by} ({entry.why})"
    return f"{said}; bonafide models release {entry.bundle} ends that\n"


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path / "home"))
    registry = registry_of(tmp_path / "home")
    for salt in "ab":
        kept(registry, tmp_path, salt)

    def run(*words: str) -> tuple[int, str]:
        status = main(["models", *words])
        out, error = capsys.readouterr()
        return status, out + error

    assert run("promote", "mine:1") == (
        2,
        "bonafide: not_gated: mine:1: no report of the gate can be read (reports/mine-1.gate.json: "
        "FileNotFoundError(2, 'No such file or directory')); promote --override REASON goes past "
        "the gate, and the journal says so\n",
    )
    assert run("hold")[1].endswith("nothing is in production; name a REF\n")
    assert run("promote", "mine:1", "--override", "first") == (
        *(0, "mine:1: in production now, instead of what ships\n"),
    )
    assert run("promote", "mine:2", "--override", "next")[0] == 0
    assert run("promote", "mine:2", "--override", "next")[1] == "mine:2: is in production already\n"
    assert run("rollback", "--why", "loud") == (
        *(0, "mine:1: in production now and held, instead of mine:2\n"),
    )
    listed = json.loads(run("list", "--json")[1])
    assert [(each["version"], each["stage"], each["held"]) for each in listed[:2]] == [
        *(("2", "archived", ""), ("1", "production", "loud")),
    ]
    journal = json.loads(run("list", "--journal", "--json")[1])
    assert [each["action"] for each in journal] == ["rollback", "promote", "promote"]
    assert "override: next" in run("list", "--journal")[1]
    assert "rollback by" in run("show")[1]
    assert run("promote", "mine:2", "--override", "x")[1].startswith("bonafide: held: mine:1: held")
    assert run("release") == (0, "mine:1: released\n")
    assert run("release") == (0, "mine:1: is not held\n")
    assert run("hold", "mine:2", "--why", "wait") == (0, "mine:2: held\n")
    difference = json.loads(run("diff", "mine:2", "--json")[1])
    assert {"entry": "version", "first": "2", "second": "1"} in difference
    assert "files.cnn.onnx" in {each["entry"] for each in difference}
    shipped = run("diff", "default", "fast")[1].splitlines()
    assert any(line.startswith("stages.1.calibration.slope ") for line in shipped)
    assert max(map(len, shipped)) < 250
    assert run("canary", "mine:2:5%") == (2, "bonafide: held: mine:2: held since " + held(registry))
    assert run("release", "mine:2") == (0, "mine:2: released\n")
    assert run("canary", "mine:2:5%", "--why", "try") == (
        *(0, "mine:2: the canary answers 5% of the clients now\n"),
    )
    assert run("canary", "mine:2:5%")[1] == "mine:2: answers 5% of the clients already\n"
    assert run("shadow", "mine:2") == (0, "mine:2: the shadow listens now\n")
    assert "mine:2:5%" in run("list", "--journal")[1]
    assert "canary by" in run("show", "mine:2")[1]
    assert json.loads(run("list", "--json")[1])[0]["beside"] == "canary 5%, shadow"
    assert run("canary", "--off") == (0, "mine:2: no canary any more\n")
    assert run("shadow", "--off")[0] == 0 and run("canary", "--off")[1] == "there is no canary\n"
    assert run("canary", "mine:2")[1].startswith(
        "bonafide: bad_share: 'mine:2': must be REF:SHARE%"
    )
    for words in (["canary"], ["shadow"], ["shadow", "mine:2", "--off"]):
        assert "usage: name a bundle, or give --off\n" in run(*words)[1]
    registry.hold(registry.find("mine:2"))
    url = str(tmp_path / "other")
    assert run("push", "mine:2", "--to", url) == (0, f"mine:2: kept in {url} as mine:2\n")
    assert run("pull", "mine", "--from", url)[1].endswith("home as mine:2\n")
    assert run("pull", "--from", "ftp://x")[1].startswith("bonafide: unsupported_store: ftp://x")
    run("release", "mine:2", "--why", "calm\x1b[2J\nagain")
    shown = run("show", "mine:2")[1]
    assert "\x1b" not in shown and "calm\\x1b[2J\\nagain" in shown
    assert run("push", "mine:2", "--to", "")[1].startswith("bonafide: unsupported_store: ")
    nowhere = str(tmp_path / "nowhere")
    assert run("pull", "--from", nowhere)[1].startswith(f"bonafide: none_served: {nowhere}: ")
    assert run("pull", "fast", "--from", nowhere)[1].startswith("bonafide: not_kept: fast: is not")
    with pytest.raises(BonafideError, match="no bundle"):
        registry.find("gone")


def test_what_is_kept_and_what_ships_are_listed(registry: Registry, bundles: list[Bundle]) -> None:
    promote(registry, *bundles[:2])
    registry.hold(bundles[2], why="a look")
    begin(registry, "canary", bundles[3], share=0.05, why="")
    found = listed(registry)
    assert {each["version"]: each["stage"] for each in found if each["stage"] != "shipped"} == {
        "1": "archived",
        "2": "production",
        "3": "staging",
        "4": "staging",
    }
    assert [each["name"] for each in found[4:]] == ["default", "fast"]
    told = {each["version"]: (each["held"], each["beside"]) for each in found[:4]}
    assert told["3"] == ("a look", "") and told["4"] == ("", "canary 5%")
    for each in found:
        bundle = registry.read(reference(each))
        assert bundle.digest() == each["sha256"]
        if each["stage"] == "shipped":  # the others' are no intervals
            assert measured(registry, each) == bundle.manifest["metrics"]


def test_what_answers_is_listed_though_its_folder_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path)
    first, second, third = (kept(registry, tmp_path, str(n)) for n in range(3))
    promote(registry, first)
    begin(registry, "shadow", second)
    begin(registry, "canary", third, share=0.05)
    for bundle in (first, second, third):
        shutil.rmtree(bundle.folder)
    found = listed(registry)
    assert [each["stage"] for each in found] == [*["missing"] * 3, "shipped", "shipped"]
    assert [each["beside"] for each in found[:3]] == ["", "shadow", "canary 5%"]
    assert [each["sha256"] for each in found[:2]] == [first.digest(), second.digest()]
    assert all(measured(registry, each) == {} for each in found[:3])
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path))
    assert main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["stage"]) for row in rows[1:3]] == [
        ("2", "missing"),
        ("3", "missing"),
    ]


def test_what_waits_is_named_when_a_hold_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path)
    first, passed, refused = (kept(registry, tmp_path, str(n)) for n in range(3))
    promote(registry, first)
    champion = Version.of(first)
    for bundle, reasons in ((passed, []), (refused, ["it is worse"])):
        report = {"reasons": reasons, "champion": asdict(champion)}
        registry.add_report(bundle, ".gate.json", json.dumps(report).encode())
    monkeypatch.setenv("BONAFIDE_HOME", str(tmp_path))
    assert waiting(registry) == Version.of(passed)
    registry.hold(first)
    assert waiting(registry) is None
    assert main(["models", "release"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mine:1: released",
        "mine:2: was kept meanwhile, and does not go into production by itself: "
        "bonafide models promote mine:2",
    ]
    assert main(["models", "promote", "mine:2"]) == 0
    registry.hold(passed)
    capsys.readouterr()
    assert main(["models", "release"]) == 0 and waiting(registry) is None
    assert capsys.readouterr().out == "mine:2: released\n"
