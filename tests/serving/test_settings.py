"""Settings: what the environment may say."""

import os
from dataclasses import fields
from pathlib import Path

import pytest

from bonafide.errors import ConfigError
from bonafide.process.service import is_loopback
from serving.settings import FILES, PREFIX, Settings


def test_settings_travel_in_the_environment() -> None:
    changed = Settings(
        *(
            "/bundles/a b",
            "fast",
            "fast:5%",
            0.5,
            1.25,
            1.0,
            "keys.json",
            "calls.jsonl",
            "record.sqlite",
            *("jobs", 7, 1.5, 2.5, "https://a.example", "whsec_x"),
            "[::1]:9464",
            True,
            3,
            1.5,
        ),
        *(60.25, 48_000, 2, 7, 0, 5, 12.5, 3.25, 1_500.0, 0.5, "detect"),
    )
    names = [item.name for item in fields(Settings)]
    assert all(getattr(changed, name) != getattr(Settings(), name) for name in names)
    environment = changed.to_environment()
    assert set(environment) == {PREFIX + name.upper() for name in names}
    assert Settings.from_environment(environment) == changed
    assert Settings().to_environment() == {}
    assert Settings.from_environment({"PATH": "/bin", "BONAFIDE_HOME": "/h"}) == Settings()


BAD = {
    "not a number": ("MAX_BODY_MB", "many", r"BONAFIDE_MAX_BODY_MB='many': must be a number"),
    "a part of a worker": ("WORKERS", "1.5", r"'1.5': must be a number \(int\)"),
    "less than no worker": ("WORKERS", "-1", "BONAFIDE_WORKERS=-1: must be at least 0"),
    "less than no queue": ("QUEUE", "-1", "BONAFIDE_QUEUE=-1: must be at least 0"),
    "no deadline": ("DEADLINE_S", "inf", "BONAFIDE_DEADLINE_S=inf: must be above 0"),
    "no time": ("DEADLINE_S", "0", "BONAFIDE_DEADLINE_S=0.0: must be above 0"),
    "no number": ("MAX_DURATION_S", "nan", "BONAFIDE_MAX_DURATION_S=nan: must be above 0"),
    "no upload": ("MAX_UPLOADS", "0", "BONAFIDE_MAX_UPLOADS=0: must be above 0"),
    "perhaps": ("ANONYMOUS", "perhaps", "'perhaps': must be true or false"),
    "no port": ("METRICS", "127.0.0.1", "must be HOST:PORT, such as 127.0.0.1:9464"),
    "no host": ("METRICS", ":9464", "must be HOST:PORT"),
    "a port too high": ("METRICS", "127.0.0.1:65536", "must be HOST:PORT"),
    "no share": ("CANARY", "mine:3", r"BONAFIDE_CANARY='mine:3': must be REF:SHARE%, such as"),
    "nobody": ("CANARY", "mine:3:0%", "above 0 % and below 100 %"),
    "everybody": ("CANARY", "mine:3:100%", "above 0 % and below 100 %"),
    "no bundle": ("CANARY", ":5%", "must be REF:SHARE%"),
    "more than all": ("CANARY_ERRORS", "1.5", "BONAFIDE_CANARY_ERRORS=1.5: must be at most 1"),
    "no difference": ("CANARY_DIFFER", "0", "BONAFIDE_CANARY_DIFFER=0.0: must be above 0"),
    "empty": ("WATCH_S", "", "BONAFIDE_WATCH_S='': must be a number"),
}


@pytest.mark.parametrize("name", BAD)
def test_settings_that_are_refused(name: str) -> None:
    setting, text, message = BAD[name]
    with pytest.raises(ConfigError, match=message) as raised:
        Settings.from_environment({PREFIX + setting: text})
    assert raised.value.code == "bad_setting"


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("TRUE", True), ("0", False), ("false", False), ("", False)]
)
def test_yes_and_no(text: str, value: bool) -> None:
    assert Settings.from_environment({"BONAFIDE_ANONYMOUS": text}).anonymous is value


def test_a_worker_for_each_core_unless_told_otherwise() -> None:
    assert Settings().n_workers == len(os.sched_getaffinity(0))
    assert Settings(workers=5).n_workers == 5


def test_a_folder_is_looked_at_more_often_than_an_object_store() -> None:
    assert Settings().watches_every_s("/var/lib/bonafide") == 0.2
    assert Settings().watches_every_s("s3://models/bonafide") == 5.0
    assert Settings(watch_s=3.0).watches_every_s("/var/lib/bonafide") == 3.0


LOOPBACK = {
    **dict.fromkeys(("127.0.0.1", "127.9.9.9", "::1", "localhost"), True),
    **dict.fromkeys(("LOCALHOST", "localhost.", "LocalHost.", "127.0.0.1.", "::FFFF:7f00:1"), True),
    **dict.fromkeys(("localhost..", ".", "localhost.evil.", "::ffff:10.0.0.1"), False),
    **dict.fromkeys(("0.0.0.0", "::", "10.0.0.1", "", "localhost.evil", "127.0.0.1.evil"), False),
}


@pytest.mark.parametrize("host", LOOPBACK)
def test_addresses_of_this_machine(host: str) -> None:
    assert is_loopback(host) is LOOPBACK[host]


def test_names_of_endpoints_stand_between_commas() -> None:
    assert Settings(endpoints="detect, model,").endpoint_names == ("detect", "model")
    assert Settings().endpoint_names == ()


def test_files_are_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server works in another folder than whoever started it."""
    monkeypatch.chdir(tmp_path)
    assert Settings(keys="keys.json").absolute() == Settings(keys=str(tmp_path / "keys.json"))
    assert Settings(audit="a/calls").absolute() == Settings(audit=str(tmp_path / "a/calls"))
    assert Settings(keys="/keys.json").absolute() == Settings(keys="/keys.json")
    assert Settings().absolute() == Settings()
    assert all(isinstance(getattr(Settings(), name), str) for name in FILES)
