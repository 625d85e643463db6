"""The audit log: one line a call, wherever the file has gone, with or without room."""

import errno
import json
import os
from pathlib import Path

import pytest

from bonafide.errors import ConfigError
from serving.http.audit import Audit


def test_lines_go_on_in_a_new_file_where_the_old_one_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    audit = Audit(path)
    audit.write(key="ana", code="ok")
    path.rename(tmp_path / "calls.1")
    audit.write(key='"\n\u2028', code="ok")
    (first,) = map(json.loads, (tmp_path / "calls.1").read_text().splitlines())
    (second,) = map(json.loads, path.read_text().splitlines())
    assert first["key"] == "ana" and second["key"] == '"\n\u2028'
    assert first["time"].endswith("+00:00")


def test_a_full_disk_costs_lines_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    audit = Audit(tmp_path / "calls.jsonl")
    write = os.write
    answers = iter([5, OSError(errno.ENOSPC, "No space left"), OSError(errno.ENOSPC, "No space")])

    def nearly_full(file: int, line: bytes) -> int:
        room = next(answers, len(line))
        if isinstance(room, OSError):
            raise room
        return write(file, line[:room])

    monkeypatch.setattr(os, "write", nearly_full)
    for number in range(5):
        audit.write(number=number)
    torn, *lines = (tmp_path / "calls.jsonl").read_text().splitlines()
    assert len(torn) == 5 and [json.loads(line)["number"] for line in lines] == [3, 4]
    assert len(caplog.records) == 1 and "the audit log misses calls" in caplog.text


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "calls.jsonl"):
        with pytest.raises(ConfigError, match=r"BONAFIDE_AUDIT=.*cannot be written: ") as raised:
            Audit(path)
        assert raised.value.code == "bad_setting"


def test_a_pipe_that_nobody_reads_costs_lines_and_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "calls.jsonl"
    audit = Audit(path)
    path.unlink()
    os.mkfifo(path)
    audit.write(number=0)
    assert "the audit log misses calls" in caplog.text
    with pytest.raises(ConfigError, match="cannot be written"):
        Audit(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    for number in range(3):
        audit.write(number=number)
    assert len(os.read(reader, 65_536).splitlines()) == 3
    os.close(reader)
