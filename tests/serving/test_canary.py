"""The canary: it answers its share of the clients, and is stopped where it does badly."""

import json
import random
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest

from benchmarks.sounds import encode, speech
from bonafide.bundle import Bundle, read_bundle, write_bundle
from bonafide.cli import main
from bonafide.client import BUNDLE_HEADER
from bonafide.errors import BundleError
from bonafide.features.graph import GraphBuilder
from bonafide.home import SHIPPED, SHIPPED_ROOT
from bonafide.monitoring.record import Record
from bonafide.registry import keep, promote, registry_of
from bonafide.registry.beside import begin
from serving.http.keys import add_key
from serving.launch import check
from serving.settings import Settings
from serving.workers.canary import is_chosen
from serving.workers.watch import LIMIT, WORDS, Watch, added
from tests.helpers.servers import Server, server, wait_for

SPEECH = encode(speech(1.0), "flac")
NOISY = encode(speech(1.0) + 0.05 * np.random.default_rng(0).standard_normal(16_000), "flac")
# Under these whatever is heard has one verdict.
THRESHOLDS = {
    "bonafide": {"bonafide_to": 1.0, "spoof_from": None, "channels": {}},
    "spoof": {"bonafide_to": None, "spoof_from": 0.0, "channels": {}},
}
FAST = SHIPPED_ROOT / "fast"


def kept(home: Path, verdict: str, base: Path = FAST, note: str = "") -> Bundle:
    entries = {"thresholds": THRESHOLDS[verdict], "note": note}
    return keep(home, read_bundle(base), entries, "a variant\n")


def failing(folder: Path) -> Path:
    """Write a bundle whose graph fails on whatever is not noisy: it looks for what is not there."""
    bundle = read_bundle(shutil.copytree(FAST, folder))
    fast = onnx.load(FAST / "detector.onnx")
    graph = GraphBuilder("detector")
    waveform = graph.input("waveform", ["batch", bundle.spec.window_samples])
    found = graph.inline(fast, {"waveform": waveform})
    loudest = graph.add("ArgMax", found["channel"], axis=1, keepdims=0)
    noise = graph.integers([bundle.channels.index("noise")])
    elsewhere = graph.add("Abs", graph.add("Sub", loudest, noise))
    one = graph.add("Gather", graph.constant(np.ones(1, np.float32)), elsewhere)
    found["llr"] = graph.add("Mul", found["llr"], one)
    widths = {"models": len(bundle.models), "stack": 2, "channel": len(bundle.channels)}
    for name, value in found.items():
        graph.output(name, value, ["batch", *([widths[name]] if name in widths else [])])
    onnx.save(graph.model(), folder / "detector.onnx")
    return write_bundle(folder, bundle.manifest).folder


def told(answer: httpx.Response) -> str:
    """Return which bundle answered, which one has to have."""
    assert answer.status_code == 200, answer.text
    return "{name}:{version}".format(**answer.json()["bundle"])


# --- who is chosen --------------------------------------------------------------------------------

CLIENTS = [
    *(f"key caller-{number}" for number in range(5_000)),
    *(f"address 10.0.{number >> 8}.{number & 255}" for number in range(5_000)),
]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.95])
def test_the_share_of_clients_is_right_within_a_point(share: float) -> None:
    for clients in (CLIENTS, CLIENTS[:5_000], CLIENTS[5_000:]):
        seen = sum(is_chosen(each, share) for each in clients) / len(clients)
        assert abs(seen - share) < (0.01 if clients is CLIENTS else 0.015)


def test_a_larger_share_keeps_the_clients_of_a_smaller_one() -> None:
    smaller, larger = ({each for each in CLIENTS if is_chosen(each, s)} for s in (0.05, 0.2))
    assert smaller < larger


# --- what is allowed ------------------------------------------------------------------------------

ALLOWED = {"errors": 0.01, "latency": 0.5, "disagreement": 0.1}


def test_two_workers_count_together_and_one_of_them_alarms(tmp_path: Path) -> None:
    one, two = (Watch(tmp_path / "canary-1", ALLOWED) for _ in range(2))
    raised = [watch.add("errors", True) for _ in range(10) for watch in (one, two)]
    assert raised.index(True) == 8 and raised.count(True) == 1
    assert one.alarm == two.alarm == Watch(tmp_path / "canary-1", ALLOWED).alarm == "errors"
    assert one.why == "9 of its last 9 requests failed; 1% may"
    assert Watch(tmp_path / "canary-2", ALLOWED).alarm == ""


@pytest.mark.parametrize("criterion", WORDS)
def test_each_criterion_alarms_within_fifty_of_the_worst(criterion: str, tmp_path: Path) -> None:
    watch = Watch(tmp_path / "canary", ALLOWED)
    for _ in range(200):
        assert not watch.add(criterion, False)
    raised = [watch.add(criterion, True) for _ in range(50)]
    assert raised.index(True) < 25 and watch.alarm == criterion
    bad, _, seen = watch.why.split()[0:5:2]
    assert bad == f"{raised.index(True) + 1}" and int(seen.strip(";") if seen != "last" else bad)


@pytest.mark.parametrize("allowed", ALLOWED.values())
def test_false_alarms_are_as_rare_as_promised(allowed: float) -> None:
    rng, alarms, total = random.Random(1), 0, 0.0
    for _ in range(400_000):
        total = added(total, rng.random() < allowed, allowed)
        if total >= LIMIT:
            alarms, total = alarms + 1, 0.0
    assert alarms <= 40  # of at most 40 that are to be expected


@pytest.mark.parametrize(("share", "within"), [(0.05, 2_000), (0.2, 200)])
def test_a_canary_that_errs_now_and_then_is_seen_too(share: float, within: int) -> None:
    rng, total, seen = random.Random(1), 0.0, 0
    while total < LIMIT:
        total, seen = added(total, rng.random() < share, 0.01), seen + 1
    assert seen < within


def test_what_may_always_be_never_alarms(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "canary", {**ALLOWED, "disagreement": 1.0})
    assert not any(watch.add("disagreement", True) for _ in range(1_000))


def client(running: Server, **more: Any) -> dict[str, Any]:
    """Return what makes a client."""
    return {"base_url": running.url, "timeout": 60, "trust_env": False, **more}


# --- a service that follows the registry ----------------------------------------------------------

NAMES = [f"caller-{number}" for number in range(16)]


def chosen(share: float) -> list[str]:
    return [name for name in NAMES if is_chosen(f"key {name}", share)]


class Callers:
    """Those with keys, each of whom may ask; every answer has to be one."""

    def __init__(self, http: httpx.Client, keys: dict[str, str]) -> None:
        self._http, self._keys = http, keys

    def _headers(self, name: str) -> dict[str, str]:
        return {"X-Api-Key": self._keys[name]}

    def version(self, name: str) -> str:
        return told(self._http.post("/v1/detect", content=SPEECH, headers=self._headers(name)))

    def pinned(self, name: str, bundle: Bundle, path: str) -> tuple[int, str]:
        """Ask for an answer of one bundle alone: its hash, or the error's code."""
        headers = {**self._headers(name), BUNDLE_HEADER: bundle.digest()}
        answer = self._http.post(path, content=SPEECH, headers=headers)
        said = answer.json()
        told = said["bundle"]["sha256"] if answer.is_success else said["error"]["code"]
        return answer.status_code, told

    def versions(self, names: list[str]) -> set[str]:
        return {self.version(name) for name in names}

    def counted(self, name: str) -> float:
        """Return a counter, summed over workers."""
        text = self._http.get("/metrics", headers=self._headers(NAMES[0])).text
        found = [line.rpartition(" ") for line in text.splitlines()]
        return sum(float(value) for start, _, value in found if start == name)

    def outcome(self, what: str, of: str = "canary") -> float:
        return self.counted(f'bonafide_{of}_total{{endpoint="detect",outcome="{what}"}}')


def of_bundle(running: Server, bundle: Bundle) -> list[int]:
    """Return the scorers that score with a bundle."""
    found = [each for each in running.scorers() if str(bundle.folder) in each.cmdline()]
    return [each.pid for each in found]


def test_the_registry_switches_what_is_beside_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    old = kept(home, "bonafide")
    promote(home, old, override="a test")
    new, odd = kept(home, "bonafide", note="new"), kept(home, "spoof")
    kept(home, "bonafide", base=SHIPPED)  # takes five times as long
    keys = {name: add_key(tmp_path / "keys.json", name, 6e4) for name in NAMES}
    record = Record(tmp_path / "answers.sqlite")
    registry = registry_of(home)
    monkeypatch.setenv("BONAFIDE_HOME", str(home))

    def models(*words: str) -> str:
        assert main(["models", *words]) == 0
        return capsys.readouterr().out

    settings = {"keys": tmp_path / "keys.json", "record": record.path, "workers": 1}
    with server(home, queue=8, **settings) as running, httpx.Client(**client(running)) as http:
        callers = Callers(http, keys)

        def is_returned(number: int, name: str) -> bool:
            callers.version(name)
            last = registry.journal()[-1]
            return last.action == "returned" and last.number == number

        # a share, by key
        said = models("canary", "fast:2:40%", "--why", "a trial")
        assert said == "fast:2: the canary answers 40% of the clients now\n"
        wait_for(lambda: callers.version(chosen(0.4)[0]) == "fast:2", "it answers", limit_s=60)
        seen = {name: callers.versions([name] * 2) for name in NAMES}
        assert seen == {name: {"fast:2" if name in chosen(0.4) else "fast:1"} for name in NAMES}
        pids = of_bundle(running, new)
        assert callers.outcome("answered") > 2 * len(chosen(0.4)) and callers.outcome("failed") == 0

        # who wants one bundle gets that or nothing, whatever the share
        for path in ("/v1/detect", "/v1/explain"):
            assert callers.pinned(chosen(0.4)[0], old, path) == (200, old.digest())
            assert callers.pinned(chosen(0.4)[0], new, path) == (409, "other_bundle")

        # a larger one, by the same scorers
        assert "beside" in models("list") and "canary 40%" in models("list")
        models("canary", "fast:2:70%")
        wait_for(lambda: callers.counted("bonafide_canary_share") == 0.7, "the larger share")
        joined = [name for name in chosen(0.7) if name not in chosen(0.4)]
        wait_for(
            lambda: callers.version(joined[0]) == "fast:2", "it is answered by the canary, too"
        )
        assert of_bundle(running, new) == pids
        assert callers.outcome("agreed") > 0 == callers.outcome("differed")

        # killed, it costs no request
        next(each for each in running.scorers() if each.pid == pids[0]).kill()
        for name in chosen(0.7)[:4]:
            callers.version(name)

        def is_back() -> bool:
            time.sleep(0.5)  # each that comes while its scorer starts counts a quarter of an error
            return callers.version(chosen(0.7)[0]) == "fast:2"

        wait_for(is_back, "it is there again")

        # beside it a shadow, which hears those that production answers
        (one,) = [name for name in NAMES if name not in chosen(0.7)][:1]
        models("shadow", "fast:3")
        wait_for(
            lambda: callers.version(one) == "fast:1" and callers.outcome("differed", "shadow"),
            "the shadow hears",
            limit_s=60,
        )
        (listed,) = [
            each for each in json.loads(models("list", "--json")) if each["version"] == "3"
        ]
        assert (listed["beside"], listed["stage"]) == ("shadow", "staging")
        models("shadow", "--off")
        wait_for(lambda: not of_bundle(running, odd), "the shadow is gone")

        # one that takes too long returns, and one with other verdicts
        for ref, word in (("default:1", "took too long"), ("fast:3", "have another verdict")):
            number = len(registry.journal()) + 2
            models("canary", f"{ref}:70%")
            wait_for(lambda n=number: is_returned(n, chosen(0.7)[0]), word, limit_s=90)
            last = registry.journal()[-1]
            assert (str(last.bundle), last.before) == (ref, last.after) and word in last.why
        assert not registry.state().beside
        assert callers.versions(NAMES) == {"fast:1"}
        returned = 'bonafide_canary_returns_total{{criterion="{}"}}'.format
        assert [callers.counted(returned(each)) for each in WORDS] == [0, 1, 1]
        assert "the canary default:1 is stopped: " in running.log
        assert callers.counted("bonafide_canary_share") == 0

        # a promotion of the canary ends it
        models("canary", "fast:2:70%")
        wait_for(lambda: callers.version(chosen(0.7)[0]) == "fast:2", "it answers", limit_s=60)
        models("promote", "fast:2", "--override", "a test")
        wait_for(lambda: callers.versions(NAMES) == {"fast:2"}, "all are answered by it")
        assert not registry.state().beside
        wait_for(lambda: len(running.scorers()) == 1, "its own scorer is gone")
        assert "Traceback" not in running.log
    by_both = [row.request_id for row in record.read() if row.bundle == odd.digest()]
    assert by_both and set(by_both) & {
        r.request_id for r in record.read() if r.bundle != odd.digest()
    }


# --- a service that is told -----------------------------------------------------------------------


def test_one_that_errs_returns_within_fifty_of_its_requests(tmp_path: Path) -> None:
    home = tmp_path / "home"
    promote(home, kept(home, "bonafide"), override="a test")
    bad, other = kept(home, "bonafide", failing(tmp_path / "bad")), kept(home, "spoof")
    begin(registry_of(home), "canary", other, share=0.9)  # this server has one of its own
    theirs = [n for n in range(1, 20) if is_chosen(f"address 127.0.1.{n}", 0.5)]
    others = [n for n in range(1, 20) if n not in theirs]
    with server(home, "--canary", "fast:2:50%", workers=2) as running:
        wait_for(lambda: len(of_bundle(running, bad)) == 2, "the canary's scorers", limit_s=60)

        def version(number: int, content: bytes) -> str:
            place = httpx.HTTPTransport(local_address=f"127.0.1.{number}", verify=False)
            with httpx.Client(**client(running, transport=place)) as http:
                return told(http.post("/v1/detect", content=content))

        def outcome(what: str) -> float:
            return running.metric(f'bonafide_canary_total{{endpoint="detect",outcome="{what}"}}')

        wait_for(lambda: {version(theirs[0], NOISY) for _ in range(8)} == {"fast:2"}, "both answer")
        for _ in range(2):
            assert [version(each, NOISY) for each in theirs] == ["fast:2"] * len(theirs)
            assert [version(each, NOISY) for each in others[:4]] == ["fast:1"] * 4
        answered, returns = outcome("answered"), 0.0
        asked = 0
        while not returns:
            assert version(theirs[asked % len(theirs)], SPEECH) == "fast:1"
            asked += 1
            returns = running.metric('bonafide_canary_returns_total{criterion="errors"}')
            assert asked < 50
        assert outcome("failed") == asked and outcome("answered") == answered
        assert {version(each, NOISY) for each in theirs} == {"fast:1"}
        wait_for(lambda: not of_bundle(running, bad), "its scorers are gone")
        assert "the canary" in running.log and "requests failed; 1% may" in running.log
        for worker in running.workers()[:1]:  # nor does a new worker begin with it
            worker.kill()
        wait_for(lambda: len(running.workers()) == 2 and len(running.scorers()) == 2, "a new one")
        assert {version(each, NOISY) for each in theirs} == {"fast:1"}
        assert not of_bundle(running, bad)
    assert len(registry_of(home).journal()) == 2  # what a server is told is its own matter


def test_a_canary_that_is_not_there_is_said_at_the_start() -> None:
    with pytest.raises(BundleError, match="missing"):
        check(Settings(canary="missing:5%"), "127.0.0.1", 3999)
