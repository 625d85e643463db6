"""Tags with thousands of fields, over which readers take quadratic time, and ordinary ones."""

import io
import struct
import time
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.sounds import encode, speech
from bonafide.errors import AudioError
from bonafide.provenance import Origin, examine
from bonafide.provenance.signed import STORE
from tests.helpers.signed import sign

VOICE = speech(2.0)
Fields = Callable[[int], bytes]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def sevens(number: int) -> bytes:
    return bytes([number >> n & 127 for n in (21, 14, 7, 0)])


def id3(n: int) -> bytes:
    texts = (b"\3k%d\0v" % number for number in range(n))
    body = b"".join(b"TXXX" + sevens(len(text)) + b"\0\0" + text for text in texts)
    return b"ID3\4\0\0" + sevens(len(body)) + body


def old_id3(n: int) -> bytes:
    texts = (b"\0k%d\0" % number + b"v" * 250 for number in range(n))
    body = b"".join(b"TXX" + len(text).to_bytes(3, "big") + text for text in texts)
    return b"ID3\2\0\0" + sevens(len(body)) + body


def riff(*chunks: bytes) -> bytes:
    content = encode(VOICE, "wav")[8:] + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def listed(n: int) -> bytes:
    keys = ("".join(LETTERS[number // 62**at % 62] for at in range(4)) for number in range(n))
    return riff(chunk(b"LIST", b"INFO" + b"".join(chunk(key.encode(), b"v\0") for key in keys)))


def comments(n: int) -> bytes:
    said = (b"k%d=v" % number for number in range(n))
    return (
        b"\1\0\0\0x" + struct.pack("<I", n) + b"".join(struct.pack("<I", len(s)) + s for s in said)
    )


def flac(n: int) -> bytes:
    content, block = encode(VOICE, "flac"), comments(n)
    return content[:42] + b"\4" + len(block).to_bytes(3, "big") + block + content[42:]


def atom(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def mp4(n: int) -> bytes:
    def item(number: int) -> bytes:
        name = atom(b"name", bytes(4) + b"k%d" % number)
        value = atom(b"data", struct.pack(">II", 1, 0) + b"v")
        return atom(b"----", atom(b"mean", bytes(4) + b"com") + name + value)

    items = atom(b"ilst", b"".join(map(item, range(n))))
    handler = atom(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    data = atom(b"udta", atom(b"meta", bytes(4) + handler + items))
    content = encode(VOICE, "m4a")
    place = content.rfind(b"moov") - 4  # the last, so nothing moves
    size = len(content) - place + len(data)
    return content[:place] + struct.pack(">I", size) + content[place + 4 :] + data


def written(name: str, codec: str, n: int) -> bytes:
    """Return what FFmpeg writes where it is given so many tags."""
    file = io.BytesIO()
    with av.open(file, "w", format=name) as container:
        container.metadata.update({f"k{number}": "v" for number in range(n)})
        sound: Any = container.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(VOICE[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux([*sound.encode(frame), *sound.encode(None)])
    return file.getvalue()


MAKERS: dict[str, Fields] = {
    "mp3": lambda n: id3(n) + encode(VOICE, "mp3"),
    "mp3, ID3 2.2": lambda n: old_id3(n) + encode(VOICE, "mp3"),
    "wav, INFO": listed,
    "wav, ID3": lambda n: riff(chunk(b"id3 ", id3(n))),
    "flac": flac,
    "m4a": mp4,
    "ogg": lambda n: written("ogg", "libopus", n),
    "matroska": lambda n: written("matroska", "libopus", n),
}


def texts(origin: Origin) -> str:
    return next((found.seen for found in origin.findings if found.code == "text_tag"), "")


class TestTags:
    @pytest.mark.parametrize("name", MAKERS)
    def test_with_thousands_of_fields_are_not_read(self, name: str) -> None:
        origin = examine(MAKERS[name](2_500))
        told = {each.code: each.why for each in origin.not_looked_for}
        assert list(told) == ["c2pa", "tags", "perth_watermark"]
        assert "too many fields" in told["tags"] and told["c2pa"] == told["tags"]
        absent = {each.code for each in origin.not_found}
        assert absent.isdisjoint(("c2pa_manifest", "generator_tag", "encoder_tag", "text_tag"))
        assert origin.findings == () and origin.facts.duration_s > 0.6

    @pytest.mark.parametrize("name", MAKERS)
    def test_with_a_hundred_thousand_take_no_time(self, name: str) -> None:
        by_ffmpeg = name in ("ogg", "matroska")  # which takes long to write them
        content = MAKERS[name](12_000 if by_ffmpeg or "2.2" in name else 100_000)
        start = time.thread_time()
        try:
            examine(content)
        except AudioError as error:  # containers that FFmpeg does not open without their tags
            assert error.code == "bad_format" and name in ("m4a", "ogg", "matroska")
            assert "tags hold over 10000 fields" in str(error)
        assert time.thread_time() - start < 3

    @pytest.mark.parametrize("name", MAKERS)
    def test_with_a_hundred_are_read(self, name: str) -> None:
        origin = examine(MAKERS[name](100))
        assert [each.code for each in origin.not_looked_for] == ["perth_watermark"]
        assert ' "v' in texts(origin)  # one of them: all have the same value

    def test_with_a_large_picture_are_read(self) -> None:
        drawn = np.random.default_rng(0).bytes(8_000_000)
        frames = b"APIC" + sevens(len(drawn)) + b"\0\0" + drawn
        frames += b"TIT2" + sevens(6) + b"\0\0" + b"\3A song"[:6]
        content = b"ID3\4\0\0" + sevens(len(frames)) + frames + encode(VOICE, "mp3")
        assert 'title "A son' in texts(examine(content))

    def test_a_manifest_beside_them_is_told(self) -> None:
        content = sign(riff(), "wav") + chunk(b"id3 ", id3(4_000))
        place = content.index(STORE)
        origin = examine(b"RIFF" + struct.pack("<I", len(content) - 8) + content[8:])
        (found,) = origin.findings
        assert found.code == "c2pa_unread"
        assert found.seen.startswith(
            f"The bytes of a manifest begin at byte {place}; its tags hold"
        )
