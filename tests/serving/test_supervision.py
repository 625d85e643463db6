"""Whatever is taken from the service, it comes back when it can, and says so until it has."""

import contextlib
import itertools
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.sounds import encode, speech
from bonafide.bundle import Bundle, read_bundle
from bonafide.home import SHIPPED
from bonafide.registry import keep, production_folder, promote
from tests.helpers.processes import alive
from tests.helpers.servers import Server, server, wait_for

SOUND = encode(speech(5.0), "flac")
OK = 'bonafide_requests_total{code="ok",endpoint="detect",status="200"}'
REFUSED = "the promoted bundle is not served"
LIMIT_S = 60.0


def kept(home: Path, note: str) -> Bundle:
    return keep(home, read_bundle(SHIPPED), {"note": note}, "a variant\n")


@pytest.fixture(scope="module")
def pinned(home: Path) -> Path:
    """The folder of the bundle that `lone` serves."""
    folder = production_folder(home)
    assert folder is not None
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    promote(folder, kept(folder, "the first"), override="a test")
    return folder


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Server]:
    with server(home, workers=2, queue=8) as running:
        yield running


@pytest.fixture(scope="module")
def lone(home: Path, pinned: Path) -> Iterator[Server]:
    with server(home, workers=1, bundle=pinned) as running:
        yield running


def run_folder(service: Server) -> Path:
    (folder,) = service.temp.glob("bonafide-*")
    return folder


def readiness(service: Server) -> tuple[int, str]:
    try:
        answer = service.get("/readyz")
    except httpx.TransportError as error:  # no descriptor was left for this very connection
        return 0, str(error)
    return answer.status_code, answer.json()["error"]["message"] if answer.is_error else ""


def wait_healed(service: Server) -> None:
    """Wait until it is ready with all its scorers, and see that it answers as ever."""
    wanted = len(service.workers())
    wait_for(lambda: len(service.scorers()) == wanted, "all scorers", limit_s=LIMIT_S)
    wait_for(lambda: readiness(service)[0] == 200, "readiness", limit_s=LIMIT_S)
    assert [service.detect(SOUND).status_code for _ in range(4)] == [200] * 4
    wait_for(lambda: service.upload_files() == [], "no upload is left")
    assert "Traceback" not in service.log


def is_not_ready(service: Server, why: str) -> bool:
    status, said = readiness(service)
    return status == 503 and why in said


def wait_not_ready(service: Server, why: str) -> None:
    """Wait until /readyz says why; requests are refused at once, and the worker lives."""
    wait_for(lambda: is_not_ready(service, why), why, limit_s=LIMIT_S)
    start = time.monotonic()
    answer = service.detect(SOUND)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert time.monotonic() - start < 20  # and not at the deadline
    assert service.get("/livez").status_code == 200


TOO_MANY = "Too many open files"


def room_for(process: psutil.Process, spare: int = 1) -> int:
    """Return the limit that leaves so many descriptors beside those that stay open.

    What a start or a look at the home has open for a moment counts as free.
    """
    used = []
    for _ in range(30):
        used.append({int(path.name) for path in Path(f"/proc/{process.pid}/fd").iterdir()})
        time.sleep(0.05)
    stay = set.intersection(*used)
    free = (number for number in itertools.count() if number not in stay)
    return next(itertools.islice(free, spare, None))


@contextlib.contextmanager
def lowered(process: psutil.Process, limit: int, value: int) -> Iterator[None]:
    """Lower a limit of a process for the length of a block."""
    soft, hard = process.rlimit(limit)
    process.rlimit(limit, (value, hard))
    try:
        yield
    finally:
        process.rlimit(limit, (soft, hard))


# --- what a service cannot do without -------------------------------------------------------------


def test_a_shortage_of_descriptors_passes(lone: Server) -> None:
    (worker,) = lone.workers()
    # What else closes meanwhile may leave room to start a process, what opens none to be asked.
    for spare in (1, 0, 2, 1):
        wait_healed(lone)  # what its start had open is closed
        (scorer,) = lone.scorers()
        with lowered(worker, psutil.RLIMIT_NOFILE, room_for(worker, spare)):
            scorer.kill()
            end = time.monotonic() + 20
            while not (is_short := is_not_ready(lone, TOO_MANY)) and time.monotonic() < end:
                time.sleep(0.1)
            if is_short:
                wait_not_ready(lone, TOO_MANY)
                assert lone.scorers() == []
                break
    assert is_short
    wait_healed(lone)
    assert lone.workers() == [worker]


def test_a_shortage_in_the_server_itself_passes(lone: Server) -> None:
    (worker,) = lone.workers()
    first = psutil.Process(lone.service.process.pid)
    with lowered(first, psutil.RLIMIT_NOFILE, 3):
        worker.kill()
        wait_for(lambda: "Too many open files" in lone.log, "it cannot start a worker")
        assert lone.workers() == []
    wait_for(lambda: lone.workers() not in ([], [worker]), "another worker", limit_s=LIMIT_S)
    wait_healed(lone)


def test_a_full_disk_costs_uploads_alone_while_it_is_full(lone: Server) -> None:
    (worker,) = lone.workers()
    before = lone.metric(OK)
    with lowered(worker, psutil.RLIMIT_FSIZE, 0):  # fails where a full disk does
        answer = lone.detect(SOUND)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_room")
        assert all(lone.get(path).status_code == 200 for path in ("/livez", "/metrics"))
    wait_healed(lone)
    assert lone.metric(OK) == before + 4
    assert lone.workers() == [worker]


def test_a_bundle_that_is_gone_is_not_ready_until_it_is_back(lone: Server, pinned: Path) -> None:
    away = pinned.rename(pinned.with_name("away"))
    try:
        wait_for(lambda: readiness(lone)[0] == 503, "it is missed")
        assert "the bundle is gone" in readiness(lone)[1]
        (scorer,) = lone.scorers()
        scorer.kill()
        wait_not_ready(lone, "no bundle is here")
    finally:
        away.rename(pinned)
    wait_healed(lone)


def test_a_scorer_that_does_not_answer_is_not_ready(lone: Server) -> None:
    (scorer,) = lone.scorers()
    scorer.suspend()
    assert readiness(lone) == (503, "the service is not ready: no scorer answers")
    scorer.resume()
    wait_healed(lone)


def test_scorers_that_are_killed_again_and_again_come_back(service: Server) -> None:
    for _ in range(5):
        for scorer in wait_for(service.scorers, "a scorer"):
            scorer.kill()
        time.sleep(0.5)
    wait_healed(service)


# --- the run folder -------------------------------------------------------------------------------


def all_of_it(folder: Path) -> None:
    shutil.rmtree(folder)


def the_queue(folder: Path) -> None:
    (folder / "queue").unlink()


def sockets(folder: Path) -> None:
    for path in folder.glob("*.sock"):
        path.unlink()


@pytest.mark.parametrize("remove", [all_of_it, the_queue, sockets])
def test_what_a_cleaner_removes_is_made_again(
    service: Server, remove: Callable[[Path], None]
) -> None:
    folder, before = run_folder(service), service.metric(OK)
    workers, said = service.workers(), service.log.count("it is made anew")
    remove(folder)
    assert readiness(service)[0] == 503 or service.log.count("it is made anew") > said
    wait_for(lambda: service.log.count("it is made anew") >= said + 2, "both workers notice")
    wait_healed(service)
    assert folder.stat().st_mode & 0o777 == 0o700
    wait_for(lambda: service.metric(OK) == before + 4, "what was counted stays counted")
    assert service.workers() == workers


def test_a_request_whose_upload_a_cleaner_removes_is_told_so(service: Server) -> None:
    for scorer in service.scorers():
        scorer.suspend()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.detect, SOUND)
        for name in wait_for(service.upload_files, "it waits"):
            Path(name).unlink()
        for scorer in service.scorers():
            scorer.resume()
        error = answer.result().json()["error"]
    assert error == {
        "code": "not_ready",
        "message": "the upload was lost in the service; try again",
    }
    wait_healed(service)


# --- promotions -----------------------------------------------------------------------------------


def versions(service: Server) -> set[str]:
    answers = [service.detect(SOUND).json() for _ in range(8)]
    return {each["bundle"]["version"] if "bundle" in each else str(each) for each in answers}


def wait_served(service: Server, bundle: Bundle) -> None:
    wanted = {bundle.identity["version"]}
    wait_for(lambda: versions(service) == wanted, f"{wanted} is served", limit_s=LIMIT_S)
    wait_healed(service)


def test_scorers_that_die_with_a_promotion_leave_no_old_bundle_behind(
    service: Server, home: Path
) -> None:
    new = kept(home, "promoted while scorers die")
    old = service.scorers()
    promote(home, new, override="a test")
    for _ in range(10):  # before, while and after the new ones start
        for scorer in old[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                scorer.kill()
        time.sleep(0.1)
        old = service.scorers()
    wait_served(service, new)
    time.sleep(1.5)
    assert versions(service) == {new.identity["version"]} and len(service.scorers()) == 2


def test_a_promotion_that_cannot_be_served_is_tried_again(service: Server, home: Path) -> None:
    bundle = kept(home, "late")
    away, said = bundle.folder.rename(home / "late"), service.log.count(REFUSED)
    promote(home, bundle, override="a test")
    wait_for(lambda: service.log.count(REFUSED) == said + 2, "both workers say so")
    wait_for(lambda: service.metric("bonafide_stale") == 1, "the metrics say so")
    assert readiness(service)[0] == 200
    away.rename(bundle.folder)
    wait_served(service, bundle)
    wait_for(lambda: service.metric("bonafide_stale") == 0, "the metrics say so")


def test_a_worker_that_starts_on_a_damaged_promotion_serves_the_last_good_one(
    service: Server, home: Path
) -> None:
    (good,) = versions(service)
    broken = kept(home, "broken")
    promote(home, Bundle(broken.folder, broken.manifest), override="a test")
    (broken.folder / "detector.onnx").write_bytes(b"no graph")
    (first, second) = service.workers()
    wait_for(lambda: service.metric("bonafide_stale") == 1 or versions(service) != {good}, "news")
    first.kill()
    wait_for(lambda: len({*service.workers(), first, second}) == 3, "another worker")
    wait_healed(service)
    assert len(versions(service)) == 1
    better = kept(home, "better")
    promote(home, better, override="a test")
    wait_served(service, better)
    shutil.rmtree(broken.folder)


def test_a_bundle_that_is_damaged_while_it_serves_gives_way_to_the_one_before(
    service: Server, home: Path
) -> None:
    graph = kept(home, "damaged in place").folder / "detector.onnx"
    whole = graph.read_bytes()
    (before,) = versions(service)
    promote(home, read_bundle(graph.parent), override="a test")
    wait_served(service, read_bundle(graph.parent))
    graph.unlink()
    graph.write_bytes(whole[:-1])
    for worker in service.workers():
        worker.kill()
    wait_for(lambda: versions(service) == {before}, "the one before is served", limit_s=LIMIT_S)
    assert service.metric("bonafide_stale") == 1
    graph.write_bytes(whole)
    wait_served(service, read_bundle(graph.parent))


def test_a_home_that_cannot_be_read_leaves_the_last_good_bundle(
    service: Server, home: Path
) -> None:
    (good,) = versions(service)
    path = home / "journal"
    away = path.rename(home / "away")
    try:
        for content in (None, "[" * 100_000):
            path.mkdir()
            entry = path / "00000001.json"
            entry.mkdir() if content is None else entry.write_text(content)
            wait_for(lambda: service.metric("bonafide_stale") == 1, "the metrics say so")
            for scorer in service.scorers():
                scorer.kill()
            wait_healed(service)
            assert versions(service) == {good}
            shutil.rmtree(path)
    finally:
        away.rename(path)  # as it was: nothing is promoted
    wait_for(lambda: service.metric("bonafide_stale") == 0, "the metrics say so")
    assert versions(service) == {good}


# --- the end of processes -------------------------------------------------------------------------


def test_the_queue_is_empty_after_a_worker_that_is_killed(service: Server) -> None:
    wait_healed(service)
    scorers = service.scorers()
    for scorer in scorers:
        scorer.suspend()
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(service.detect, SOUND) for _ in range(6)]
        wait_for(lambda: service.metric("bonafide_queue") == 6, "they wait")
        for worker in service.workers():
            worker.kill()
        wait_for(lambda: all(answer.done() for answer in answers), "they are lost")
        assert all(isinstance(answer.exception(), httpx.HTTPError) for answer in answers)
    wait_for(lambda: len(service.workers()) == 2, "other workers", limit_s=LIMIT_S)
    wait_healed(service)
    assert service.metric("bonafide_queue") == 0
    files = list(run_folder(service).glob("bentoml/prometheus_multiproc_dir/counter_*.db"))
    assert len(files) == 2  # those of the dead are gone on with


def test_a_server_that_is_killed_leaves_nothing_whatever_it_does(tmp_path: Path) -> None:
    with server(tmp_path, workers=2) as running, ThreadPoolExecutor(1) as pool:
        first = running.service.process
        started = [process.pid for process in running.tree()]
        for scorer in running.scorers():
            scorer.suspend()
        answer = pool.submit(running.detect, SOUND)
        wait_for(running.upload_files, "a request is in hand")
        wait_for(lambda: running.metric("bonafide_queue") == 1, "it waits for a scorer")
        for scorer in running.scorers():
            scorer.resume()
        first.kill()
        wait_for(lambda: not any(map(alive, started)), "all have ended")
        assert answer.result().status_code == 200  # it was in hand
        with socket.create_server(("127.0.0.1", running.port)):
            pass
        assert list(running.temp.iterdir()) == []
        first.wait()
        running.stop = lambda: None  # type: ignore[method-assign]
