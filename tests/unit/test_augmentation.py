"""What happens to sound on its way: every change does what it is called."""

import numpy as np
import pytest

from benchmarks.sounds import speech
from bonafide.training.augmentation import (
    RESAMPLERS,
    Sound,
    clipped,
    equalised,
    noise,
    reverberant,
    through,
    with_noise,
)

RATE = 16_000


@pytest.fixture(scope="module")
def sound() -> Sound:
    return speech(2.0)


def above(waveform: Sound, hz: float) -> float:
    """Return the share of energy above a frequency."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float(power[np.fft.rfftfreq(len(waveform), 1 / RATE) > hz].sum() / power.sum())


def correlation(one: Sound, other: Sound) -> float:
    return float(np.corrcoef(one, other)[0, 1])


class TestChanges:
    @pytest.mark.parametrize("down", RESAMPLERS)
    @pytest.mark.parametrize("up", [None, *RESAMPLERS])
    def test_a_narrow_band_ends_at_four_kilohertz(self, down: str, up: str | None) -> None:
        white = 0.1 * np.random.default_rng(0).normal(size=RATE)
        how = {"codec": "pcm_s16le", "container": "wav", "rate_hz": 8_000}
        made = through(white, **how, down=down, up=up)
        assert above(white, 4_500) > 0.4
        assert above(made, 4_500) < 1e-3
        assert above(made, 3_000) > 0.1
        if up is None:  # as it is served: nothing is left over half of the rate
            assert above(made * np.hanning(len(made)), 4_100) < 1e-8

    @pytest.mark.parametrize("name", RESAMPLERS)
    @pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
    def test_resamplers_keep_speech_and_its_place(
        self, sound: Sound, name: str, rate_hz: int
    ) -> None:
        there = RESAMPLERS[name](sound, RATE, rate_hz)
        assert len(there) == pytest.approx(len(sound) * rate_hz / RATE, abs=20)
        back = RESAMPLERS[name](there, rate_hz, RATE)[: len(sound)]
        assert correlation(sound[: len(back)], back) > 0.9

    @pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
    def test_noise_stands_where_it_should(self, sound: Sound, snr_db: float) -> None:
        added = (
            with_noise(sound, noise(len(sound), np.random.default_rng(0), slope=0.5), snr_db=snr_db)
            - sound
        )
        assert 10 * np.log10(np.mean(sound**2) / np.mean(added**2)) == pytest.approx(
            snr_db, abs=0.01
        )

    def test_noise_falls_with_its_slope(self) -> None:
        shares = [
            above(noise(RATE, np.random.default_rng(0), slope=s), 4_000) for s in (0, 0.25, 0.5)
        ]
        assert shares[0] == pytest.approx(0.5, abs=0.03)
        assert shares[0] > 1.3 * shares[1] > 1.3 * 1.3 * shares[2]

    def test_noise_on_silence_is_silence(self) -> None:
        silence = np.zeros(RATE)
        assert not with_noise(
            silence, noise(RATE, np.random.default_rng(0), slope=0), snr_db=0
        ).any()

    def test_clipping_cuts_the_share_it_says(self, sound: Sound) -> None:
        made = clipped(sound, share=0.05)
        assert np.mean(np.abs(made) == np.abs(made).max()) == pytest.approx(0.05, abs=0.005)
        kept = np.abs(sound) < np.abs(made).max()
        np.testing.assert_array_equal(made[kept], sound[kept])

    def test_a_room_rings_after_a_click(self) -> None:
        click = np.zeros(RATE)
        click[1_000] = 1.0
        made = reverberant(click, np.random.default_rng(0), decay_s=0.4, tail_db=-3.0)
        assert made[1_000] == pytest.approx(1.0)
        assert np.abs(made[:1_000]).max() < 1e-9
        assert np.sum(made[1_001:] ** 2) == pytest.approx(10**-0.3, rel=0.01)
        early, late = (np.mean(made[1_000 + n : 1_800 + n] ** 2) for n in (100, 3_300))
        assert 10 * np.log10(early / late) == pytest.approx(30, abs=3)  # half of 0.4 s

    @pytest.mark.parametrize(
        ("codec", "container", "rate_hz", "bit_rate"),
        [
            ("pcm_mulaw", "wav", 8_000, None),
            ("libopencore_amrnb", "amr", 8_000, 12_200),
            ("g722", "wav", 16_000, None),
            ("libmp3lame", "mp3", 16_000, 64_000),
            ("libopus", "ogg", 16_000, 32_000),
            ("aac", "adts", 16_000, 64_000),
            ("aac", "adts", 44_100, 32_000),
            ("libopus", "ogg", 48_000, 16_000),
            ("GSM610", "WAV", 8_000, None),
            ("VORBIS", "OGG", 48_000, None),
        ],
    )
    def test_a_codec_gives_speech_back(
        self, sound: Sound, codec: str, container: str, rate_hz: int, bit_rate: int | None
    ) -> None:
        made = through(sound, codec=codec, container=container, rate_hz=rate_hz, bit_rate=bit_rate)
        assert made.shape == sound.shape
        lags = [correlation(sound[: -lag or None], made[lag:]) for lag in range(0, 2_400, 4)]
        assert max(lags) > 0.8  # a codec may come late

    def test_an_equaliser_changes_the_balance_and_keeps_the_length(self, sound: Sound) -> None:
        made = [equalised(sound, np.random.default_rng(seed)) for seed in (0, 1, 0)]
        np.testing.assert_array_equal(made[0], made[2])
        spectra = [np.abs(np.fft.rfft(x)) ** 2 for x in (sound, made[0], made[1])]
        bands = [np.add.reduceat(s, range(0, len(s), len(s) // 8)) for s in spectra]
        for one in bands[1:]:
            assert np.ptp(10 * np.log10(one / bands[0])) > 3  # dB between bands
        assert made[0].shape == sound.shape
