"""What the service answers to one upload: every format, every API error, and nothing more."""

import gzip
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import numpy as np
import pytest
import soundfile

from benchmarks.sounds import FORMATS, Samples, encode, speech
from bonafide.detector import Detector
from tests.helpers.servers import Server

FORM = "multipart/form-data; boundary=b"
FIELD = 'Content-Disposition: form-data; name="audio"'
SECRET = "who-said-what.wav"


def error(response: httpx.Response) -> tuple[int, str]:
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"code", "message"}
    return response.status_code, response.json()["error"]["code"]


def part(content: bytes, head: str = FIELD) -> bytes:
    return f"--b\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_a_form_and_a_body_are_answered_as_the_detector_answers(
    service: Server, detector: Detector, voice: Samples, name: str
) -> None:
    content = encode(voice, name)
    expected = detector.score(content).to_json()
    by_form = service.detect(content)
    by_body = httpx.post(
        f"{service.url}/v1/detect", content=content, headers={"content-type": "audio/anything"}
    )
    assert by_form.status_code == by_body.status_code == 200
    assert by_form.json() == by_body.json() == expected


def test_an_upload_too_large_for_memory_gives_the_same(
    service: Server, detector: Detector, voice: Samples
) -> None:
    stereo = np.tile(np.stack([voice, 0.5 * voice], axis=1), (9, 1))
    content = encode(stereo, "wav", 48_000)
    assert 2_000_000 < len(content) < 4_000_000
    assert service.detect(content).json() == detector.score(content).to_json()
    assert service.upload_files() == []


def test_other_fields_of_the_form_are_passed_over(service: Server, voice: Samples) -> None:
    content = encode(voice, "flac")
    alone = service.detect(content).json()
    among = service.detect(content, data={"note": "x" * 100_000, "audio2": "y"})
    assert among.json() == alone


# --- reasons -------------------------------------------------------------------------------------


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", encode(speech(2.0), "wav"))
    return file.getvalue()


def tone(seconds: float, rate_hz: int = 16_000, channels: int = 1) -> bytes:
    wave = np.sin(np.arange(int(seconds * rate_hz)) * 0.2).astype(np.float32)
    return encode(np.repeat(wave[:, None], channels, axis=1), "wav", rate_hz)


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "empty"),
    "text": (b"this is not audio\n" * 100, 415, "not_audio"),
    "archive": (zipped(), 415, "not_audio"),
    "pickled call": (b"cposix\nsystem\n(S'true'\ntR." * 2_000, 415, "not_audio"),
    "html": (b"<!doctype html><script>alert(1)</script>" * 50, 415, "not_audio"),
    "playlist": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", 415, "not_audio"),
    "silence": (encode(np.zeros(48_000, np.float32), "wav"), 422, "no_speech"),
    "too short": (encode(speech(2.0)[8_000:16_000], "wav"), 422, "too_short"),
    "too long": (encode(np.tile(speech(3.0), 8), "wav"), 422, "too_long"),
    "high rate": (tone(1.0, rate_hz=96_000), 422, "bad_format"),
    "channels": (tone(1.0, channels=3), 422, "bad_format"),
    "header alone": (encode(speech(2.0), "flac")[:200], 422, "damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_content_that_is_refused(service: Server, name: str) -> None:
    content, status, code = REFUSED[name]
    raw = httpx.post(f"{service.url}/v1/detect", content=content)
    assert error(service.detect(content)) == error(raw) == (status, code)


SOUND = encode(speech(2.0), "flac")
END = b"--b--\r\n"
MALFORMED: dict[str, tuple[bytes, str, int, str, str]] = {
    "no field": (END, FORM, 400, "no_audio_field", "has 0 fields"),
    "another field": (
        part(SOUND, FIELD.replace("audio", "sound")) + END,
        *(FORM, 400, "no_audio_field", "has 0 fields"),
    ),
    "two fields": (
        part(SOUND) + part(SOUND) + END,
        *(FORM, 400, "no_audio_field", "has 2 fields"),
    ),
    "empty field": (part(b"") + END, FORM, 400, "empty", "0 bytes"),
    "no boundary": (part(SOUND) + END, "multipart/form-data", 400, "bad_multipart", "boundary"),
    "another boundary": (
        part(SOUND) + END,
        *("multipart/form-data; boundary=c", 400, "bad_multipart", "not a multipart body"),
    ),
    "a boundary that never ends": (
        part(SOUND) + END,
        *(f"multipart/form-data; boundary={'b' * 300}", 400, "bad_multipart", "Boundary length"),
    ),
    "cut off": (part(SOUND)[:-50], FORM, 400, "bad_multipart", "breaks off"),
    "endless header": (
        part(SOUND, FIELD + "\r\nX: " + "x" * 10_000) + END,
        *(FORM, 400, "bad_multipart", "header"),
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_forms_that_are_refused(service: Server, name: str) -> None:
    body, kind, status, code, message = MALFORMED[name]
    response = httpx.post(f"{service.url}/v1/detect", content=body, headers={"content-type": kind})
    assert error(response) == (status, code)
    assert message in response.json()["error"]["message"]


def test_a_compressed_body_is_refused_and_not_unpacked(service: Server) -> None:
    head = (
        "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
        "Content-Length: 100000\r\n\r\n"
    )
    status, answer = service.raw(head.encode(), gzip.compress(bytes(1_000_000)))
    assert (status, answer["error"]["code"]) == (415, "bad_encoding")


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(service: Server) -> None:
    head = "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000000\r\n\r\n"
    status, answer = service.raw(head.encode())
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert "4000000 bytes" in answer["error"]["message"]


def test_a_body_that_says_nothing_is_counted(service: Server, voice: Samples) -> None:
    head = "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%s\r\n" % (1 << 16, bytes(1 << 16))
    status, answer = service.raw(head.encode(), iter([chunk] * 1_000))
    assert (status, answer["error"]["code"]) == (413, "too_large")
    content = encode(voice, "flac")
    pieces = iter([content[:1_000], content[1_000:]])
    counted = httpx.post(f"{service.url}/v1/detect", content=pieces)
    assert counted.json() == service.detect(content).json()


def test_hours_of_silence_in_a_small_file_are_cut_off_early(service: Server) -> None:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8_000, 1, "PCM_16", format="FLAC") as flac:
        for _ in range(360):
            flac.write(np.zeros(8_000 * 60, np.int16))
    assert len(file.getvalue()) < 1_000_000
    (scorer,) = service.scorers()
    before = scorer.cpu_times().user
    assert error(service.detect(file.getvalue())) == (422, "too_long")
    assert scorer.cpu_times().user - before < 0.5  # all six hours take ten times that


# --- nothing more ---------------------------------------------------------------------------------


class _Counting(BaseHTTPRequestHandler):
    seen: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_error(404)


def test_a_url_in_the_place_of_a_file_is_never_fetched(service: Server) -> None:
    with HTTPServer(("127.0.0.1", 0), _Counting) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{other.server_port}/a.wav"
        httpx.get(url)  # it does count
        answers = [
            service.detect(url.encode()),
            httpx.post(f"{service.url}/v1/detect", data={"audio": url}),
            httpx.post(f"{service.url}/v1/detect", json={"audio": url}),
            httpx.post(f"{service.url}/v1/detect", content=f"#EXTM3U\n{url}\n"),
            httpx.post(f"{service.url}/v1/detect", content=f"ffconcat version 1.0\nfile {url}\n"),
        ]
        other.shutdown()
        thread.join()
    codes = {error(answer) for answer in answers}
    assert codes <= {(415, "not_audio"), (400, "no_audio_field")}
    assert _Counting.seen == ["/a.wav"]


def test_a_file_is_never_named(service: Server, voice: Samples) -> None:
    for content in (encode(voice, "flac"), b"not audio", b""):
        upload = {"audio": (SECRET, content)}
        assert SECRET not in httpx.post(f"{service.url}/v1/detect", files=upload).text
    missing = service.get(f"/{SECRET}?{SECRET}")
    assert missing.status_code == 404 and SECRET not in missing.text
    assert SECRET not in service.log + service.get("/metrics").text
