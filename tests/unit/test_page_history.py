"""The page's history: a file that only its owner reads, and that can always be deleted."""

import json
import os
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from serving.app.history import History
from serving.app.language import Words
from serving.app.recording import Recording

EN = Words("en")
BUNDLE = {"name": "fast", "version": "11"}
HEARD = {"name": "opus", "label": "Opus", "p": 0.9, "decided": None, "wrong": None}
ANSWER = {"channel": HEARD, "verdict": "spoof", "p_spoof": 0.9, "llr": -2.0, "bundle": BUNDLE}
ENTRY = {**ANSWER, "at": "2026-01-02T03:04:05+00:00", "name": "a.wav", "sha256": "0"}
NO_ENTRIES = [
    *("5", "null", "[]", "{}", '"', "[" * 100_000, '{"a":' * 100_000, "\ud800"),
    *(
        json.dumps({key: ENTRY[key] for key in ENTRY if key != left})
        for left in ANSWER | {"at": 0}
        if left != "llr"
    ),
    *(
        json.dumps({**ENTRY, **wrong})
        for wrong in (
            *({"verdict": "perhaps"}, {"verdict": []}, {"p_spoof": "much"}, {"p_spoof": 7}),
            *({"p_spoof": float("nan")}, {"at": "yesterday"}, {"at": 10**30}, {"name": None}),
            *({"at": "2026-01-02T03:04:05"}, {"bundle": []}, {"bundle": {"name": "fast"}}),
            *({"channel": "opus"}, {"channel": {"name": "unheard"}}),
        )
    ),
]


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit puts its script in place of ``__main__``, which new processes are made from."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def page(folder: str) -> None:
    from pathlib import Path

    from serving.app.history import History, show_history
    from serving.app.language import Words

    show_history(Words("en"), History(Path(folder)))


def shown(folder: Path) -> AppTest:
    return AppTest.from_function(page, args=(str(folder),), default_timeout=60).run()


def lines(folder: Path, *said: str) -> Path:
    file = folder / "history.jsonl"
    file.write_bytes(b"".join(line.encode(errors="surrogatepass") + b"\n" for line in said))
    return file


@pytest.mark.parametrize("line", NO_ENTRIES, ids=lambda line: line[:30].encode("unicode_escape"))
def test_a_line_that_is_no_entry_is_counted(line: str, tmp_path: Path) -> None:
    lines(tmp_path, json.dumps(ENTRY), line)
    entries, unreadable = History(tmp_path).read()
    assert [entry.name for entry in entries] == ["a.wav"] and unreadable == 1


def test_lines_that_are_no_entries_are_told_and_deleted(tmp_path: Path) -> None:
    at = [{"at": f"{year}-01-01T00:00:00+14:00"} for year in ("0001", "2026", "9999")]
    kept = [json.dumps({**ENTRY, **each}) for each in (*at, {"channel": None})]
    file = lines(tmp_path, *kept, *NO_ENTRIES)
    app = shown(tmp_path)
    (column,) = {line for line in app.dataframe[0].proto.columns.split('"') if "%" in line}
    assert column == "%d %%"  # and not the browser's way
    assert not app.exception and len(app.dataframe[0].value) == len(kept)
    assert EN("history.unreadable", n=len(NO_ENTRIES)) in [said.value for said in app.caption]
    app.button[0].click().run()
    assert not app.exception and not file.exists() and not app.button


def test_a_history_without_an_entry_can_be_deleted(tmp_path: Path) -> None:
    file = lines(tmp_path, "5")
    app = shown(tmp_path)
    assert [said.value for said in app.markdown] == [EN("history.none")]
    app.button[0].click().run()
    assert not file.exists()


def test_what_cannot_be_shown_can_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(history: History) -> None:
        raise OSError("no medium")

    lines(tmp_path, json.dumps(ENTRY))
    monkeypatch.setattr(History, "read", fails)
    app = shown(tmp_path)
    assert len(app.exception) == 1
    assert [button.label for button in app.button] == [EN("history.delete")]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    recording = Recording("a.wav", b"", "")
    before = os.umask(0)
    try:
        History(home / "page").add(recording, ANSWER)
        file = home / "page" / "history.jsonl"
        assert [mode(home), mode(home / "page"), mode(file)] == [0o700, 0o700, 0o600]
        for path, opened in ((home, 0o755), (file, 0o644)):
            path.chmod(opened)
        History(home / "page").add(recording, ANSWER)
        assert [mode(home), mode(file)] == [0o755, 0o600]  # the home is not the page's
        assert len(History(home / "page").read()[0]) == 2
        History(tmp_path / "off").switch(on=False)
        assert mode(tmp_path / "off") == 0o700
    finally:
        os.umask(before)
