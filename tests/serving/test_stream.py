"""``WS /v1/stream``: judged while the sound still comes, whoever sends what."""

import asyncio
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from benchmarks.sounds import Samples, speech
from bonafide.audio.pcm import PcmStream
from bonafide.detector import Detector
from bonafide.live import listen
from serving.http import stream
from serving.http.errors import ApiError
from serving.http.keys import add_key
from serving.http.sockets import MAX_MESSAGE_BYTES
from serving.settings import Settings
from tests.helpers.servers import Server, private_home, server, wait_for

Events = list[dict[str, Any]]
END = '{"end": true}'


def pcm(sound: Samples) -> bytes:
    return (np.asarray(sound) * 32_767).astype("<i2").tobytes()


SOUND = pcm(speech(9.7))


def opened(running: Server, **options: Any) -> connect:
    url = running.url.replace("http", "ws") + "/v1/stream"
    return connect(url, proxy=None, open_timeout=60, **options)


def rest_of(connection: ClientConnection) -> Events:
    """Read to the end."""
    events = []
    try:
        while True:
            events.append(json.loads(connection.recv(timeout=60)))
    except ConnectionClosed:
        return events


def refused(running: Server, path: str = "/v1/stream", **options: Any) -> Response:
    """Return how a handshake is answered that opens nothing."""
    url = running.url.replace("http", "ws") + path
    with pytest.raises(InvalidStatus) as seen, connect(url, proxy=None, **options):
        pass
    return seen.value.response


def told(running: Server, *messages: bytes | str, **options: Any) -> tuple[Events, int | None]:
    """Send messages; return what came of them, and the code that the connection closed with."""
    with opened(running, **options) as connection:
        with suppress(ConnectionClosed):  # the rest of the messages comes too late
            for message in messages:
                connection.send(message)
        return rest_of(connection), connection.close_code


def without_names(events: Events) -> Events:
    return [{key: value for key, value in each.items() if key != "stream"} for each in events]


def errors_of(events: Events) -> list[str]:
    return [each["error"]["code"] for each in events if "error" in each]


# --- what is heard --------------------------------------------------------------------------------


def test_an_event_every_half_second_and_the_whole_at_the_end(
    service: Server, detector: Detector
) -> None:
    events, code = told(service, SOUND, END)
    *moments, end = events
    assert code == 1000
    assert [each["at_s"] for each in moments] == [0.5 * i for i in range(1, 20)]
    assert len({each["stream"] for each in events}) == 1
    expected = list(listen(detector, [PcmStream().feed(SOUND)]))
    for ours, theirs in zip(events, expected, strict=True):
        assert ours["verdict"] == theirs.verdict
        assert ours["llr"] == pytest.approx(theirs.llr, abs=1e-4)
    assert end["end"] is True and end["duration_s"] == 9.7 and len(end["segments"]) == 3
    assert end["bundle"] == detector.bundle.identity


def test_the_end_is_what_detect_says_of_the_file(service: Server) -> None:
    events, _ = told(service, SOUND, END)
    header = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data"
    whole = service.detect(header + len(SOUND).to_bytes(4, "little") + SOUND).json()
    for name in ("verdict", "warnings", "bundle", "duration_s"):
        assert events[-1][name] == whole[name]
    assert events[-1]["llr"] == pytest.approx(whole["llr"], abs=1e-4)


@pytest.mark.parametrize("size", [1, 333, 3_200, 64_000])
def test_how_the_sound_is_cut_changes_nothing(service: Server, size: int) -> None:
    sound = SOUND[:40_001] if size == 1 else SOUND
    pieces = [sound[at : at + size] for at in range(0, len(sound), size)]
    whole, _ = told(service, sound, END)
    cut, _ = told(service, *pieces, END)
    for ours, theirs in zip(cut, whole, strict=True):
        assert ours.keys() == theirs.keys()
        assert ours["llr"] == pytest.approx(theirs["llr"], abs=1e-4)


@pytest.mark.parametrize("encoding", ["pcm_s16le", "mulaw", "alaw"])
def test_telephone_sound_is_taken_as_it_is(
    service: Server, detector: Detector, encoding: str
) -> None:
    content = np.random.default_rng(3).integers(0, 256, 8_000 * 5, np.uint8).tobytes()
    start = json.dumps({"rate": 8_000, "encoding": encoding})
    events, code = told(service, start, content, END)
    sound = PcmStream(8_000, encoding)
    expected = list(listen(detector, [sound.feed(content), sound.rest()]))
    assert code == 1000
    assert [each["llr"] for each in events] == [
        pytest.approx(each.llr, abs=1e-4) for each in expected
    ]


def test_silence_is_told_and_not_judged(service: Server) -> None:
    events, code = told(service, bytes(2 * 16_000 * 3), END)
    assert code == 1000
    assert all(each["window"] is None for each in events[:-1])
    assert {each["verdict"] for each in events} == {"inconclusive"}
    assert {each["warnings"][0]["code"] for each in events} == {"no_speech"}


# --- what is refused ------------------------------------------------------------------------------

BAD = {
    "garbage": (("no JSON",), "bad_message"),
    "a list": (("[1]",), "bad_message"),
    "deep": (("[" * 100_000,), "bad_message"),
    "an unknown field": (('{"speed": 2}',), "bad_message"),
    "a rate in words": (('{"rate": "8000"}',), "bad_message"),
    "a boolean rate": (('{"rate": true}',), "bad_message"),
    "a wrong rate": (('{"rate": 100}',), "bad_format"),
    "a rate beyond all": (('{"rate": 99999999999999999999}',), "bad_format"),
    "a wrong encoding": (('{"encoding": "mp3"}',), "bad_format"),
    "a time that is none": (
        ('{"resume": "AAAAAAAAAAAAAAAAAAAAAA", "after_s": NaN}',),
        "bad_message",
    ),
    "an end that is none": (('{"end": 1}',), "bad_message"),
    "no such stream": (('{"resume": "../../etc/passwd"}',), "unknown_stream"),
    "another name": (('{"resume": "AAAAAAAAAAAAAAAAAAAAAA"}',), "unknown_stream"),
    "a second start": ((SOUND[:100], '{"rate": 8000}'), "bad_message"),
    "garbage on the way": ((SOUND[:20_000], "{"), "bad_message"),
    "nothing at all": ((END,), "empty"),
    "a half sample": ((b"\0", END), "empty"),
    "too long": ((bytes(640_000), bytes(1_000)), "too_long"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_gets_an_event_that_says_so(service: Server, name: str) -> None:
    messages, code = BAD[name]
    events, closed = told(service, *messages)
    assert errors_of(events) == [code] and "error" in events[-1]
    assert closed == (1013 if code == "unknown_stream" else 1008)
    assert service.metric(f'bonafide_streams_ended_total{{code="{code}"}}') >= 1


def test_a_message_without_end_is_not_kept(service: Server) -> None:
    events, closed = told(service, bytes(MAX_MESSAGE_BYTES + 2))
    assert events == [] and closed == 1009


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=5_000),
            st.text(max_size=50),
            st.sampled_from([END, '{"rate": 8000}', '{"resume": ""}', "{}", "null", "1e999"]),
            st.dictionaries(
                st.sampled_from(["rate", "encoding", "resume", "after_s", "end"]),
                st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=30)),
            ).map(json.dumps),
        ),
        max_size=6,
    )
)
def test_whatever_comes_it_ends_as_it_should(service: Server, messages: list[bytes | str]) -> None:
    events, closed = told(service, *messages, END)
    assert closed in (1000, 1008, 1013)
    assert (closed != 1000) == bool(errors_of(events))
    assert service.get("/readyz").status_code == 200


FRAMES = {
    "not masked": b"\x82\x05hello",
    "an unknown opcode": b"\x83\x80\0\0\0\0",
    "reserved bits": b"\xf2\x80\0\0\0\0",
    "text that is no UTF-8": b"\x81\x82\0\0\0\0\xff\xfe",
    "a ping too long": b"\x89\xfe\x01\x00\0\0\0\0" + bytes(256),
    "a size beyond all": b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_that_are_none_end_their_connection_alone(service: Server, name: str) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as raw:
        raw.sendall(handshake())
        assert raw.recv(12) == b"HTTP/1.1 101"
        raw.sendall(FRAMES[name])
        while raw.recv(65_536):  # to the end
            pass
    assert errors_of(told(service, SOUND[:40_000], END)[0]) == []


def handshake(**changed: str) -> bytes:
    lines = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"GET /v1/stream HTTP/1.1\r\n{head}\r\n".encode()


@pytest.mark.parametrize(
    "changed",
    [
        {"Sec_WebSocket_Version": "12"},
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Key": "!!!!"},
        {"Upgrade": "h2c"},
        {"Upgrade": "", "Connection": ""},
    ],
)
def test_what_is_no_handshake_is_told_what_is_needed(
    service: Server, changed: dict[str, str]
) -> None:
    status, answer = service.raw(handshake(**changed))
    assert (status, answer["error"]["code"]) == (426, "upgrade_required")


def test_other_paths_have_no_sockets(service: Server) -> None:
    for path in ("/v1/detect", "/v1/streams", "/"):
        assert refused(service, path).status_code in (404, 405, 200)


def test_a_page_of_another_site_is_refused(service: Server) -> None:
    for headers in ({"origin": "http://elsewhere.example"}, {"sec-fetch-site": "cross-site"}):
        response = refused(service, additional_headers=headers)
        assert response.status_code == 403
        assert json.loads(response.body or b"")["error"]["code"] == "cross_site"
        assert response.headers["x-content-type-options"] == "nosniff"
    with opened(service, origin=service.url):  # our own
        pass


# --- going on -------------------------------------------------------------------------------------


def broken_off(running: Server, sent: int, read: int, **options: Any) -> Events:
    """Send so many bytes, read so many events, and pull the plug."""
    with opened(running, **options) as connection:
        connection.send(SOUND[:sent])
        events = [json.loads(connection.recv(timeout=60)) for _ in range(read)]
        connection.socket.shutdown(socket.SHUT_RDWR)
    return events


def resumed(
    running: Server,
    stream: str,
    after_s: float,
    *,
    content: bytes = SOUND,
    width: int = 2,
    **options: Any,
) -> Events:
    """Go on with a stream as soon as the service knows that it broke off."""
    start = json.dumps({"resume": stream, "after_s": after_s})

    def try_again() -> Events:
        with opened(running, **options) as connection:
            connection.send(start)
            said = json.loads(connection.recv(timeout=60))
            if "error" in said:
                return []
            connection.send(content[width * said["received"] :])
            connection.send(END)
            return [said, *rest_of(connection)]

    found: Events = wait_for(try_again, "the stream is kept")
    return found


@pytest.mark.parametrize(("sent", "read"), [(70_000, 3), (128_000, 8), (20_001, 1), (310_000, 2)])
def test_a_dropped_connection_loses_nothing(service: Server, sent: int, read: int) -> None:
    undisturbed, _ = told(service, SOUND, END)
    before = broken_off(service, sent, read)
    said, *after = resumed(service, before[-1]["stream"], before[-1]["at_s"])
    assert said["resumed"] is True and {each["stream"] for each in after} == {said["stream"]}
    seen = without_names([*before, *after])
    for ours, theirs in zip(seen, without_names(undisturbed), strict=True):
        assert ours["llr"] == pytest.approx(theirs["llr"], abs=1e-4)
        assert ours["verdict"] == theirs["verdict"]


def test_a_stream_is_resumed_once(service: Server) -> None:
    (first,) = broken_off(service, 40_000, 1)
    start = json.dumps({"resume": first["stream"]})
    wait_for(lambda: list(service.temp.glob(f"bonafide-*/*{first['stream']}*")), "it is kept")
    with opened(service) as connection:
        connection.send(start)
        assert json.loads(connection.recv(timeout=60))["resumed"] is True
        events, closed = told(service, start)
        assert errors_of(events) == ["unknown_stream"] and closed == 1013


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_nothing_is_heard_of_a_break_at_another_rate(service: Server, rate: int) -> None:
    """The resampler goes on as if there had been none."""
    start = json.dumps({"rate": rate, "encoding": "mulaw"})
    content = np.random.default_rng(5).integers(90, 140, rate * 9, np.uint8).tobytes()
    undisturbed, _ = told(service, start, content, END)
    with opened(service) as connection:
        connection.send(start)
        connection.send(content[: rate * 5])
        before = [json.loads(connection.recv(timeout=60)) for _ in range(7)]
        connection.socket.shutdown(socket.SHUT_RDWR)
    name, after_s = before[-1]["stream"], before[-1]["at_s"]
    _, *after = resumed(service, name, after_s, content=content, width=1)
    for ours, theirs in zip([*before, *after], undisturbed, strict=True):
        assert ours["llr"] == pytest.approx(theirs["llr"], abs=2e-3)


def test_an_end_that_was_lost_is_told_again(service: Server) -> None:
    events, _ = told(service, SOUND, END)
    start = json.dumps({"resume": events[-1]["stream"], "after_s": events[-3]["at_s"]})
    said, *again = told(service, start)[0]
    assert said["resumed"] is True and again == events[-2:]


def test_silence_at_full_speed_holds_nobody_up(service: Server) -> None:
    """A message of it is four minutes of sound, which cost no score."""
    start = json.dumps({"rate": 4_000, "encoding": "mulaw"})
    ended = threading.Event()

    def flood() -> None:
        while not ended.is_set():
            told(service, start, b"\xff" * 79_000, END)  # near to what is too long

    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(flood) for _ in range(8)]
        took = []
        for _ in range(20):
            before = time.monotonic()
            assert service.get("/livez").status_code == 200
            took.append(time.monotonic() - before)
        ended.set()
        for call in calls:
            call.result()
    assert max(took) < 5


def test_what_is_kept_is_its_owners_alone_and_not_for_long(service: Server) -> None:
    broken_off(service, 40_000, 1)
    (kept, *_) = wait_for(
        lambda: list(service.temp.glob("bonafide-*/stream-*.kept")), "a stream is kept"
    )
    assert kept.stat().st_mode & 0o777 == 0o600
    os.utime(kept, (0, 0))
    told(service, json.dumps({"resume": "A" * 22}))
    assert not kept.exists()


# --- many -----------------------------------------------------------------------------------------


def paced(running: Server, seconds: float) -> tuple[Events, list[float]]:
    """Send sound as fast as it plays; return events, and how late each came behind its sound."""
    sound, late = pcm(speech(seconds)), list[float]()
    with opened(running) as connection, ThreadPoolExecutor(1) as reader:

        def read() -> Events:
            events = []
            for message in connection:
                event = json.loads(message)
                if "at_s" in event:
                    late.append(time.monotonic() - start - event["at_s"])
                events.append(event)
            return events

        start = time.monotonic()
        reading = reader.submit(read)
        for at in range(0, len(sound), 3_200):
            time.sleep(max(0.0, start + (at + 3_200) / 32_000 - time.monotonic()))
            connection.send(sound[at : at + 3_200])
        connection.send(END)
        return reading.result(timeout=60), late


def test_twenty_at_once_and_one_that_does_not_read(service: Server) -> None:
    """How late their events come, `benchmarks.streams` measures."""
    with opened(service, max_queue=1) as greedy, ThreadPoolExecutor(20) as callers:
        greedy.send(SOUND)
        calls = [callers.submit(paced, service, 3.0) for _ in range(20)]
        wait_for(lambda: service.metric("bonafide_streams") >= 20, "they are open")
        answered = service.detect(b"no sound")
        done = [call.result(timeout=120) for call in calls]
    assert answered.status_code == 415
    for events, late in done:
        assert len(events) == 7 and events[-1]["end"] is True
        assert all(seconds > -0.05 for seconds in late)  # none before its sound
    wait_for(lambda: service.metric("bonafide_streams") == 0, "they have ended")


@pytest.fixture(scope="module")
def guarded(
    bundle_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, dict[str, str]]]:
    home = private_home(bundle_home, tmp_path_factory.mktemp("home"))
    rates = {"ana": 60_000, "ben": 60_000, "slow": 1}
    keys = {name: add_key(home / "keys.json", name, rate) for name, rate in rates.items()}
    audit = home / "audit.jsonl"
    options = ("--keys", str(home / "keys.json"))
    with server(home, *options, workers=1, streams=2, audit=audit) as running:
        yield running, keys


def key_of(secret: str) -> dict[str, Any]:
    return {"additional_headers": {"authorization": f"Bearer {secret}"}}


def test_keys_hold_for_streams_too(guarded: tuple[Server, dict[str, str]]) -> None:
    running, keys = guarded
    for options in ({}, key_of("wrong")):
        assert refused(running, **options).status_code == 401
    events, closed = told(running, SOUND, END, **key_of(keys["ana"]))
    assert closed == 1000 and events[-1]["end"] is True
    line = json.loads((running.home / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["path"], line["key"], line["status"]) == ("/v1/stream", "ana", 101)
    assert (line["verdict"], line["size_bytes"]) == (events[-1]["verdict"], len(SOUND))


def test_a_key_keeps_no_other_from_its_first_stream(
    guarded: tuple[Server, dict[str, str]],
) -> None:
    running, keys = guarded
    with opened(running, **key_of(keys["ana"])), opened(running, **key_of(keys["ana"])):
        wait_for(lambda: running_streams(running, keys["ben"]) == 2, "both streams are counted")
        response = refused(running, **key_of(keys["ana"]))
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert told(running, SOUND, END, **key_of(keys["ben"]))[1] == 1000


def running_streams(running: Server, key: str) -> float:
    metrics = running.get("/metrics", headers={"x-api-key": key}).text
    found = re.search(r"^bonafide_streams (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_another_keys_stream_is_not_resumed(guarded: tuple[Server, dict[str, str]]) -> None:
    running, keys = guarded
    (first,) = broken_off(running, 40_000, 1, **key_of(keys["ana"]))
    wait_for(lambda: list(running.temp.glob("bonafide-*/stream-*.kept")), "it is kept")
    start = json.dumps({"resume": first["stream"]})
    events, _ = told(running, start, **key_of(keys["ben"]))
    assert errors_of(events) == ["unknown_stream"]
    assert resumed(running, first["stream"], 0.5, **key_of(keys["ana"]))  # it is still there


def test_streams_may_be_switched_off(bundle_home: Path, tmp_path: Path) -> None:
    with server(private_home(bundle_home, tmp_path), workers=1, streams=0) as running:
        answer = running.get("/v1/stream")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


class Open:
    """A connection that takes so much of a processor."""

    def __init__(self, load: float) -> None:
        self.load = load


@pytest.mark.parametrize(
    ("loads", "key", "busy"),
    [
        ([], None, False),
        ([0.3] * 2, None, False),
        ([0.3] * 3, None, True),
        ([0.01] * 5, None, True),
        ([0.3] * 3, "ben", False),  # its first
        ([0.3] * 3, "ana", True),
    ],
)
def test_no_more_streams_than_a_worker_can_follow(
    loads: list[float], key: str | None, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    class Listening:
        load = 0.0

        def __init__(self, *_: Any) -> None: ...

        async def run(self) -> None:
            ran.append(1)

    monkeypatch.setattr(stream, "Connection", Listening)
    open_ = {Open(load): "ana" if key else "" for load in loads}
    scoring = SimpleNamespace(trouble="", settings=Settings(streams=5))
    metrics = SimpleNamespace(listens=lambda _: None, listened=lambda _: None)
    state = SimpleNamespace(streams=open_, scoring=scoring, metrics=metrics)
    call = SimpleNamespace(key=SimpleNamespace(name=key) if key else None, code="ok")
    begun = stream.stream(SimpleNamespace(client=None), state, call)  # type: ignore[arg-type]
    if busy:
        with pytest.raises(ApiError, match="try again") as seen:
            asyncio.run(begun)
        assert seen.value.retry_after_s == 1 and not ran
    else:
        asyncio.run(begun)
        assert ran
