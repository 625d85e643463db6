"""Several tracks, and channels that differ: each is judged, the most suspicious one speaks."""

import io
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from bonafide.audio import AudioStream, Limits, Waveform
from bonafide.detection import Caution, Judged
from bonafide.detector import Detector
from bonafide.errors import AudioError
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.tracks import MAX_TRACKS_JUDGED, most_suspicious
from tests.helpers.coded import CodedDetector, sound_of

HUMAN, FAKE, UNSURE = 2.5, -3.5, 0.0


@pytest.fixture(scope="module")
def detector() -> CodedDetector:
    return CodedDetector()


def film(*tracks: Waveform, codec: str = "pcm_f32le") -> bytes:
    """Return a Matroska file with an audio track for each waveform."""
    file, size = io.BytesIO(), 1024 if codec == "aac" else 1000
    with av.open(file, "w", format="matroska") as container:
        streams = [container.add_stream(codec, rate=SAMPLE_RATE_HZ) for _ in tracks]
        for stream in streams:
            stream.layout = "mono"
        for start in range(0, max(map(len, tracks)), size):
            for stream, track in zip(streams, tracks, strict=True):
                if len(block := track[start : start + size]):
                    frame = av.AudioFrame.from_ndarray(block[None].copy(), "flt", "mono")
                    frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
                    container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return file.getvalue()


def wav(*channels: Waveform) -> bytes:
    file = io.BytesIO()
    sound = np.stack(channels, axis=1)
    soundfile.write(file, sound, SAMPLE_RATE_HZ, format="WAV", subtype="FLOAT")
    return file.getvalue()


def turns(*llrs: float, seed: int, own: bool) -> Waveform:
    """Return `sound_of` where this speaker has the word, and silence elsewhere."""
    sound = np.random.default_rng(seed).permutation(sound_of(*llrs))
    second = np.arange(len(sound)) // SAMPLE_RATE_HZ % 2
    return np.where(second == own, np.sqrt(2) * sound, 0).astype(np.float32)


def codes(judged: Judged) -> list[str]:
    return [caution.code for caution in judged.warnings]


def numbered(detection: Any) -> list[tuple[int, int | None, str]]:
    return [(each.track, each.channel_number, each.verdict) for each in detection.tracks]


def test_one_track_has_no_tracks(detector: CodedDetector) -> None:
    sound = sound_of(HUMAN, HUMAN)
    for source in (wav(sound), wav(sound, sound), film(sound)):
        seen = detector.score(source)
        assert (seen.verdict, seen.tracks, codes(seen)) == ("bonafide", (), [])
    assert seen.to_json()["tracks"] == []


def test_the_fake_track_speaks_for_the_file(detector: CodedDetector) -> None:
    seen = detector.score(film(sound_of(HUMAN, HUMAN), sound_of(FAKE), sound_of(UNSURE)))
    assert numbered(seen) == [(1, None, "bonafide"), (2, None, "spoof"), (3, None, "inconclusive")]
    assert (seen.verdict, seen.duration_s) == ("spoof", pytest.approx(4, abs=0.1))
    assert seen.llr == seen.tracks[1].llr and seen.segments == seen.tracks[1].segments
    assert codes(seen) == []
    plain = seen.to_json()["tracks"][1]
    assert (plain["track"], plain["channel_number"], plain["verdict"]) == (2, None, "spoof")


def test_parts_of_a_track_speak_for_the_file(detector: CodedDetector) -> None:
    long = sound_of(*[HUMAN] * 4, FAKE, FAKE, *[HUMAN] * 4)
    seen = detector.score(film(sound_of(UNSURE), long))
    assert (seen.verdict, len(seen.parts)) == ("partly_spoof", 1)


def test_a_silent_track_does_not_speak(detector: CodedDetector) -> None:
    seen = detector.score(film(0 * sound_of(0), sound_of(HUMAN)))
    assert seen.verdict == "bonafide" and codes(seen) == []
    assert [codes(track) for track in seen.tracks] == [["no_speech"], []]


def test_all_tracks_silent(detector: CodedDetector) -> None:
    seen = detector.score(film(0 * sound_of(0), 0 * sound_of(0)))
    assert (seen.verdict, codes(seen)) == ("inconclusive", ["no_speech"])


@pytest.mark.parametrize("broken", [0, 1])
def test_a_track_of_an_unknown_codec_is_passed_over(broken: int, detector: Detector) -> None:
    whole = [*film(*[sound_of(HUMAN)] * 2, codec="aac").split(b"A_AAC")]
    names = [b"A_ZZZ" if number == broken else b"A_AAC" for number in (0, 1)]
    content = whole[0] + b"".join(name + rest for name, rest in zip(names, whole[1:], strict=True))
    seen = detector.score(content)
    assert numbered(seen) == [(2 - broken, None, seen.verdict)]
    (caution,) = seen.warnings
    assert caution.code == "not_all_judged"
    assert caution.message.startswith(f"track {broken + 1} of 2 cannot be decoded")


def test_no_track_decodes(detector: CodedDetector) -> None:
    content = film(*[sound_of(HUMAN)] * 2, codec="aac").replace(b"A_AAC", b"A_ZZZ")
    with pytest.raises(AudioError, match="track 1 of 2 cannot be decoded") as error:
        detector.score(content)
    assert error.value.code == "not_audio"


@pytest.mark.parametrize("fake", [0, 1])
def test_two_speakers_left_and_right(fake: int, detector: CodedDetector) -> None:
    llrs = [(FAKE if side == fake else HUMAN,) * 3 for side in (0, 1)]
    left, right = (turns(*llrs[side], seed=side, own=bool(side)) for side in (0, 1))
    seen = detector.score(wav(left, right))
    assert seen.verdict == "spoof"
    assert numbered(seen) == [
        (1, side + 1, "spoof" if side == fake else "bonafide") for side in (0, 1)
    ]


@pytest.mark.parametrize("offset", [0.0, 0.02, 0.3])
def test_an_inverted_channel(offset: float, detector: CodedDetector) -> None:
    """Beside an offset of both channels, too, which their mean keeps."""
    sound = sound_of(HUMAN, HUMAN)
    rest = np.sqrt(np.mean(sound**2) - offset**2) / np.sqrt(np.mean(sound**2))
    seen = detector.score(wav(rest * sound + offset, offset - rest * sound))
    assert seen.verdict == "bonafide" and codes(seen) == []
    assert numbered(seen) == [(1, 1, "bonafide"), (1, 2, "bonafide")]


def test_a_chosen_track_and_channel_are_judged_alone(detector: CodedDetector) -> None:
    content = film(sound_of(FAKE), sound_of(HUMAN))
    seen = detector.score(AudioStream(content, track=1))
    assert (seen.verdict, seen.tracks) == ("bonafide", ())
    seen = detector.score(AudioStream(wav(sound_of(FAKE), -sound_of(FAKE)), channel=1))
    assert (seen.verdict, seen.tracks) == ("spoof", ())


def test_no_more_than_eight_are_judged(detector: CodedDetector) -> None:
    seen = detector.score(film(*[sound_of(HUMAN)] * (MAX_TRACKS_JUDGED + 2)))
    assert len(seen.tracks) == MAX_TRACKS_JUDGED == 8
    assert [(each.code, each.message) for each in seen.warnings] == [
        ("not_all_judged", "tracks 9 to 10: only 8 tracks or channels are judged")
    ]
    channels = [turns(HUMAN, HUMAN, seed=n, own=bool(n % 2)) for n in range(12)]
    seen = detector.score(wav(*channels))
    assert numbered(seen) == [(1, n, "bonafide") for n in range(1, 9)]
    assert seen.warnings[-1].message.startswith("channels 9 to 12 of track 1")


def test_time_is_that_of_all_tracks(detector: CodedDetector) -> None:
    stream = AudioStream(film(*[sound_of(HUMAN)] * 3))
    times: list[float] = []

    class Noted(CodedDetector):
        def _score_one(self, sound: Any) -> Judged:
            judged = super()._score_one(sound)
            times.append(sound.decode_s)
            return judged

    Noted().score(stream)
    assert len(times) == 3 and stream.decode_s == pytest.approx(sum(times))


def test_the_limit_on_length_holds_for_each_track(detector: CodedDetector) -> None:
    content = film(sound_of(HUMAN), sound_of(HUMAN, HUMAN))
    assert detector.score(AudioStream(content, Limits(max_duration_s=9.0))).verdict == "bonafide"
    with pytest.raises(AudioError, match="longer than the 5 s limit"):
        detector.score(AudioStream(content, Limits(max_duration_s=5.0)))


def judged(verdict: Any, p_spoof: float, *warned: Any) -> Judged:
    warnings = tuple(Caution(code, "") for code in warned)
    return Judged(verdict, 0.0, p_spoof, 4.0, (), {}, {}, None, (), warnings)


@pytest.mark.parametrize(
    ("results", "chosen"),
    [
        ([judged("bonafide", 0.1), judged("spoof", 0.9)], 1),
        ([judged("partly_spoof", 0.3), judged("inconclusive", 0.8)], 0),
        ([judged("partly_spoof", 0.3), judged("spoof", 0.86)], 1),
        ([judged("inconclusive", 0.2), judged("bonafide", 0.14)], 0),
        ([judged("spoof", 0.9), judged("spoof", 0.95), judged("spoof", 0.91)], 1),
        ([judged("inconclusive", 0.5, "no_speech"), judged("bonafide", 0.1)], 1),
        ([judged("inconclusive", 0.5, "too_short"), judged("inconclusive", 0.4, "damaged")], 1),
        ([judged("inconclusive", 0.5, "no_speech"), judged("inconclusive", 0.5, "no_speech")], 0),
    ],
)
def test_the_most_suspicious(results: list[Judged], chosen: int) -> None:
    assert most_suspicious(results) is results[chosen]
