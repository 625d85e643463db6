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

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((Path(__file__).parent / "data/compose-spec.json").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVICE = SERVICES["service"]


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
    assert service["user"].split(":")[0] == re.search(r"useradd --uid (\d+)", DOCKERFILE)[1] != "0"
    assert not service.get("privileged") and "devices" not in service


def test_only_volumes_and_memory_are_written_to() -> None:
    assert set(mounted("service")) == {SERVICE["environment"]["BONAFIDE_HOME"], "/keys"}
    assert mounted("service")["/keys"]["read_only"] and not mounted("keys")["/keys"].get(
        "read_only"
    )
    assert {volume["type"] for volume in SERVICE["volumes"]} == {"volume"}
    assert {volume["source"] for volume in SERVICE["volumes"]} == set(COMPOSE["volumes"])
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
    assert settings.metrics_address == ("0.0.0.0", int(SERVICE["expose"][0]))
    known = {PREFIX + item.name.upper() for item in fields(Settings)} | {"BONAFIDE_HOME", "TMPDIR"}
    assert set(SERVICE["environment"]) <= known


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
