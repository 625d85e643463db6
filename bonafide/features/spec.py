"""FeatureSpec: every parameter of the front end, in one frozen place.

Dataclasses, not pydantic models: those add 0.15 s to the 0.6 s of a cold ``bonafide score``, which
runs without pydantic.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from bonafide.errors import ConfigError
from bonafide.features.encoder import EncoderSpec
from bonafide.features.kinds import KINDS, Bands, ViewKind

SAMPLE_RATE_HZ = 16_000
STATISTICS = "statistics"  # names of the vectors of a window, beside those of the views
NARROW = "narrow"
ENCODER = "encoder"
VECTORS = (STATISTICS, NARROW, ENCODER)
# What the time statistics of a feature say, one after another; see `bonafide.features.statistics`.
BY_FEATURE = (
    "mean", "deviation", "change", "smoothness", "smoothness", "spikiness", "spikiness",
)  # fmt: skip
N_CLASSES = 4  # of frames: loud or quiet, and dull or bright

N_FFT = (64, 128, 256, 512, 1024, 2048)


def _numbers(spec: object, integers: tuple[str, ...], reals: tuple[str, ...]) -> None:
    """Require whole numbers and finite ones; store the latter as float."""
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
        raise ConfigError("bad_feature_spec", f"{name}={seen!r}: must be {allowed}")


@dataclass(frozen=True)
class ViewSpec:
    """One kind of features, at a resolution of its own.

    Parameters
    ----------
    kind : str
        ``mfcc`` and ``lfcc``: cepstra of triangular filters, on the mel scale and at equal steps
        of frequency. ``logmel`` and ``logband``: the log powers of these filters. In decibels.
        Other packages may add more; see `bonafide.features.kinds`.
    n_filters : int
        Filters between the limits.
    n_coefficients : int
        Cepstral coefficients kept; 0 for the other kinds, which keep every filter.
    low_hz, high_hz : float
        Band limits, 0 to 8000 Hz.
    deltas : bool
        Append first and second time derivatives.
    n_fft, hop_samples : int
        Frame length and step in samples; frames are centred, padded with zeros.
    by_class : bool
        Take some of its time statistics by class of frames as well; see
        `bonafide.features.statistics`.

    Raises
    ------
    ConfigError
        ``bad_feature_spec`` if a value is invalid.

    Examples
    --------
    >>> ViewSpec("mfcc", deltas=True).n_features
    60
    >>> ViewSpec("logmel", n_filters=64, n_coefficients=0).n_features
    64
    >>> ViewSpec("mfcc", n_fft=500)
    Traceback (most recent call last):
    bonafide.errors.ConfigError: n_fft=500: must be one of 64, 128, 256, 512, 1024, 2048
    """

    kind: str
    n_filters: int = 40
    n_coefficients: int = 20
    low_hz: float = 0.0
    high_hz: float = SAMPLE_RATE_HZ / 2
    deltas: bool = False
    n_fft: int = 512
    hop_samples: int = 320
    by_class: bool = False

    def __post_init__(self) -> None:
        """Reject invalid values; the message says what each must be."""
        _numbers(
            self,
            ("n_filters", "n_coefficients", "n_fft", "hop_samples"),
            ("low_hz", "high_hz"),
        )
        kind = self.view_kind
        _check(4 <= self.n_filters <= 128, "n_filters", self.n_filters, "4 to 128")
        kept, (allowed, words) = self.n_coefficients, kind.allowed_coefficients(self.n_filters)
        _check(kept in allowed, "n_coefficients", kept, words)
        _check(
            0.0 <= self.low_hz < self.high_hz <= SAMPLE_RATE_HZ / 2,
            "band",
            (self.low_hz, self.high_hz),
            f"0 <= low_hz < high_hz <= {SAMPLE_RATE_HZ // 2}",
        )
        allowed_n_fft = f"one of {', '.join(map(str, N_FFT))}"
        _check(self.n_fft in N_FFT, "n_fft", self.n_fft, allowed_n_fft)
        hop = self.hop_samples
        _check(1 <= hop <= self.n_fft, "hop_samples", hop, f"1 to n_fft={self.n_fft}")
        by_class, few = self.by_class, self.n_features < 2  # two features decide the class
        words = "false for a single feature" if few else "true or false"
        _check(isinstance(by_class, bool) and not (by_class and few), "by_class", by_class, words)

    @property
    def view_kind(self) -> ViewKind:
        """How features are computed from power spectra.

        Raises
        ------
        ConfigError
            ``bad_feature_spec`` if no installed package has the kind.
        """
        kind = KINDS.find(self.kind) if isinstance(self.kind, str) else None
        if kind is None:
            known = ", ".join(KINDS.names())
            raise ConfigError("bad_feature_spec", f"kind={self.kind!r}: must be one of {known}")
        return kind

    @property
    def bands(self) -> Bands:
        """Number, limits and resolution of the view's filters."""
        return Bands(self.n_filters, self.low_hz, self.high_hz, self.n_fft, SAMPLE_RATE_HZ)

    @property
    def n_static(self) -> int:
        """Features of one frame before derivatives."""
        return self.view_kind.n_features(self.n_filters, self.n_coefficients)

    @property
    def n_features(self) -> int:
        """Features of one frame."""
        return self.n_static * (3 if self.deltas else 1)


def default_views() -> dict[str, ViewSpec]:
    """Return the default views, for the networks and for the time statistics alike.

    Returns
    -------
    dict of str to ViewSpec
        By name.
    """
    high = ViewSpec("lfcc", 40, 30, low_hz=3_000.0, n_fft=256, hop_samples=96, by_class=True)
    return {
        "mfcc": ViewSpec("mfcc"),
        "lfcc": ViewSpec("lfcc", n_fft=256, hop_samples=96, by_class=True),
        "lfcc_high": high,
        "lfcc_top": ViewSpec("lfcc", 64, 40, low_hz=4_000.0),
    }


def default_narrow() -> dict[str, ViewSpec]:
    """Return the default views for the time statistics of what a telephone leaves of a voice.

    Returns
    -------
    dict of str to ViewSpec
        By name.
    """
    middle = ViewSpec(
        "lfcc", 24, 20, low_hz=1_500.0, high_hz=3_600.0, n_fft=256, hop_samples=96, by_class=True
    )
    return {
        "narrow_middle": middle,
        "narrow_full": ViewSpec("lfcc", 40, 30, low_hz=100.0, high_hz=3_600.0),
    }


@dataclass(frozen=True)
class FeatureSpec:
    """The front end's parameters: one source of truth for training and serving.

    A window of ``window_samples`` is brought to unit RMS (so that level cannot be learned),
    framed with a periodic Hann window, and the power spectra feed every view. Decibels are
    ``10 log10(max(power, power_floor))``: an absolute floor after the level is fixed, where
    librosa's default floor moves with the loudest frame of the clip.

    Parameters
    ----------
    window_s : float
        Length of the networks' input in seconds.
    power_floor : float
        Smallest power density that is told apart from silence, at unit RMS (1/Hz).
    rms_floor : float
        Windows quieter than this RMS (full scale 1) are not amplified further.
    delta_frames : int
        Width of the Savitzky-Golay filter of the derivatives, odd, in frames.
    views : dict of str to ViewSpec
        Sequences for the networks.
    statistics : dict of str to ViewSpec
        Views for the time statistics, in this order; see `bonafide.features.statistics`.
    narrow : dict of str to ViewSpec
        Views for a second vector of time statistics, that of base models for telephone sound.
    encoder : EncoderSpec or None
        A frozen encoder whose pooled frames are a third vector; None for none.
    correlated : int
        How many features of each view, from the first, are correlated with each other.

    Raises
    ------
    ConfigError
        ``bad_feature_spec`` if a value is invalid.

    Examples
    --------
    >>> spec = FeatureSpec(window_s=2.0)
    >>> spec.window_samples
    32000
    >>> {name: (spec.n_frames(view), view.n_features) for name, view in spec.views.items()}
    {'mfcc': (101, 20), 'lfcc': (334, 20), 'lfcc_high': (334, 30), 'lfcc_top': (101, 40)}
    >>> FeatureSpec.from_json(spec.to_json()) == spec
    True
    """

    window_s: float = 4.0
    power_floor: float = 1e-8
    rms_floor: float = 1e-4
    delta_frames: int = 9
    views: dict[str, ViewSpec] = field(default_factory=default_views)
    statistics: dict[str, ViewSpec] = field(default_factory=default_views)
    narrow: dict[str, ViewSpec] = field(default_factory=default_narrow)
    encoder: EncoderSpec | None = None
    correlated: int = 12

    def __post_init__(self) -> None:
        """Reject invalid values; the message says what each must be."""
        _numbers(self, ("delta_frames", "correlated"), ("window_s", "power_floor", "rms_floor"))
        _check(0.5 <= self.window_s <= 30.0, "window_s", self.window_s, "0.5 to 30 seconds")
        _check(self.power_floor > 0.0, "power_floor", self.power_floor, "above 0")
        _check(self.rms_floor > 0.0, "rms_floor", self.rms_floor, "above 0")
        _check(bool(self.views), "views", self.views, "at least one view")
        taken = ("waveform", *VECTORS)  # the graph's other input and outputs
        _check(not set(taken) & set(self.views), "views", list(self.views), f"no name of {taken}")
        _check(bool(self.statistics), "statistics", self.statistics, "at least one view")
        shared = sorted(set(self.statistics) & set(self.narrow))
        _check(not shared, "narrow", shared, "names that statistics do not have")
        every = (self.views, self.statistics, self.narrow)
        shortest = min(self.n_frames(view) for views in every for view in views.values())
        _check(
            self.delta_frames % 2 == 1 and 3 <= self.delta_frames <= shortest,
            "delta_frames",
            self.delta_frames,
            f"odd, 3 to {shortest}, the frames of the shortest view",
        )
        _check(2 <= self.correlated <= 64, "correlated", self.correlated, "2 to 64")

    def n_frames(self, view: ViewSpec) -> int:
        """Return how many frames one window has in a view.

        Parameters
        ----------
        view : ViewSpec
            Its hop decides.

        Returns
        -------
        int
            At least 1: frames are centred, the first on the first sample.
        """
        return 1 + self.window_samples // view.hop_samples

    def n_correlated(self, view: ViewSpec) -> int:
        """Return how many features of a view are correlated with each other.

        Parameters
        ----------
        view : ViewSpec
            Its number of features is the limit.

        Returns
        -------
        int
            `correlated`, or all of the view's if it has fewer.
        """
        return min(self.correlated, view.n_features)

    @property
    def n_statistics(self) -> int:
        """Time statistics of one window, of all views together."""
        return sum(len(self.kinds_of(view)) for view in self.statistics.values())

    @property
    def vectors(self) -> dict[str, int]:
        """The vectors of a window that base models may hear: name -> how many numbers."""
        n_narrow = sum(len(self.kinds_of(view)) for view in self.narrow.values())
        sizes = {STATISTICS: self.n_statistics, NARROW: n_narrow}
        sizes[ENCODER] = self.encoder.n_features if self.encoder else 0
        return {name: size for name, size in sizes.items() if size}

    def kinds_of(self, view: ViewSpec) -> tuple[str, ...]:
        """Return the kind of each time statistic of a view, in order.

        Parameters
        ----------
        view : ViewSpec
            One of `statistics`.

        Returns
        -------
        tuple of str
            `BY_FEATURE` of every feature, ``pairs`` of features, and ``classes`` of frames.

        Examples
        --------
        >>> from collections import Counter
        >>> dict(Counter(FeatureSpec().kinds_of(ViewSpec("mfcc", n_coefficients=2))))
        {'mean': 2, 'deviation': 2, 'change': 2, 'smoothness': 4, 'spikiness': 4, 'pairs': 1}
        """
        correlated = self.n_correlated(view)
        n_pairs = correlated * (correlated - 1) // 2
        n_by_class = 2 * view.n_features * N_CLASSES if view.by_class else 0
        return BY_FEATURE * view.n_features + ("pairs",) * n_pairs + ("classes",) * n_by_class

    @property
    def window_samples(self) -> int:
        """Samples of one window at 16 kHz."""
        return round(self.window_s * SAMPLE_RATE_HZ)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON values.

        Returns
        -------
        dict
            A name and a value for each parameter.
        """
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "FeatureSpec":
        """Rebuild a spec from its JSON values.

        Parameters
        ----------
        values : dict
            As `to_json` returns them; all but the views may be left out for their defaults.

        Returns
        -------
        FeatureSpec
            Equal to what `to_json` was called on.

        Raises
        ------
        ConfigError
            ``bad_feature_spec`` if a name is unknown or a value invalid.
        """
        try:
            views = {
                part: {name: ViewSpec(**view) for name, view in values[part].items()}
                for part in ("views", "statistics", NARROW)
                if part in values or part != NARROW  # specs of earlier versions have none
            }
            encoder = EncoderSpec(**values[ENCODER]) if values.get(ENCODER) else None
            return cls(**{NARROW: {}, **values, **views, ENCODER: encoder})
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigError("bad_feature_spec", f"feature spec: {error}") from error

    @property
    def sha256(self) -> str:
        """Hash of every number and of the statistics' order, as bundles and stores carry it."""
        order = [*self.statistics, *self.narrow]
        text = json.dumps([self.to_json(), order], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
