"""An endpoint that scores, from a package of one file that is installed beside the project."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import jsonschema
import numpy as np
import pytest

from benchmarks.sounds import encode, speech
from bonafide.detector import Detector
from bonafide.errors import ConfigError
from bonafide.registry import find_bundle
from serving.http.endpoints import ScoringEndpoint, find_endpoints
from tests.helpers.servers import Server, private_home, server

PEAK = Path(__file__).with_name("peak.py")  # the one file that adds the endpoint
SOUND = encode(np.concatenate([speech(9.0), 0.1 * speech(4.0)]), "flac")
REFUSED = {
    "text": (b"this is not audio\n" * 100, 415, "not_audio"),
    "silence": (encode(np.zeros(48_000, np.float32), "wav"), 422, "no_speech"),
    "nothing": (b"", 400, "empty"),
}


def install(folder: Path, **entries: str) -> Path:
    """Write a package and what an installer writes beside it; return where it is."""
    shutil.copy2(PEAK, folder)
    info = folder / "peak-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peak\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[bonafide.endpoints]", *lines, ""]))
    return folder


@pytest.fixture(scope="module")
def service(bundle_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the service with the package on the path of all its processes."""
    package = install(tmp_path_factory.mktemp("site"), peak="peak:ENDPOINT")
    home = private_home(bundle_home, tmp_path_factory.mktemp("home"))
    paths = os.pathsep.join([str(package), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    environment = {"PYTHONPATH": paths}
    names = "detect,model,peak"
    with server(home, environment=environment, workers=1, endpoints=names) as running:
        yield running
        assert "Traceback" not in running.log


def post(service: Server, path: str, content: bytes) -> httpx.Response:
    return httpx.post(service.url + path, files={"audio": content}, timeout=60, trust_env=False)


def test_it_answers_beside_those_that_are_built_in(service: Server, bundle_home: Path) -> None:
    expected = Detector(find_bundle(bundle_home)).score(SOUND).to_json()
    assert len(expected["segments"]) > 1
    answer = post(service, "/v1/peak", SOUND)
    assert answer.status_code == 200
    assert answer.json() == max(expected["segments"], key=lambda each: each["p_spoof"])
    assert post(service, "/v1/detect", SOUND).json() == expected
    assert service.get("/v1/model").json()["bundle"] == expected["bundle"]


@pytest.mark.parametrize("name", REFUSED)
def test_errors_are_those_of_every_endpoint(service: Server, name: str) -> None:
    content, status, code = REFUSED[name]
    answer = post(service, "/v1/peak", content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_another_method_is_refused(service: Server) -> None:
    answer = service.get("/v1/peak")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_it_is_counted_under_its_name(service: Server) -> None:
    line = 'bonafide_requests_total{code="ok",endpoint="%s",status="200"}'
    before = {name: service.metric(line % name) for name in ("peak", "detect")}
    post(service, "/v1/peak", SOUND)
    moved = {name: service.metric(line % name) - seen for name, seen in before.items()}
    assert moved == {"peak": 1, "detect": 0}
    assert service.metric('bonafide_stage_seconds_sum{endpoint="peak",stage="infer"}') > 0
    assert 'bonafide_verdicts_total{endpoint="peak"' not in service.get("/metrics").text


def test_it_is_documented_with_the_type_of_its_answer(service: Server) -> None:
    document = service.get("/docs.json").json()
    call = document["paths"]["/v1/peak"]["post"]
    assert call["summary"] == "The segment that sounds most generated."
    assert {"400", "413", "415", "422", "429", "504"} < set(call["responses"])
    schema = call["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Segment"}
    jsonschema.validate(post(service, "/v1/peak", SOUND).json(), {**document, **schema})


# --- what is switched on --------------------------------------------------------------------------

BAD = {
    "unknown": (
        "detect,peek",
        "bad_endpoint",
        "endpoint 'peek': must be one of detect, explain, model,",
    ),
    "another thing": ("text", "bad_plugin", "must be a Endpoint called 'text'"),
    "another's name": ("twice", "bad_plugin", "must be a Endpoint called 'twice'"),
    "no module": ("gone", "bad_plugin", "cannot be imported: ModuleNotFoundError"),
}


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = install(
        tmp_path,
        peak="peak:ENDPOINT",
        twice="peak:ENDPOINT",
        text="peak:__doc__",
        gone="of_yesterday:ENDPOINT",
    )
    monkeypatch.syspath_prepend(site)
    names, code, message = BAD[name]
    with pytest.raises(ConfigError, match=message) as raised:
        find_endpoints(names.split(","))
    assert raised.value.code == code


def test_all_that_are_built_in_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, peak="peak:ENDPOINT"))
    assert {"detect", "model"} <= set(find_endpoints()) and "peak" not in find_endpoints()
    assert tuple(find_endpoints(["model", "peak"])) == ("model", "peak")


@pytest.mark.parametrize("name", ["", "Peak", "peak/all", "p" * 33])
def test_names_of_endpoints_are_parts_of_a_path(name: str) -> None:
    with pytest.raises(ConfigError, match="the name must match"):
        ScoringEndpoint(name, "It peaks.", len)
