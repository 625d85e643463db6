"""FeatureSpec: every number of the front end, in one frozen place."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bonafide.errors import ConfigError

SAMPLE_RATE_HZ = 16_000
BASE_MODELS = ("cnn", "rnn", "bilstm", "gru", "xgboost")
META_MODELS = ("logistic", "xgboost")

Kind = Literal["mfcc", "lfcc", "logmel"]


def _numbers(spec: object, integers: tuple[str, ...], reals: tuple[str, ...]) -> None:
    """Refuse what is not a whole or a finite number; store the latter as float."""
    for name in integers:
        value = getattr(spec, name)
        _check(
            isinstance(value, int) and not isinstance(value, bool), name, value, "a whole number"
        )
    for name in reals:
        value = getattr(spec, name)
        finite = isinstance(value, (int, float)) and math.isfinite(value)
        _check(finite, name, value, "a finite number")
        object.__setattr__(spec, name, float(value))  # 4 and 4.0 are one spec with one hash


def _check(ok: bool, name: str, seen: object, allowed: str) -> None:
    if not ok:
        raise ConfigError("bad_feature_spec", f"{name}={seen!r}: allowed is {allowed}")


@dataclass(frozen=True)
class ViewSpec:
    """One kind of features of the common power spectrum.

    Parameters
    ----------
    kind : {"mfcc", "lfcc", "logmel"}
        Mel cepstra, linear-frequency cepstra, or log mel bands.
    n_filters : int
        Triangular filters between the band limits.
    n_coefficients : int
        Cepstral coefficients kept; 0 for ``logmel``, which keeps the bands.
    low_hz, high_hz : float
        Band limits, 0 to 8000 Hz.
    deltas : bool
        Append first and second time derivatives.
    """

    kind: Kind
    n_filters: int = 40
    n_coefficients: int = 20
    low_hz: float = 0.0
    high_hz: float = SAMPLE_RATE_HZ / 2
    deltas: bool = True

    def __post_init__(self) -> None:
        """Refuse values that make no features, naming what is allowed."""
        _numbers(self, ("n_filters", "n_coefficients"), ("low_hz", "high_hz"))
        _check(self.kind in ("mfcc", "lfcc", "logmel"), "kind", self.kind, "mfcc, lfcc or logmel")
        _check(4 <= self.n_filters <= 128, "n_filters", self.n_filters, "4 to 128")
        if self.kind == "logmel":
            _check(self.n_coefficients == 0, "n_coefficients", self.n_coefficients, "0 for logmel")
        else:
            upper = self.n_filters
            _check(
                1 <= self.n_coefficients <= upper,
                "n_coefficients",
                self.n_coefficients,
                f"1 to n_filters={upper}",
            )
        _check(
            0.0 <= self.low_hz < self.high_hz <= SAMPLE_RATE_HZ / 2,
            "band",
            (self.low_hz, self.high_hz),
            f"0 <= low_hz < high_hz <= {SAMPLE_RATE_HZ // 2}",
        )

    @property
    def n_static(self) -> int:
        """Features of one frame before derivatives."""
        return self.n_coefficients or self.n_filters

    @property
    def n_features(self) -> int:
        """Features of one frame."""
        return self.n_static * (3 if self.deltas else 1)


def default_views() -> dict[str, ViewSpec]:
    """Give the views that the base models may name."""
    return {
        "mfcc": ViewSpec("mfcc"),
        "lfcc": ViewSpec("lfcc"),
        "lfcc_high": ViewSpec("lfcc", low_hz=3_000.0),
        "logmel": ViewSpec("logmel", n_filters=64, n_coefficients=0, deltas=False),
    }


@dataclass(frozen=True)
class FeatureSpec:
    """The front end's numbers: the one source of truth of training and serving.

    A window of ``window_samples`` is brought to unit RMS (so that level cannot be learned),
    framed with a periodic Hann window, and its power spectrum feeds every view. Decibels are
    ``10 log10(max(power, power_floor))``: an absolute floor after the level is fixed, where
    librosa's default floor moves with the loudest frame of the clip.

    Parameters
    ----------
    window_s : float
        Length of the networks' input in seconds.
    n_fft, hop_samples : int
        Frame length and step in samples; frames are centred, padded with zeros.
    power_floor : float
        Smallest power that is told apart from silence, at unit RMS (dimensionless).
    rms_floor : float
        Windows quieter than this RMS (full scale 1) are not amplified further.
    delta_frames : int
        Width of the Savitzky-Golay filter of the derivatives, odd, in frames.
    views : dict of str to ViewSpec
        The named views.
    """

    window_s: float = 4.0
    n_fft: int = 512
    hop_samples: int = 320
    power_floor: float = 1e-6
    rms_floor: float = 1e-4
    delta_frames: int = 9
    views: dict[str, ViewSpec] = field(default_factory=default_views)

    def __post_init__(self) -> None:
        """Refuse values that make no front end, naming what is allowed."""
        _numbers(
            self,
            ("n_fft", "hop_samples", "delta_frames"),
            ("window_s", "power_floor", "rms_floor"),
        )
        _check(0.5 <= self.window_s <= 30.0, "window_s", self.window_s, "0.5 to 30 seconds")
        _check(self.n_fft in (256, 512, 1024, 2048), "n_fft", self.n_fft, "256, 512, 1024 or 2048")
        _check(
            1 <= self.hop_samples <= self.n_fft,
            "hop_samples",
            self.hop_samples,
            f"1 to n_fft={self.n_fft}",
        )
        _check(self.power_floor > 0.0, "power_floor", self.power_floor, "above 0")
        _check(self.rms_floor > 0.0, "rms_floor", self.rms_floor, "above 0")
        _check(
            self.delta_frames % 2 == 1 and 3 <= self.delta_frames <= self.n_frames,
            "delta_frames",
            self.delta_frames,
            f"odd, 3 to n_frames={self.n_frames}",
        )
        _check(bool(self.views), "views", self.views, "at least one view")

    @property
    def window_samples(self) -> int:
        """Samples of one window at 16 kHz."""
        return round(self.window_s * SAMPLE_RATE_HZ)

    @property
    def n_frames(self) -> int:
        """Frames of one window."""
        return 1 + self.window_samples // self.hop_samples

    def to_json(self) -> dict[str, Any]:
        """Give the spec as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "FeatureSpec":
        """Read what `to_json` gave.

        Raises
        ------
        ConfigError
            ``bad_feature_spec`` if a name is unknown or a value not allowed.
        """
        try:
            views = {name: ViewSpec(**view) for name, view in values["views"].items()}
            return cls(**{**values, "views": views})
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigError("bad_feature_spec", f"feature spec: {error}") from error

    @property
    def sha256(self) -> str:
        """Hash of every number, as it stands in bundles and stores."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
