"""The provenance desk: what is said of files that are made to hold it, and of those that do not."""

import io
import json
import re
import struct
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
import soxr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import damage
from benchmarks.sounds import Samples, encode, mux, speech
from bonafide.audio import AudioStream, Limits
from bonafide.cli.root import cli
from bonafide.errors import AudioError
from bonafide.provenance import MEANING, FindingCode, Origin, examine
from bonafide.provenance.floor import Floor
from bonafide.provenance.signed import STORE
from bonafide.provenance.silence import Silence
from serving.app.language import Words
from serving.app.origin import facts_in_words
from tests.helpers.signed import ISSUER, SIGNER, sign
from tests.unit.test_tracks import film, wav

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def voice() -> Samples:
    return speech(4.0)


def seen(origin: Origin) -> dict[str, str]:
    return {found.code: found.seen for found in origin.findings}


def codes(content: bytes) -> list[str]:
    return [found.code for found in examine(content).findings]


def noise(n_samples: int, level: float = 1e-3, seed: int = 0) -> Samples:
    drawn = np.random.default_rng(seed).standard_normal(n_samples)
    return (level * drawn).astype(np.float32)


TRACES = {"band_cut", "digital_silence", "splice", "noise_floor_change"}


class TestNothing:
    def test_is_found_in_100_plain_recordings(self) -> None:
        found = {
            seed: codes(encode(speech(1.5, seed), ("wav", "flac")[seed % 2])) for seed in range(100)
        }
        assert {seed: each for seed, each in found.items() if each} == {}

    def test_and_that_is_said_of_all_that_was_looked_for(self, voice: Samples) -> None:
        origin = examine(encode(voice, "flac"))
        assert [each.code for each in origin.not_found] == [
            *("c2pa_manifest", "generator_tag", "encoder_tag", "text_tag", "band_cut"),
            *("digital_silence", "splice", "noise_floor_change"),
        ]
        assert all(each.absence == MEANING[each.code][1] for each in origin.not_found)
        assert [each.code for each in origin.not_looked_for] == ["perth_watermark"]
        facts = origin.facts
        assert (facts.container, facts.codec, facts.rate_hz, facts.channels) == (
            *("flac", "flac"),
            *(RATE_HZ, 1),
        )
        assert (facts.duration_s, facts.tracks, facts.band_hz) == (4.0, 1, 8_000.0)
        assert facts.library.startswith("reference libFLAC") and not facts.damage

    @pytest.mark.parametrize(
        ("sound", "told"),
        [
            (noise(1), set()),
            (np.zeros(5 * RATE_HZ, np.float32), set()),
            (noise(RATE_HZ // 25, 0.1), set()),
            (noise(RATE_HZ, 0.1), {"band_cut", "digital_silence", "splice"}),
            (noise(2 * RATE_HZ, 0.1), set(TRACES)),
            (noise(2 * RATE_HZ, 1e-3), {"noise_floor_change"}),
        ],
    )
    def test_is_not_said_where_there_is_too_little_to_look_at(
        self, sound: Samples, told: set[str]
    ) -> None:
        origin = examine(encode(sound, "wav"))
        assert origin.findings == ()
        assert {each.code for each in origin.not_found} & TRACES == told

    def test_every_code_has_its_words(self) -> None:
        assert tuple(MEANING) == get_args(FindingCode)
        assert all(proves and absence for proves, absence in MEANING.values())


class TestC2pa:
    @pytest.mark.parametrize("name", ["wav", "flac", "mp3", "m4a"])
    def test_signed_changed_and_cut(self, voice: Samples, name: str) -> None:
        signed = sign(encode(voice, name), name)
        place = signed.find(STORE)
        origin = examine(signed)
        said = seen(origin)
        assert f'"{SIGNER}" of "{ISSUER}"' in said["c2pa_manifest"]
        assert 'program "Voice Maker 2"' in said["c2pa_manifest"]
        assert '"c2pa.created" with source "digitalCapture"' in said["c2pa_manifest"]
        assert said["c2pa_manifest"].endswith("the file is as it was signed.")
        assert {"c2pa_generated", "c2pa_mismatch", "c2pa_damaged"}.isdisjoint(said)
        assert "c2pa_manifest" not in [each.code for each in origin.not_found]

        changed = bytearray(signed)
        changed[signed.rfind(b"Lavf") if name == "m4a" else len(signed) - 5_000] ^= 1
        said = seen(examine(bytes(changed)))
        hashed = "bmffHash" if name == "m4a" else "dataHash"
        assert f"it does not hold: assertion.{hashed}.mismatch" in said["c2pa_manifest"]
        assert f"assertion.{hashed}.mismatch" in said["c2pa_mismatch"]

        zeroed = signed[: place + 300] + bytes(600) + signed[place + 900 :]
        assert "claim superbox not found" in seen(examine(zeroed))["c2pa_damaged"]

    def test_cut_in_the_middle_of_the_manifest(self, voice: Samples) -> None:
        signed = sign(encode(voice, "wav"), "wav")
        place = signed.find(STORE)
        said = seen(examine(signed[: place + 1_500]))
        assert f"begin at byte {place}, and it cannot be read" in said["c2pa_damaged"]
        assert "c2pa_manifest" not in said

    def test_cut_anywhere_in_the_head_of_the_manifest(self, voice: Samples) -> None:
        signed = sign(encode(voice, "wav"), "wav")
        place = signed.find(STORE)
        chunk_at = signed.find(b"C2PA")
        for end in range(chunk_at + 4, place + len(STORE) + 1):
            origin = examine(signed[:end])
            assert list(seen(origin)) == ["c2pa_damaged"], end - place
            assert "c2pa_manifest" not in [each.code for each in origin.not_found]
        for plain in (signed[:chunk_at], signed[:chunk_at] + b"C2PAplain text of some kind"):
            assert "c2pa_damaged" not in seen(examine(plain))

    def test_what_states_that_it_was_generated(self, voice: Samples) -> None:
        signed = sign(encode(voice, "wav"), "wav", source="trainedAlgorithmicMedia")
        assert list(seen(examine(signed))) == ["c2pa_manifest", "c2pa_generated"]

    def test_one_that_lies_elsewhere_is_not_fetched(self, voice: Samples) -> None:
        asked = []

        class Elsewhere(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_error(404)

        with HTTPServer(("127.0.0.1", 0), Elsewhere) as other:
            thread = threading.Thread(target=other.serve_forever)
            thread.start()
            url = f"http://127.0.0.1:{other.server_port}/a.c2pa"
            said = seen(examine(sign(encode(voice, "wav"), "wav", url=url)))
            other.shutdown()
            thread.join()
        assert said == {"c2pa_elsewhere": f'It names "{url}", which was not fetched.'}
        assert asked == []

    def test_in_a_format_that_the_library_does_not_read(self, voice: Samples) -> None:
        said = seen(examine(encode(voice, "webm") + STORE + bytes(100)))
        assert "reads none in this format" in said["c2pa_unread"]

    def test_without_the_library(self, voice: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
        plain, signed = encode(voice, "wav"), sign(encode(voice, "wav"), "wav")
        monkeypatch.setitem(sys.modules, "c2pa", None)
        without = examine(plain)
        assert without.findings == ()
        missing = without.not_looked_for[0]
        assert (missing.code, missing.why) == (
            "c2pa",
            "the package c2pa-python is missing: pip install 'bonafide[provenance]'",
        )
        assert "c2pa_manifest" not in [each.code for each in without.not_found]
        assert f"begin at byte {signed.find(STORE)}" in seen(examine(signed))["c2pa_unread"]


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def with_chunks(voice: Samples, *chunks: bytes) -> bytes:
    """Return a WAV file with chunks behind its sound."""
    content = encode(voice, "wav")[8:] + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def with_id3(content: bytes, name: str, value: str) -> bytes:
    """Return a file with a text of the user's before it, as ID3 2.4 has it."""
    frame = b"\3" + name.encode() + b"\0" + value.encode()
    body = b"TXXX" + bytes([len(frame) >> n & 127 for n in (21, 14, 7, 0)]) + b"\0\0" + frame
    return b"ID3\4\0\0" + bytes([len(body) >> n & 127 for n in (21, 14, 7, 0)]) + body + content


TRAINED, COMPOSITE = ["trainedAlgorithmicMedia"], ["compositeWithTrainedAlgorithmicMedia"]


class TestTags:
    @pytest.mark.parametrize(
        ("make", "code", "said"),
        [
            (lambda v: encode(v, "mp3"), "encoder_tag", '"LAME3.100" (the MP3 encoder LAME)'),
            (lambda v: encode(v, "m4a"), "encoder_tag", 'encoder "Lavf'),
            (lambda v: encode(v, "webm"), "encoder_tag", "(FFmpeg)"),
            (lambda v: encode(v, "ogg"), "encoder_tag", 'vendor "Xiph.Org libVorbis'),
            (
                lambda v: mux("ogg", "libopus", v[:, None], RATE_HZ, title="An interview"),
                "text_tag",
                'title "An interview"',
            ),
            (
                lambda v: with_chunks(v, chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"Editor 7\0"))),
                "encoder_tag",
                'encoder "Editor 7"',
            ),
            (
                lambda v: with_chunks(v, chunk(b"bext", b"A call".ljust(256, b"\0") + bytes(346))),
                "text_tag",
                '"A call"',
            ),
            (
                lambda v: with_id3(encode(v, "mp3"), "AIGC", '{"Label": "1"}'),
                "generator_tag",
                "GB 45438-2025",
            ),
            (
                lambda v: with_id3(encode(v, "mp3"), "comment", "made with suno; id=1"),
                "generator_tag",
                "made with suno",
            ),
            (
                lambda v: with_chunks(
                    v,
                    chunk(
                        b"_PMX",
                        b"<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/"
                        b"digitalsourcetype/trainedAlgorithmicMedia<",
                    ),
                ),
                "generator_tag",
                'the source "trainedAlgorithmicMedia"',
            ),
        ],
    )
    def test_are_quoted(
        self, voice: Samples, make: Callable[[Samples], bytes], code: str, said: str
    ) -> None:
        found = seen(examine(make(voice)))
        assert said in found[code]
        assert ("generator_tag" in found) == (code == "generator_tag")

    def test_are_one_line_of_a_length_that_one_reads(self, voice: Samples) -> None:
        value = "\x1b[2J\n" + "x" * 5_000
        said = seen(examine(with_id3(encode(voice, "mp3"), "note", value)))["text_tag"]
        assert said.isprintable() and r"\x1b[2J\n" in said and len(said) < 200

    @pytest.mark.parametrize(
        ("said", "kinds"),
        [
            (["<{}>CV/digitalCapture</{}>", "<{}>CV/trainedAlgorithmicMedia</{}>"], TRAINED),
            (
                [
                    "<{}>CV/digitalCapture</{}>" + " " * 70_000,
                    "<a {}='CV/trainedAlgorithmicMedia'>",
                ],
                TRAINED,
            ),
            (['<a b="c" {}="CV/compositeWithTrainedAlgorithmicMedia"/>'], COMPOSITE),
            (['<{} rdf:resource="CV/trainedAlgorithmicMedia"/>'], TRAINED),
            (["<{}><rdf:Bag><rdf:li>CV/trainedAlgorithmicMedia</rdf:li></rdf:Bag></{}>"], TRAINED),
            (["<{}>CV/trainedAlgorithmicMedia</{}>"] * 3, TRAINED),
            (["<{}>CV/digitalCapture</{}>", "<a>not trainedAlgorithmicMedia</a>"], []),
            (["<{}>not trainedAlgorithmicMedia</{}>"], []),
            (['<a {}="CV/digitalCapture" b="CV/trainedAlgorithmicMedia"/>'], []),
            (['<a>{}="CV/trainedAlgorithmicMedia"</a>'], []),
            (["<a>{} is not CV/trainedAlgorithmicMedia</a>"], []),
            (['<{} rdf:resource="CV/digitalCapture"/><a>CV/trainedAlgorithmicMedia</a>'], []),
        ],
    )
    def test_sources_in_xmp_are_those_that_are_stated(
        self, voice: Samples, said: list[str], kinds: list[str]
    ) -> None:
        key, address = "Iptc4xmpExt:DigitalSourceType", "http://cv.iptc.org/digitalsourcetype"
        text = "".join(said).replace("{}", key).replace("CV", address)
        found = seen(examine(with_chunks(voice, chunk(b"_PMX", text.encode()))))
        told = re.findall(r'states the source "(\w+)"', found.get("generator_tag", ""))
        assert told == kinds

    def test_many_sources_in_xmp_take_linear_time(self, voice: Samples) -> None:
        many = b"<Iptc4xmpExt:DigitalSourceType " * 100_000
        start = time.thread_time()
        assert codes(with_chunks(voice, chunk(b"_PMX", many))) == []
        assert time.thread_time() - start < 3

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("title", 'x", and a C2PA manifest was found: "ok'),
            ("title", 'x\\", and a C2PA manifest was found: "ok\\'),
            ('title "x", and a C2PA manifest was found: ok', "y"),
            ("a C2PA manifest was found, and title", "y"),
        ],
    )
    def test_cannot_imitate_words_of_ours(self, voice: Samples, key: str, value: str) -> None:
        said = seen(examine(with_id3(encode(voice, "mp3"), key, value)))["text_tag"]
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", said)
        assert outside.strip() in ("It carries text: title .", "It carries text:  .")
        assert said.lower().count("c2pa manifest") == 1

    def test_nor_can_the_name_of_a_library(self, voice: Samples, tmp_path: Path) -> None:
        content = encode(voice, "flac")
        library = content[content.index(b"reference libFLAC") :][:20]
        (tmp_path / "a.flac").write_bytes(content.replace(library, b"x, 9 channels, is 8!"))
        said = CliRunner().invoke(cli, ["provenance", str(tmp_path)]).stdout.splitlines()[0]
        assert ", encoder's tag \"x, 9 channels, is 8!" in said and said.endswith('"')


def recompressed(first: bytes, cut: int, rate_hz: int) -> bytes:
    """Return an MP3 of what an MP3 decodes to, without its first samples, at a higher bit rate."""
    decoded = np.concatenate([block for _, block in AudioStream(first).at_own_rate()])
    return mux("mp3", "libmp3lame", decoded[cut:, None], rate_hz)


class TestRecompression:
    @pytest.mark.parametrize(("rate_hz", "compression"), [(RATE_HZ, 0.75), (44_100, 0.9)])
    def test_once_and_twice(self, voice: Samples, rate_hz: int, compression: float) -> None:
        sound = soxr.resample(voice, RATE_HZ, rate_hz) + noise(4 * rate_hz)
        file = io.BytesIO()
        level = {"bitrate_mode": "CONSTANT", "compression_level": compression}
        soundfile.write(file, sound, rate_hz, format="MP3", subtype="MPEG_LAYER_III", **level)
        once = examine(file.getvalue())
        assert "mp3_recompressed" in [each.code for each in once.not_found]
        said = seen(examine(recompressed(file.getvalue(), 200, rate_hz)))
        assert f"begin {576 - 200} samples behind" in said["mp3_recompressed"]

    def test_too_short_to_tell(self, voice: Samples) -> None:
        origin = examine(encode(voice[:RATE_HZ], "mp3"))
        assert "mp3_recompressed" not in {
            each.code for each in (*origin.findings, *origin.not_found)
        }


class TestBand:
    @pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100, 48_000])
    def test_of_8_khz_sound(self, voice: Samples, rate_hz: int) -> None:
        narrow = soxr.resample(voice, RATE_HZ, 8_000)
        origin = examine(encode(soxr.resample(narrow, 8_000, rate_hz), "wav", rate_hz))
        assert "once of 8000 Hz ends there" in seen(origin)["band_cut"]
        assert origin.facts.band_hz == pytest.approx(4_000, abs=200)

    @pytest.mark.parametrize("rate_hz", [44_100, 48_000])
    def test_of_16_khz_sound(self, voice: Samples, rate_hz: int) -> None:
        said = seen(examine(encode(soxr.resample(voice, RATE_HZ, rate_hz), "flac", rate_hz)))
        assert list(said) == ["band_cut"] and "once of 16000 Hz" in said["band_cut"]

    def test_in_an_mp3_but_not_in_opus_which_chooses_its_band(self, voice: Samples) -> None:
        narrow = soxr.resample(soxr.resample(voice, RATE_HZ, 8_000), 8_000, 48_000)[:, None]
        assert "band_cut" in codes(mux("mp3", "libmp3lame", narrow, 48_000))
        opus = examine(mux("ogg", "libopus", narrow, 48_000))
        assert "band_cut" not in seen(opus) and opus.facts.band_hz == pytest.approx(4_000, abs=200)

    @pytest.mark.parametrize("name", ["wav", "mp3", "m4a"])
    def test_that_reaches_as_far_as_the_codec_lets_it(self, voice: Samples, name: str) -> None:
        wide = soxr.resample(voice, RATE_HZ, 44_100) + noise(4 * 44_100, 3e-3)
        origin = examine(encode(wide, name, 44_100))
        assert "band_cut" not in seen(origin)
        assert origin.facts.band_hz is not None and origin.facts.band_hz > 15_000

    def test_of_a_tone_or_of_next_to_nothing(self) -> None:
        tone = 0.3 * np.sin(2 * np.pi * 3_900 * np.arange(48_000) / 48_000)
        assert codes(encode(tone.astype(np.float32), "wav", 48_000)) == []
        assert examine(encode(noise(RATE_HZ, 1e-4), "wav")).facts.band_hz is None


def fading(n_samples: int) -> Samples:
    """Return a gate that closes after 1.5 s and opens half a second later, each within 50 ms."""
    times = np.arange(n_samples) / RATE_HZ
    closed = np.interp(times, [0, 1.45, 1.5, 2.0, 2.05, 9], [1, 1, 0, 0, 1, 1])
    return closed.astype(np.float32)


class TestSilence:
    def test_that_was_cut_in(self, voice: Samples) -> None:
        cut = voice + noise(len(voice))
        cut[24_000:32_000] = 0
        said = seen(examine(encode(cut, "flac")))
        assert list(said) == ["digital_silence", "splice"]
        assert "0:01.50-0:02.00; 0.50 s in all" in said["digital_silence"]
        assert said["splice"].endswith("3 ms: 0:01.50-0:02.00.")

    def test_of_a_gate_is_no_splice(self, voice: Samples) -> None:
        assert codes(encode((voice + noise(len(voice))) * fading(len(voice)), "wav")) == [
            "digital_silence"
        ]

    def test_at_the_ends_in_coarse_steps_and_in_lossy_codecs_is_no_finding(
        self, voice: Samples
    ) -> None:
        zeros = np.zeros(8_000, np.float32)
        assert codes(encode(np.concatenate([zeros, voice, zeros]), "wav")) == []
        assert codes(encode(np.round(voice * 128) / 128, "wav")) == []
        cut = voice.copy()
        cut[24_000:32_000] = 0
        origin = examine(encode(cut, "mp3"))
        assert "splice" not in seen(origin)
        assert "splice" not in [each.code for each in origin.not_found]

    def test_in_many_places_is_counted(self) -> None:
        sound = noise(20 * RATE_HZ, 0.1)
        for second in range(1, 19):
            sound[second * RATE_HZ :][:1_600] = 0
        said = seen(examine(encode(sound, "wav")))
        assert "0:05.00-0:05.10 and 13 more; 1.80 s in all" in said["digital_silence"]

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.integers(1, 12_000), max_size=12), st.integers(8_000, 20_000))
    def test_however_it_is_cut_into_blocks(self, sizes: list[int], start: int) -> None:
        sound = noise(40_000, 0.1)
        sound[start : start + 3_000] = 0
        whole, pieces = Silence(), Silence()
        whole.hear(RATE_HZ, sound)
        for block in np.split(sound, np.minimum(np.cumsum(sizes), len(sound))):
            pieces.hear(RATE_HZ, block)
        assert pieces.findings("wav") == whole.findings("wav") != []


class TestNoiseFloor:
    @pytest.mark.parametrize(("step_db", "told"), [(20, "+20 dB"), (-20, "-20 dB"), (6, "")])
    def test_of_joined_recordings(self, voice: Samples, step_db: int, told: str) -> None:
        louder = 1e-3 if step_db > 0 else 1e-2
        levels = (louder, louder * 10 ** (step_db / 20))
        parts = [np.concatenate([0.3 * voice, np.zeros(16_000, np.float32)]), 0.3 * voice]
        parts[1] = np.concatenate([np.zeros(16_000, np.float32), parts[1]])
        joined = [part + noise(len(part), level) for part, level in zip(parts, levels, strict=True)]
        said = seen(examine(encode(np.concatenate(joined), "wav")))
        assert list(said) == (["noise_floor_change"] if told else [])
        if told:
            assert f"0:04.99 by {told}" in said["noise_floor_change"]

    def test_of_a_tone_that_sets_in(self) -> None:
        tone = 0.1 * np.sin(2 * np.pi * 1_000 * np.arange(32_000) / RATE_HZ)
        sound = noise(96_000)
        sound[32_000:64_000] += tone.astype(np.float32)
        assert codes(encode(sound, "wav")) == []

    def test_however_it_is_cut_into_blocks(self) -> None:
        sound = np.concatenate([noise(40_000, 1e-3), noise(40_000, 2e-2)])
        whole, pieces = Floor(), Floor()
        whole.hear(RATE_HZ, sound)
        for block in np.split(sound, [7, 5_000, 39_000, 39_100, 60_000]):
            pieces.hear(RATE_HZ, block)
        assert pieces.findings() == whole.findings() != []


def stand_in(answer: Callable[..., Any] | None) -> ModuleType:
    """Return a module like Perth's, whose decoder answers so; one without a decoder for None."""
    module = ModuleType("perth")
    module.__spec__ = ModuleSpec("perth", None)
    if answer is not None:
        decoder = type("Decoder", (), {"get_watermark": lambda _, *given: answer(*given)})
        module.PerthImplicitWatermarker = decoder  # type: ignore[attr-defined]
    return module


class TestPerth:
    """The package needs torch: what it answers on marked and plain sound was tried by hand."""

    @pytest.mark.parametrize(("mark", "found"), [(1.0, ["perth_watermark"]), (0.0, [])])
    def test_where_the_package_is(
        self, mark: float, found: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard = []

        def answer(waveform: Samples, rate_hz: int) -> Any:
            heard.append((len(waveform), rate_hz))
            return np.float32(mark)

        monkeypatch.setitem(sys.modules, "perth", stand_in(answer))
        origin = examine(encode(noise(40 * RATE_HZ, 0.1), "wav"))
        assert [each.code for each in origin.findings] == found
        assert ("perth_watermark" in [each.code for each in origin.not_found]) == (not found)
        assert origin.not_looked_for == ()
        assert heard == [(10 * RATE_HZ, RATE_HZ)] * 3  # and no more of a long recording

    @pytest.mark.parametrize(("module", "why"), [(None, "missing"), (stand_in(None), "not whole")])
    def test_where_it_is_not(
        self,
        voice: Samples,
        module: ModuleType | None,
        why: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(sys.modules, "perth", module)
        missing = examine(encode(voice, "wav")).not_looked_for
        assert [each.code for each in missing] == ["perth_watermark"] and why in missing[0].why


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (b"", "empty"),
            (b"no audio" * 100, "not_audio"),
            (encode(np.zeros(0, np.float32), "wav"), "empty"),
            (mux("mp4", "aac", None, RATE_HZ, video=True), "no_sound"),
            (encode(np.zeros(3 * RATE_HZ, np.float32), "wav"), "too_long"),
        ],
    )
    def test_that_are_refused(self, content: bytes, code: str) -> None:
        with pytest.raises(AudioError, match="the upload: ") as raised:
            examine(AudioStream(content, Limits(max_duration_s=2)))
        assert raised.value.code == code

    def test_that_are_damaged_raise_nothing_else(self, voice: Samples) -> None:
        names = ("wav", "flac", "mp3", "ogg", "m4a", "webm")
        files = [encode(voice[:RATE_HZ], name) for name in names]
        files += [sign(content, name) for content, name in zip(files[:3], names[:3], strict=True)]
        examined = 0
        for number in range(150):
            try:
                examine(damage(np.random.default_rng((7, number)), files))
                examined += 1
            except AudioError:
                continue
        assert examined > 50

    def test_give_the_same_answer_again(self, voice: Samples) -> None:
        content = sign(encode(voice, "mp3"), "mp3")
        assert examine(content) == examine(content)

    def test_of_any_length_take_the_same_memory(self, tmp_path: Path) -> None:
        peaks = []
        for minutes in (1, 5):
            path = tmp_path / f"{minutes}.wav"
            path.write_bytes(encode(noise(minutes * 60 * 8_000, 0.1), "wav", 8_000))
            tracemalloc.start()
            examine(path)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < peaks[0] + 500_000


MEAN = "the mean of 2 channels, which differ, was looked at, and where it cancels the loudest"


class TestWhatWasNotLookedAt:
    @pytest.mark.parametrize(
        ("content", "omitted"),
        [
            (film(speech(2.0), speech(2.0, 1)), "tracks not looked at: 1 of 2"),
            (wav(speech(4.0), np.zeros(4 * RATE_HZ, np.float32)), MEAN),
            (wav(speech(4.0), speech(4.0)), ""),
            (film(speech(2.0)), ""),
        ],
    )
    def test_is_told_in_words_as_json_and_on_the_page(
        self, content: bytes, omitted: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.mka"
        path.write_bytes(content)
        in_words, as_json = (
            CliRunner().invoke(cli, ["provenance", str(path), *more]).stdout
            for more in ([], ["--json"])
        )
        (answer,) = json.loads(as_json)
        assert answer["facts"]["omitted"] == omitted
        assert in_words.splitlines()[0].endswith(omitted or "kHz")
        assert facts_in_words(Words("en"), answer["facts"]).endswith(omitted or "kHz.")

    def test_of_a_channel_that_was_asked_for_nothing_is_said(self, voice: Samples) -> None:
        content = wav(voice, np.zeros(len(voice), np.float32))
        assert examine(AudioStream(content, channel=0)).facts.omitted == ""


class TestCommand:
    def test_in_words(self, voice: Samples, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_bytes(sign(encode(voice, "wav"), "wav"))
        (tmp_path / "b.txt").write_text("no audio")
        words = [str(tmp_path / name) for name in ("a.wav", "b.txt")]
        result = CliRunner().invoke(cli, ["provenance", *words], standalone_mode=False)
        assert result.return_value == 1, result.output
        lines = result.stdout.splitlines()
        assert lines[0].endswith("a.wav: wav at 16000 Hz, 1 channel, 4.00 s, sound up to 8.0 kHz")
        assert lines[1].startswith("  c2pa_manifest: Signed with a certificate of ")
        assert lines[2].startswith("    It proves: ") and lines[3].startswith("    Without it: ")
        assert "  no encoder_tag. Many recorders" in result.stdout
        assert "  perth_watermark was not looked for: " in result.stdout
        assert lines[-1].endswith("[not_audio]")

    def test_as_json(self, voice: Samples, tmp_path: Path) -> None:
        (tmp_path / "a.flac").write_bytes(encode(voice, "flac"))
        result = CliRunner().invoke(cli, ["provenance", str(tmp_path), "--json"])
        assert result.exit_code == 0, result.output
        (answer,) = json.loads(result.stdout)
        assert answer["path"] == str(tmp_path / "a.flac") and answer["findings"] == []
        assert set(answer) == {"path", "findings", "not_found", "not_looked_for", "facts"}
