"""``/v1/jobs``: taken at once, answered later, told to whom it may be told."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from benchmarks.jobs import Receiver, receiving, run
from benchmarks.sounds import encode, speech
from serving.http.jobs import PATH
from serving.http.keys import add_key
from tests.helpers.servers import Server, private_home, server, wait_for

SOUND, OTHER = encode(speech(3.0), "flac"), encode(speech(4.5), "ogg")
SECRET = os.urandom(32)
ALL = list(HealthCheck)


class Turning(BaseHTTPRequestHandler):
    """A receiver that sends callbacks on, and one that wants none."""

    seen: ClassVar[list[str]] = []
    elsewhere = ""

    def do_POST(self) -> None:  # its name in the library
        self.rfile.read(int(self.headers["content-length"]))
        self.seen.append(self.path)
        self.send_response(307 if self.path == "/redirect" else 410)
        self.send_header("location", self.elsewhere)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def turning() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Turning)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        found.secret = SECRET
        yield found


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def working(
    bundle_home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    receiver: Receiver,
    turning: str,
    keys: dict[str, str],
) -> Iterator[Server]:
    home = private_home(bundle_home, tmp_path_factory.mktemp("home"))
    for name in ("ana", "ben"):
        keys[name] = add_key(home / "keys.json", name, 6_000)
    Turning.elsewhere = f"{receiver.url}/told"
    known = {
        "jobs": home / "jobs",
        "callbacks": f"{receiver.url}, {turning}, https://*",
        "callback_secret": f"whsec_{base64.b64encode(SECRET).decode()}",
        "record": home / "record.sqlite",
        "max_body_mb": 4,
        "max_jobs": 40,
    }
    options = ("--keys", str(home / "keys.json"))
    with server(home, *options, workers=2, **known) as running:
        yield running


@pytest.fixture
def ana(keys: dict[str, str], working: Server) -> dict[str, str]:
    return {"authorization": f"Bearer {keys['ana']}"}


def posted(
    running: Server, content: bytes, headers: dict[str, str], **params: str
) -> httpx.Response:
    return running.post("/v1/jobs", content=content, headers=headers, params=params)


def taken(running: Server, content: bytes, headers: dict[str, str], **params: str) -> str:
    answer = posted(running, content, headers, **params)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job_id}"
    return job_id


def finished(running: Server, job_id: str, headers: dict[str, str], **wanted: str) -> Any:
    """Wait until a job is finished, or its entries are those that are wanted."""

    def look() -> Any:
        said = running.get(f"/v1/jobs/{job_id}", headers=headers).json()
        entries = wanted.items() <= said.items() if wanted else said["finished"]
        return said if entries else None

    return wait_for(look, "the job is finished")


def test_it_is_answered_as_the_endpoint_does(working: Server, ana: dict[str, str]) -> None:
    for endpoint in ("detect", "provenance"):
        job_id = taken(working, SOUND, ana, endpoint=endpoint)
        said = finished(working, job_id, ana)
        now = working.post(f"/v1/{endpoint}", content=SOUND, headers=ana).json()
        assert said["result"] == now
        assert (said["status"], said["endpoint"], said["callback"]) == ("done", endpoint, None)
        assert said["created"] <= said["finished"]
    assert not list((working.home / "jobs").glob("*.audio"))


def test_no_bundle_is_promised(working: Server, ana: dict[str, str]) -> None:
    answer = posted(working, SOUND, {**ana, "X-Bonafide-Bundle": "0" * 64})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_a_folder_that_fails_for_a_while_costs_its_jobs_alone(
    working: Server, ana: dict[str, str]
) -> None:
    """Each failure is an upload less that arrives; a worker takes 64."""
    folder = working.home / "jobs"
    folder.rename(away := working.home / "away")
    for _ in range(150):
        assert posted(working, SOUND, ana).status_code == 503
    assert working.post("/v1/detect", content=SOUND, headers=ana).status_code == 200
    away.rename(folder)
    assert finished(working, taken(working, SOUND, ana), ana)["status"] == "done"


def test_a_form_will_do(working: Server, ana: dict[str, str]) -> None:
    answer = working.post("/v1/jobs", files={"audio": ("my name.ogg", OTHER)}, headers=ana)
    assert finished(working, answer.json()["id"], ana)["status"] == "done"


def test_what_cannot_be_judged_is_said_later(working: Server, ana: dict[str, str]) -> None:
    said = finished(working, taken(working, b"no sound at all", ana), ana)
    assert (said["status"], said["error"]["code"]) == ("failed", "not_audio")
    assert "result" not in said


REFUSED = {
    "nothing": (b"", {}, 400, "empty"),
    "too much": (bytes(4_100_000), {}, 413, "too_large"),
    "another endpoint": (SOUND, {"endpoint": "model"}, 400, "bad_request"),
    "no endpoint": (SOUND, {"endpoint": "../detect"}, 400, "bad_request"),
    "another parameter": (SOUND, {"url": "http://127.0.0.1"}, 400, "bad_request"),
    "a callback elsewhere": (SOUND, {"callback": "http://127.0.0.1:1/"}, 403, "callback_refused"),
    "metadata": (SOUND, {"callback": "http://169.254.169.254/latest"}, 403, "callback_refused"),
    "no URL": (SOUND, {"callback": "file:///etc/passwd"}, 403, "callback_refused"),
    "a user": (SOUND, {"callback": "https://a:b@example.com/"}, 403, "callback_refused"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_at_once(working: Server, ana: dict[str, str], name: str) -> None:
    content, params, status, code = REFUSED[name]
    answer = posted(working, content, ana, **params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert not list((working.home / "jobs").glob("*.audio"))


def test_other_methods_and_jobs_that_are_none(working: Server, ana: dict[str, str]) -> None:
    answer = working.get("/v1/jobs", headers=ana)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    answer = working.post(f"/v1/jobs/{'A' * 22}", headers=ana)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, DELETE")
    for job_id in ("A" * 22, "A" * 21, "..%2f..%2fjobs.sqlite", "x/y"):
        answer = working.get(f"/v1/jobs/{job_id}", headers=ana)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_job_is_its_keys_alone(
    working: Server, ana: dict[str, str], keys: dict[str, str]
) -> None:
    ben = {"authorization": f"Bearer {keys['ben']}"}
    job_id = taken(working, SOUND, ana)
    finished(working, job_id, ana)
    for method in ("GET", "DELETE"):
        url = f"{working.url}/v1/jobs/{job_id}"
        assert httpx.request(method, url, headers=ben, trust_env=False).status_code == 404
    assert working.get(f"/v1/jobs/{job_id}").status_code == 401
    url = f"{working.url}/v1/jobs/{job_id}"
    assert httpx.delete(url, headers=ana, trust_env=False).status_code == 204
    assert working.get(f"/v1/jobs/{job_id}", headers=ana).status_code == 404


def test_its_verdict_is_in_the_record_and_its_work_is_counted(
    working: Server, ana: dict[str, str]
) -> None:
    job_id = taken(working, SOUND, ana)
    said = finished(working, job_id, ana)

    def labelled() -> bool:
        label = {"request_id": job_id, "label": "spoof"}
        return working.post("/v1/feedback", json=label, headers=ana).status_code == 200

    wait_for(labelled, "the record has it")
    metrics = working.get("/metrics", headers=ana).text
    assert 'bonafide_jobs_ended_total{code="ok",endpoint="detect"}' in metrics
    assert said["result"]["verdict"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(
    ("path", "method"), [(PATH, "post"), (f"{PATH}/{{id}}", "get"), (f"{PATH}/{{id}}", "delete")]
)
def test_whatever_is_called_is_answered_as_the_document_says(
    working: Server, ana: dict[str, str], path: str, method: str, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{working.url}/docs.json")
    schema.config.update(base_url=working.url)
    made = schema[path][method].as_strategy(generation_mode=mode)

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=ALL)
    @given(made)
    def call(case: Any) -> None:
        # What is no audio is told later; that there is no such job, is no fault of the document.
        case.call_and_validate(headers=ana, excluded_checks=[positive_data_acceptance])

    call()
    wait_for(lambda: not list((working.home / "jobs").glob("*.audio")), "all are finished")


# --- callbacks ------------------------------------------------------------------------------------


def test_a_callback_gets_the_answer_signed(
    working: Server, ana: dict[str, str], receiver: Receiver
) -> None:
    for content, status in ((SOUND, "done"), (b"no sound", "failed")):
        job_id = taken(working, content, ana, callback=f"{receiver.url}/told?who=me")
        said = finished(working, job_id, ana, callback="delivered")
        told = wait_for(lambda job_id=job_id: receiver.bodies.get(job_id), "it is told")
        assert told["status"] == said["status"] == status
        assert told.get("result") == said.get("result")
        assert receiver.told[f"msg_{job_id}"] == 1
    assert receiver.forged == 0


def test_no_scorer_has_the_secret(working: Server) -> None:
    scorers = working.scorers()
    assert len(scorers) == 4  # each worker's, and each worker's of jobs
    assert all("BONAFIDE_CALLBACK_SECRET" not in each.environ() for each in scorers)


def test_a_callback_that_leads_elsewhere_is_not_followed(
    working: Server, ana: dict[str, str], receiver: Receiver, turning: str
) -> None:
    job_id = taken(working, SOUND, ana, callback=f"{turning}/redirect")
    finished(working, job_id, ana)
    wait_for(lambda: "/redirect" in Turning.seen, "it was sent")
    assert finished(working, job_id, ana, callback="pending")  # to be tried again
    assert job_id not in receiver.bodies


def test_a_receiver_that_wants_no_more_gets_no_more(
    working: Server, ana: dict[str, str], turning: str
) -> None:
    job_id = taken(working, SOUND, ana, callback=f"{turning}/gone")
    assert finished(working, job_id, ana, callback="failed")["status"] == "done"


def test_a_public_name_with_a_private_address_is_not_called(
    working: Server, ana: dict[str, str]
) -> None:
    """``https://*`` is allowed: any public host, and ``localhost`` is none."""
    job_id = taken(working, SOUND, ana, callback="https://localhost/told")
    finished(working, job_id, ana)
    wait_for(lambda: "not public" in working.log, "it is refused")


# --- whatever happens -----------------------------------------------------------------------------


def test_jobs_outlive_a_service_that_is_killed() -> None:
    """`python -m benchmarks.jobs` does it with a thousand jobs, and three kills."""
    report = run(jobs=40, kills=2, seed=5)
    assert report.faults() == [] and report.accepted == 40


def test_a_service_without_jobs_says_so(service: Server) -> None:
    answer = service.post("/v1/jobs", content=SOUND)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "BONAFIDE_JOBS" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"jobs": "/proc/nowhere"}, "BONAFIDE_JOBS="),
        ({"callbacks": "https://a.example"}, "needs BONAFIDE_JOBS"),
        ({"jobs": "jobs", "callbacks": "a.example"}, "BONAFIDE_CALLBACKS='a.example'"),
        ({"jobs": "jobs", "callbacks": "https://a.example"}, "BONAFIDE_CALLBACK_SECRET"),
    ],
)
def test_what_is_set_wrongly_ends_the_start_with_a_line(
    given_: dict[str, str], said: str, bundle_home: Path, tmp_path: Path
) -> None:

    known = {f"BONAFIDE_{name.upper()}": value for name, value in given_.items()}
    done = subprocess.run(
        [sys.executable, "-m", "bonafide.cli", "serve", "--port", "1"],
        env={**os.environ, **known, "BONAFIDE_HOME": str(bundle_home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("bonafide: bad_setting: ") and said in line
    assert json.dumps(given_) not in line
