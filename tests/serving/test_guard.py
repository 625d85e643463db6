"""What the guard does with a request whose application fails, and what the log says of it."""

import asyncio
import errno
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.datastructures import State

from serving.http.guard import Guard
from serving.http.headers import label_log


@pytest.fixture
def labelled() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    label_log()
    yield
    logging.setLogRecordFactory(before)


class Audit:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def write(self, **entry: Any) -> None:
        self.lines.append(entry)


class Rejected:
    """Metrics that keep what was rejected."""

    def __init__(self) -> None:
        self.counted: list[tuple[int, str]] = []

    def rejected(self, status: int, code: str) -> None:
        self.counted.append((status, code))


REJECTED = Rejected()


def ask(app: Any, path: str, audit: Audit, **headers: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    given = {"endpoints": {}, "paths": {path}, "gate": None, "anonymous": True, "audit": audit}
    state = State({**given, "metrics": REJECTED})
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "method": "GET", "headers": raw}
    asyncio.run(Guard(app, state)(scope, None, send))  # type: ignore[arg-type]
    return sent


def test_every_line_of_the_log_names_its_request(
    labelled: None, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: Any) -> None:
        await asyncio.to_thread(logging.getLogger("another").warning, "about %d%%", 5)
        await asyncio.create_task(says())
        raise ValueError("broken")

    async def says() -> None:
        logging.getLogger("bonafide.serve").warning("in a task")

    audit = Audit()
    start, body = ask(fails, "/v1/model", audit, x_request_id="call-7")
    assert (
        start["status"] == 500 and b'"internal"' in body["body"] and b"broken" not in body["body"]
    )
    assert (b"x-request-id", b"call-7") in start["headers"]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"{text} [request call-7]" for text in ("about 5%", "in a task", "a request failed")
    ]
    (line,) = audit.lines
    assert (line["request_id"], line["status"], line["code"]) == ("call-7", 500, "internal")


def test_a_line_about_no_request_names_none(
    labelled: None, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("bonafide.serve").warning("started")
    assert [record.getMessage() for record in caplog.records] == ["started"]


def test_a_shortage_is_no_fault_of_the_service() -> None:
    async def fails(*_: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    audit = Audit()
    REJECTED.counted.clear()
    start, body = ask(fails, "/v1/model", audit)
    assert start["status"] == 503 and REJECTED.counted == [(503, "not_ready")]
    assert json.loads(body["body"])["error"]["code"] == "not_ready"
    assert audit.lines[0]["code"] == "not_ready"
