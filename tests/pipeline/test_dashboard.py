"""`bonafide dashboard`: no account form, this machine alone, no page of another site."""

import contextlib
import http.client
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.helpers.homes import Home
from tests.helpers.servers import wait_for


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("dashboard") / "home")


@contextlib.contextmanager
def started(home: Home) -> "Iterator[tuple[subprocess.Popen[str], int]]":
    with subprocess.Popen(
        home.command("dashboard", "--no-browser"),
        env=home.environment | {"TMPDIR": str(home.folder)},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job's may be ignored
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        said = re.fullmatch(r"bonafide: dashboard: (http://127\.0\.0\.1:\d+) .*\n", line)
        assert said, line
        yield process, int(urlsplit(said[1]).port or 0)
        process.kill()


@pytest.fixture(scope="module")
def dashboard(home: Home) -> "Iterator[tuple[subprocess.Popen[str], int]]":
    home.folder.mkdir()
    with started(home) as running:
        yield running


def ask(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_it_asks_for_no_account(dashboard: "tuple[subprocess.Popen[str], int]") -> None:
    _, port = dashboard
    assert b"ZenML Dashboard" in ask(port, "/")[1]
    facts = json.loads(ask(port, "/api/v1/info")[1])
    assert (facts["active"], facts["auth_scheme"], facts["analytics_enabled"]) == (
        True,
        "NO_AUTH",
        False,
    )
    user = json.loads(ask(port, "/api/v1/current-user")[1])
    # What the page looks at before it shows its form.
    assert user["body"]["email_opted_in"] is False
    assert user["metadata"]["user_metadata"]["finished_onboarding_survey"] is True


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "elsewhere.example"}, 403),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 200),
    ],
)
def test_pages_of_other_sites_get_no_answer(
    dashboard: "tuple[subprocess.Popen[str], int]", headers: dict[str, str], status: int
) -> None:
    assert ask(dashboard[1], "/api/v1/info", **headers)[0] == status


def test_ctrl_c_ends_it_and_leaves_nothing(
    dashboard: "tuple[subprocess.Popen[str], int]", home: Home
) -> None:
    process, port = dashboard
    listening = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{port:04X}" in listening and f"00000000:{port:04X}" not in listening
    end(process, signal.SIGINT, home)
    assert process.stdout and process.stdout.read() == "bonafide: dashboard: ended\n"


def test_so_does_a_manager_of_services(home: Home) -> None:
    with started(home) as (process, _):
        end(process, signal.SIGTERM, home)


def end(process: "subprocess.Popen[str]", sent: signal.Signals, home: Home) -> None:
    """Send a signal, and check that nothing is left."""
    process.send_signal(sent)
    assert process.wait(timeout=60) == 0
    wait_for(lambda: not home.processes(), "nothing of it is left")
    assert not list(home.folder.glob("tmp*"))
