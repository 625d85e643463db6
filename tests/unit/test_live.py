"""A recording that still goes on is judged as its file would be up to that moment."""

import io
import itertools
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.sounds import speech
from bonafide.audio import AudioStream, Waveform
from bonafide.audio.arriving import Pipe, as_played, from_pipe, from_raw
from bonafide.audio.pcm import ENCODINGS, PcmStream
from bonafide.detection import Detection
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.live import HOP_S, Live, Moment, listen
from tests.helpers.kept import hasty


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.shipped("fast")


def voice(seconds: float, pauses: tuple[int, ...] = ()) -> Waveform:
    """Return speech-like sound with whole windows of silence."""
    sound = speech(seconds).astype(np.float32)
    for window in pauses:
        sound[64_000 * window : 64_000 * (window + 1)] = 0
    return sound


def alike(one: Moment | Detection, other: Detection) -> None:
    assert (one.verdict, one.warnings) == (other.verdict, other.warnings)
    assert one.llr == pytest.approx(other.llr, abs=1e-4)
    assert len(one.parts) == len(other.parts) and one.bundle == other.bundle
    assert (one.channel and one.channel.name) == (other.channel and other.channel.name)


@pytest.mark.parametrize("pauses", [(), (0,), (1, 2), (0, 1, 2, 3)])
def test_each_moment_is_judged_as_the_file_up_to_it(
    detector: Detector, pauses: tuple[int, ...]
) -> None:
    sound = voice(14.3, pauses)
    *moments, end = listen(detector, np.array_split(sound, 23))
    assert [m.at_s for m in moments] == [HOP_S * i for i in range(1, 29)]
    for moment in moments:
        alike(moment, detector.score(sound[: round(moment.at_s * 16_000)]))
    assert isinstance(end, Detection)
    alike(end, whole := detector.score(sound))
    assert end.duration_s == whole.duration_s
    assert [s.start_s for s in end.segments] == [s.start_s for s in whole.segments]


def test_what_ends_with_a_window_has_no_rest(detector: Detector) -> None:
    for seconds in (4.0, 8.0, 8.5, 9.0):
        *_, end = listen(detector, [voice(seconds)])
        assert isinstance(end, Detection)
        alike(end, detector.score(voice(seconds)))


def test_nothing_heard_is_an_error(detector: Detector) -> None:
    with pytest.raises(AudioError) as seen:
        list(listen(detector, []))
    assert seen.value.code == "empty"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 150_000), max_size=12))
def test_how_it_is_cut_changes_nothing(cuts: list[int]) -> None:
    """The windows that become due, and what is kept of them, hold however the sound arrives."""
    sound = voice(9.4)
    live, whole = Live(Detector.shipped("fast").bundle), Live(Detector.shipped("fast").bundle)
    pieces = np.split(sound, sorted(min(cut, len(sound)) for cut in cuts))
    hops = [hop for piece in pieces for hop in live.feed(piece)]
    for ours, theirs in zip(hops, whole.feed(sound), strict=True):
        assert (ours.start, ours.end) == (theirs.start, theirs.end)
        assert np.array_equal(ours.waveform, theirs.waveform)
    assert live.heard_s == whole.heard_s == len(sound) / 16_000


@pytest.mark.parametrize("broken_at", [0.7, 3.9, 4.0, 4.1, 9.6])
def test_it_goes_on_from_what_was_kept(detector: Detector, broken_at: float) -> None:
    sound, at = voice(13.0, (1,)), round(broken_at * 16_000)
    undisturbed = list(listen(detector, [sound]))
    live, told = Live(detector.bundle), []

    def hear(live: Live, piece: Waveform) -> None:
        for hop in live.feed(piece):
            scores = detector.score_windows(hop.waveform[None]) if hop.speaks else None
            told.append(live.judged(hop, scores))

    hear(live, sound[:at])
    file = io.BytesIO()
    np.savez(file, **live.state())
    file.seek(0)
    with np.load(file, allow_pickle=False) as state:
        resumed = Live.resumed(detector.bundle, state)
    assert at / 16_000 - HOP_S < resumed.heard_s <= at / 16_000
    hear(resumed, sound[round(resumed.heard_s * 16_000) :])
    assert told == undisturbed[:-1]


def test_what_was_fed_and_not_judged_is_not_kept(detector: Detector) -> None:
    """A connection may break with the windows of a long piece on their way."""
    sound = voice(12.0)
    undisturbed = list(listen(detector, [sound]))
    for judged in (0, 1, 7, 8, 9, 20):
        live = Live(detector.bundle)
        for hop in live.feed(sound)[:judged]:
            live.judged(hop, detector.score_windows(hop.waveform[None]))
        live = Live.resumed(detector.bundle, live.state())
        assert live.heard_s == judged * HOP_S
        rest = sound[judged * 8_000 :]
        told = [
            live.judged(hop, detector.score_windows(hop.waveform[None])) for hop in live.feed(rest)
        ]
        assert told == undisturbed[judged:-1]


# --- sound without a header -----------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "codec"), [("mulaw", "pcm_mulaw"), ("alaw", "pcm_alaw")])
def test_g711_is_what_ffmpeg_decodes(encoding: str, codec: str) -> None:
    decoder = av.CodecContext.create(codec, "r")
    decoder.sample_rate, decoder.layout = 16_000, "mono"
    (frame,) = decoder.decode(av.Packet(bytes(range(256))))
    expected = frame.to_ndarray().ravel() / 32_768
    assert np.array_equal(PcmStream(16_000, encoding).feed(bytes(range(256))), expected)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_pieces_may_end_anywhere(content: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    for encoding in ENCODINGS:
        whole, cut = PcmStream(16_000, encoding), PcmStream(16_000, encoding)
        pieces = [cut.feed(content[a:b]) for a, b in itertools.pairwise(edges)]
        assert np.array_equal(np.concatenate(pieces), whole.feed(content))


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_another_rate_is_resampled_as_a_file_is(rate: int, tmp_path: Path) -> None:
    sound = (voice(3.0) * 32_767).astype("<i2")
    soundfile.write(tmp_path / "a.wav", sound, rate)
    expected = np.concatenate(list(AudioStream(tmp_path / "a.wav")))
    stream = PcmStream(rate)
    pieces = [stream.feed(each.tobytes()) for each in np.array_split(sound, 31)]
    ours = np.concatenate([*pieces, stream.rest()])
    assert len(ours) == len(expected)
    assert np.abs(ours - expected)[200:-200].max() < 1e-3


@pytest.mark.parametrize(
    ("rate", "encoding"), [(100, "pcm_s16le"), (10**6, "alaw"), (8_000, "mp3")]
)
def test_what_is_no_sound_of_ours_is_refused(rate: int, encoding: str) -> None:
    with pytest.raises(AudioError, match=r"must be (4000 to 192000 Hz|one of pcm_s16le)") as seen:
        PcmStream(rate, encoding)
    assert seen.value.code == "bad_format"


# --- sound that arrives ---------------------------------------------------------------------------


def piped(content: bytes, *, piece: int = 1_000, pause_s: float = 0.0) -> io.FileIO:
    """Return the end of a pipe into which a thread writes, piece by piece."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as file, suppress(BrokenPipeError):
            for first in range(0, len(content), piece):
                file.write(content[first : first + piece])
                time.sleep(pause_s)

    threading.Thread(target=write, daemon=True).start()
    return io.FileIO(reading)


@pytest.mark.parametrize(
    ("format_", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None)],
)
def test_a_pipe_is_decoded_as_the_file_is(format_: str, subtype: str | None) -> None:
    file = io.BytesIO()
    soundfile.write(file, voice(5.0), 16_000, format=format_, subtype=subtype)
    with piped(file.getvalue()) as end:
        ours = np.concatenate(list(from_pipe(Pipe(end))))
    expected = np.concatenate(list(AudioStream(file.getvalue())))
    assert abs(len(ours) - len(expected)) <= 1_200  # what a codec adds at its ends
    least = min(len(ours), len(expected))
    lag = np.argmax(np.correlate(ours[:least][8_000:24_000], expected[:least][9_000:23_000]))
    assert abs(lag - 1_000) <= 1_200
    assert np.std(ours) == pytest.approx(np.std(expected), rel=0.02)


def test_sound_is_there_before_the_pipe_ends() -> None:
    file = io.BytesIO()
    soundfile.write(file, voice(30.0), 16_000, format="WAV")
    start = time.monotonic()
    with piped(file.getvalue(), piece=16_000, pause_s=0.5) as end:  # at the pace of its sound
        next(iter(from_pipe(Pipe(end))))
    assert time.monotonic() - start < 15


def test_raw_samples_are_taken_as_they_come() -> None:
    content = (voice(2.0) * 32_767).astype("<i2").tobytes()
    with piped(content, piece=333) as end:
        sound = np.concatenate(list(from_raw(Pipe(end), PcmStream())))
    assert np.array_equal(sound, PcmStream().feed(content))


@pytest.mark.parametrize("content", [b"", b"no sound at all", bytes(5_000)])
def test_a_pipe_without_sound_is_said_to_be_none(content: bytes) -> None:
    with piped(content) as end, pytest.raises(AudioError) as seen:
        list(from_pipe(Pipe(end)))
    assert seen.value.code == "not_audio"


def test_a_file_is_heard_no_sooner_than_it_plays(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(2.05), 16_000)
    now, heard = 100.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    for piece in as_played(tmp_path / "a.wav", lambda: now, sleep):
        heard += len(piece)
        assert now >= 100 + heard / 16_000 - 1e-9
    assert heard == 32_800 and now == pytest.approx(102.05)


# --- the command ----------------------------------------------------------------------------------

STREAM = [sys.executable, "-m", "bonafide.cli", "stream", "--bundle", "fast"]


def test_a_microphone_is_listened_to_until_ctrl_c(tmp_path: Path) -> None:
    """A file stands for its membrane: all else is the sound system's own."""
    sound = np.repeat((voice(9.0) * 32_767).astype("<i2"), 6)  # at 48 kHz, in stereo
    sound.tofile(tmp_path / "sound.raw")
    (tmp_path / "asound.conf").write_text(
        "pcm.voice { type file slave.pcm { type null } file /dev/null "
        f'infile "{tmp_path}/sound.raw" format raw }}'
    )
    known = {**os.environ, "ALSA_CONFIG_PATH": str(tmp_path / "asound.conf")}
    with subprocess.Popen(
        [*STREAM, "device:voice"], env=known, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(3)]
        process.send_signal(2)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert seen[0].split() == ["seconds", "verdict", "p_spoof", "now", "channel"]
    assert [line.split()[0] for line in seen[1:]] == ["0.5", "1.0"]
    assert "In all:" in rest and "device:voice" in rest.splitlines()[-1] + rest


def test_a_decision_is_said_once(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(9.0), 16_000)
    words = ["--bundle", hasty(tmp_path), "a.wav", "--at-once"]
    done = subprocess.run(
        [*STREAM[:-2], *words],
        cwd=tmp_path,
        env={**os.environ, "BONAFIDE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = [line.split(maxsplit=1) for line in done.stdout.splitlines() if "decided" in line]
    assert len(said) == 1 and said[0][0] == "4.0"
    words = r"decided: (spoof|bonafide); of either kind at most 5 of 100 are decided wrongly"
    assert re.fullmatch(words, said[0][1])


def test_a_microphone_that_is_not_there_is_said_so() -> None:
    done = subprocess.run(
        [*STREAM, "device:nosuch"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "no_device: nosuch: this microphone cannot be opened" in done.stderr


@pytest.mark.parametrize("came", [0, 5_000, 100_000])
@pytest.mark.parametrize("raw", [(), ("--raw",)])
def test_ctrl_c_ends_a_pipe_that_says_no_more(came: int, raw: tuple[str, ...]) -> None:
    file = io.BytesIO()
    soundfile.write(file, voice(30.0), 16_000, format="WAV")
    with subprocess.Popen(
        [*STREAM, "-", "--json", *raw],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(file.getvalue()[:came])
        process.stdin.flush()
        heard = process.stdout.readline() if came > 50_000 else b""
        if not heard:
            time.sleep(2.0)  # for it to wait
        process.send_signal(2)
        end, said = process.communicate(timeout=60)
    assert process.returncode == (0 if came else 1), said
    assert b"Traceback" not in said and b"Exception" not in said
    assert b'"end": true' in end if process.returncode == 0 else b'"error"' in end


def test_a_closed_standard_input_is_said_to_be_closed() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" - <&-', "sh", *STREAM], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == "bonafide: unreadable: standard input: is closed\n"
