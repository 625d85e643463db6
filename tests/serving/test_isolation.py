"""What a decoder, a client or a dead process may do to the service: nothing that lasts."""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from benchmarks.sounds import encode, speech
from bonafide.process.lifetime import descendants
from bonafide.process.service import running_service
from tests.helpers.processes import alive
from tests.helpers.servers import Server, load, private_home, server, wait_for

SOUND = encode(speech(5.0), "flac")
LONG = encode(np.tile(speech(5.0), 240), "flac")  # twenty minutes: seconds of work
QUEUE, CLIENTS = 3, 4
OK = 'bonafide_requests_total{code="ok",endpoint="detect",status="200"}'
ENDED = "a scorer ended over a request"
HEAD = "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def home(bundle_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return private_home(bundle_home, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Server]:
    with server(home, workers=1, queue=QUEUE) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(home: Path) -> Iterator[Server]:
    with server(home, workers=1, deadline_s=2, upload_s=1) as running:
        yield running


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json().get("error", {}).get("code", "ok")


def check_unharmed(service: Server) -> None:
    """See that the service answers as ever and holds no upload."""
    answer = service.detect(SOUND)
    assert code(answer) == (200, "ok")
    assert service.upload_files() == []
    assert "Traceback" not in service.log


@contextlib.contextmanager
def asked(
    service: Server, content: bytes, count: int = 1
) -> Iterator[list[Future[httpx.Response]]]:
    """Send uploads at once, and go on while they are answered."""
    with ThreadPoolExecutor(count) as pool:
        yield [pool.submit(service.detect, content) for _ in range(count)]


def scorer_at_work(service: Server) -> psutil.Process:
    """Return the scorer once it has taken what was sent: its name is on the upload's file."""
    (scorer,) = wait_for(service.scorers, "a scorer")
    taken = f"bonafide-*/*-*.{scorer.pid}"
    wait_for(lambda: list(service.temp.glob(taken)), "the scorer works")
    return scorer


# --- scorers --------------------------------------------------------------------------------------


def test_a_scorer_that_hangs_is_ended_at_the_deadline(hasty: Server) -> None:
    with asked(hasty, LONG) as (answer,):
        scorer = scorer_at_work(hasty)
        scorer.suspend()
        start = time.monotonic()
        assert code(answer.result()) == (504, "deadline")
    assert time.monotonic() - start < 30  # the deadline is 2 s; it would hang for ever
    wait_for(lambda: not scorer.is_running(), "the work has ended")
    check_unharmed(hasty)


def test_a_queue_that_does_not_move_is_answered_at_the_deadline(hasty: Server) -> None:
    (scorer,) = hasty.scorers()
    scorer.suspend()
    with asked(hasty, SOUND) as (answer,):
        wait_for(lambda: hasty.metric("bonafide_queue") == 1, "the gauge shows who waits")
        assert code(answer.result()) == (504, "deadline")
    assert hasty.metric("bonafide_queue") == 0
    scorer.resume()
    check_unharmed(hasty)
    assert hasty.scorers() == [scorer]  # it was not to blame


def test_a_scorer_that_dies_over_a_request_is_followed_by_another(service: Server) -> None:
    before = service.log.count(ENDED)
    with asked(service, LONG) as (answer,):
        scorer_at_work(service).kill()
        assert code(answer.result()) == (200, "ok")
    assert service.log.count(ENDED) - before == 1
    check_unharmed(service)


def test_an_upload_that_kills_every_scorer_is_refused(service: Server) -> None:
    with asked(service, LONG) as (answer,):
        first = scorer_at_work(service)
        first.kill()
        wait_for(lambda: service.scorers() not in ([], [first]), "another scorer")
        scorer_at_work(service).kill()
        assert code(answer.result()) == (422, "decoder_crashed")
    check_unharmed(service)


def test_a_scorer_that_dies_idle_is_replaced(service: Server) -> None:
    (scorer,) = wait_for(service.scorers, "a scorer")
    scorer.kill()
    check_unharmed(service)
    assert service.scorers() != [scorer]


def test_a_scorer_has_little_to_do_harm_with(service: Server) -> None:
    (scorer,) = wait_for(service.scorers, "a scorer")
    wait_for(lambda: scorer.rlimit(psutil.RLIMIT_CORE) == (0, 0), "it has confined itself")
    assert scorer.rlimit(psutil.RLIMIT_AS) == (4_000_000_000,) * 2
    assert scorer.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert scorer.rlimit(psutil.RLIMIT_NOFILE) == (256, 256)


def test_an_upload_that_takes_too_much_memory_is_refused(service: Server, home: Path) -> None:
    lot = encode(np.tile(speech(5.0), 280), "wav")  # 45 MB, held twice while it is scored
    (scorer,) = wait_for(service.scorers, "a scorer")
    enough_mb = scorer.memory_info().vms / 1e6 + 30
    with server(home, workers=1, scorer_mb=enough_mb) as running:
        assert code(running.detect(lot)) == (422, "decoder_crashed")
        check_unharmed(running)


def test_a_full_queue_is_refused_at_once_and_recovers(service: Server) -> None:
    (scorer,) = wait_for(service.scorers, "a scorer")
    scorer.suspend()
    with asked(service, SOUND, QUEUE + 5) as answers:
        wait_for(lambda: sum(answer.done() for answer in answers) == 4, "four are refused")
        refused = [answer.result() for answer in answers if answer.done()]
        scorer.resume()
        codes = sorted(code(answer.result()) for answer in answers)
    assert codes == [(200, "ok")] * (QUEUE + 1) + [(429, "busy")] * 4
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    check_unharmed(service)


# --- clients --------------------------------------------------------------------------------------


def test_an_endless_body_is_refused_while_it_arrives_in_constant_memory(service: Server) -> None:
    (worker,) = service.workers()
    before, most, sent = worker.memory_info().rss, 0, 0
    chunk = b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20))

    def zeros() -> Iterator[bytes]:
        nonlocal most, sent
        while sent < 5_000_000_000:
            most = max(most, worker.memory_info().rss)
            sent += len(chunk)
            yield chunk

    status, answer = service.raw(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode(), zeros())
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert 50_000_000 < sent < 70_000_000
    assert most - before < 25_000_000
    check_unharmed(service)


def test_a_body_that_does_not_come_is_given_up(hasty: Server) -> None:
    status, answer = hasty.raw(f"{HEAD}Content-Length: 1000\r\n\r\n".encode(), b"RIFF")
    assert (status, answer["error"]["code"]) == (400, "upload_too_slow")
    check_unharmed(hasty)


def test_a_client_that_goes_away_leaves_nothing(service: Server) -> None:
    line = 'bonafide_requests_total{code="client_gone",endpoint="detect",status="499"}'
    before = service.metric(line)
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(f"{HEAD}Content-Length: 9000000\r\n\r\n".encode() + bytes(3_000_000))
        wait_for(service.upload_files, "it is in a file")
    wait_for(lambda: service.upload_files() == [], "the file is closed")
    assert service.metric(line) - before == 1
    check_unharmed(service)


# --- workers --------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_costs_what_it_had_in_hand(home: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.flac"
    clip.write_bytes(SOUND)
    with server(home, workers=2, queue=8) as running:
        first = running.workers()
        with load(running, clip, clients=CLIENTS, seconds=6) as result:
            wait_for(lambda: running.metric(OK) > 20, "load")
            first[0].kill()
            wait_for(lambda: len(running.workers()) == 2, "another worker")
        assert first[0] not in running.workers() and first[1] in running.workers()
        assert set(result["statuses"]) == {"200"}
        assert 0 <= result["broken"] <= CLIENTS
        wait_for(lambda: len(running.scorers()) == 2, "two scorers")
        check_unharmed(running)


def test_a_service_that_is_stopped_while_it_starts_leaves_nothing(home: Path) -> None:
    with server(home, workers=2, ready=False) as starting:
        wait_for(starting.scorers, "a scorer starts")


def test_a_server_that_is_killed_takes_all_with_it(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="bf") as temp:  # short: sockets lie in it
        names = {"BONAFIDE_HOME": str(tmp_path), "TMPDIR": temp}
        with running_service(environment={**os.environ, **names}, log=tmp_path / "log") as service:
            started = descendants(service.process.pid)[1:]
            assert len(started) >= 2  # a worker and its scorer, or more of both
            service.process.kill()
            wait_for(lambda: not any(map(alive, started)), "all to end")
