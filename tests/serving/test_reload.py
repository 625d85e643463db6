"""A promotion while the service answers: no request is lost, each answer names its bundle."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.sounds import encode, speech
from bonafide.bundle import Bundle, write_bundle
from bonafide.errors import RegistryError
from bonafide.registry import find_bundle, keep, promote, registry_of
from tests.helpers.servers import Server, load, private_home, server, wait_for

SOUND = encode(speech(5.0), "flac")
LOAD = ("--clients=4", "--seconds=8", "--bundles")
REFUSED = "the promoted bundle is not served"
# Thresholds under which whatever is heard has this verdict: it tells which bundle judged.
ALWAYS = {
    "bonafide": {"bonafide_to": 1.0, "spoof_from": None},
    "spoof": {"bonafide_to": None, "spoof_from": 0.0},
}


def kept(home: Path, verdict: str, note: str = "") -> Bundle:
    """Keep a variant of the bundle in production that always gives one verdict."""
    base = find_bundle(home)
    thresholds = {**base.manifest["thresholds"], **ALWAYS[verdict], "channels": {}}
    return keep(home, base, {"thresholds": thresholds, "note": note}, "a variant\n")


@pytest.fixture(scope="module")
def home(bundle_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = private_home(bundle_home, tmp_path_factory.mktemp("home"))
    promote(folder, kept(folder, "bonafide"), override="a test")
    return folder


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Server]:
    with server(home, workers=2, queue=8) as running:
        yield running


def says(service: Server) -> tuple[str, str]:
    answer = service.detect(SOUND).json()
    return answer["bundle"]["version"], answer["verdict"]


def wait_served(service: Server, bundle: Bundle) -> None:
    """Wait until every worker answers with the bundle."""

    def all_say() -> bool:
        seen = {says(service)[0] for _ in range(8)}
        return seen == {bundle.identity["version"]} and len(service.scorers()) == 2

    wait_for(all_say, f"version {bundle.identity['version']} is served")


def test_a_promotion_under_load_loses_no_request(
    service: Server, home: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.flac"
    clip.write_bytes(SOUND)
    old, new = find_bundle(home), kept(home, "spoof")
    pairs, stop = set[tuple[str, str]](), threading.Event()

    def watch() -> None:
        while not stop.is_set():
            pairs.add(says(service))

    with ThreadPoolExecutor(1) as pool, load(service, clip, *LOAD) as result:
        watching = pool.submit(watch)
        try:
            wait_for(lambda: pairs or watching.done(), "an answer under load")
            promote(home, new, override="a test")
            wait_for(lambda: len(pairs) > 1 or watching.done(), "the new bundle answers")
        finally:
            stop.set()
        watching.result()
    versions = [each.identity["version"] for each in (old, new)]
    assert pairs == set(zip(versions, ("bonafide", "spoof"), strict=True))
    assert set(result["statuses"]) == {"200"} and result["broken"] == 0
    assert set(result["bundles"]) == set(versions)
    wait_served(service, new)
    assert service.get("/v1/model").json()["bundle"] == new.identity


def test_a_rollback_under_load_loses_no_request_and_stays(
    service: Server, home: Path, tmp_path: Path
) -> None:
    """How long it takes is measured by benchmarks.rollback."""
    clip = tmp_path / "clip.flac"
    clip.write_bytes(SOUND)
    good, bad = find_bundle(home), kept(home, "bonafide", "regretted")
    promote(home, bad, override="a test")
    wait_served(service, bad)
    with load(service, clip, *LOAD) as result:
        wait_for(lambda: service.metric("bonafide_queue") > 0, "the load is on")
        registry_of(home).rollback(why="a test")
        wait_for(lambda: says(service)[0] == good.identity["version"], "the old bundle answers")
    assert set(result["statuses"]) == {"200"} and result["broken"] == 0
    wait_served(service, good)
    with pytest.raises(RegistryError, match="held"):
        promote(home, bad, override="an unchanged run")
    registry_of(home).release(good)


def damaged(home: Path, bundle: Bundle) -> None:
    graph = bundle.graph_path("xgboost")
    graph.write_bytes(graph.read_bytes()[:-1])
    promote(home, bundle, override="a test")


def not_a_graph(home: Path, bundle: Bundle) -> None:
    for graph in bundle.folder.glob("*.onnx"):
        graph.write_bytes(b"not a graph")
    promote(home, write_bundle(bundle.folder, bundle.manifest), override="a test")


def removed(home: Path, bundle: Bundle) -> None:
    promote(home, bundle, override="a test")
    shutil.rmtree(bundle.folder)


def garbled(home: Path, _: Bundle) -> None:
    number = len(list((home / "journal").iterdir())) + 1
    (home / "journal" / f"{number:08d}.json").write_text('{"name"')


@pytest.mark.parametrize("break_it", [damaged, not_a_graph, removed, garbled])
def test_a_promotion_of_what_is_no_bundle_changes_nothing(
    service: Server, home: Path, break_it: Callable[[Path, Bundle], None]
) -> None:
    better, broken = (kept(home, "spoof", f"{word} {break_it.__name__}") for word in ("a", "b"))
    before, refused = says(service), service.log.count(REFUSED)
    break_it(home, broken)
    wait_for(lambda: service.log.count(REFUSED) == refused + 2, "both workers say so")
    assert [says(service) for _ in range(8)] == [before] * 8
    assert service.get("/readyz").status_code == 200
    for entry in (home / "journal").iterdir():
        if break_it is garbled and entry.read_text() == '{"name"':
            entry.unlink()
    promote(home, better, override="a test")
    wait_served(service, better)
    shutil.rmtree(broken.folder, ignore_errors=True)


def test_no_reload_was_an_error_of_the_services_own(service: Server) -> None:
    assert "Traceback" not in service.log and "background work ended" not in service.log
