"""FeatureSpec and ViewSpec: what is allowed, what follows from it, and what the hash sees."""

import hashlib
import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonafide.errors import ConfigError
from bonafide.spec import BASE_MODELS, META_MODELS, FeatureSpec, ViewSpec

LOGMEL = ViewSpec("logmel", n_coefficients=0)

OTHER_VIEW: dict[str, Any] = {
    "kind": "mfcc",
    "n_filters": 41,
    "n_coefficients": 19,
    "low_hz": 1.0,
    "high_hz": 7_999.0,
    "deltas": False,
}
OTHER_SPEC: dict[str, Any] = {
    "window_s": 3.0,
    "n_fft": 1024,
    "hop_samples": 321,
    "power_floor": 1e-7,
    "rms_floor": 1e-5,
    "delta_frames": 7,
    "views": {"lfcc": ViewSpec("lfcc")},
}


def test_contract_names_and_order() -> None:
    assert BASE_MODELS == ("cnn", "rnn", "bilstm", "gru", "xgboost")
    assert META_MODELS == ("logistic", "xgboost")
    spec = FeatureSpec()
    assert spec.window_samples == 64_000
    assert spec.n_frames == 201
    assert spec.views["mfcc"].n_coefficients == 20


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


@pytest.mark.parametrize("name", OTHER_VIEW)
def test_the_hash_changes_with_every_field_of_a_view(name: str) -> None:
    view = ViewSpec("lfcc")
    one = FeatureSpec(views={"view": view})
    other = FeatureSpec(views={"view": replace(view, **{name: OTHER_VIEW[name]})})
    assert one.sha256 != other.sha256


def test_the_hash_changes_with_a_views_name() -> None:
    one, other = (FeatureSpec(views={name: LOGMEL}) for name in ("a", "b"))
    assert one.sha256 != other.sha256


def test_the_hash_is_the_same_from_run_to_run() -> None:
    """Bundles and stores carry it: another way to write it makes all of them strangers."""
    text = (
        '{"delta_frames": 9, "hop_samples": 320, "n_fft": 512, "power_floor": 1e-06, '
        '"rms_floor": 0.0001, "views": {"v": {"deltas": true, "high_hz": 8000.0, "kind": "mfcc", '
        '"low_hz": 0.0, "n_coefficients": 20, "n_filters": 40}}, "window_s": 4.0}'
    )
    spec = FeatureSpec(views={"v": ViewSpec("mfcc")})
    assert spec.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_ignores_the_order_of_views() -> None:
    views = FeatureSpec().views
    turned = FeatureSpec(views=dict(reversed(views.items())))
    assert turned == FeatureSpec() and turned.sha256 == FeatureSpec().sha256


def test_equal_specs_have_equal_hashes() -> None:
    """A configuration may say 4 or 4.0 seconds."""
    one, other = FeatureSpec(window_s=4), FeatureSpec(window_s=4.0)
    assert one == other
    assert one.sha256 == other.sha256


@st.composite
def views(draw: st.DrawFn) -> ViewSpec:
    kind: Any = draw(st.sampled_from(("mfcc", "lfcc", "logmel")))
    n_filters = draw(st.integers(4, 128))
    low, high = sorted(draw(st.lists(st.floats(0, 8_000), min_size=2, max_size=2, unique=True)))
    return ViewSpec(
        kind,
        n_filters=n_filters,
        n_coefficients=0 if kind == "logmel" else draw(st.integers(1, n_filters)),
        low_hz=low,
        high_hz=high,
        deltas=draw(st.booleans()),
    )


@st.composite
def specs(draw: st.DrawFn) -> FeatureSpec:
    n_fft = draw(st.sampled_from((256, 512, 1024, 2048)))
    return FeatureSpec(
        window_s=draw(st.floats(0.5, 30)),
        n_fft=n_fft,
        hop_samples=draw(st.integers(1, n_fft)),
        power_floor=draw(st.floats(1e-12, 1)),
        rms_floor=draw(st.floats(1e-9, 1)),
        delta_frames=draw(st.just(3)),
        views=draw(st.dictionaries(st.text(min_size=1), views(), min_size=1, max_size=4)),
    )


@settings(max_examples=60, deadline=None)
@given(specs())
def test_round_trip_through_json(spec: FeatureSpec) -> None:
    again = FeatureSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec
    assert again.sha256 == spec.sha256
    assert all(isinstance(view, ViewSpec) for view in again.views.values())


@settings(max_examples=60, deadline=None)
@given(specs())
def test_derived_sizes(spec: FeatureSpec) -> None:
    assert spec.window_samples == round(spec.window_s * 16_000)
    assert (spec.n_frames - 1) * spec.hop_samples <= spec.window_samples
    assert spec.n_frames * spec.hop_samples > spec.window_samples
    for view in spec.views.values():
        static = view.n_filters if view.kind == "logmel" else view.n_coefficients
        assert view.n_static == static
        assert view.n_features == (3 * static if view.deltas else static)


def test_specs_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        FeatureSpec().n_fft = 1024  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        LOGMEL.n_filters = 8  # type: ignore[misc]


def test_specs_do_not_share_their_views() -> None:
    FeatureSpec().views.clear()
    assert set(FeatureSpec().views) >= {"mfcc", "lfcc", "logmel"}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "plp"}, "kind='plp': allowed is mfcc, lfcc or logmel"),
        ({"n_filters": 3}, "n_filters=3: allowed is 4 to 128"),
        ({"n_filters": 129}, "n_filters=129: allowed is 4 to 128"),
        ({"n_coefficients": 0}, "n_coefficients=0: allowed is 1 to n_filters=40"),
        ({"n_coefficients": 41}, "n_coefficients=41: allowed is 1 to n_filters=40"),
        ({"n_coefficients": -1}, "n_coefficients=-1: allowed is 1 to n_filters=40"),
        ({"kind": "logmel"}, "n_coefficients=20: allowed is 0 for logmel"),
        ({"low_hz": -1.0}, r"band=\(-1.0, 8000.0\): allowed is 0 <= low_hz < high_hz <= 8000"),
        ({"high_hz": 8_001.0}, r"band=\(0.0, 8001.0\): allowed is 0 <= low_hz < high_hz <= 8000"),
        ({"low_hz": 500.0, "high_hz": 500.0}, r"band=\(500.0, 500.0\): allowed"),
        ({"low_hz": 900.0, "high_hz": 500.0}, r"band=\(900.0, 500.0\): allowed"),
        ({"low_hz": NAN}, "low_hz=nan: allowed is a finite number"),
        ({"high_hz": NAN}, "high_hz=nan: allowed is a finite number"),
    ],
)
def test_views_that_make_no_features(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        ViewSpec(**{"kind": "mfcc", **values})
    assert error.value.code == "bad_feature_spec"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"window_s": 0.49}, r"window_s=0\.49: allowed is 0\.5 to 30 seconds"),
        ({"window_s": 30.1}, r"window_s=30\.1: allowed is 0\.5 to 30 seconds"),
        ({"window_s": NAN}, "window_s=nan: allowed is"),
        ({"window_s": INF}, "window_s=inf: allowed is"),
        ({"n_fft": 500}, "n_fft=500: allowed is 256, 512, 1024 or 2048"),
        ({"n_fft": 4096}, "n_fft=4096: allowed is 256, 512, 1024 or 2048"),
        ({"hop_samples": 0}, "hop_samples=0: allowed is 1 to n_fft=512"),
        ({"hop_samples": 513}, "hop_samples=513: allowed is 1 to n_fft=512"),
        ({"power_floor": 0.0}, r"power_floor=0\.0: allowed is above 0"),
        ({"power_floor": NAN}, "power_floor=nan: allowed is a finite number"),
        ({"power_floor": INF}, "power_floor=inf: allowed is"),
        ({"rms_floor": -1e-9}, "rms_floor=-1e-09: allowed is above 0"),
        ({"rms_floor": NAN}, "rms_floor=nan: allowed is a finite number"),
        ({"rms_floor": INF}, "rms_floor=inf: allowed is"),
        ({"delta_frames": 8}, "delta_frames=8: allowed is odd, 3 to n_frames=201"),
        ({"delta_frames": 1}, "delta_frames=1: allowed is odd, 3 to n_frames=201"),
        ({"delta_frames": 203}, "delta_frames=203: allowed is odd, 3 to n_frames=201"),
        ({"views": {}}, r"views=\{\}: allowed is at least one view"),
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
        {"hop_samples": 512},
        {"hop_samples": 1, "window_s": 0.5},
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
        (changed(views={"a": {"kind": "plp"}}), "kind='plp': allowed is mfcc, lfcc or logmel"),
        (changed(views={}), "views={}: allowed is at least one view"),
        (changed(window_s="4"), "window_s='4': allowed is a finite number"),
        (changed(window_s=None), "window_s=None: allowed is a finite number"),
        (changed(hop_samples=320.5), r"hop_samples=320\.5: allowed is"),
        (changed(views={"a": {"kind": "mfcc", "n_filters": 40.5}}), r"n_filters=40\.5: allowed"),
        (changed(n_fft=[512]), r"n_fft=\[512\]: allowed"),
    ],
)
def test_json_that_is_no_spec(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        FeatureSpec.from_json(values)
    assert error.value.code == "bad_feature_spec"


def test_no_mapping_is_no_spec() -> None:
    with pytest.raises(ConfigError, match="feature spec: "):
        FeatureSpec.from_json(None)  # type: ignore[arg-type]
