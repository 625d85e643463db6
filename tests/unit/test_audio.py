"""Decoding: every codec against its original, every error, every kind of damage."""

import functools
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.sounds import mux
from bonafide.audio import (
    AudioStream,
    Limits,
    Waveform,
    decode,
    decode_stream,
    speech_frames,
    speech_seconds,
    tile,
    too_short,
)
from bonafide.errors import AudioError
from bonafide.simulation.voices import Voice, speak

RATE = 16_000
LONGEST_BLOCK_S = 4.0
DURATION_S = 3.0
Samples = NDArray[np.float32]  # (n, channels)

# Format -> container, subtype. What libsndfile writes, and what PyAV does.
SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "wav-float": ("WAV", "FLOAT"),
    "wav-mulaw": ("WAV", "ULAW"),
    "aiff": ("AIFF", "PCM_24"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
}
FFMPEG = {
    "m4a": ("ipod", "aac"),
    "webm": ("webm", "libopus"),
    "mp4-video": ("mp4", "aac"),
    "aac": ("adts", "aac"),
}
LOSSLESS = ("wav", "wav-float", "aiff", "flac")
RATES: dict[str, tuple[int, ...]] = {
    "wav": (8_000, 16_000, 22_050, 44_100, 48_000),
    "wav-float": (16_000, 48_000),
    "wav-mulaw": (8_000,),
    "aiff": (44_100,),
    "flac": (8_000, 16_000, 22_050, 44_100, 48_000),
    "mp3": (8_000, 16_000, 22_050, 44_100, 48_000),
    "ogg": (8_000, 16_000, 22_050, 44_100, 48_000),
    "opus": (8_000, 16_000, 48_000),
    "m4a": (8_000, 16_000, 22_050, 44_100, 48_000),
    "webm": (8_000, 16_000, 48_000),
    "mp4-video": (22_050, 44_100, 48_000),
    "aac": (16_000, 44_100),
}
CASES = [
    pytest.param(name, rate, channels, id=f"{name}-{rate}-{channels}")
    for name, rates in RATES.items()
    if name != "aac"  # see below: nothing in it tells the encoder's delay
    for rate in rates
    for channels in (1, 2)
]
AAC_DELAY = 1_024
every_format = pytest.mark.parametrize("name", RATES)


@functools.cache
def voice() -> Waveform:
    rng = np.random.default_rng(3)
    sound = speak(rng, Voice.draw(rng), int(DURATION_S * RATE))
    return (0.1 * sound / np.std(sound)).astype(np.float32).clip(-0.9, 0.9)


@functools.cache
def original(rate: int, channels: int, duration_s: float = DURATION_S) -> Samples:
    """The voice at a rate; a second channel differs from the first."""
    left = soxr.resample(voice()[: int(duration_s * RATE)], RATE, rate)
    both = np.stack([left, 0.3 * np.roll(left, rate // 100)], axis=1)
    return np.ascontiguousarray(both[:, :channels], dtype=np.float32)


def sound_bytes(samples: NDArray[Any], rate: int, name: str) -> bytes:
    file = io.BytesIO()
    container, subtype = SOUNDFILE[name]
    sf.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


@functools.cache
def encoded(name: str, rate: int, channels: int, duration_s: float = DURATION_S) -> bytes:
    samples = original(rate, channels, duration_s)
    if name in SOUNDFILE:
        return sound_bytes(samples, rate, name)
    container, codec = FFMPEG[name]
    return mux(container, codec, samples, rate, video=name == "mp4-video")


def expected(rate: int, channels: int) -> Waveform:
    mean = original(rate, channels).mean(axis=1)
    return np.asarray(soxr.resample(mean, rate, RATE), dtype=np.float32)


def correlation(a: Waveform, b: Waveform) -> float:
    n = min(len(a), len(b))
    return float(np.corrcoef(a[:n], b[:n])[0, 1])


def wav(samples: NDArray[Any], rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    sf.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


# --- every codec ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rate", "channels"), CASES)
def test_decoding_gives_the_original_at_16_khz(name: str, rate: int, channels: int) -> None:
    stream = AudioStream(encoded(name, rate, channels))
    seen = decode_stream(stream)
    wanted = expected(rate, channels)
    assert seen.dtype == np.float32 and seen.ndim == 1
    slack_s = 0.001 if name in LOSSLESS else 0.08  # lossy codecs fill their last block
    assert abs(len(seen) - len(wanted)) <= slack_s * RATE
    assert correlation(seen, wanted) > (0.99 if name in LOSSLESS else 0.95)
    assert np.std(seen) == pytest.approx(np.std(wanted), rel=0.01 if name in LOSSLESS else 0.15)
    assert stream.channels == channels
    assert stream.original_rate_hz in (rate, 48_000)  # Opus may be decoded at its own rate
    assert stream.duration_s == pytest.approx(DURATION_S, abs=0.08)
    assert stream.damage == ""
    assert stream.codec


def test_full_scale_pcm_is_one() -> None:
    square = np.tile(np.repeat(np.array([32767, -32768], dtype=np.int16), 40), 200)
    seen = decode(wav(square))
    assert seen.max() == pytest.approx(32767 / 32768) and seen.min() == -1.0


def test_16_khz_pcm_comes_out_sample_by_sample() -> None:
    samples = np.random.default_rng(0).integers(-9999, 9999, 20_000).astype(np.int16)
    np.testing.assert_array_equal(decode(wav(samples)), samples.astype(np.float32) / 32768)


def test_stereo_is_the_mean_of_its_channels() -> None:
    left = np.full(8_000, 0.5, dtype=np.float32)
    samples = np.stack([left, -0.25 * left], axis=1)
    np.testing.assert_allclose(decode(wav(samples, subtype="FLOAT")), 0.1875, atol=1e-7)


def test_where_opposite_channels_cancel_the_louder_one_is_heard() -> None:
    one = original(RATE, 1)
    stream = AudioStream(wav(np.concatenate([-0.9 * one, one], axis=1), subtype="FLOAT"))
    np.testing.assert_allclose(decode_stream(stream), one[:, 0], atol=1e-7)
    assert stream.channels_differ


def test_all_channels_of_a_surround_file_count() -> None:
    samples = np.zeros((8_000, 6), dtype=np.float32)
    samples[:, 5] = 0.6
    np.testing.assert_allclose(decode(wav(samples, subtype="FLOAT")), 0.1, atol=1e-6)


@every_format
def test_bytes_and_a_path_give_the_same_sound(name: str, tmp_path: Path) -> None:
    content = encoded(name, RATES[name][-1], 2)
    file = tmp_path / "no-suffix-that-helps"
    file.write_bytes(content)
    np.testing.assert_array_equal(decode(file), decode(content))


@every_format
def test_the_stream_gives_the_whole_in_bounded_blocks(name: str) -> None:
    rate = RATES[name][-1]
    content = encoded(name, rate, 1)
    blocks = list(AudioStream(content))
    np.testing.assert_array_equal(np.concatenate(blocks), decode(content))
    assert max(map(len, blocks)) <= (LONGEST_BLOCK_S + 1) * RATE


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_long_file_comes_in_several_blocks_that_join_without_a_seam(rate: int) -> None:
    low = np.random.default_rng(1).standard_normal(20 * 4_000)
    samples = (0.1 * soxr.resample(low, 4_000, rate)).astype(np.float32)
    stream = AudioStream(wav(samples, rate, "FLOAT"))
    blocks = list(stream)
    assert len(blocks) >= 5 and max(map(len, blocks)) <= (LONGEST_BLOCK_S + 1) * RATE
    joined = np.concatenate(blocks)
    whole = samples if rate == RATE else soxr.resample(samples, rate, RATE)
    assert len(joined) == pytest.approx(len(whole), abs=2)
    n = min(len(joined), len(whole))
    np.testing.assert_allclose(joined[:n], whole[:n], atol=2e-3)
    assert stream.duration_s == pytest.approx(20.0)


def test_real_clips_decode_as_libsndfile_and_soxr_say(real_clips: list[Path]) -> None:
    for clip in real_clips:
        samples, rate = sf.read(clip, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1)
        wanted = mono if rate == RATE else soxr.resample(mono, rate, RATE)
        seen = decode(clip)
        assert len(seen) == pytest.approx(len(wanted), abs=2)
        assert correlation(seen, wanted) > 0.999


@pytest.mark.parametrize(
    ("file_name", "kind"),
    [
        ("-rf.wav", "wav"),
        ("-i", "m4a"),
        ("concat:a.m4a", "m4a"),
        ("%d.webm", "webm"),
        ("Ünï ✓ \n.flac", "flac"),
        ("lying.mp3", "wav"),
        ("lying.wav", "webm"),
    ],
)
def test_names_mean_nothing(
    file_name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = encoded(kind, 48_000, 1)
    Path(file_name).write_bytes(content)
    np.testing.assert_array_equal(decode(Path(file_name)), decode(content))


@pytest.mark.parametrize("channels", [1, 2])
def test_aac_without_a_container(channels: int) -> None:
    seen = decode(encoded("aac", RATE, channels))
    assert correlation(seen[AAC_DELAY:], expected(RATE, channels)) > 0.95


@pytest.mark.parametrize("parts", [(1, 2), (2, 1)])
def test_channels_may_change_on_the_way(parts: tuple[int, int]) -> None:
    """An AAC stream is a row of frames, each with a header of its own."""
    contents = [encoded("aac", RATE, channels, 2.3) for channels in parts]
    first = len(decode(contents[0]))
    seen = decode(b"".join(contents), whole=False)
    assert len(seen) == pytest.approx(2 * first, abs=0.1 * RATE)
    assert correlation(seen[AAC_DELAY:first], expected(RATE, parts[0])) > 0.95
    assert correlation(seen[first + AAC_DELAY :], expected(RATE, parts[1])) > 0.9


def test_the_rate_may_change_on_the_way() -> None:
    seen = decode(encoded("aac", 44_100, 1) + encoded("aac", 16_000, 1), whole=False)
    assert len(seen) == pytest.approx(2 * DURATION_S * RATE, abs=0.2 * RATE)


def test_a_stream_that_grows_louder_is_not_damaged() -> None:
    """AAC without a container promises no length: FFmpeg guesses one from the first bytes."""
    sound = original(44_100, 1)
    samples = np.concatenate([np.zeros_like(sound), sound])
    stream = AudioStream(mux("adts", "aac", samples, 44_100))
    assert len(decode_stream(stream)) == pytest.approx(2 * DURATION_S * RATE, abs=0.1 * RATE)
    assert stream.damage == ""


def test_eight_planes_through_ffmpeg() -> None:
    """PyAV reads one plane too many of just as many, which took the process with it."""
    samples = np.repeat(original(48_000, 1), 8, axis=1).reshape(1, -1)
    file = io.BytesIO()
    with av.open(file, "w", format="adts") as container:
        sound: Any = container.add_stream("aac", rate=48_000, layout="7.1")
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="7.1")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        container.mux([*sound.encode(frame), *sound.encode(None)])
    for _ in range(5):
        stream = AudioStream(file.getvalue())
        assert len(decode_stream(stream)) == pytest.approx(DURATION_S * RATE, abs=0.1 * RATE)
        assert stream.channels == 8


@pytest.mark.parametrize("layout", ["5.1", "7.1", "hexadecagonal"])
def test_many_channels_through_ffmpeg(layout: str, tmp_path: Path) -> None:
    """In a process of its own, for what goes wrong here takes the process with it."""
    file, n_channels = tmp_path / "many.mka", av.AudioLayout(layout).nb_channels
    samples = np.zeros((RATE, n_channels), dtype=np.int16)
    samples[:, -1] = 1_600
    with av.open(file, "w", format="matroska") as container:
        sound: Any = container.add_stream("pcm_s16le", rate=RATE, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux([*sound.encode(frame), *sound.encode(None)])
    code = (
        "import pathlib, sys, bonafide.audio as a; w = a.decode(pathlib.Path(sys.argv[1])); "
        "print(len(w), w.min() * 32768, w.max() * 32768)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    n_samples, low, high = map(float, done.stdout.split())
    assert n_samples == RATE
    assert low == pytest.approx(1_600 / n_channels) == high


@pytest.mark.parametrize("name", ["m4a", "webm"])
def test_tags_in_an_old_encoding_do_not_matter(name: str) -> None:
    content = mux(*FFMPEG[name], original(48_000, 1), 48_000, title="Gr??e")
    tagged = content.replace(b"Gr??e", "Größe".encode("latin-1"))
    assert tagged != content
    np.testing.assert_array_equal(decode(tagged), decode(content))


@pytest.mark.parametrize("rate", [4_000, 96_000, 192_000, 384_000])
def test_unusual_rates_in_range_are_taken(rate: int) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    seen = decode(wav(tone, rate))
    assert len(seen) == pytest.approx(RATE, abs=2)
    assert np.std(seen[2_000:-2_000]) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)


# --- limits and reasons --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rate"), [("wav", 16_000), ("flac", 44_100), ("m4a", 48_000)])
def test_too_long_is_noticed_while_decoding(name: str, rate: int) -> None:
    samples = np.tile(original(rate, 1), (10, 1))  # 30 s
    if name in SOUNDFILE:
        content = sound_bytes(samples, rate, name)
    else:
        content = mux(*FFMPEG[name], samples, rate)
    stream = AudioStream(content, limits=Limits(max_duration_s=5.0))
    message = "the upload: longer than the 5 s limit"
    with pytest.raises(AudioError, match=message) as error:
        decode_stream(stream)
    assert error.value.code == "too_long"
    assert 5.0 < stream.duration_s <= 5.0 + 2 * LONGEST_BLOCK_S  # it did not read all thirty


def test_exactly_the_longest_allowed_is_taken() -> None:
    content = wav(np.zeros(5 * RATE, dtype=np.int16))
    assert len(decode(content, limits=Limits(max_duration_s=5.0))) == 5 * RATE
    assert len(decode(content)) == 5 * RATE
    with pytest.raises(AudioError, match=r"longer than the 4\.99 s limit"):
        decode(content, limits=Limits(max_duration_s=4.99))


def poisoned(value: float, channels: int = 1) -> bytes:
    samples = original(RATE, channels).copy()
    samples[1_234, 0] = value
    return wav(samples, subtype="FLOAT")


def opposite_infinities() -> bytes:
    samples = original(RATE, 2).copy()
    samples[1_234] = np.inf, -np.inf
    return wav(samples, subtype="FLOAT")


ERRORS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "empty": (lambda: b"", "empty", r"the upload: the file is empty \(0 bytes\)"),
    "no sample": (
        lambda: wav(np.zeros(0, dtype=np.int16)),
        "empty",
        "the upload: holds no sample of sound",
    ),
    "no sample, other rate": (
        lambda: wav(np.zeros(0, dtype=np.int16), 44_100),
        "empty",
        "holds no sample of sound",
    ),
    "text": (
        lambda: b"This is a letter, not a recording.\n" * 50,
        "not_audio",
        r"the upload: not an audio file that can be decoded \(.+\); WAV, FLAC, MP3, .* can be",
    ),
    "one byte": (lambda: b"R", "not_audio", "not an audio file"),
    "zeros": (lambda: bytes(5_000), "not_audio", "not an audio file"),
    "random": (
        lambda: np.random.default_rng(5).bytes(20_000),
        "not_audio",
        "not an audio file that can be decoded",
    ),
    "half a header": (lambda: encoded("wav", RATE, 1)[:20], "not_audio", "not an audio file"),
    "a flac header alone": (
        lambda: encoded("flac", 16_000, 1)[:200],
        "damaged",
        "the upload: nothing of it can be decoded: 48000 samples were promised",
    ),
    "half an mp4 header": (lambda: encoded("m4a", 48_000, 1)[:40], "not_audio", "not an audio"),
    "picture": (
        lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\2\0\0\0\x90wS\xde",
        "not_audio",
        "not an audio file",
    ),
    "video without sound": (
        lambda: mux("mp4", "", None, 0, video=True),
        "no_sound",
        "the upload: holds no sound track",
    ),
    "NaN": (lambda: poisoned(np.nan), "not_finite", "holds samples that are not numbers"),
    "NaN, stereo": (lambda: poisoned(np.nan, 2), "not_finite", "samples that are not numbers"),
    "inf": (lambda: poisoned(np.inf), "not_finite", "holds samples that are not numbers"),
    "inf - inf": (opposite_infinities, "not_finite", "holds samples that are not numbers"),
    "rate too high": (
        lambda: wav(np.zeros(4_000, dtype=np.int16), 400_000),
        "bad_format",
        "400000 Hz with 1 channels; must be 4000 to 384000 Hz and 1 to 32 channels",
    ),
    "rate too low": (
        lambda: wav(np.zeros(4_000, dtype=np.int16), 2_000),
        "bad_format",
        "2000 Hz with 1 channels; must be 4000 to 384000 Hz",
    ),
    "too many channels": (
        lambda: wav(np.zeros((4_000, 33), dtype=np.int16)),
        "bad_format",
        "16000 Hz with 33 channels; .* 1 to 32 channels",
    ),
}


@pytest.mark.parametrize(("content", "code", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(content: Callable[[], bytes], code: str, message: str, tmp_path: Path) -> None:
    data = content()
    with pytest.raises(AudioError, match=message) as of_bytes:
        decode(data)
    file = tmp_path / "clip.wav"
    file.write_bytes(data)
    with pytest.raises(AudioError, match=message.replace("the upload", r".*clip\.wav")) as of_file:
        decode(file)
    assert of_bytes.value.code == of_file.value.code == code


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.wav", r"missing\.wav: cannot be read: No such file or directory"),
        (".", "cannot be read: Is a directory"),
        ("file/below.wav", r"below\.wav: cannot be read: Not a directory"),
        ("http://localhost:1/a.wav", "cannot be read: No such file"),
    ],
)
def test_places_that_cannot_be_read(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(AudioError, match=message) as error:
        decode(tmp_path / path)
    assert error.value.code == "unreadable"


SCRIPTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{uri}\n#EXT-X-ENDLIST\n",
    "hls, a plain path": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{path}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "dash": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="9">'
        "<BaseURL>{uri}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ),
}


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
def test_files_that_name_other_files_are_not_followed(text: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.m4a"
    secret.write_bytes(encoded("m4a", 48_000, 1))
    script = tmp_path / "list.m3u8"
    script.write_text(text.format(uri=secret.as_uri(), path=secret))
    for source in (script, script.read_bytes()):
        with pytest.raises(AudioError, match="not an audio file") as error:
            decode(source)
        assert error.value.code == "not_audio"


# --- damage ---------------------------------------------------------------------------------------


def faststart(folder: Path) -> bytes:
    """An M4A with its index in front, so that a part can be decoded."""
    old, new = io.BytesIO(encoded("m4a", 48_000, 1)), folder / "faststart.m4a"
    with (
        av.open(old, "r") as source,
        av.open(new, "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return new.read_bytes()


@pytest.mark.parametrize("name", ["wav", "wav-float", "flac", "mp3", "webm", "m4a"])
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_file_that_breaks_off(name: str, share: float, tmp_path: Path) -> None:
    content = faststart(tmp_path) if name == "m4a" else encoded(name, 48_000, 1)
    content = content[: int(share * len(content))]
    stream = AudioStream(content)
    part = decode_stream(stream, whole=False)
    assert stream.damage
    wanted = expected(48_000, 1)
    assert 0.1 * len(wanted) < len(part) < 0.95 * len(wanted)
    assert correlation(part[:-2_000], wanted) > 0.95
    assert stream.duration_s == pytest.approx(len(part) / RATE, abs=0.01)
    with pytest.raises(AudioError, match=r"the upload: .+") as error:
        decode(content)
    assert error.value.code == "damaged"
    assert stream.damage in error.value.message
    np.testing.assert_array_equal(decode(content, whole=False), part)


def test_an_ogg_file_that_leads_past_its_end() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((3 * RATE, 1))
    first, *pages = sound_bytes(noise, RATE, "ogg").split(b"OggS")[1:]
    assert len(pages) == 5  # the rest of the header, and four of sound
    head, a, b, c, _ = pages
    content = b"".join(b"OggS" + page for page in (first, head, a, c, b))
    stream = AudioStream(content)
    assert len(decode_stream(stream, whole=False)) == pytest.approx(RATE, abs=100)
    assert stream.damage == "pages of its sound are missing (1)"
    with pytest.raises(AudioError, match="pages of its sound are missing"):
        decode(content)


def test_a_damaged_file_can_still_be_too_long() -> None:
    content = encoded("wav", RATE, 1)[:-20_000]
    with pytest.raises(AudioError, match="longer than the 1 s limit"):
        decode(content, limits=Limits(max_duration_s=1.0), whole=False)


def test_trailing_bytes_do_no_harm() -> None:
    content = encoded("wav", RATE, 1)
    np.testing.assert_array_equal(decode(content + b"\0" * 100), decode(content))


FUZZED = ("wav-float", "aiff", "flac", "mp3", "ogg", "opus", "m4a", "webm", "mp4-video", "aac")


# soundfile's callbacks print seeks that a bent header asks for and the file cannot make; harmless.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", FUZZED)
@settings(max_examples=7, deadline=None)
@given(data=st.data())
def test_mutated_bytes_raise_nothing_but_audio_errors(name: str, data: st.DataObject) -> None:
    content = bytearray(encoded(name, RATES[name][0], 2, 0.7))
    anywhere = st.integers(0, len(content) - 1)
    header = st.integers(0, min(400, len(content) - 1))
    changes = st.lists(st.tuples(header | anywhere, st.integers(0, 255)), max_size=12)
    for position, value in data.draw(changes):
        content[position] = value
    content = content[: data.draw(st.just(len(content)) | anywhere)]
    try:
        seen = decode(bytes(content), limits=Limits(max_duration_s=60.0), whole=False)
    except AudioError as error:
        assert error.code and error.message.startswith("the upload: ")
    else:
        assert seen.dtype == np.float32 and len(seen) and np.isfinite(seen).all()


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_raise_nothing_but_audio_errors(content: bytes) -> None:
    with pytest.raises(AudioError):
        decode(content)


# --- what is heard --------------------------------------------------------------------------------


def tone(hz: float, rms: float, n_samples: int = 2 * RATE) -> Waveform:
    phase = 2 * np.pi * hz * np.arange(n_samples) / RATE
    return (rms * np.sqrt(2) * np.sin(phase)).astype(np.float32)


def noise(rms: float, n_samples: int = 2 * RATE) -> Waveform:
    sound: Waveform = np.random.default_rng(2).standard_normal(n_samples, dtype=np.float32)
    return sound * np.float32(rms)


def dbfs(level: float) -> float:
    return float(10 ** (level / 20))


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(np.zeros(2 * RATE, dtype=np.float32), id="silence"),
        pytest.param(np.full(2 * RATE, 0.3, dtype=np.float32), id="offset"),
        pytest.param(tone(50, dbfs(-40)), id="50 Hz hum"),
        pytest.param(tone(60, dbfs(-40)), id="60 Hz hum"),
        pytest.param(tone(6_000, 0.1), id="6 kHz whistle"),
        pytest.param(noise(dbfs(-80)), id="noise at -80 dBFS"),
        pytest.param(tone(1_000, dbfs(-72)), id="tone at -72 dBFS"),
    ],
)
def test_frames_without_speech_like_sound(sound: Waveform) -> None:
    assert not speech_frames(sound).any()


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(tone(1_000, 0.1), id="1 kHz"),
        pytest.param(tone(200, 0.1), id="200 Hz"),
        pytest.param(tone(3_500, 0.1), id="3.5 kHz"),
        pytest.param(noise(0.1), id="white noise"),
        pytest.param(noise(dbfs(-60)), id="noise at -60 dBFS"),
        pytest.param(tone(1_000, dbfs(-68)), id="tone at -68 dBFS"),
        pytest.param(0.5 + noise(dbfs(-60)), id="noise at -60 dBFS beside an offset"),
    ],
)
def test_frames_with_speech_like_sound(sound: Waveform) -> None:
    assert speech_frames(sound).all()


def test_frames_stand_where_the_sound_stands() -> None:
    sound = np.zeros(RATE, dtype=np.float32)
    sound[320 * 10 : 320 * 25] = noise(0.1, 320 * 15)
    frames = speech_frames(sound)
    assert frames.shape == (50,) and frames.dtype == np.bool_
    np.testing.assert_array_equal(np.flatnonzero(frames), np.arange(10, 25))
    assert speech_seconds(frames) == pytest.approx(0.3)


@pytest.mark.parametrize("n_samples", [0, 1, 319, 320, 639, 1_000])
def test_an_unfinished_frame_is_left_out(n_samples: int) -> None:
    frames = speech_frames(noise(0.1, n_samples))
    assert frames.shape == (n_samples // 320,)
    assert speech_seconds(frames) == pytest.approx(n_samples // 320 * 0.02)


def test_real_clips_hold_speech(real_clips: list[Path]) -> None:
    for clip in real_clips:
        frames = speech_frames(decode(clip))
        assert speech_seconds(frames) > 0.3, clip.name


@settings(max_examples=30)
@given(n=st.integers(1, 50), size=st.integers(1, 200))
def test_tile_repeats_and_cuts(n: int, size: int) -> None:
    sound = np.arange(n, dtype=np.float32)
    seen = tile(sound, size)
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen, np.arange(size) % n)


@pytest.mark.parametrize(
    ("n_samples", "short"),
    [(0, True), (15_000, True), (15_900, True), (15_999, False), (16_000, False), (64_000, False)],
)
def test_too_short(n_samples: int, short: bool) -> None:
    assert too_short(n_samples) is short


def test_a_path_may_be_a_link(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(encoded("wav", RATE, 1))
    shutil.copy(file, tmp_path / "b.wav")
    (tmp_path / "link").symlink_to(file)
    np.testing.assert_array_equal(decode(tmp_path / "link"), decode(tmp_path / "b.wav"))
