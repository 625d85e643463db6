"""Dashboard, alerts and Prometheus' configuration, held against a real Prometheus and service."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.sounds import Samples, encode
from bonafide.detector import Detector
from bonafide.history import ALIVE, last_alive
from bonafide.process.service import free_port
from serving.http.errors import STATUS
from serving.http.keys import add_key
from tests.conftest import REPOSITORY
from tests.helpers.servers import Server, private_home, server, wait_for

DEPLOY = REPOSITORY / "deploy"
RULES = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
ALERTS = {rule["alert"]: rule for rule in RULES}
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/bonafide.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {"none", "percentunit", "reqps", "s"}


def program(name: str) -> str:
    """One of Debian's package `prometheus`."""
    found = shutil.which(name)
    if found is None:
        assert not os.environ.get("CI"), f"{name} is missing"
        pytest.skip(f"{name} is missing: apt-get install prometheus")
    return found


def promtool(*words: str | Path) -> None:
    done = subprocess.run([program("promtool"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_configuration_and_rules() -> None:
    promtool("check", "config", DEPLOY / "prometheus.yml")
    promtool("check", "rules", DEPLOY / "alerts.yml")


# --- alerts ---------------------------------------------------------------------------------------


LONG_M = 10  # the step of what takes a day, in minutes
MOVED_M = 24 * 60 + 80


def counted(name: str, per_minute: str, **labels: str) -> dict[str, str]:
    """A series by the minute, in promtool's notation, beside what the scrape adds to it."""
    labels = {"instance": "a:9464", "job": "bonafide", **labels}
    inner = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return {"series": f"{name}{{{inner}}}", "values": per_minute}


def requests(code: str, status: int, per_minute: str, endpoint: str = "detect") -> dict[str, str]:
    labels = {"endpoint": endpoint, "status": str(status), "code": code}
    return counted("bonafide_requests_total", per_minute, **labels)


def rejected(code: str, per_minute: str) -> dict[str, str]:
    return counted("bonafide_rejected_total", per_minute, status=str(STATUS[code]), code=code)


def verdicts(before: int, after: int, *, of: int = 100) -> list[dict[str, str]]:
    """What is spoof every `LONG_M` minutes, through a day, and in the hours that follow."""
    steps = 24 * 60 // LONG_M
    kinds = (("spoof", before, after), ("bonafide", of - before, of - after))
    series = [
        counted(
            "bonafide_verdicts_total",
            f"0+{day}x{steps} {steps * day}+{later}x9",
            endpoint="detect",
            verdict=verdict,
        )
        for verdict, day, later in kinds
    ]
    return [counted("up", f"1x{steps + 9}"), *series]


def shadow(differed: int) -> list[dict[str, str]]:
    outcomes = (("agreed", 100 - differed), ("differed", differed))
    return [
        counted("bonafide_shadow_total", f"0+{n}x120", endpoint="detect", outcome=outcome)
        for outcome, n in outcomes
    ]


def alive(per_minute: str) -> dict[str, str]:
    return counted("bonafide_schedule_alive_timestamp_seconds", per_minute)


def slow(le: str, of_ten: int) -> list[dict[str, str]]:
    name, labels = "bonafide_request_seconds_bucket", {"endpoint": "detect"}
    rest = ((le, of_ten), ("30.0", 10), ("+Inf", 10))
    return [counted(name, f"0+{n}x60", **labels, le=edge) for edge, n in rest]


UP, READY = counted("up", "1x2000"), counted("bonafide_ready", "1x2000")
GOOD, FEW = requests("ok", 200, "0+60x2000"), requests("ok", 200, "0+2x2000")
ALL_WELL = [UP, READY, counted("bonafide_stale", "0x2000"), GOOD]
# What is seen, after how many minutes, and which alerts fire then.
SEEN: dict[str, tuple[list[dict[str, str]], int, set[str]]] = {
    "all is well": (ALL_WELL, 30, set()),
    "it is down": ([counted("up", "1x5 0x20")], 8, {"BonafideDown"}),
    "one scrape is missed": ([counted("up", "1x5 0 1x20")], 6, set()),
    "nobody scrapes it": ([], 5, {"BonafideDown"}),
    "no scorer": ([UP, counted("bonafide_ready", "1x5 0x20")], 8, {"BonafideNotReady"}),
    "a damaged bundle": ([UP, counted("bonafide_stale", "0x5 1x30")], 20, {"BonafideStale"}),
    "a bundle on its way": ([UP, counted("bonafide_stale", "0x5 1x9 0x30")], 14, set()),
    "failures": ([*ALL_WELL, requests("deadline", 504, "0+5x60")], 30, {"BonafideErrors"}),
    "failures outside of scoring": (
        [*ALL_WELL, rejected("no_room", "0+5x60")],
        30,
        {"BonafideErrors"},
    ),
    "one failure of few": ([UP, FEW, requests("deadline", 504, "0x10 1x60")], 15, set()),
    "the callers' errors": ([*ALL_WELL, requests("not_audio", 415, "0+60x60")], 30, set()),
    "a full queue": ([*ALL_WELL, requests("busy", 429, "0+10x60")], 30, {"BonafideBusy"}),
    "a burst": ([*ALL_WELL, requests("busy", 429, "0x10 0+10x3 30x60")], 16, set()),
    "slow answers": ([*ALL_WELL, *slow("5.0", 5)], 30, {"BonafideSlow"}),
    "quick answers": ([*ALL_WELL, *slow("0.1", 10)], 30, set()),
    "wrong keys": ([*ALL_WELL, rejected("unauthorized", "0+120x60")], 30, {"BonafideRejects"}),
    "paths that are not there": ([*ALL_WELL, rejected("not_found", "0+600x60")], 30, set()),
    "other verdicts": (verdicts(20, 60), MOVED_M, {"BonafideVerdictsMoved"}),
    "verdicts much as ever": (verdicts(20, 30), MOVED_M, set()),
    "few verdicts": (verdicts(0, 1, of=1), MOVED_M, set()),
    "a canary that errs": (
        [*ALL_WELL, counted("bonafide_canary_returns_total", "0x5 1x60", criterion="errors")],
        20,
        {"BonafideCanaryReturned"},
    ),
    "another mind": ([*ALL_WELL, *shadow(20)], 90, {"BonafideShadowDiffers"}),
    "one mind": ([*ALL_WELL, *shadow(5)], 90, set()),
    "a schedule that runs": ([*ALL_WELL, alive("30+60x60")], 40, set()),
    "a schedule that ended": ([*ALL_WELL, alive("30+60x5 330x60")], 40, {"BonafideScheduleGone"}),
    "no schedule": ([*ALL_WELL, alive("0x60")], 40, set()),
}


def expected(name: str, step_m: int) -> dict[str, Any]:
    """A test of promtool: what was seen, and the alerts that fire then."""
    series, minutes, fire = SEEN[name]
    asked = {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{minutes}m",
        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in fire],
    }
    return {
        "name": name,
        "interval": f"{step_m}m",
        "input_series": series,
        "promql_expr_test": [asked],
    }


def test_every_alert_fires_and_none_without_need(tmp_path: Path) -> None:
    assert set.union(*(fire for *_, fire in SEEN.values())) == ALERTS.keys()
    long = {name for name, (_, minutes, _) in SEEN.items() if minutes == MOVED_M}
    for step_m, names in ((1, SEEN.keys() - long), (LONG_M, long)):
        suite = {
            "rule_files": [str(DEPLOY / "alerts.yml")],
            "evaluation_interval": f"{step_m}m",
            "tests": [expected(name, step_m) for name in sorted(names)],
        }
        (tmp_path / f"{step_m}.yml").write_text(json.dumps(suite))
        promtool("test", "rules", tmp_path / f"{step_m}.yml")


def test_alerts_say_what_to_do() -> None:
    page = (REPOSITORY / "docs/operating.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(Bonafide[A-Z]\w+)`", page)) == ALERTS.keys()
    for rule in ALERTS.values():
        assert rule["labels"]["severity"] in ("page", "ticket") and rule["for"]
        said = rule["annotations"]
        assert said["summary"] and said["description"].endswith((".", "moved."))
        path, _, anchor = said["runbook"].partition("#")
        text = (REPOSITORY / path).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in ("", *(each.lower().replace(" ", "-") for each in headings))


# --- the dashboard --------------------------------------------------------------------------------


def test_every_panel_is_complete() -> None:
    assert len(PANELS) > 10
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identities) == len(set(identities))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        here = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert columns.stop <= 24 and not here & taken, panel["title"]
        taken |= here
    for title, panel in PANELS.items():
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["type"] in ("stat", "timeseries") and panel["description"].endswith(".")
        assert defaults["unit"] in UNITS, title
        assert defaults["thresholds"]["steps"][0]["value"] is None
        letters = [target["refId"] for target in panel["targets"]]
        assert panel["targets"] and len(letters) == len(set(letters))
        assert panel["datasource"] == SOURCE
        assert {json.dumps(target["datasource"]) for target in panel["targets"]} == {
            json.dumps(SOURCE)
        }


def test_what_it_shows_does_not_hang_on_one_grafana() -> None:
    text = json.dumps(DASHBOARD)
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables.keys() == {"datasource", "instance"}
    used = set(re.findall(r"\$\{?(\w+)", text))
    assert used == {"datasource", "instance", "__rate_interval"}
    assert "id" not in DASHBOARD and DASHBOARD["uid"] == "bonafide"
    assert "http://" not in text and "https://" not in text
    named = set(re.findall(r"Bonafide[A-Z]\w+", text))
    assert named and named <= ALERTS.keys()


def expressions() -> dict[str, str]:
    """Every expression of the dashboard and of the alerts, ready for a Prometheus."""
    (promotions,) = DASHBOARD["annotations"]["list"]
    found = {"promotions": promotions["target"]["expr"]}
    for title, panel in PANELS.items():
        found |= {f"{title} {each['refId']}": each["expr"] for each in panel["targets"]}
    ready = {"$__rate_interval": "10s", "$instance": ".*"}
    for name, text in found.items():
        for variable, value in ready.items():
            text = text.replace(variable, value)
        found[name] = text
    return found


def test_codes_are_the_services_own() -> None:
    text = "".join([*expressions().values(), *(rule["expr"] for rule in ALERTS.values())])
    assert set(re.findall(r'code="(\w+)"', text)) <= STATUS.keys()
    seen = set(map(str, STATUS.values()))
    for pattern in re.findall(r'status=~"([^"]+)"', text):
        for each in pattern.split("|"):
            assert any(re.fullmatch(each, status) for status in seen), pattern


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[httpx.Client]:
    """Run a Prometheus with our configuration, which scrapes the target every second."""
    text = (DEPLOY / "prometheus.yml").read_text()
    assert text.count('["service:9464"]') == 1 and text.count("15s") == 2
    (folder / "prometheus.yml").write_text(
        text.replace("service:9464", target).replace("15s", "1s")
    )
    shutil.copy(DEPLOY / "alerts.yml", folder)
    address = f"127.0.0.1:{free_port()}"
    command = [program("prometheus"), f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}/api/v1", trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


def ask(client: httpx.Client, path: str, **parameters: str) -> Any:
    try:
        answer = client.get(path, params=parameters).json()
    except httpx.ConnectError:  # it is starting
        return None
    assert answer["status"] == "success", (parameters, answer)
    return answer["data"]


def schedule_alive(client: httpx.Client) -> float:
    name = "bonafide_schedule_alive_timestamp_seconds"
    (seen,) = ask(client, "query", query=name)["result"]
    return float(seen["value"][1])


def use(running: Server, sound: bytes, key: str) -> None:
    """Have every metric counted."""
    assert running.detect(sound, headers={"x-api-key": key}).status_code == 200
    assert running.detect(b"no sound", headers={"x-api-key": key}).status_code == 415
    assert running.detect(sound, headers={"x-api-key": "wrong"}).status_code == 401


def test_a_prometheus_finds_all_that_is_shown(
    bundle_home: Path, tmp_path: Path, detector: Detector, voice: Samples
) -> None:
    home, keys, port = private_home(bundle_home, tmp_path / "home"), tmp_path / "keys", free_port()
    key, sound, address = add_key(keys, "ana"), encode(voice, "flac"), f"127.0.0.1:{port}"
    settings = {"keys": keys, "metrics": address, "shadow": detector.bundle.folder, "workers": 1}
    with prometheus(tmp_path, address) as client:
        with server(home, **settings) as running:
            results: dict[str, Any] = {}

            def all_seen() -> bool:
                use(running, sound, key)
                for name, text in expressions().items():
                    data = ask(client, "query", query=text)
                    if data and data["result"]:  # promotions are seen for a minute
                        results[name] = data["result"]
                return results.keys() == expressions().keys()

            try:
                wait_for(all_seen, "every expression has a result", limit_s=60)
            except AssertionError:
                pytest.fail(f"no result: {sorted(expressions().keys() - results.keys())}")
            assert schedule_alive(client) == 0
            (home / ALIVE).touch()
            wait_for(lambda: schedule_alive(client) == last_alive(home), "it sees the schedule")
            bundle = "{name}:{version}".format(**detector.bundle.identity)
            (seen,) = results["Bundle A"]
            assert "{name}:{version}".format(**seen["metric"]) == bundle
            shares = [float(each["value"][1]) for each in results["Verdicts A"]]
            assert sum(shares) == pytest.approx(1)
            (group,) = wait_for(lambda: ask(client, "rules")["groups"], "the rules")
            states = {
                rule["name"]: (rule["health"], rule.get("lastError", "")) for rule in group["rules"]
            }
            assert states == dict.fromkeys(ALERTS, ("ok", ""))
            assert ask(client, "query", query='ALERTS{alertstate="firing"}')["result"] == []
        pending = 'ALERTS{alertname="BonafideDown"}'
        wait_for(lambda: ask(client, "query", query=pending)["result"], "it sees that it is down")
