"""A page of commands, run as a reader would: block after block in one folder."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from bonafide.cli.root import cli
from bonafide.process.service import free_port
from tests.conftest import REPOSITORY
from tests.helpers.servers import wait_for

LASTING = ("bonafide serve", "bonafide schedule run")  # go on until they are ended
_PIECE = re.compile(r"^(#+) (.+?)$|^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, under its heading."""

    heading: str
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    found, heading = [], ""
    for _, title, language, text in _PIECE.findall(page):
        if title:
            heading = title
        else:
            found.append(Block(heading, language, text))
    return found


def require_command(text: str) -> None:
    """Check that a command is there, with the options that are named."""
    command: click.Command = cli
    context = click.Context(cli)
    words = shlex.split(text)[1:]
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, text
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, text


class Reader:
    """Types what a page says, in one folder and one environment.

    Parameters
    ----------
    folder : Path
        Where it types.
    temp : Path
        Its ``TMPDIR``; short, since sockets lie in it.
    """

    def __init__(self, folder: Path, temp: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._kept, self._temp = temp / "environment", temp / "tmp"
        self._temp.mkdir()
        command = temp / "bin" / "bonafide"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bonafide.cli "$@"\n')
        command.chmod(0o755)
        inherited = {name: value for name, value in os.environ.items() if "BONAFIDE_" not in name}
        self._environment = {
            **inherited,
            "PATH": f"{command.parent}:{inherited['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(temp),
            "TMPDIR": str(self._temp),
            "COLUMNS": "200",
        }
        self._lasting: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for word in [*self._lasting]:
            self.end(word)

    def _script(self, text: str) -> list[str]:
        known = f". {self._kept}\n" if self._kept.exists() else ""
        ported = text.replace("localhost:3000", f"localhost:{self.port}")
        ported = ported.replace("--port 3000", f"--port {self.port}")
        return ["bash", "-euo", "pipefail", "-c", f"{known}{ported}\nexport -p > {self._kept}"]

    def type(self, text: str) -> "subprocess.CompletedProcess[str]":
        """Type commands, which stop at the first that fails."""
        return subprocess.run(
            self._script(text),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def run(self, text: str) -> str:
        """Type the commands of a block; all of them have to succeed. Return what they print."""
        if text.startswith(LASTING):
            return self._start(text)
        done = self.type(text)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _start(self, text: str) -> str:
        assert text.count("\n") == 1, f"one that lasts stands alone: {text}"
        (word,) = (each for each in LASTING if text.startswith(each))
        log = self._kept.with_name(f"{word}.log")
        log.touch()
        with log.open("w") as file:
            process = subprocess.Popen(
                self._script(f"exec {text}"),
                cwd=self.folder,
                env=self._environment,
                stdout=file,
                stderr=file,
            )
        self._lasting[word] = process
        begun = "curl --fail --silent localhost:3000/readyz" if "serve" in word else ""
        wait_for(
            lambda: (
                process.poll() is not None
                or (self.type(begun).returncode == 0 if begun else log.read_text())
            ),
            text,
            limit_s=120,
        )
        assert process.poll() is None, log.read_text()
        return log.read_text()

    def end(self, word: str) -> None:
        """End one of `LASTING`."""
        process = self._lasting.pop(word)
        process.terminate()
        process.wait(60)
