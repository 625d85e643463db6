"""Whole files are whole, cut ones are noticed, and all that is joined in a file is heard."""

import functools
import io
import itertools
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile as sf
import soxr

from benchmarks.nights import write_clip
from benchmarks.sounds import Samples, mux, packets, speech
from bonafide.audio import HEADERLESS_SUFFIXES, AudioStream, decode, decode_stream
from bonafide.audio.chunks import W64_DATA
from bonafide.errors import AudioError
from bonafide.provenance import examine

SECONDS = 2.0


@functools.cache
def voice(rate: int = 16_000, channels: int = 1) -> Samples:
    left = soxr.resample(speech(SECONDS, 1), 16_000, rate)
    both = np.stack([left, 0.5 * np.roll(left, rate // 200)], axis=1)
    return np.ascontiguousarray(both[:, :channels], dtype=np.float32)


def written(container: str, subtype: str, rate: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    sf.write(file, voice(rate, channels), rate, format=container, subtype=subtype)
    return file.getvalue()


def muxed(container: str, codec: str, rate: int = 44_100, channels: int = 1) -> bytes:
    return mux(container, codec, voice(rate, channels), rate)


def heard(content: bytes | Path) -> tuple[float, AudioStream]:
    stream = AudioStream(content)
    return len(decode_stream(stream, whole=False)) / 16_000, stream


def assert_whole(content: bytes | Path, seconds: float = SECONDS) -> None:
    duration_s, stream = heard(content)
    assert (stream.damage, stream.omitted) == ("", "")
    assert duration_s == pytest.approx(seconds, abs=0.15 * max(1, seconds / SECONDS))
    assert stream.duration_s == pytest.approx(duration_s, abs=0.01)


# --- the cases that came with the issue -----------------------------------------------------------

WHOLE_S = {
    "a_noxing.mp3": 9.4,
    "s_ffpipe.wav": 9.37,
    "s_riff0_data0.wav": 9.37,
    "odd_PCM_24.wav": 9.37,
    "odd_ULAW.wav": 9.37,
    "c_byterate0.wav": 9.37,
    "t_adpcm_ms.wav": 9.37,
    "c_two_data.wav": 9.37,
    "op_no_eos.ogg": 9.37,
    "flac_stream.flac": 9.37,
    "piped.flac": 4.0,
    "video_longer.mp4": 9.4,
    "t_gsm_sox.wav": 9.4,
    "g_G721_32.au": 9.37,
    "g_NMS_ADPCM_32.wav": 9.38,
    "f_XI_DPCM_16.bin": 1.7,
    "cat_1xing.mp3": 9.4,
    "cat.opus": 9.37,
    "three_mp3.mp3": 34.0,
    "apac1st.mov": 9.4,
    "m_antiphase.wav": 9.37,
    "v_dc.wav": 9.37,
}


@pytest.fixture(scope="module")
def cases() -> Path:
    """The inputs that went wrong once: they are no part of the repository, and may not be here.

    The tests below make inputs of the same kinds themselves.
    """
    folder = Path(__file__).resolve().parents[2] / "../shared/cases/sound"
    if not folder.is_dir():
        pytest.skip("the cases are not beside the repository (../shared/cases)")
    return folder


@pytest.mark.parametrize("name", WHOLE_S)
def test_cases_are_whole(name: str, cases: Path) -> None:
    duration_s, stream = heard(cases / name)
    assert (stream.damage, stream.omitted) == ("", "")
    assert duration_s == pytest.approx(WHOLE_S[name], abs=0.2)


def test_a_case_that_breaks_off(cases: Path) -> None:
    duration_s, stream = heard(cases / "op_truncated.ogg")
    assert stream.damage == "its last page breaks off after 1613 bytes"
    assert duration_s == pytest.approx(7.0, abs=0.05)


# --- whole and cut --------------------------------------------------------------------------------

CODINGS: dict[str, tuple[Callable[..., bytes], str, str, tuple[int, ...]]] = {
    "wav": (written, "WAV", "PCM_16", (8_000, 44_100)),
    "wav-24": (written, "WAV", "PCM_24", (16_000,)),
    "wav-ulaw": (written, "WAV", "ULAW", (8_000,)),
    "wav-ima": (written, "WAV", "IMA_ADPCM", (8_000, 16_000)),
    "wav-ms": (written, "WAV", "MS_ADPCM", (16_000, 44_100)),
    "wav-mp3": (muxed, "wav", "libmp3lame", (44_100,)),
    "w64": (written, "W64", "PCM_16", (16_000,)),
    "rf64": (written, "RF64", "PCM_16", (16_000,)),
    "aiff": (written, "AIFF", "PCM_16", (16_000, 44_100)),
    "aiff-ima": (written, "AIFF", "IMA_ADPCM", (16_000,)),
    "caf": (written, "CAF", "PCM_16", (16_000,)),
    "caf-alac": (written, "CAF", "ALAC_16", (44_100,)),
    "au": (written, "AU", "PCM_16", (16_000,)),
    "nist": (written, "NIST", "PCM_16", (16_000,)),
    "svx": (written, "SVX", "PCM_16", (16_000,)),
    "flac": (written, "FLAC", "PCM_16", (8_000, 44_100)),
    "mp3": (written, "MP3", "MPEG_LAYER_III", (8_000, 16_000, 44_100)),
    "mp3-lame": (muxed, "mp3", "libmp3lame", (16_000, 44_100)),
    "vorbis": (written, "OGG", "VORBIS", (16_000, 44_100)),
    "opus": (written, "OGG", "OPUS", (16_000, 48_000)),
    "ogg-flac": (muxed, "ogg", "flac", (44_100,)),
    "m4a": (muxed, "ipod", "aac", (16_000, 44_100)),
    "mov": (muxed, "mov", "aac", (44_100,)),
    "webm": (muxed, "webm", "libopus", (48_000,)),
    "mkv": (muxed, "matroska", "flac", (44_100,)),
    "avi": (muxed, "avi", "ac3", (44_100,)),
    "adts": (muxed, "adts", "aac", (16_000, 44_100)),
}
MADE = [
    pytest.param(functools.partial(make, *kind, rate), id=f"{name}-{rate}")
    for name, (make, *kind, rates) in CODINGS.items()
    for rate in rates
]
MONO = ("svx",)


@pytest.mark.parametrize("make", MADE)
def test_files_are_whole_and_their_parts_are_not(
    make: Callable[..., bytes], request: pytest.FixtureRequest
) -> None:
    rng = np.random.default_rng(0)
    for channels in (1,) if any(name in request.node.name for name in MONO) else (1, 2):
        content = make(channels)
        assert_whole(content)
        for share in rng.uniform(0.3, 0.85, 3):
            try:
                _, stream = heard(content[: int(share * len(content))])
            except AudioError as error:  # an index that came last is gone, and with it all
                assert error.code in ("not_audio", "damaged")
            else:
                assert stream.damage or stream.omitted, share


FORWARD = {
    "gsm": ("WAV", "GSM610"),
    "g721": ("WAV", "G721_32"),
    "g721-au": ("AU", "G721_32"),
    "g723-24": ("AU", "G723_24"),
    "g723-40": ("AU", "G723_40"),
    "nms-16": ("WAV", "NMS_ADPCM_16"),
    "nms-24": ("WAV", "NMS_ADPCM_24"),
    "dwvw-16": ("AIFF", "DWVW_16"),
    "dwvw-24": ("AIFF", "DWVW_24"),
    "gsm-aiff": ("AIFF", "GSM610"),
    "gsm-w64": ("W64", "GSM610"),
}


@pytest.mark.parametrize(("container", "subtype"), FORWARD.values(), ids=FORWARD)
def test_codecs_that_cannot_seek(container: str, subtype: str) -> None:
    assert_whole(written(container, subtype, 8_000))


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    padding = bytes(len(content) % 2)
    return name + struct.pack("<I", len(content) if size is None else size) + content + padding


def riff(*chunks: bytes, size: int | None = None, byte_rate: int = 32_000) -> bytes:
    form = struct.pack("<HHIIHH", 1, 1, 16_000, byte_rate, 2, 16)
    body = b"WAVE" + chunk(b"fmt ", form) + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


PCM = (voice()[:, 0] * 32767).astype("<i2").tobytes()
NOTE = chunk(b"LIST", b"INFOISFT" + bytes(91))
WAVS = {
    "plain": riff(chunk(b"data", PCM)),
    **{
        f"sizes of {size:#x}": riff(chunk(b"data", PCM, size), size=min(size + 36, 0xFFFFFFFF))
        for size in (0xFFFFFFFF, 0xFFFFFFDB, 0x80000000, 0x7FFFFFFF, 0x7FFFF000, 0)
    },
    "riff of 0": riff(chunk(b"data", PCM), size=0),
    "riff too large": riff(chunk(b"data", PCM), size=len(PCM) + 1_000),
    "byte rate of 0": riff(chunk(b"data", PCM), byte_rate=0),
    "byte rate off": riff(chunk(b"data", PCM), byte_rate=7),
    "chunks around": riff(NOTE, chunk(b"data", PCM), NOTE),
    "a note cut": riff(chunk(b"data", PCM), NOTE)[:-40],
    "two chunks": riff(chunk(b"data", PCM[:20_000]), NOTE, chunk(b"data", PCM[20_000:])),
    "first one empty": riff(chunk(b"data", b""), NOTE, chunk(b"data", PCM)),
    "odd chunk": riff(chunk(b"junk", b"odd"), chunk(b"data", PCM)),
    "odd data without padding": riff(chunk(b"data", PCM + b"\0")[:-1], NOTE),
    "odd data at the end": riff(chunk(b"data", PCM + b"\0")[:-1]),
}


@pytest.mark.parametrize("content", WAVS.values(), ids=WAVS)
def test_wav_headers_that_state_no_size_or_a_wrong_one(content: bytes) -> None:
    assert_whole(content)
    np.testing.assert_allclose(
        decode(content)[: len(PCM) // 2], voice()[: len(PCM) // 2, 0], atol=1e-4
    )


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_au_and_rf64_from_a_pipe(size: int) -> None:
    au = written("AU", "PCM_16")
    assert_whole(au[:8] + struct.pack(">I", size) + au[12:])
    rf64 = bytearray(written("RF64", "PCM_16"))
    rf64[28:36] = struct.pack("<Q", size if size == 0 else (1 << 64) - 1)
    assert_whole(bytes(rf64))


def test_a_wav_that_lacks_what_it_states() -> None:
    content = riff(chunk(b"data", PCM))
    with pytest.raises(AudioError, match="64000 bytes of sound are stated and 43956 are there"):
        decode(content[:44_000])


def test_flac_of_unknown_length_is_heard_to_its_end() -> None:
    content = bytearray(written("FLAC", "PCM_16"))
    assert len(decode(bytes(content))) == SECONDS * 16_000
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    assert_whole(bytes(content))
    assert len(decode(bytes(content))) == SECONDS * 16_000


def ogg_pages(content: bytes) -> list[bytearray]:
    return [bytearray(b"OggS" + page) for page in content.split(b"OggS")[1:]]


SIZES = {"W64": (W64_DATA, "<Q"), "CAF": (b"data", ">Q")}


@pytest.mark.parametrize("container", SIZES)
@pytest.mark.parametrize("size", [0, 2**40, 2**62, 2**63 - 1, 2**64 - 1])
def test_sizes_that_no_file_has(container: str, size: int, tmp_path: Path) -> None:
    """Of 64 bits: programs that write to a pipe leave the largest there is, or 0."""
    (mark, field), path = SIZES[container], tmp_path / "sound"
    content = written(container, "PCM_16")
    place = content.index(mark) + len(mark)
    path.write_bytes(content[:place] + struct.pack(field, size) + content[place + 8 :])
    for source in (path, path.read_bytes()):
        duration_s, stream = heard(source)
        assert duration_s == pytest.approx(SECONDS, abs=0.01)
        assert ("stated" in stream.damage) == (2**40 <= size < 2**63 - 1)
        assert examine(source).facts.damage == stream.damage


@pytest.mark.parametrize("ends", [(), (-1, -2)], ids=["no end flag", "two of them"])
def test_end_flags_of_opus(ends: tuple[int, ...]) -> None:
    samples = np.tile(voice(), (3, 1))
    file = io.BytesIO()
    sf.write(file, samples, 16_000, format="OGG", subtype="OPUS")
    pages = ogg_pages(file.getvalue())
    for index, page in enumerate(pages):
        page[5] = page[5] & ~4 | (4 if index - len(pages) in ends else 0)
        page[22:26] = struct.pack("<I", _ogg_checksum(page))
    assert_whole(b"".join(map(bytes, pages)), 3 * SECONDS)


def test_pages_of_ogg_that_are_missing() -> None:
    pages = ogg_pages(written("OGG", "VORBIS", 44_100, 2) * 2)
    whole = len(pages) // 2
    lacking = b"".join(map(bytes, pages[: whole - 2] + pages[whole - 1 :]))
    assert heard(lacking)[1].damage == "pages of its sound are missing (1)"
    recorder = [bytearray(page) for page in pages]
    first = next(n for n, page in enumerate(pages) if any(page[6:14]))
    for page in recorder[first:whole]:  # as one writes that joined in late
        page[18:22] = struct.pack("<I", 5_000 + struct.unpack("<I", page[18:22])[0])
        page[22:26] = struct.pack("<I", _ogg_checksum(page))
    assert heard(b"".join(map(bytes, recorder)))[1].damage == ""


def _ogg_checksum(page: bytearray) -> int:
    value = 0
    for byte in (*page[:22], 0, 0, 0, 0, *page[26:]):
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 * (value >> 31)) & 0xFFFFFFFF
    return value


def without_counts(content: bytes) -> bytes:
    """An MP3 without its first frame, which holds counts (Xing) in place of sound."""
    at = (
        content.index(b"\xff\xfb", 4)
        if content[:2] == b"\xff\xfb"
        else content.index(b"\xff\xf3", 4)
    )
    return content[at:]


# --- tags -----------------------------------------------------------------------------------------


def id3(n_bytes: int) -> bytes:
    size = bytes(n_bytes >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + b"TPE1" + bytes(n_bytes - 4)


def ape(n_bytes: int) -> bytes:
    head, foot = (
        b"APETAGEX" + struct.pack("<IIII8x", 2_000, n_bytes, 1, 1 << 31 | is_head << 29)
        for is_head in (1, 0)
    )
    return head + b"x" * (n_bytes - 32) + foot


ID3V1 = b"TAG" + b"x" * 125
LYRICS = b"LYRICSBEGIN" + b"la" * 300
LYRICS += b"%06dLYRICS200" % len(LYRICS)
TAGS = {
    "id3 in front": (id3(3_000), b""),
    "two in front": (id3(300) + id3(5_000), b""),
    "id3v1 behind": (b"", ID3V1),
    "ape behind": (b"", ape(5_000) + ID3V1),
    "lyrics behind": (b"", LYRICS + ID3V1),
    "id3 behind": (b"", id3(9_000)),
    "zeros behind": (b"", bytes(50_000)),
    "a little junk behind": (b"", np.random.default_rng(0).bytes(1_000)),
}
JOINED = {
    "wav": written("WAV", "PCM_16"),
    "wav-stereo": written("WAV", "PCM_24", 44_100, 2),
    "mp3": written("MP3", "MPEG_LAYER_III"),
    "mp3-stereo": written("MP3", "MPEG_LAYER_III", 44_100, 2),
    "mp3-no-counts": without_counts(written("MP3", "MPEG_LAYER_III", 44_100)),
    "flac": written("FLAC", "PCM_16"),
    "flac-stereo": written("FLAC", "PCM_24", 44_100, 2),
    "vorbis": written("OGG", "VORBIS", 44_100, 2),
    "opus": written("OGG", "OPUS"),
    "ogg-flac": muxed("ogg", "flac"),
    "m4a": muxed("ipod", "aac"),
    "webm": muxed("webm", "libopus", 48_000),
    "adts": muxed("adts", "aac"),
    "aiff": written("AIFF", "PCM_16"),
    "caf": written("CAF", "PCM_16"),
    "au": written("AU", "PCM_16"),
    "w64": written("W64", "PCM_16"),
    "avi": muxed("avi", "pcm_s16le"),
    "flv": muxed("flv", "aac"),
}
TAGLESS = {name: JOINED[name] for name in JOINED if name not in ("flv", "avi")}


@pytest.mark.parametrize(("front", "back"), TAGS.values(), ids=TAGS)
@pytest.mark.parametrize("content", TAGLESS.values(), ids=TAGLESS)
def test_tags_are_no_damage(front: bytes, back: bytes, content: bytes) -> None:
    assert_whole(front + content + back)


# --- joined ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), list(itertools.product(JOINED, JOINED)))
def test_what_is_joined_is_heard_or_said_to_be_left_out(first: str, second: str) -> None:
    duration_s, stream = heard(JOINED[first] + JOINED[second])
    assert stream.damage == ""
    if (first, second) == ("flac-stereo", "mp3"):  # shorter than a frame of FLAC may be
        assert duration_s == pytest.approx(SECONDS)
    elif first.startswith("flac") and stream.omitted:
        assert stream.omitted.startswith("behind 2.0 s of sound, which were judged, is ")
    else:
        assert stream.omitted == ""
        assert duration_s == pytest.approx(2 * SECONDS, abs=0.3)


@pytest.mark.parametrize("name", TAGLESS)
def test_what_is_joined_with_tags_between_is_heard(name: str) -> None:
    content = id3(2_000) + JOINED[name] + ape(900) + ID3V1
    assert_whole(content + content, 2 * SECONDS)


def test_joined_sound_keeps_its_order_and_rate() -> None:
    high = (0.3 * np.sin(np.arange(88_200) / 44_100 * 2 * np.pi * 1_000)).astype(np.float32)
    file = io.BytesIO()
    sf.write(file, high, 44_100, format="WAV")
    seen = decode(JOINED["flac"] + file.getvalue() + JOINED["opus"])
    spectrum = np.abs(np.fft.rfft(seen[36_000:60_000]))
    assert spectrum.argmax() / 24_000 * 16_000 == pytest.approx(1_000, abs=2)
    np.testing.assert_allclose(seen[:32_000], decode(JOINED["flac"]), atol=1e-4)


@pytest.mark.parametrize("name", ["wav", "mp3", "flac", "opus", "m4a", "adts"])
def test_what_nobody_can_read_behind_a_recording_is_said(name: str) -> None:
    content = JOINED[name] + np.random.default_rng(1).bytes(30_000)
    _, stream = heard(content)
    assert "s of sound, which were judged, is " in stream.omitted


def test_a_bad_stretch_hides_nothing_behind_it() -> None:
    content = bytearray(JOINED["mp3-no-counts"] * 2)
    middle = len(content) // 4
    content[middle : middle + 3_000] = np.random.default_rng(2).bytes(3_000)
    duration_s, _ = heard(bytes(content))
    assert duration_s > 1.8 * SECONDS


# --- tracks, channels -----------------------------------------------------------------------------


def two_tracks() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        tracks: list[Any] = [container.add_stream("flac", rate=16_000, layout="mono") for _ in "ab"]
        for gain, track in zip((0.0, 1.0), tracks, strict=True):
            samples = np.ascontiguousarray((gain * 32767 * voice()).astype(np.int16).T)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            container.mux([*track.encode(frame), *track.encode(None)])
    return file.getvalue()


def test_each_track_can_be_heard() -> None:
    levels = [decode_stream(AudioStream(two_tracks(), track=track)).std() for track in (None, 0, 1)]
    assert levels[0] == levels[1] == 0 and levels[2] == pytest.approx(voice().std(), rel=0.01)
    stream = AudioStream(two_tracks())
    list(stream)
    assert stream.n_tracks == 2
    with pytest.raises(AudioError, match="holds 2 sound tracks, and no 3"):
        decode_stream(AudioStream(two_tracks(), track=2))


def test_each_channel_can_be_heard() -> None:
    samples = np.stack([voice()[:, 0], speech(SECONDS, 7)], axis=1)
    file = io.BytesIO()
    sf.write(file, samples, 16_000, format="WAV", subtype="FLOAT")
    for channel in (0, 1):
        seen = decode_stream(AudioStream(file.getvalue(), channel=channel))
        np.testing.assert_array_equal(seen, samples[:, channel])


def differ(samples: Samples, container: str = "WAV", subtype: str = "FLOAT") -> bool:
    file = io.BytesIO()
    sf.write(file, samples, 16_000, format=container, subtype=subtype)
    stream = AudioStream(file.getvalue())
    list(stream)
    return stream.channels_differ


def scenes() -> dict[str, tuple[Samples, bool]]:
    rng = np.random.default_rng(3)
    one, other = speech(10.0, 3), speech(10.0, 4)
    silence = np.zeros_like(one)
    noise = 1e-3 * rng.standard_normal((2, len(one))).astype(np.float32)
    turns = np.repeat(np.arange(10) % 2, len(one) // 10).astype(np.float32)
    late = one.copy()
    late[:80_000] = other[:80_000]
    inverted = one.copy()
    inverted[60_000:90_000] *= -1
    room = np.exp(-np.arange(2_000) / 400) * rng.standard_normal((2, 2_000))
    reverb = [np.convolve(one, response)[: len(one)] / 20 + 0.5 * one for response in room]
    pairs = {
        "two speakers at once": (one, other, True),
        "two speakers in turn": (one * turns, other * (1 - turns), True),
        "the same with crosstalk": (
            one * turns + 0.1 * other * (1 - turns),
            other * (1 - turns) + 0.1 * one * turns,
            True,
        ),
        "right is empty": (one, silence, True),
        "left is empty": (silence, one, True),
        "right is noise": (one, noise[0], True),
        "inverted": (one, -one, True),
        "inverted and softer": (one, -0.7 * one, True),
        "inverted for two seconds": (one, inverted, True),
        "another speaker half the time": (one, late, True),
        "dual mono": (one, one, False),
        "panned": (one, 0.4 * one, False),
        "a spaced pair": (one, 0.8 * np.roll(one, 12), False),
        "a room": (reverb[0], reverb[1], False),
        "hiss of its own": (one + noise[0], one + noise[1], False),
        "silence": (silence, silence, False),
    }
    return {
        name: (np.stack([left, right], axis=1).astype(np.float32), wanted)
        for name, (left, right, wanted) in pairs.items()
    }


SCENES = scenes()


@pytest.mark.parametrize(("samples", "wanted"), SCENES.values(), ids=SCENES)
def test_channels_that_should_be_judged_apart(samples: Samples, wanted: bool) -> None:
    assert differ(samples) is wanted


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("name", ["dual mono", "panned", "a room", "two speakers in turn"])
def test_a_codec_makes_no_difference_between_channels(name: str, subtype: str) -> None:
    samples, wanted = SCENES[name]
    assert differ(samples, "OGG", subtype) is wanted


# --- telephone files without a header -------------------------------------------------------------


@pytest.mark.parametrize("suffix", sorted(HEADERLESS_SUFFIXES))
def test_files_without_a_header_are_known_by_their_suffix(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"call{suffix.upper()}"
    if suffix == ".g722":
        file.write_bytes(mux("g722", "g722", voice(16_000), 16_000))
    else:
        digits = suffix.removeprefix(".sln") or "8"
        khz = int(digits) if suffix.startswith(".sln") else 8
        rate = 44_100 if khz == 44 else khz * 1_000
        codes = {".ulaw": "ULAW", ".ul": "ULAW", ".mulaw": "ULAW", ".mu": "ULAW"}
        codes |= {".alaw": "ALAW", ".al": "ALAW", ".gsm": "GSM610"}
        file.write_bytes(written("RAW", codes.get(suffix, "PCM_16"), rate))
    assert_whole(file)


def test_a_container_is_taken_for_what_it_is_whatever_its_suffix(tmp_path: Path) -> None:
    for name, content in {"a.sln": JOINED["wav"], "b.gsm": JOINED["opus"]}.items():
        (tmp_path / name).write_bytes(content)
        assert_whole(tmp_path / name)


def test_a_name_that_libsndfile_would_ask_questions_of(tmp_path: Path) -> None:
    file = tmp_path / "a.raw"
    file.write_bytes(JOINED["wav"])
    assert_whole(file)


# --- time and silence -----------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["matroska", "avi", "mov"])
def test_packets_of_one_sample_take_linear_time(container: str) -> None:
    seconds = []
    for length in (0.5, 4.0):
        content = packets(container, speech(length, 1), 1)
        start = time.process_time()  # others may hold the processors
        samples = decode(content)
        seconds.append(time.process_time() - start)
        assert len(samples) == length * 16_000
    assert seconds[1] < 24 * seconds[0] + 0.1  # 64 times if each costs them all


@pytest.mark.parametrize("name", ["flac", "opus", "mp3"])
def test_thousands_of_joined_recordings_are_refused(name: str) -> None:
    short = np.zeros((1_600, 1), np.float32)
    file = io.BytesIO()
    container, subtype = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}.get(
        name, ("MP3", "MPEG_LAYER_III")
    )
    sf.write(file, short, 16_000, format=container, subtype=subtype)
    with pytest.raises(AudioError, match="over 1000 recordings in one file") as error:
        decode(file.getvalue() * 1_100)
    assert error.value.code == "bad_format"


def test_decoders_say_nothing_on_the_terminal(tmp_path: Path) -> None:
    """Libmpg123 prints from C, so in a process of its own."""
    bad = bytearray(JOINED["mp3"])
    bad[2_000:2_400] = bytes(range(200)) * 2
    for index, content in enumerate(
        (JOINED["mp3"] * 3, bytes(bad), muxed("wav", "libmp3lame"), b"junk" + JOINED["mp3"][300:])
    ):
        (tmp_path / f"{index}.mp3").write_bytes(content)
    code = (
        "import pathlib, sys, bonafide.audio as a\n"
        "for f in sorted(pathlib.Path(sys.argv[1]).iterdir()): a.decode(f, whole=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


# --- found by trying more of the same kinds -------------------------------------------------------


def flac_with(*blocks: tuple[int, bytes]) -> bytes:
    """A FLAC file with blocks of these types and contents between its header and its sound."""
    plain = written("FLAC", "PCM_16", 44_100, 2)
    front = b"".join(bytes([kind]) + len(content).to_bytes(3, "big") + content
                     for kind, content in blocks)  # fmt: skip
    return plain[:4] + b"\0" + plain[5:42] + front + plain[42:]


PICTURE = struct.pack(">II", 3, 10) + b"image/jpeg" + struct.pack(">IIIIII", 0, 1, 1, 24, 0, 9_000)


@pytest.mark.parametrize(
    "inside", [b"OggS\0\x02", b"fLaC\0\0\0\x22", written("WAV", "PCM_16"), b"\xff\xfb\x90\0"]
)
def test_what_a_picture_in_a_flac_file_holds_is_no_recording(inside: bytes) -> None:
    assert_whole(flac_with((6, PICTURE + bytes(1_000) + inside + bytes(7_000))))
    assert_whole(id3(9_000) + flac_with((5, inside * 3), (1, b"")) + ID3V1)


def test_chunks_of_odd_size_without_padding_in_front_of_the_sound() -> None:
    odd = chunk(b"junk", b"odd")[:-1]
    for size in (len(PCM), 0x4142):  # the latter reads like letters
        content = riff(odd, chunk(b"data", PCM[:size]))
        assert_whole(content, size / 32_000)
    aiff = written("AIFF", "PCM_16")
    name = b"NAME" + struct.pack(">I", 3) + b"abc"
    assert_whole(b"FORM" + struct.pack(">I", len(aiff) + 3) + b"AIFF" + name + aiff[12:])


MP3 = muxed("mp3", "libmp3lame")


@pytest.mark.parametrize("n_bytes", [1, 417, 9_000, 100_000])
def test_mp3_behind_something_else(n_bytes: int) -> None:
    junk = np.random.default_rng(0).bytes(n_bytes)
    for content, seconds in ((MP3, SECONDS), (MP3 + JOINED["mp3"], 2 * SECONDS)):
        duration_s, stream = heard(junk + content)
        assert duration_s == pytest.approx(seconds, abs=0.2)
        assert not stream.damage
        assert bool(stream.omitted) == (n_bytes > 4_096)
    assert heard(junk + MP3[: len(MP3) // 2])[1].damage


@pytest.mark.parametrize("hole", [bytes(700), b"junk" * 2_000, bytes(90_000)])
def test_a_hole_in_an_mp3_hides_nothing_behind_it(hole: bytes) -> None:
    middle = len(MP3) // 2
    duration_s, _ = heard(MP3[:middle] + hole + MP3[middle + 700 :])
    assert duration_s == pytest.approx(SECONDS, abs=0.2)


@pytest.mark.parametrize(("first", "second"), [("asf", "W64"), ("mpegts", "MP3"), ("VOC", "MP3")])
def test_neither_of_two_is_passed_over_in_silence(first: str, second: str) -> None:
    codec = {"asf": "wmav2", "mpegts": "aac"}.get(first)
    front = muxed(first, codec) if codec else written(first, "PCM_16")
    subtype = "MPEG_LAYER_III" if second == "MP3" else "PCM_16"
    duration_s, stream = heard(front + written(second, subtype, 44_100))
    assert duration_s > 1.5 * SECONDS or stream.omitted


def test_short_frames_inside_another_container_are_its_own() -> None:
    silent_first = np.concatenate([np.zeros((44_100, 1), np.float32), voice(44_100)])
    assert_whole(mux("mpegts", "aac", silent_first, 44_100), SECONDS + 1)


def test_a_tag_that_states_more_than_the_file() -> None:
    assert_whole(b"ID3\3\0\0\x7f\x7f\x7f\x7f" + bytes(500) + MP3)


@pytest.mark.parametrize("count", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_counts_of_frames_that_are_placeholders(count: int) -> None:
    at = max(MP3.find(b"Xing"), MP3.find(b"Info"))
    assert_whole(MP3[: at + 8] + struct.pack(">I", count) + MP3[at + 12 :])


def test_an_mp3_that_lacks_a_part_of_its_last_frame() -> None:
    assert heard(MP3[:-50])[1].damage == "its last frame breaks off"


def test_a_fragmented_mp4_that_breaks_off_in_a_header() -> None:
    file = io.BytesIO()
    options = {"movflags": "frag_every_frame+empty_moov"}
    with av.open(file, "w", format="mp4", options=options) as container:
        sound: Any = container.add_stream("aac", rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(voice(44_100).T.copy(), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        container.mux([*sound.encode(frame), *sound.encode(None)])
    content = file.getvalue()
    last = content.rindex(b"moof")
    duration_s, stream = heard(content[: last + 20])
    assert duration_s == pytest.approx(SECONDS, abs=0.15)
    assert stream.damage == "its last moof box breaks off"


def test_what_is_cut_in_front_of_its_index_is_damaged_and_not_unknown() -> None:
    content = muxed("ipod", "aac")
    assert content.index(b"mdat") < content.index(b"moov")
    for cut in (content[: len(content) // 2], written("OGG", "OPUS")[:3_000]):
        with pytest.raises(AudioError) as info:
            decode(cut)
        assert info.value.code == "damaged"
        assert "bytes" in str(info.value)


@pytest.mark.parametrize("number", [3_305, 5_663])
def test_a_packet_that_ffmpeg_sees_behind_the_last_one(number: int, tmp_path: Path) -> None:
    """In one of some thousand FLAC files its parser takes a few bytes of sound for a header."""
    write_clip(tmp_path, number)
    file = tmp_path / f"{number}.flac"
    with av.open(str(file)) as container:
        places = [packet.pos or 0 for packet in container.demux(audio=0)]
    assert file.stat().st_size in places
    assert_whole(file, 1.5)
