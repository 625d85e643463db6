"""``POST /v1/provenance``: what a file says of its origin, from the confined scorer."""

from dataclasses import asdict

import jsonschema
import numpy as np
import pytest

from benchmarks.sounds import Samples, encode
from bonafide.detection import rounded
from bonafide.provenance import examine
from serving.http.endpoints import find_endpoints
from serving.http.openapi import document
from tests.helpers.servers import Server
from tests.helpers.signed import sign

PATH = "/v1/provenance"
REFUSED = {
    "text": b"this is not audio\n" * 100,
    "nothing": b"",
    "a long silence": encode(np.zeros(25 * 16_000, np.float32), "flac"),
    "a high rate": encode(np.zeros(96_000, np.float32), "wav", 96_000),
}


@pytest.mark.parametrize("name", ["flac", "mp3", "m4a"])
def test_it_answers_what_the_package_finds(service: Server, voice: Samples, name: str) -> None:
    content = sign(encode(voice, name), name, source="trainedAlgorithmicMedia")
    answer = service.post(PATH, files={"audio": content})
    assert answer.status_code == 200
    assert answer.json() == rounded(asdict(examine(content)))
    assert [each["code"] for each in answer.json()["findings"]][:2] == [
        *("c2pa_manifest", "c2pa_generated"),
    ]
    written = document(find_endpoints())
    schema = written["paths"][PATH]["post"]["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(answer.json(), {**written, **schema["schema"]})


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_what_detect_refuses(service: Server, name: str) -> None:
    answers = [service.post(path, files={"audio": REFUSED[name]}) for path in (PATH, "/v1/detect")]
    assert answers[0].status_code in (400, 415, 422)
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].json() == answers[1].json()


def test_silence_has_an_origin_too_and_there_is_never_a_verdict(service: Server) -> None:
    content = encode(np.zeros(16_000, np.float32), "wav")
    assert service.detect(content).json()["error"]["code"] == "no_speech"
    answer = service.post(PATH, files={"audio": content})
    assert answer.status_code == 200 and answer.json()["findings"] == []
    assert 'bonafide_verdicts_total{endpoint="provenance"' not in service.get("/metrics").text
