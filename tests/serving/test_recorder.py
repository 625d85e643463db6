"""The record that a service writes: a row an answer, off the request's path."""

import hashlib
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from benchmarks.sounds import encode, speech
from bonafide.errors import ConfigError
from bonafide.monitoring.record import Answered, Record
from serving.http import recorder as recording
from serving.http.recorder import Recorder
from tests.helpers.servers import Server, server, wait_for

SOUND = encode(speech(5.0), "flac")
ANSWER = {
    "llr": 1.5,
    "verdict": "bonafide",
    "duration_s": 5.0,
    "models": {"cnn": 0.2, "speech": None},
    "channel": {"name": "opus", "p": 0.9},
    "bundle": {"name": "default", "version": "8", "sha256": "1" * 64},
}
REFUSED = [
    (400, b""),
    (400, b"[]"),
    (400, b"[" * 4000),
    (400, b"\xff"),
    (400, b'{"request_id": "one"}'),
    (400, b'{"request_id": "one", "label": "fake"}'),
    (400, b'{"request_id": "", "label": "spoof"}'),
    (400, b'{"sha256": "", "label": "spoof"}'),
    (400, b'{"request_id": 1, "label": "spoof"}'),
    (400, b'{"request_id": "two words", "label": "spoof"}'),
    (400, b'{"request_id": "\\ud800", "label": "spoof"}'),
    (400, b'{"request_id": "one", "label": "spoof", "more": "one"}'),
    (400, b'{"sha256": "one", "label": "spoof"}'),
    (400, b'{"sha256": "%s", "request_id": "one", "label": "spoof"}' % (b"0" * 64)),
    (413, b" " * 5000),
]


def test_each_answer_of_every_worker_is_in_it(bundle_home: Path, tmp_path: Path) -> None:
    record = Record(tmp_path / "answers.sqlite")
    with server(bundle_home, record=record.path, workers=2) as running:
        answers = [running.detect(SOUND) for _ in range(6)]
        assert running.detect(b"no audio").status_code == 415
        wait_for(lambda: len(record.read()) == 6, "all are written")
        assert running.get("/v1/model").status_code == 200
        again = {"audio": SOUND}  # explained, it is no further answer
        assert httpx.post(f"{running.url}/v1/explain", files=again, timeout=60).status_code == 200
        last = running.detect(SOUND)
    rows = record.read()  # what waited was written at the end
    assert [row.request_id for row in rows[-1:]] == [last.headers["X-Request-Id"]]
    by_id = {row.request_id: row for row in rows}
    for answer in (*answers, last):
        row, told = by_id.pop(answer.headers["X-Request-Id"]), answer.json()
        assert (row.llr, row.verdict, row.models) == (told["llr"], told["verdict"], told["models"])
        assert (row.bundle, row.channel) == (told["bundle"]["sha256"], told["channel"]["name"])
    assert not by_id
    assert record.path.stat().st_mode & 0o077 == 0


def test_what_a_person_says_of_an_answer(tmp_path: Path) -> None:
    record = Record(tmp_path / "answers.sqlite")
    with server(tmp_path, record=record.path, workers=2) as running:
        asked = [running.detect(SOUND).headers["X-Request-Id"] for _ in range(4)]
        for request_id in asked:  # at once, from whichever worker: the answer is on its way yet
            said = {"request_id": request_id, "label": "spoof"}
            answer = running.post("/v1/feedback", json=said)
            assert (answer.status_code, answer.json()) == (200, said)
        again = running.post("/v1/feedback", json={"request_id": asked[0], "label": "bonafide"})
        assert again.status_code == 200
        labels = {row.request_id: row.label for row in record.read()}
        assert labels == dict.fromkeys(asked, "spoof") | {asked[0]: "bonafide"}
        for name, other in (("request_id", "other"), ("sha256", "0" * 64)):
            unknown = running.post("/v1/feedback", json={name: other, "label": "spoof"})
            assert unknown.status_code == 404
            assert unknown.json()["error"]["code"] == "unknown_request"
            assert str(tmp_path) not in unknown.text
        file = {"sha256": hashlib.sha256(SOUND).hexdigest(), "label": "bonafide"}
        answer = running.post("/v1/feedback", json=file)
        assert (answer.status_code, answer.json()) == (200, file)
        assert {row.label for row in record.read()} == {"bonafide"}
        other = encode(speech(4.0), "flac")
        for sound in (SOUND, other):
            named = {"audio": sound}
            headers = {"X-Request-Id": "again"}
            url = f"{running.url}/v1/detect"
            assert httpx.post(url, files=named, headers=headers, timeout=60).status_code == 200
        wait_for(lambda: len(record.read()) == 6, "both are written")
        said = {"request_id": "again", "label": "spoof"}
        several = running.post("/v1/feedback", json=said)
        assert several.status_code == 409
        assert several.json()["error"]["code"] == "ambiguous_request"
        assert "covers 2 files" in several.text and str(tmp_path) not in several.text
        assert {row.label for row in record.read() if row.request_id == "again"} == {""}
        for status, body in REFUSED:
            refused = running.post("/v1/feedback", content=body)
            assert refused.status_code == status, (body[:80], refused.text)
        assert "Traceback" not in running.log


def test_feedback_without_a_record(service: Server) -> None:
    answer = service.post("/v1/feedback", json={"request_id": "one", "label": "spoof"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_record")


def test_a_record_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"BONAFIDE_RECORD=.*: cannot be used") as caught:
        Recorder(tmp_path / "missing" / "record.sqlite")
    assert caught.value.code == "bad_setting"


def test_where_the_disk_fails_answers_wait_and_the_log_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "MOST_WAITING", 3)
    path = tmp_path / "record.sqlite"
    recorder, body = Recorder(path), json.dumps(ANSWER).encode()
    path.unlink()
    path.mkdir()
    for number in range(5):
        recorder.add(f"r{number}", "2" * 64, body)
    recorder.close()
    assert caplog.text.count("the record misses answers") == 2  # two came too many; none is written
    path.rmdir()
    recorder.close()
    assert [row.request_id for row in Record(path).read()] == ["r0", "r1", "r2"]


def test_the_end_waits_for_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.sqlite"
    recorder, add = Recorder(path), Record.add
    taken, go_on = threading.Event(), threading.Event()

    def slow(record: Record, answers: Sequence[Answered]) -> None:
        taken.set()
        assert go_on.wait(10)
        add(record, answers)

    monkeypatch.setattr(Record, "add", slow)
    recorder.add("r0", "2" * 64, json.dumps(ANSWER).encode())
    with ThreadPoolExecutor(2) as threads:
        threads.submit(recorder.write)
        assert taken.wait(10)
        end = threads.submit(recorder.close)
        with pytest.raises(TimeoutError):
            end.result(timeout=0.2)
        go_on.set()
        end.result(timeout=10)
        assert [row.request_id for row in Record(path).read()] == ["r0"]
