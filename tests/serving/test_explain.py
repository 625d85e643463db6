"""``/v1/explain``: the answer of detect, with what it rests on, and the same refusals."""

import httpx
import numpy as np
import pytest

from benchmarks.sounds import Samples, encode
from bonafide.detector import Detector
from bonafide.explanation import Explainer
from tests.helpers.servers import Server

REFUSED = {
    "text": (b"this is not audio\n" * 100, 415, "not_audio"),
    "silence": (encode(np.zeros(48_000, np.float32), "wav"), 422, "no_speech"),
    "nothing": (b"", 400, "empty"),
}


def explain(service: Server, content: bytes) -> httpx.Response:
    url = f"{service.url}/v1/explain"
    return httpx.post(url, files={"audio": content}, timeout=60, trust_env=False)


def test_it_is_the_answer_of_detect_explained(
    service: Server, detector: Detector, voice: Samples
) -> None:
    content = encode(voice, "flac")
    answer = explain(service, content).json()
    assert answer == Explainer(detector).explain(content).to_json()
    explanation = answer.pop("explanation")
    assert answer == service.detect(content).json()
    assert explanation["summary"] and len(explanation["bands"]) == 8
    total = sum(explanation["models"].values()) + explanation["base"]
    assert total == pytest.approx(answer["llr"], abs=2e-3)


@pytest.mark.parametrize("name", REFUSED)
def test_what_detect_refuses_is_refused(service: Server, name: str) -> None:
    content, status, code = REFUSED[name]
    answer = explain(service, content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
