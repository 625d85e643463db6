"""FeatureSpec and ViewSpec: what is allowed, what follows from it, and what the hash sees."""

import hashlib
import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonafide.errors import ConfigError
from bonafide.features.encoder import EncoderSpec
from bonafide.features.spec import (
    N_FFT,
    VECTORS,
    FeatureSpec,
    ViewSpec,
)

CEPSTRA = ("mfcc", "lfcc")
KINDS = (*CEPSTRA, "logmel", "logband")
LOGMEL = ViewSpec("logmel", n_coefficients=0)
SPARSE = ViewSpec("mfcc", hop_samples=512)

OTHER_VIEW: dict[str, Any] = {
    "kind": "mfcc",
    "n_filters": 41,
    "n_coefficients": 19,
    "low_hz": 1.0,
    "high_hz": 7_999.0,
    "deltas": True,
    "n_fft": 1024,
    "hop_samples": 321,
    "by_class": True,
}
OTHER_SPEC: dict[str, Any] = {
    "window_s": 3.0,
    "power_floor": 1e-7,
    "rms_floor": 1e-5,
    "delta_frames": 7,
    "views": {"lfcc": ViewSpec("lfcc")},
    "statistics": {"lfcc": ViewSpec("lfcc")},
    "narrow": {"few": ViewSpec("lfcc")},
    "encoder": EncoderSpec("ab12", {"first": 4, "last": 6}),
    "correlated": 11,
}


def test_contract_names_and_order() -> None:
    spec = FeatureSpec()
    assert spec.window_samples == 64_000
    assert {name: spec.n_frames(view) for name, view in spec.views.items()} == {
        "mfcc": 201,
        "lfcc": 667,
        "lfcc_high": 667,
        "lfcc_top": 201,
    }
    assert spec.statistics == spec.views
    assert spec.views["mfcc"].n_coefficients == 20
    assert spec.n_statistics == 7 * (20 + 20 + 30 + 40) + 4 * 12 * 11 // 2 + 2 * 4 * (20 + 30)


def test_every_field_has_another_value_here() -> None:
    """So that the next two tests cover a field that is added later."""
    assert set(OTHER_VIEW) == {field.name for field in fields(ViewSpec)}
    assert set(OTHER_SPEC) == {field.name for field in fields(FeatureSpec)}


@pytest.mark.parametrize("name", OTHER_SPEC)
def test_the_hash_changes_with_every_field(name: str) -> None:
    changed = replace(FeatureSpec(), **{name: OTHER_SPEC[name]})
    assert changed != FeatureSpec()
    assert changed.sha256 != FeatureSpec().sha256
    assert FeatureSpec.from_json(changed.to_json()) == changed


@pytest.mark.parametrize("part", ["views", "statistics", "narrow"])
@pytest.mark.parametrize("name", OTHER_VIEW)
def test_the_hash_changes_with_every_field_of_a_view(part: str, name: str) -> None:
    view = ViewSpec("lfcc")
    other = replace(view, **{name: OTHER_VIEW[name]})
    one, two = (FeatureSpec(**{part: {"v": seen}}) for seen in (view, other))
    assert one != two
    assert one.sha256 != two.sha256


@pytest.mark.parametrize("part", ["views", "statistics", "narrow"])
def test_the_hash_changes_with_a_views_name(part: str) -> None:
    one, other = (FeatureSpec(**{part: {name: LOGMEL}}) for name in ("a", "b"))
    assert one.sha256 != other.sha256


def test_the_hash_is_the_same_from_run_to_run() -> None:
    """Bundles and stores carry it: another way to write it makes all of them strangers."""
    mfcc = (
        '{"v": {"by_class": false, "deltas": false, "high_hz": 8000.0, "hop_samples": 320, '
        '"kind": "mfcc", "low_hz": 0.0, "n_coefficients": 20, "n_fft": 512, "n_filters": 40}}'
    )
    text = (
        f'[{{"correlated": 12, "delta_frames": 9, "encoder": null, "narrow": {{}}, '
        f'"power_floor": 1e-08, "rms_floor": 0.0001, "statistics": {mfcc}, "views": {mfcc}, '
        f'"window_s": 4.0}}, ["v"]]'
    )
    views = {"v": ViewSpec("mfcc")}
    spec = FeatureSpec(views=views, statistics=views, narrow={})
    assert spec.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_ignores_the_order_of_views() -> None:
    views = FeatureSpec().views
    turned = FeatureSpec(views=dict(reversed(views.items())))
    assert turned == FeatureSpec() and turned.sha256 == FeatureSpec().sha256


def test_the_hash_tells_the_order_of_statistics() -> None:
    """They stand in it in the vector that models see."""
    for part in ("statistics", "narrow"):
        views = getattr(FeatureSpec(), part)
        turned = FeatureSpec(**{part: dict(reversed(views.items()))})
        assert turned.sha256 != FeatureSpec().sha256


def test_equal_specs_have_equal_hashes() -> None:
    """A configuration may say 4 or 4.0 seconds."""
    one, other = FeatureSpec(window_s=4), FeatureSpec(window_s=4.0)
    assert one == other
    assert one.sha256 == other.sha256


@st.composite
def views(draw: st.DrawFn) -> ViewSpec:
    kind: Any = draw(st.sampled_from(KINDS))
    n_filters, n_fft = draw(st.integers(4, 128)), draw(st.sampled_from(N_FFT))
    low, high = sorted(draw(st.lists(st.floats(0, 8_000), min_size=2, max_size=2, unique=True)))
    n_coefficients = draw(st.integers(1, n_filters)) if kind in CEPSTRA else 0
    deltas = draw(st.booleans())
    return ViewSpec(
        kind,
        n_filters=n_filters,
        n_coefficients=n_coefficients,
        low_hz=low,
        high_hz=high,
        deltas=deltas,
        n_fft=n_fft,
        hop_samples=draw(st.integers(1, min(n_fft, 2_000))),  # 4 frames or more in 0.5 s
        by_class=draw(st.booleans()) and (n_coefficients != 1 or deltas),
    )


@st.composite
def specs(draw: st.DrawFn) -> FeatureSpec:
    names = st.text(min_size=1).filter(lambda name: name not in ("waveform", *VECTORS))
    named = st.dictionaries(names, views(), min_size=1, max_size=4)
    statistics = draw(named)
    narrow = draw(st.dictionaries(names.filter(lambda n: n not in statistics), views(), max_size=2))
    outputs = st.dictionaries(st.text(min_size=1), st.integers(1, 99), min_size=1, max_size=2)
    encoder = st.builds(EncoderSpec, st.text("0123456789abcdef", min_size=64), outputs)
    return FeatureSpec(
        window_s=draw(st.floats(0.5, 30)),
        power_floor=draw(st.floats(1e-12, 1)),
        rms_floor=draw(st.floats(1e-9, 1)),
        delta_frames=3,
        views=draw(named),
        statistics=statistics,
        narrow=narrow,
        encoder=draw(st.none() | encoder),
        correlated=draw(st.integers(2, 64)),
    )


@settings(max_examples=60, deadline=None)
@given(specs())
def test_round_trip_through_json(spec: FeatureSpec) -> None:
    again = FeatureSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.sha256 == spec.sha256
    assert list(again.statistics) == list(spec.statistics)
    every = (*again.views.values(), *again.statistics.values())
    assert all(isinstance(view, ViewSpec) for view in every)


@settings(max_examples=60, deadline=None)
@given(specs())
def test_derived_sizes(spec: FeatureSpec) -> None:
    assert spec.window_samples == round(spec.window_s * 16_000)
    for view in (*spec.views.values(), *spec.statistics.values()):
        starts = range(0, spec.window_samples + 1, view.hop_samples)  # frames are centred
        assert spec.n_frames(view) == len(starts)
        static = view.n_coefficients if view.kind in CEPSTRA else view.n_filters
        assert view.n_static == static
        assert view.n_features == (3 * static if view.deltas else static)
        n_pairs = sum(
            i < j for i in range(view.n_features) for j in range(view.n_features)[: spec.correlated]
        )
        kinds = spec.kinds_of(view)
        assert kinds.count("pairs") == n_pairs
        assert kinds.count("classes") == (8 * view.n_features if view.by_class else 0)
        assert len(kinds) == 7 * view.n_features + n_pairs + kinds.count("classes")
    assert spec.n_statistics == sum(len(spec.kinds_of(view)) for view in spec.statistics.values())


def test_specs_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        FeatureSpec().window_s = 3.0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        LOGMEL.n_filters = 8  # type: ignore[misc]


def test_vectors_are_named_with_their_sizes() -> None:
    spec = FeatureSpec(encoder=EncoderSpec("ab12", {"first": 4, "last": 6}))
    n_narrow = sum(len(spec.kinds_of(view)) for view in spec.narrow.values())
    sizes = {"statistics": spec.n_statistics, "narrow": n_narrow, "encoder": 3 * (4 + 6)}
    assert list(spec.vectors.items()) == list(sizes.items())
    assert FeatureSpec(narrow={}).vectors == {"statistics": spec.n_statistics}


def test_narrow_views_hear_what_a_telephone_leaves() -> None:
    assert all(view.high_hz <= 3_800 for view in FeatureSpec().narrow.values())


def test_a_spec_of_an_earlier_version_has_neither_narrow_views_nor_an_encoder() -> None:
    whole = FeatureSpec().to_json()
    old = {name: value for name, value in whole.items() if name not in ("narrow", "encoder")}
    spec = FeatureSpec.from_json(old)
    assert (spec.narrow, spec.encoder) == ({}, None)
    assert spec.views == FeatureSpec().views


def test_specs_do_not_share_their_views() -> None:
    FeatureSpec().views.clear()
    FeatureSpec().statistics.clear()
    assert set(FeatureSpec().views) == {"mfcc", "lfcc", "lfcc_high", "lfcc_top"}
    assert set(FeatureSpec().statistics) == set(FeatureSpec().views)


NAN, INF = float("nan"), float("inf")
KINDS_ALLOWED = "kind='plp': must be one of mfcc, lfcc, logmel, logband$"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "plp"}, KINDS_ALLOWED),
        ({"kind": ["mfcc"]}, r"kind=\['mfcc'\]: must be one of mfcc, lfcc, logmel, logband$"),
        ({"n_filters": 3}, "n_filters=3: must be 4 to 128"),
        ({"n_filters": 129}, "n_filters=129: must be 4 to 128"),
        ({"n_coefficients": 0}, "n_coefficients=0: must be 1 to n_filters=40"),
        ({"n_coefficients": 41}, "n_coefficients=41: must be 1 to n_filters=40"),
        ({"n_coefficients": -1}, "n_coefficients=-1: must be 1 to n_filters=40"),
        *(
            ({"kind": kind}, f"n_coefficients=20: must be 0 for {kind}")
            for kind in ("logmel", "logband")
        ),
        ({"n_fft": 500}, "n_fft=500: must be one of 64, 128, 256, 512, 1024, 2048"),
        ({"n_fft": 4096}, "n_fft=4096: must be one of 64, 128, 256, 512, 1024, 2048"),
        ({"n_fft": 32}, "n_fft=32: must be one of 64, 128, 256, 512, 1024, 2048"),
        ({"n_fft": 512.0}, r"n_fft=512\.0: must be a whole number"),
        ({"hop_samples": 0}, "hop_samples=0: must be 1 to n_fft=512"),
        ({"hop_samples": 513}, "hop_samples=513: must be 1 to n_fft=512"),
        ({"hop_samples": 65, "n_fft": 64}, "hop_samples=65: must be 1 to n_fft=64"),
        ({"by_class": 1}, "by_class=1: must be true or false"),
        (
            {"by_class": True, "n_coefficients": 1},
            "by_class=True: must be false for a single feature",
        ),
        ({"low_hz": -1.0}, r"band=\(-1.0, 8000.0\): must be 0 <= low_hz < high_hz <= 8000"),
        ({"high_hz": 8_001.0}, r"band=\(0.0, 8001.0\): must be 0 <= low_hz < high_hz <= 8000"),
        ({"low_hz": 500.0, "high_hz": 500.0}, r"band=\(500.0, 500.0\): must"),
        ({"low_hz": 900.0, "high_hz": 500.0}, r"band=\(900.0, 500.0\): must"),
        ({"low_hz": NAN}, "low_hz=nan: must be a finite number"),
        ({"high_hz": NAN}, "high_hz=nan: must be a finite number"),
    ],
)
def test_views_that_make_no_features(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        ViewSpec(**{"kind": "mfcc", **values})
    assert error.value.code == "bad_feature_spec"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window_s": 0.49}, r"window_s=0\.49: must be 0\.5 to 30 seconds"),
        ({"window_s": 30.1}, r"window_s=30\.1: must be 0\.5 to 30 seconds"),
        ({"window_s": NAN}, "window_s=nan: must be"),
        ({"window_s": INF}, "window_s=inf: must be"),
        ({"power_floor": 0.0}, r"power_floor=0\.0: must be above 0"),
        ({"power_floor": NAN}, "power_floor=nan: must be a finite number"),
        ({"power_floor": INF}, "power_floor=inf: must be"),
        ({"rms_floor": -1e-9}, "rms_floor=-1e-09: must be above 0"),
        ({"rms_floor": NAN}, "rms_floor=nan: must be a finite number"),
        ({"rms_floor": INF}, "rms_floor=inf: must be"),
        *(
            (
                {"delta_frames": width},
                f"delta_frames={width}: must be odd, 3 to 201, the frames of the shortest view",
            )
            for width in (8, 1, 203)
        ),
        ({"statistics": {"t": SPARSE}, "delta_frames": 127}, "delta_frames=127: .* 3 to 126, "),
        ({"views": {}}, r"views=\{\}: must be at least one view"),
        ({"statistics": {}}, r"statistics=\{\}: must be at least one view"),
        (
            {"narrow": {"mfcc": LOGMEL}},
            r"narrow=\['mfcc'\]: must be names that statistics do not have",
        ),
        ({"narrow": {"t": SPARSE}, "delta_frames": 127}, "delta_frames=127: .* 3 to 126, "),
        *(
            ({"views": {name: LOGMEL}}, rf"views=\['{name}'\]: must be no name of")
            for name in ("narrow", "encoder")
        ),
        ({"views": {"statistics": LOGMEL}}, r"views=\['statistics'\]: must be no name of"),
        (
            {"views": {"waveform": LOGMEL}},
            r"views=\['waveform'\]: must be no name of \('waveform', 'st",
        ),
        ({"correlated": 1}, "correlated=1: must be 2 to 64"),
        ({"correlated": 65}, "correlated=65: must be 2 to 64"),
        ({"correlated": 2.5}, r"correlated=2\.5: must be a whole number"),
    ],
)
def test_specs_that_make_no_front_end(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        FeatureSpec(**values)
    assert error.value.code == "bad_feature_spec"


@pytest.mark.parametrize(
    "values",
    [
        {"window_s": 0.5, "delta_frames": 3},
        {"window_s": 30.0},
        {"views": {"one": ViewSpec("lfcc", hop_samples=512)}},
        {"views": {"one": ViewSpec("lfcc", n_fft=64, hop_samples=1)}, "window_s": 0.5},
        {"views": {"one": ViewSpec("mfcc", n_coefficients=2, by_class=True)}},
        {"statistics": {"one": SPARSE}},
        {"correlated": 2},
        {"correlated": 64},
        {"delta_frames": 201},
        {"views": {"one": ViewSpec("mfcc", n_filters=4, n_coefficients=4)}},
        {"views": {"one": ViewSpec("mfcc", n_filters=128, n_coefficients=1)}},
    ],
)
def test_limits_themselves_are_allowed(values: dict[str, Any]) -> None:
    spec = FeatureSpec(**values)
    assert all(getattr(spec, name) == value for name, value in values.items())


def changed(**values: Any) -> dict[str, Any]:
    return {**FeatureSpec().to_json(), **values}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "feature spec: 'views'"),
        (changed(n_mels=40), "feature spec: .*unexpected keyword argument 'n_mels'"),
        (changed(views=[]), "feature spec: "),
        (changed(views={"a": None}), "feature spec: "),
        (changed(views={"a": {"n_filters": 40}}), "feature spec: .*missing .*'kind'"),
        (changed(views={"a": {"kind": "mfcc", "q": 1}}), "feature spec: .*'q'"),
        (changed(views={"a": {"kind": "plp"}}), KINDS_ALLOWED),
        (changed(statistics={"a": {"kind": "plp"}}), KINDS_ALLOWED),
        ({"views": {}}, "feature spec: 'statistics'"),
        (changed(statistics=3), "feature spec: "),
        (changed(views={}), "views={}: must be at least one view"),
        (changed(window_s="4"), "window_s='4': must be a finite number"),
        (changed(window_s=None), "window_s=None: must be a finite number"),
        (
            changed(views={"a": {"kind": "mfcc", "hop_samples": 320.5}}),
            r"hop_samples=320\.5: must",
        ),
        (changed(hop_samples=320), "feature spec: .*unexpected keyword argument 'hop_samples'"),
        (changed(views={"a": {"kind": "mfcc", "n_filters": 40.5}}), r"n_filters=40\.5: must"),
        (changed(views={"a": {"kind": "mfcc", "n_fft": [512]}}), r"n_fft=\[512\]: must"),
        (changed(views={"a": {"kind": "mfcc", "by_class": "no"}}), "by_class='no': must be t"),
        (changed(correlated=None), "correlated=None: must be a whole number"),
    ],
)
def test_json_that_is_no_spec(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        FeatureSpec.from_json(values)
    assert error.value.code == "bad_feature_spec"


def test_no_mapping_is_no_spec() -> None:
    with pytest.raises(ConfigError, match="feature spec: "):
        FeatureSpec.from_json(None)  # type: ignore[arg-type]
