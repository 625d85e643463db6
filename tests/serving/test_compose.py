"""The compose file is one, and says what is so of the image and of the service."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bonafide.cli.keys import keys as keys_group
from bonafide.cli.root import cli
from bonafide.cli.serve import serve
from bonafide.process.service import START_S, STOP_S
from serving.settings import PREFIX, Settings
from serving.traces import ENDPOINTS, tracing

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(__file__).parent / "data/compose-spec.json").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVICE = SERVICES["service"]
OBSERVE = {name: each for name, each in SERVICES.items() if each.get("profiles") == ["observe"]}


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def mounted(name: str) -> dict[str, dict[str, Any]]:
    return {volume["target"]: volume for volume in SERVICES[name]["volumes"]}


def test_it_is_a_compose_file() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(COMPOSE, SCHEMA)
    for wrong in ({"services": {"a": {"read_only": []}}}, {"services": {"a": {"reado_nly": True}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    user = service["user"].split(":")[0]
    assert int(user) > 0
    assert name in OBSERVE or user == re.search(r"useradd --uid (\d+)", DOCKERFILE)[1]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert not service.get("privileged") and "devices" not in service


def test_only_volumes_and_memory_are_written_to() -> None:
    assert set(mounted("service")) == {SERVICE["environment"]["BONAFIDE_HOME"], "/keys"}
    assert mounted("service")["/keys"]["read_only"] and not mounted("keys")["/keys"].get(
        "read_only"
    )
    assert {volume["type"] for volume in SERVICE["volumes"]} == {"volume"}
    mounts = [volume for each in SERVICES.values() for volume in each.get("volumes", ())]
    assert {each["source"] for each in mounts if each["type"] == "volume"} == set(
        COMPOSE["volumes"]
    )
    for bound in (each for each in mounts if each["type"] == "bind"):
        assert bound["read_only"] and (REPOSITORY / bound["source"]).exists()
    (memory,) = SERVICE["tmpfs"]
    assert memory.partition(":")[0] == SERVICE["environment"]["TMPDIR"]
    assert {"noexec", "nosuid", "nodev"} <= set(memory.partition(":")[2].split(","))
    made = re.search(r"install -d -o bonafide -m 700 (.*)", DOCKERFILE)[1].split()
    assert set(made) == set(mounted("service"))  # a new volume takes its owner from there


def test_the_command_is_one_and_the_images_own() -> None:
    (words,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert SERVICE["command"] == json.loads(words)
    name, *options = SERVICE["command"]
    assert name == "serve"
    parent = cli.make_context("bonafide", [name])  # a command keeps the first help option it made
    given = serve.make_context(name, options, parent=parent).params
    assert given["host"] == "0.0.0.0" and given["keys"] == "/keys/keys.json"
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert SERVICES["keys"]["entrypoint"] == [*json.loads(entry), "keys"]
    assert {"add", "list", "revoke"} <= set(keys_group.commands)


def test_ports_and_settings_are_those_of_the_service() -> None:
    port = next(option for option in serve.params if option.name == "port").default
    assert SERVICE["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"EXPOSE {port}" in DOCKERFILE
    settings = Settings.from_environment(SERVICE["environment"])
    traced = SERVICE["environment"][ENDPOINTS[1]]
    assert traced == f"${{{ENDPOINTS[1]}:-}}" and tracing({ENDPOINTS[1]: ""}) == {}
    assert settings.metrics_address == ("0.0.0.0", int(SERVICE["expose"][0]))
    known = {PREFIX + item.name.upper() for item in fields(Settings)} | {"BONAFIDE_HOME", "TMPDIR"}
    assert set(SERVICE["environment"]) <= known | {ENDPOINTS[1]}


def test_the_health_check_is_the_images_own() -> None:
    check = SERVICE["healthcheck"]
    assert f'HEALTHCHECK CMD python -c "{check["test"][-1]}"' in DOCKERFILE
    compile(check["test"][-1], "healthcheck", "exec")
    assert seconds(check["start_period"]) <= START_S
    assert seconds(SERVICE["stop_grace_period"]) >= STOP_S


def test_a_body_fits_into_the_memory_for_uploads() -> None:
    size = re.search(r"size=(\d+)g", SERVICE["tmpfs"][0])
    settings = Settings()
    assert int(size[1]) * 1e9 > settings.max_body_bytes * (settings.queue + 2) * 2
    assert int(SERVICE["mem_limit"].removesuffix("g")) > int(size[1])


def test_what_observes_finds_what_it_observes() -> None:
    assert set(OBSERVE) == {"prometheus", "grafana", "jaeger"}
    assert all(re.search(r":v?\d+\.\d+\.\d+$", each["image"]) for each in OBSERVE.values())
    published = [port for each in SERVICES.values() for port in each.get("ports", ())]
    assert len({port.split(":")[1] for port in published}) == len(published) == 4
    scraping = yaml.safe_load((REPOSITORY / "deploy/prometheus.yml").read_text())
    (job,) = scraping["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"service:{SERVICE['expose'][0]}"]}]
    folder = mounted("prometheus")["/etc/prometheus/prometheus.yml"]["target"].rpartition("/")[0]
    assert {f"{folder}/{name}" for name in scraping["rule_files"]} <= mounted("prometheus").keys()
    assert (
        f"--storage.tsdb.path={mounted('prometheus').popitem()[0]}"
        in OBSERVE["prometheus"]["command"]
    )


def test_grafana_is_given_its_source_and_its_dashboard() -> None:
    grafana, provisioning = OBSERVE["grafana"], REPOSITORY / "deploy/grafana"
    assert mounted("grafana").keys() == {"/etc/grafana/provisioning"}
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    port = OBSERVE["prometheus"]["ports"][0].rpartition(":")[2]
    assert (source["type"], source["url"]) == ("prometheus", f"http://prometheus:{port}")
    (provider,) = yaml.safe_load((provisioning / "dashboards/provider.yml").read_text())[
        "providers"
    ]
    folder = provider["options"]["path"]
    assert folder == "/etc/grafana/provisioning/dashboards"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (provisioning / Path(home).relative_to("/etc/grafana/provisioning")).is_file()
    # Nobody has a password there; that is no account to take over.
    assert grafana["environment"]["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


def test_traces_go_where_the_first_lines_say() -> None:
    text = (REPOSITORY / "compose.yaml").read_text()
    (named,) = re.findall(rf"{ENDPOINTS[1]}=(\S+) docker compose --profile observe up", text)
    assert named == f"http://jaeger:{OBSERVE['jaeger']['expose'][0]}"
    assert tracing({ENDPOINTS[1]: named})["otlp"]["endpoint"] == f"{named}/v1/traces"
    for page in re.findall(r"http://127\.0\.0\.1:(\d+)", text.partition("name:")[0]):
        published = [each["ports"][0].split(":")[1] for each in OBSERVE.values()]
        assert page in published
