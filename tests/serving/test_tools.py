"""Tools of agents: the official SDK's own client lists and calls them, by standard streams."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from benchmarks.sounds import encode, speech
from bonafide.cli.root import main
from bonafide.detector import Detector
from bonafide.provenance import examine
from tests.helpers.homes import Home
from tests.helpers.servers import Server, wait_for

pytestmark = pytest.mark.usefixtures("restored_signals")
TOOLS = {"detect", "explain", "provenance"}
Ask = Callable[[Client], Awaitable[Any]]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "call.flac").write_bytes(encode(speech(3.0), "flac"))
    (folder / "text.wav").write_text("no sound at all")
    (folder / "out.flac").symlink_to("/etc/hostname")
    return folder


def by_tools(
    home: Path, ask: Ask, *words: str, environment: Mapping[str, str] | None = None
) -> Any:
    """Run the command as programs that run agents do, and ask it."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "bonafide.cli", "mcp", *words],
        env={**os.environ, "BONAFIDE_HOME": str(home), **(environment or {})},
    )

    async def run() -> Any:
        async with Client(command) as client:
            return await ask(client)

    return asyncio.run(asyncio.wait_for(run(), 120))


def test_an_agent_lists_and_calls_each_tool(files: Path, tmp_path: Path) -> None:
    home, path = tmp_path / "home", files / "deep" / "call.flac"
    expected = Detector.shipped("fast").score(path).to_json()

    async def ask(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == TOOLS
        assert all(tool.description and tool.output_schema for tool in tools)
        for named in ("deep/call.flac", str(path), path.as_uri()):
            answer = await client.call_tool("detect", {"path": named})
            assert not answer.is_error, answer
            assert answer.structured_content == expected
        answer = await client.call_tool("explain", {"path": "deep/call.flac"})
        assert answer.structured_content["explanation"]["windows"]
        answer = await client.call_tool("provenance", {"path": "deep/call.flac"})
        assert answer.structured_content == json.loads(json.dumps(asdict(examine(path))))

    by_tools(home, ask, "--files", str(files), "--bundle", "fast")
    wait_for(lambda: not Home(home).processes(), "its service has ended, too")


def test_what_cannot_be_judged_is_an_error_of_the_tool(files: Path, service: Server) -> None:
    """And the server goes on."""
    wrong = {
        "text.wav": "not_audio: ",
        "gone.wav": "no_file: ",
        "out.flac": "outside_folder: ",
        "/etc/passwd": "outside_folder: ",
        "../home": "outside_folder: ",
        "deep": "no_file: ",
        "a\0b": "no_file: ",
        "": "no_file: ",
        "n" * 10_000: "no_file: ",
    }

    async def ask(client: Client) -> None:
        for path, code in wrong.items():
            for tool in TOOLS:
                answer = await client.call_tool(tool, {"path": path})
                assert answer.is_error, (path, answer)
                assert code in answer.content[0].text, (path, answer)
        for arguments in ({}, {"path": 7}, {"path": None}, {"path": ["call.flac"]}, {"file": "x"}):
            answer = await client.call_tool("detect", arguments)
            assert answer.is_error and "path" in answer.content[0].text
        answer = await client.call_tool("detect", {"path": "deep/call.flac"})
        assert answer.structured_content["bundle"]["name"] == "tiny"

    by_tools(files, ask, "--files", str(files), "--service", service.url)


def test_a_service_that_is_not_there_is_an_error_too(files: Path) -> None:
    async def ask(client: Client) -> str:
        answer = await client.call_tool("detect", {"path": "deep/call.flac"})
        assert answer.is_error
        return str(answer.content[0].text)

    words = ("--files", str(files), "--service", "http://127.0.0.1:1")
    assert "unreachable: http://127.0.0.1:1" in by_tools(files, ask, *words)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wait_s", [0.5, 8.0])
def test_a_signal_ends_it_while_its_input_is_open(
    files: Path, tmp_path: Path, number: signal.Signals, wait_s: float
) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "bonafide.cli", "mcp", "--files", str(files)]
    with subprocess.Popen(
        [*command, "--bundle", "fast"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "BONAFIDE_HOME": str(home)},
    ) as process:
        time.sleep(wait_s)
        process.send_signal(number)
        assert process.wait(timeout=60) in (0, 130, -number)
    wait_for(lambda: not Home(home).processes(), "its service has ended, too")


def test_its_own_service_has_no_keys_and_says_why_it_does_not_answer(
    files: Path, tmp_path: Path
) -> None:
    """Keys are for services that others reach; one that dies is not said to be starting."""
    home, wrong = tmp_path / "home", tmp_path / "nowhere"

    async def ask(client: Client) -> None:
        answer = await client.call_tool("detect", {"path": "deep/call.flac"})
        assert not answer.is_error, answer
        first, *_ = _services(home)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not _services(home), "it has ended")
        answer = await client.call_tool("detect", {"path": "deep/call.flac"})
        assert "no_service: the service has ended, with status -9" in answer.content[0].text

    environment = {"BONAFIDE_KEYS": str(wrong), "BONAFIDE_CALLBACKS": "https://needs.jobs"}
    by_tools(home, ask, "--files", str(files), "--bundle", "fast", environment=environment)

    async def refused(client: Client) -> str:
        answer = await client.call_tool("detect", {"path": "deep/call.flac"})
        return str(answer.content[0].text)

    environment = {"TMPDIR": str(wrong)}
    words = ("--files", str(files), "--bundle", "fast")
    said = by_tools(home, refused, *words, environment=environment)
    assert "no_service: " in said and "bad_tmpdir: " in said


def _services(home: Path) -> list[int]:
    """Return the processes of a home that serve, the first one first."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes()
            if b"bentoml" in line and f"BONAFIDE_HOME={home}\0".encode() in environment:
                found.append(int(folder.name))
    return sorted(found)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bundle", "nobody"], "nobody"),
        (["--service", "nowhere"], "must be an address"),
        (["--service", "http://host", "--bundle", "fast"], "--bundle: must be about"),
        (["--files", "/nowhere"], "/nowhere"),
    ],
)
def test_a_mistake_is_told_at_once(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mcp", *words]) == 2
    assert said in capsys.readouterr().err
