"""The shadow: it hears what was answered, says nothing, and harms nothing."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.sounds import encode, speech
from bonafide.bundle import read_bundle
from bonafide.errors import BundleError
from bonafide.home import SHIPPED, SHIPPED_ROOT
from bonafide.monitoring.pairs import disagreements
from bonafide.monitoring.record import Record
from bonafide.registry import registry_of
from bonafide.registry.beside import begin, end
from serving.launch import check
from serving.settings import Settings
from tests.helpers.servers import Server, server, wait_for

SOUND = encode(speech(5.0), "flac")
N = 12


def outcomes(running: Server) -> Counter[str]:
    """Return how often the shadow came to what."""
    found = Counter[str]()
    for line in running.get("/metrics").text.splitlines():
        if line.startswith("bonafide_shadow_total{"):
            outcome = line.partition('outcome="')[2].partition('"')[0]
            found[outcome] += int(float(line.rpartition(" ")[2]))
    return found


def heard(running: Server) -> int:
    found = outcomes(running)
    return found["agreed"] + found["differed"]


def is_ready(running: Server) -> bool:
    """Ask once; return whether the shadow hears."""
    before = heard(running)
    running.detect(SOUND)
    try:
        wait_for(lambda: heard(running) > before, "it was heard", limit_s=2)
    except AssertionError:
        return False
    return True


def test_it_hears_what_was_answered_and_says_nothing(tmp_path: Path) -> None:
    record = Record(tmp_path / "answers.sqlite")
    ours, theirs = (read_bundle(each).digest() for each in (SHIPPED, SHIPPED_ROOT / "fast"))
    with server(tmp_path, record=record.path, shadow="fast", workers=1) as running:
        wait_for(lambda: is_ready(running), "the shadow is there", limit_s=60)
        before, asked = heard(running), {}
        for _ in range(N):
            answer = running.detect(SOUND)
            assert answer.json()["bundle"]["sha256"] == ours
            asked[answer.headers["X-Request-Id"]] = answer.json()
        assert running.detect(b"no audio").status_code == 415  # nobody hears that
        wait_for(lambda: heard(running) + outcomes(running)["skipped"] >= before + N, "all")
        wait_for(lambda: not list((running.temp).glob("*/s/*-*")), "no sound is left")
        (scorer,) = [each for each in running.scorers() if each.nice() == 19]

        scorer.kill()
        assert [running.detect(SOUND).status_code for _ in range(4)] == [200] * 4
        wait_for(lambda: is_ready(running), "another one hears", limit_s=60)
        assert "Traceback" not in running.log
        assert running.log.count("now serving bundle") == 1
        assert "now beside it, as shadow: bundle fast version" in running.log
    rows = record.read()
    by_shadow = {row.request_id: row for row in rows if row.bundle == theirs}
    assert len(asked.keys() & by_shadow.keys()) >= N // 2
    (told,) = disagreements(rows, ours)
    assert told.bundle == theirs and told.recordings == 1  # always the same
    assert {row.bundle for row in rows} == {ours, theirs}
    assert all(by_shadow[name].llr != asked[name]["llr"] for name in asked.keys() & by_shadow)


def test_a_shadow_that_is_not_there_is_said_at_the_start() -> None:
    with pytest.raises(BundleError, match="missing"):
        check(Settings(shadow="missing"), "127.0.0.1", 3999)


def test_the_log_says_what_comes_beside_and_goes(tmp_path: Path) -> None:
    registry = registry_of(tmp_path)
    begin(registry, "shadow", registry.versions.keep(read_bundle(SHIPPED_ROOT / "fast")))
    with server(tmp_path, workers=1) as running:
        come, gone = "now beside it, as shadow: bundle fast", "no longer beside it, as shadow: fast"
        wait_for(lambda: come in running.log, "it came", limit_s=60)
        assert gone not in running.log
        end(registry, "shadow")
        wait_for(lambda: gone in running.log, "it went", limit_s=60)
        assert running.log.count("now serving bundle") == 1
