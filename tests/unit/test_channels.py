"""Channels: each does what it is called, keeps the length, and draws by its seed."""

import numpy as np
import pytest

from benchmarks.sounds import speech
from bonafide.audio import decode
from bonafide.channel import CLEAN
from bonafide.errors import ConfigError
from bonafide.training import channels
from bonafide.training.augmentation import RESAMPLERS, Sound, encoded, through
from bonafide.training.channels import CHANNELS, Channel, channel_of, cropped, filed, heard_through
from bonafide.training.config import AugmentationConfig, default_channels

RATE = 16_000
SEEDS = range(4)


@pytest.fixture(scope="module")
def sound() -> Sound:
    return speech(4.0)


def heard(sound: Sound, name: str, seed: int) -> Sound:
    return heard_through(sound.astype(np.float32), channel_of(name), np.random.default_rng(seed))


def above(waveform: Sound, hz: float) -> float:
    """Return the share of energy above a frequency."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float(power[np.fft.rfftfreq(len(waveform), 1 / RATE) > hz].sum() / power.sum())


def alike(one: Sound, other: Sound) -> float:
    """Return the highest correlation within 150 ms: a codec may come late."""
    lags = np.fft.irfft(np.fft.rfft(other) * np.conj(np.fft.rfft(one)), len(one))
    return float(lags[:2_400].max() / np.sqrt(np.sum(one**2) * np.sum(other**2)))


@pytest.mark.parametrize("name", CHANNELS.names())
class TestEvery:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_gives_another_sound_of_the_same_length(
        self, sound: Sound, name: str, seed: int
    ) -> None:
        made = heard(sound, name, seed)
        assert (made.shape, made.dtype) == (sound.shape, np.dtype(np.float32))
        assert np.isfinite(made).all() and np.abs(made).max() <= 1.0
        assert np.abs(made - sound).max() > 1e-3
        assert made.std() > 0.05 * sound.std()

    def test_the_seed_decides(self, sound: Sound, name: str) -> None:
        made = [heard(sound, name, seed).tobytes() for seed in (*SEEDS, 0)]
        assert made[0] == made[-1]
        assert len(set(made)) == len(SEEDS)

    def test_loud_sound_is_brought_under_full_scale(self, sound: Sound, name: str) -> None:
        made = heard(sound / np.abs(sound).max(), name, 1)
        assert 0.05 < np.abs(made).max() <= 1.0

    def test_silence_stays_silence(self, sound: Sound, name: str) -> None:
        assert np.abs(heard(0 * sound, name, 0)).max() < 0.01

    def test_has_a_label_that_reads_after_sound_of(self, sound: Sound, name: str) -> None:
        label = channel_of(name).label
        assert label and not label.endswith(".") and label != name


@pytest.mark.parametrize("name", [CLEAN, "noise"])
def test_what_went_through_no_codec_has_16_bits(sound: Sound, name: str) -> None:
    for seed in SEEDS:
        made = heard(sound, name, seed)
        np.testing.assert_allclose(np.round(made * 32767), made * 32767, atol=1e-2)


def test_a_file_is_heard_as_it_is_or_as_others_converted_it(sound: Sound) -> None:
    """Encoded files are decoded by the product; those that were converted have 16 bits."""
    how = {"codec": "pcm_mulaw", "container": "wav", "rate_hz": 8_000}
    made = [filed(sound, np.random.default_rng(seed), **how) for seed in range(40)]
    rounded = [np.abs(np.round(x * 32767) - x * 32767).max() < 1e-2 for x in made]
    assert 0.2 < np.mean(rounded) < 0.6
    assert len({x.tobytes() for x in made}) > 9  # three ways down, three ways up, or none
    as_served = [decode(encoded(down(sound, RATE, 8_000), **how)) for down in RESAMPLERS.values()]
    kept = {x.astype(np.float32).tobytes() for x in made}
    assert all(x.tobytes() in kept for x in as_served)


@pytest.fixture
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what may come before a codec."""
    monkeypatch.setattr(channels, "_before", lambda waveform, rng: waveform)


class TestKinds:
    @pytest.mark.parametrize("seed", range(12))
    def test_a_telephone_leaves_nothing_above_four_kilohertz(self, sound: Sound, seed: int) -> None:
        white = 0.1 * np.random.default_rng(0).normal(size=len(sound))
        made = channel_of("telephone").change(white, np.random.default_rng(seed))
        assert above(white, 4_300) > 0.4
        assert above(made, 4_300) < 5e-3

    @pytest.mark.parametrize("seed", SEEDS)
    def test_noise_is_heard(self, sound: Sound, seed: int) -> None:
        made = channel_of("noise").change(sound, np.random.default_rng(seed))
        rest = made - sound * (made @ sound) / (sound @ sound)
        assert np.mean(rest**2) > 5e-4 * np.mean(sound**2)

    @pytest.mark.usefixtures("as_it_is")
    @pytest.mark.parametrize("name", ["low_rate", "opus", "g722", "codec"])
    @pytest.mark.parametrize("seed", SEEDS)
    def test_codecs_give_speech_back(self, sound: Sound, name: str, seed: int) -> None:
        made = channel_of(name).change(sound, np.random.default_rng(seed))
        assert 0.75 < alike(sound, made) < 0.99999

    @pytest.mark.usefixtures("as_it_is")
    def test_low_rates_are_farther_off_than_high_ones(self, sound: Sound) -> None:
        kept = {
            name: np.mean(
                [
                    alike(sound, channel_of(name).change(sound, np.random.default_rng(seed)))
                    for seed in range(8)
                ]
            )
            for name in ("low_rate", "codec")
        }
        assert kept["low_rate"] < kept["codec"]

    def test_clean_sound_goes_through_no_codec(self, sound: Sound) -> None:
        """As it is, at another speed or at another level."""
        kinds = set()
        for seed in range(30):
            made = channel_of(CLEAN).change(sound, np.random.default_rng(seed))
            if np.abs(made - sound).max() < 1 / 32767:  # but for its 16 bits
                kinds.add("as it is")
            elif alike(sound, made) > 0.99:
                kinds.add("level")
            else:
                kinds.add("speed")
        assert kinds == {"as it is", "level", "speed"}

    def test_g722_is_the_same_every_time(self, sound: Sound) -> None:
        """It has one rate: what differs between copies is the crop and what comes before."""
        made = [through(sound, codec="g722", container="wav") for _ in range(2)]
        np.testing.assert_array_equal(made[0], made[1])


class TestCrop:
    def test_three_seconds_from_somewhere_fill_the_length(self) -> None:
        ramp = np.arange(4 * RATE, dtype=np.float64)
        firsts = set()
        for seed in range(8):
            made = cropped(ramp, np.random.default_rng(seed))
            assert len(made) == len(ramp)
            np.testing.assert_array_equal(np.diff(made[: 3 * RATE]), 1.0)
            np.testing.assert_array_equal(made[3 * RATE :], made[:RATE])
            firsts.add(made[0])
        assert len(firsts) == 8

    def test_shorter_sound_is_kept_whole(self) -> None:
        short = np.arange(100.0)
        np.testing.assert_array_equal(cropped(short, np.random.default_rng(0)), short)


class TestRegistry:
    def test_what_no_package_has_is_refused_with_what_there_is(self) -> None:
        with pytest.raises(ConfigError, match=r"'radio': must be one of clean, telephone, ") as e:
            channel_of("radio")
        assert e.value.code == "unknown_channel"

    def test_another_package_may_bring_one(self, sound: Sound) -> None:
        CHANNELS.register(Channel("upside_down", "a wrong plug", lambda x, rng: -x))
        try:
            config = AugmentationConfig(channels={"upside_down": 2})
            assert config.stretches == (CLEAN, "upside_down", "upside_down")
            crop = cropped(sound, np.random.default_rng(3))
            np.testing.assert_allclose(heard(sound, "upside_down", 3), -crop, atol=1e-4)
        finally:
            CHANNELS.unregister("upside_down")

    def test_the_default_hears_every_channel(self) -> None:
        assert set(default_channels()) == set(CHANNELS.names())
        assert CHANNELS.names()[0] == CLEAN
