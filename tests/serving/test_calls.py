"""`bonafide calls`: exchanges played by the test, a real service, and what is said of each call."""

import asyncio
import base64
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.sounds import speech
from bonafide.audio.pcm import PcmStream
from bonafide.detector import Detector
from serving.calls.protocols import AudioSocket, CallError, Ended, Event, Sound, Started, Twilio
from serving.calls.relay import Relay
from serving.http.keys import add_key
from tests.helpers.servers import Server, server, wait_for

CALL = uuid.UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
FRAME = 320  # bytes of 20 ms at 8 kHz
VOICE = (soxr.resample(speech(9.7), 16_000, 8_000) * 32_767).astype("<i2")


def mulaw(samples: "np.ndarray[Any, np.dtype[np.int16]]") -> bytes:
    """Code samples by G.711: the nearest of what its 256 codes stand for."""
    codes = PcmStream(16_000, "mulaw").feed(bytes(range(256)))
    order = np.argsort(codes, kind="stable")
    middles = (codes[order][1:] + codes[order][:-1]) / 2
    return order[np.searchsorted(middles, samples / 32_768)].astype(np.uint8).tobytes()


def message(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


def exchange(sound: bytes = VOICE.tobytes(), kind: int = 0x10) -> bytes:
    """Return what Asterisk sends of a call, with a digit that was pressed."""
    frames = [message(kind, sound[at : at + FRAME]) for at in range(0, len(sound), FRAME)]
    whole = [message(0x01, CALL.bytes), *frames, message(0x03, b"7"), message(0x00, b"")]
    return b"".join(whole)


def stream(call: str, *tracks: str, sound: bytes = mulaw(VOICE)) -> list[str]:
    """Return what Twilio sends of a call."""
    coded = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"streamSid": "MZ1", "accountSid": "AC1", "callSid": call, "tracks": tracks}
    sent: list[dict[str, Any]] = [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {"event": "start", "sequenceNumber": "1", "start": {**start, "mediaFormat": coded}},
    ]
    for at in range(0, len(sound), 160):
        payload = base64.b64encode(sound[at : at + 160]).decode()
        media = [{"track": track, "chunk": "1", "payload": payload} for track in tracks]
        sent += [{"event": "media", "streamSid": "MZ1", "media": each} for each in media]
    sent += [{"event": "mark", "mark": {"name": "x"}}, {"event": "stop", "stop": {}}]
    return [json.dumps(each) for each in sent]


# --- protocols ------------------------------------------------------------------------------------


def joined(events: list[Event]) -> list[Event]:
    """Put samples together that come one after another."""
    found: list[Event] = []
    for event in events:
        if isinstance(event, Sound) and found and isinstance(found[-1], Sound):
            found[-1] = Sound(event.track, found[-1].content + event.content)
        else:
            found.append(event)
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3_000), max_size=8))
def test_audiosocket_may_be_cut_anywhere(cuts: list[int]) -> None:
    whole = exchange(VOICE[:1_000].tobytes())
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    protocol = AudioSocket()
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    seen = joined([event for piece in pieces for event in protocol.feed(piece)])
    started = Started(str(CALL), "call", 8_000, "pcm_s16le")
    assert seen == [started, Sound("call", VOICE[:1_000].tobytes()), Ended()]


@pytest.mark.parametrize(("kind", "rate"), [(0x12, 16_000), (0x16, 48_000), (0x18, 192_000)])
def test_audiosocket_has_other_rates(kind: int, rate: int) -> None:
    first, *_ = AudioSocket().feed(exchange(bytes(640), kind))
    assert first == Started(str(CALL), "call", rate, "pcm_s16le")


@pytest.mark.parametrize(
    "content",
    [
        message(0x10, bytes(320)),  # no name
        message(0x01, b"short"),
        message(0x01, CALL.bytes) * 2,
        message(0x01, CALL.bytes) + message(0x10, bytes(2)) + message(0x12, bytes(2)),
    ],
)
def test_what_is_no_call_of_asterisk_is_refused(content: bytes) -> None:
    with pytest.raises(CallError, match="AudioSocket") as seen:
        list(AudioSocket().feed(content))
    assert seen.value.code == "bad_message"


def test_twilio_is_understood() -> None:
    protocol, sound = Twilio(), mulaw(VOICE[:1_000])
    seen = [
        event for text in stream("CA1", "inbound", sound=sound) for event in protocol.feed(text)
    ]
    started = Started("CA1", "inbound", 8_000, "mulaw")
    assert joined(seen) == [started, Sound("inbound", sound), Ended()]


START = json.loads(stream("CA1", "inbound")[1])
BAD = {
    "no JSON": ["hello"],
    "no object": ["[1]"],
    "no event": ["{}"],
    "binary": [b"\xff\xfe"],
    "a thousand brackets": ["[" * 100_000],
    "another coding": [{**START, "start": {**START["start"], "mediaFormat": {"encoding": "x"}}}],
    "no tracks": [{**START, "start": {**START["start"], "tracks": []}}],
    "tracks that are none": [{**START, "start": {**START["start"], "tracks": 3}}],
    "twice begun": [START, START],
    "sound before the start": [{"event": "media", "media": {"track": "inbound", "payload": ""}}],
    "no base64": [START, {"event": "media", "media": {"track": "inbound", "payload": "?"}}],
    "another track": [START, {"event": "media", "media": {"track": "x", "payload": ""}}],
    "a track that is none": [START, {"event": "media", "media": {"track": [], "payload": ""}}],
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_message_of_twilio_is_refused(name: str) -> None:
    protocol = Twilio()
    with pytest.raises(CallError, match="Twilio") as seen:
        for each in BAD[name]:
            list(protocol.feed(json.dumps(each) if isinstance(each, dict) else each))
    assert seen.value.code == "bad_message"


# --- the command ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calls:
    """A running `bonafide calls`."""

    process: "subprocess.Popen[str]"
    ports: dict[str, int]
    output: Path

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def ends(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many streams have ended."""

        def found() -> list[dict[str, Any]]:
            last = [each for each in self.said() if "end" in each or "error" in each]
            return last if len(last) >= count else []

        return list(wait_for(found, f"{count} ends"))

    def asterisk(self, content: bytes, *, cut: bool = False) -> None:
        with socket.create_connection(("127.0.0.1", self.ports["audiosocket"])) as to:
            to.sendall(content)
            if not cut:
                assert to.recv(1) == b""

    def twilio(self, messages: list[str]) -> None:
        with connect(f"ws://127.0.0.1:{self.ports['twilio']}", proxy=None) as to:
            for each in messages:
                to.send(each)
            with pytest.raises(ConnectionClosed):
                to.recv(timeout=60)


@contextmanager
def calls(output: Path, *words: str, key: str = "") -> Iterator[Calls]:
    command = [sys.executable, "-m", "bonafide.cli", "calls", "--output", str(output), *words]
    places = ("--audiosocket", "0", "--twilio", "127.0.0.1:0")
    known = {**os.environ, "BONAFIDE_API_KEY": key}
    with subprocess.Popen(
        [*command, *places], stderr=subprocess.PIPE, text=True, env=known
    ) as process:
        try:
            assert process.stderr is not None
            lines = [process.stderr.readline() for _ in range(2)]
            found = re.findall(r"(\w+): listening on 127\.0\.0\.1:(\d+)", "".join(lines))
            assert len(found) == 2, lines
            yield Calls(process, {name: int(port) for name, port in found}, output)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("calls"), "--bundle", "fast", workers=1) as running:
        yield running


def judged(coded: bytes, encoding: str) -> dict[str, Any]:
    """Return what the detector says of the whole call."""
    sound = PcmStream(8_000, encoding)
    return (
        Detector.shipped("fast").score(np.concatenate([sound.feed(coded), sound.rest()])).to_json()
    )


def alike(said: dict[str, Any], whole: dict[str, Any]) -> None:
    assert said["end"] is True and said["verdict"] == whole["verdict"]
    assert said["p_spoof"] == pytest.approx(whole["p_spoof"], abs=1e-4)
    assert said["duration_s"] == pytest.approx(whole["duration_s"], abs=1e-3)


def test_calls_are_judged_while_they_last(serving: Server, tmp_path: Path) -> None:
    with calls(tmp_path / "said.jsonl", "--service", serving.url) as running:
        running.asterisk(exchange())
        running.twilio(stream("CA1", "inbound", "outbound"))
        ends = running.ends(3)
        said = running.said()
    assert [(each["by"], each["call"], each["track"]) for each in ends] == [
        ("audiosocket", str(CALL), "call"),
        ("twilio", "CA1", ends[1]["track"]),
        ("twilio", "CA1", ends[2]["track"]),
    ]
    assert {ends[1]["track"], ends[2]["track"]} == {"inbound", "outbound"}
    alike(ends[0], judged(VOICE.tobytes(), "pcm_s16le"))
    for each in ends[1:]:
        alike(each, judged(mulaw(VOICE), "mulaw"))
    of_first = [each["at_s"] for each in said if each["by"] == "audiosocket" and "at_s" in each]
    assert of_first == [0.5 * n for n in range(1, 20)]


def test_many_calls_at_once_and_some_that_are_none(serving: Server, tmp_path: Path) -> None:
    with calls(tmp_path / "said.jsonl", "--service", serving.url) as running:
        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(running.asterisk, exchange()) for _ in range(6)]
            done.append(pool.submit(running.asterisk, message(0x10, bytes(320))))
            done.append(pool.submit(running.twilio, ["no message"]))
            for each in done:
                each.result(120)
        ends = running.ends(8)
    whole = judged(VOICE.tobytes(), "pcm_s16le")
    good = [each for each in ends if "end" in each]
    assert len(good) == 6
    for each in good:
        alike(each, whole)
    codes = [each["error"]["code"] for each in ends if "error" in each]
    assert codes == ["bad_message"] * 2


def test_a_line_that_breaks_and_a_stop_end_calls_as_a_hang_up_does(
    serving: Server, tmp_path: Path
) -> None:
    """What was heard is judged."""
    half = exchange()[: len(exchange()) // 2]
    with calls(tmp_path / "said.jsonl", "--service", serving.url) as running:
        running.asterisk(half, cut=True)
        assert running.ends(1)[0]["duration_s"] > 4
        with socket.create_connection(("127.0.0.1", running.ports["audiosocket"])) as to:
            to.sendall(half)
            wait_for(lambda: len(running.said()) > 14, "some events")
            running.process.send_signal(signal.SIGINT)
            running.process.wait(60)
        assert running.ends(2)[1]["duration_s"] > 4


def test_a_service_that_is_not_there_or_refuses_is_said(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    secret = add_key(keys, "ana", 6_000)
    with calls(tmp_path / "a.jsonl", "--service", "http://127.0.0.1:9") as running:
        running.asterisk(exchange(), cut=True)
        assert [each["error"]["code"] for each in running.ends(1)] == ["no_service"]
    options = ("--bundle", "fast", "--keys", str(keys))
    with server(tmp_path, *options, workers=1) as guarded:
        with calls(tmp_path / "b.jsonl", "--service", guarded.url) as running:
            running.asterisk(exchange(), cut=True)
            (end,) = running.ends(1)
            assert end["error"]["code"] == "no_service" and "401" in end["error"]["message"]
        with calls(tmp_path / "c.jsonl", "--service", guarded.url, key=secret) as running:
            running.asterisk(exchange())
            assert running.ends(1)[0]["end"] is True


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_ends_it(serving: Server) -> None:
    places = ("--audiosocket", "0", "--output", "/dev/full", "--service", serving.url)
    command = [sys.executable, "-m", "bonafide.cli", "calls", *places]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = int(process.stderr.readline().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as to:
            to.sendall(exchange())
            _, said = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert said.startswith("bonafide: disk_full: /dev/full: No space left"), said


def test_no_more_are_taken_than_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.calls.relay.MOST_CALLS", 0)
    said: list[Any] = []

    async def nothing() -> AsyncIterator[Event]:
        yield Ended()

    asyncio.run(Relay("http://127.0.0.1:9", "", said.append)._call("twilio", nothing()))
    assert [each["error"]["code"] for each in said] == ["too_many_calls"]


def test_it_has_a_service_of_its_own(tmp_path: Path) -> None:
    with calls(tmp_path / "said.jsonl", "--bundle", "fast") as running:
        running.asterisk(exchange())
        assert running.ends(1)[0]["bundle"]["name"] == "fast"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one must be given"),
        (["--twilio", "x"], "must be HOST:PORT"),
        (["--twilio", "99999"], "must be HOST:PORT"),
        (["--twilio", "1", "--service", "http://a", "--bundle", "fast"], "must be about a service"),
        (["--twilio", "192.0.2.1:9", "--service", "http://127.0.0.1:9"], "cannot listen there"),
    ],
)
def test_what_it_cannot_do_is_said(words: list[str], said: str) -> None:
    command = [sys.executable, "-m", "bonafide.cli", "calls", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr
