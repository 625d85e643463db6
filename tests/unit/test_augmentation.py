"""What happens to sound on its way: every change does what it is called, and the seed decides."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.sounds import speech
from bonafide.training.augmentation import (
    CHANGES,
    Sound,
    clipped,
    degrade,
    draw_changes,
    narrow_band,
    noise,
    reverberant,
    through,
    with_noise,
)
from bonafide.training.config import AugmentationConfig, SharesConfig, parse_config

RATE = 16_000
SHARES = SharesConfig().model_dump()
ALONE = dict.fromkeys(CHANGES, 0.0)


@pytest.fixture(scope="module")
def sound() -> Sound:
    return speech(2.0)


def above(waveform: Sound, hz: float) -> float:
    """Return the share of energy above a frequency."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float(power[np.fft.rfftfreq(len(waveform), 1 / RATE) > hz].sum() / power.sum())


def correlation(one: Sound, other: Sound) -> float:
    return float(np.corrcoef(one, other)[0, 1])


class TestDegrade:
    @pytest.mark.parametrize("name", CHANGES)
    @pytest.mark.parametrize("seed", range(6))
    def test_every_group_gives_another_sound_of_the_same_length(
        self, sound: Sound, name: str, seed: int
    ) -> None:
        shares = {**ALONE, name: 1.0}
        made, again = (
            degrade(sound.astype(np.float32), np.random.default_rng(seed), shares, 0.0)
            for _ in range(2)
        )
        assert (made.shape, made.dtype) == (sound.shape, np.dtype(np.float32))
        np.testing.assert_array_equal(made, again)
        assert np.isfinite(made).all() and np.abs(made).max() <= 1.0
        np.testing.assert_allclose(np.round(made * 32767), made * 32767, atol=1e-2)
        assert np.abs(made - sound).max() > 1e-3
        assert made.std() > 0.2 * sound.std()

    def test_loud_sound_is_brought_under_full_scale_as_a_whole(self, sound: Sound) -> None:
        loud = (sound / np.abs(sound).max()).astype(np.float32)
        shares = {**ALONE, "noise": 1.0}
        made = degrade(loud, np.random.default_rng(6), shares, 0.0)
        assert np.abs(made).max() == 1.0
        assert np.count_nonzero(np.abs(made) == 1.0) <= 2  # not cut off

    def test_other_seeds_other_sounds(self, sound: Sound) -> None:
        made = [
            degrade(sound.astype(np.float32), np.random.default_rng(seed), SHARES, 0.35)
            for seed in range(8)
        ]
        assert len({waveform.tobytes() for waveform in made}) == 8


class TestDrawChanges:
    def drawn(self, shares: dict[str, float], second: float, n: int = 2000) -> list[list[str]]:
        rng = np.random.default_rng(0)
        return [draw_changes(rng, shares, second) for _ in range(n)]

    def test_alone_as_often_as_their_shares_say(self) -> None:
        counts = Counter(name for names in self.drawn(SHARES, 0.0) for name in names)
        for name, share in SHARES.items():
            expected = 2000 * share / sum(SHARES.values())
            assert abs(counts[name] - expected) < 5 * np.sqrt(expected)

    def test_a_second_one_comes_as_often_as_asked_and_in_order(self) -> None:
        drawn = self.drawn(SHARES, 0.35)
        assert {len(names) for names in drawn} == {1, 2}
        assert np.mean([len(names) == 2 for names in drawn]) == pytest.approx(0.35, abs=0.05)
        order = list(CHANGES)
        assert all(names == sorted(set(names), key=order.index) for names in drawn)

    def test_what_has_no_share_never_comes(self) -> None:
        drawn = self.drawn({**SHARES, "codec": 0.0}, 1.0)
        assert "codec" not in {name for names in drawn for name in names}
        assert self.drawn({**ALONE, "room": 0.1}, 1.0, 5) == [["room"]] * 5


class TestChanges:
    def test_a_narrow_band_ends_at_four_kilohertz(self) -> None:
        white = np.random.default_rng(0).normal(size=RATE)
        assert above(white, 4_500) > 0.4
        assert above(narrow_band(white), 4_500) < 1e-3
        assert above(narrow_band(white), 3_000) > 0.1

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
        ],
    )
    def test_a_codec_gives_speech_back(
        self, sound: Sound, codec: str, container: str, rate_hz: int, bit_rate: int | None
    ) -> None:
        made = through(sound, codec=codec, container=container, rate_hz=rate_hz, bit_rate=bit_rate)
        assert made.shape == sound.shape
        lags = [correlation(sound[: -lag or None], made[lag:]) for lag in range(0, 2_400, 4)]
        assert max(lags) > 0.8  # a codec may come late


def test_shares_that_leave_nothing_raise() -> None:
    with pytest.raises(Exception, match="all shares are 0"):
        parse_config({"augmentation": {"shares": ALONE}}, "x")
    assert set(SHARES) == set(CHANGES)
    assert list(AugmentationConfig().shares.model_dump()) == list(CHANGES)
