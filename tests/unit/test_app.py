"""What the page is made of: its client, its words and its drawings."""

import io
from collections.abc import Callable
from string import Formatter
from typing import Any, get_args, get_type_hints

import httpx
import numpy as np
import pytest
import soundfile

from bonafide import drawing as drawings
from bonafide.client import ServiceError
from bonafide.detection import NO_VERDICT, Verdict
from bonafide.drawing import DrawingError, draw, reduce
from bonafide.errors import ConfigError
from bonafide.evaluation.evaluate import SIMULATED_NOTE
from bonafide.provenance.finding import MEANING, NAMES, NotLookedFor
from bonafide.report import spokesman
from bonafide.report.words import HEADLINES
from bonafide.simulation.examples import make
from bonafide.training.channels import CHANNELS
from bonafide.training.judgement import Outcome
from serving.app import wording
from serving.app.charts import chance_cell, opinions_chart
from serving.app.client import Service
from serving.app.examples import EXAMPLES, example
from serving.app.language import LANGUAGES, Words
from serving.app.launch import check_port, options
from serving.app.verdict import bar, headline
from serving.http.errors import STATUS
from serving.http.guard import CODES

RATE_HZ = 16_000
URL = "http://127.0.0.1:3000"
EN = Words("en")
# What only a fault of the page itself brings about.
OURS = {
    *("method_not_allowed", "no_audio_field", "bad_multipart", "bad_encoding", "bad_request"),
    *("header_too_large", "cross_site", "not_found", "url_too_long", "request_too_slow"),
    *(
        "no_record",
        "unknown_request",
        "ambiguous_request",
    ),  # of feedback, which the page gives none
    *("callback_refused", "upgrade_required"),  # of jobs and streams, which it has none of
}


def answering(answer: Callable[[httpx.Request], httpx.Response], key: str = "") -> Service:
    return Service(URL, key, httpx.MockTransport(answer))


def test_every_error_of_the_service_is_put_into_words() -> None:
    worded = {key.removeprefix("error.") for key in EN.messages} | {*NO_VERDICT}
    assert (STATUS.keys() | {CODES[503]}) - OURS <= worded


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ServiceError("busy", "9 wait", 12), "Please try again in 12 s."),
        (ServiceError("not_ready", "x", 3), "still starting. Please try again in 3 s."),
        (ServiceError("not_ready", "x"), "still starting. Please try again in a moment."),
        (ServiceError("too_large", "more than 50 bytes"), "(more than 50 bytes)"),
        (ServiceError("not_audio", "codec 7 of the upload"), "not an audio or video file"),
        (ServiceError("no_speech", "x"), "Nothing in the recording sounds like speech"),
        (ServiceError("too_short", "x"), "a verdict needs at least 1 s of sound"),
        (ServiceError("never_heard_of", "x"), "Something went wrong"),
    ],
)
def test_failures_in_words(error: ServiceError, said: str) -> None:
    assert said in wording.failure(EN, error)
    assert ("codec" in wording.failure(EN, error)) is False


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "under 1 %"), (0.014, "1 %"), (0.5, "50 %"), (0.99, "99 %"), (1.0, "over 99 %")],
)
def test_nothing_is_certain(share: float, said: str) -> None:
    assert EN.percent(share) == said


def fields(message: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(message) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_all_that_english_says(language: str) -> None:
    messages = Words(language).messages
    assert list(messages) == list(EN.messages)
    for key, message in messages.items():
        assert message and fields(message) == fields(EN.messages[key]), key
    assert Words(language).direction == ("rtl" if language == "ar" else "ltr")


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_languages_are_translated(language: str) -> None:
    messages = Words(language).messages
    same = [key for key, message in messages.items() if message == EN.messages[key]]
    assert len(same) < 0.1 * len(messages), same


def test_findings_channels_and_warnings_are_worded_as_where_they_are_made() -> None:
    for code, (proves, absence) in MEANING.items():
        assert (EN(f"finding.{code}.proves"), EN(f"finding.{code}.absence")) == (proves, absence)
    assert {*NAMES} == {*MEANING, *get_args(get_type_hints(NotLookedFor)["code"])}
    assert {code: EN(f"finding.{code}.name") for code in NAMES} == NAMES
    assert all(f"channel.{name}" in EN for name in CHANNELS.names())
    assert {verdict: EN(f"verdict.{verdict}") for verdict in HEADLINES} == HEADLINES


def test_what_the_figures_are_on_is_told_in_every_language() -> None:
    assert Outcome.unheard == wording.UNHEARD
    manifest = {"metrics": {"on": wording.UNHEARD, "eer": {"value": 0.114}}}
    assert "On sources it had never heard, it was wrong in about 11 of 100" in wording.trained_on(
        EN, {"manifest": manifest}
    )
    manifest["metrics"]["on"] = "speakers it never heard"
    assert "On speakers it never heard, it" in wording.trained_on(EN, {"manifest": manifest})


def test_examples_are_what_the_simulation_makes() -> None:
    for name in EXAMPLES:
        shipped, _ = soundfile.read(io.BytesIO(example(name)), dtype="float32")
        np.testing.assert_allclose(shipped, make(name), atol=2e-4)


def test_what_markdown_would_read_is_escaped() -> None:
    text = "![x](http://y) <b> **z** `c` $1$ :red[w]"
    escaped = wording.plain(text)
    assert escaped.replace("\\", "") == text
    for mark in "![(<*`$:":
        assert f"\\{mark}" in escaped


def test_warnings_in_words() -> None:
    silent = {"code": "silent_windows", "message": "stretches without speech-like sound: 1 of 3"}
    assert silent["message"] in wording.warning(EN, silent)
    assert wording.warning(EN, {"code": "of_tomorrow", "message": "it rains"}) == "It rains."
    damaged = {"code": "damaged", "message": "codec 7"}
    assert "codec" not in wording.warning(EN, damaged) and "damaged" in wording.warning(EN, damaged)


def test_what_was_not_judged_is_said() -> None:
    caution = {"code": "not_all_judged", "message": "track 1 of 2 cannot be decoded (x)"}
    said = "Not all of the file was judged: track 1 of 2 cannot be decoded (x)."
    assert wording.warning(EN, caution) == said


def answer(verdict: str, p_spoof: float, *warned: str, **more: Any) -> dict[str, Any]:
    warnings = [{"code": code, "message": ""} for code in warned]
    plain = {"verdict": verdict, "p_spoof": p_spoof, "llr": 0.0, "duration_s": 4.0, "segments": []}
    return {**plain, "parts": [], "warnings": warnings, **more}


def test_every_verdict_has_words_a_sign_and_a_colour() -> None:
    for verdict in get_args(Verdict):
        assert EN(f"verdict.{verdict}") in headline(EN, verdict)


def test_parts_in_plain_words() -> None:
    parts = [{"start_s": 16.0, "end_s": 24.0, "p_spoof": 0.97}]
    said = wording.partly(EN, answer("partly_spoof", 0.2, parts=parts))
    assert "**0:16-0:24** (97 %)" in said and "the chance is 20 %" in said


def test_tracks_in_plain_words() -> None:
    parts = [{"start_s": 0.0, "end_s": 8.0, "p_spoof": 0.97}]
    several = [
        answer("bonafide", 0.1, track=1, channel_number=1),
        answer("partly_spoof", 0.3, track=1, channel_number=2, parts=parts),
        answer("inconclusive", 0.5, "no_speech", track=2, channel_number=None),
    ]
    whole = {**several[1], "tracks": several}
    assert spokesman(whole) is several[1]
    said = wording.tracks(EN, whole).splitlines()
    assert said[2:] == [
        "- track 1, channel 1: Likely a real recording (10 %)",
        "- **track 1, channel 2: Parts of it sound generated: 0:00-0:08**",
        "- track 2: nothing that sounds like speech",
    ]
    assert spokesman(answer("bonafide", 0.1)) is None


def test_models_that_were_asked_are_counted() -> None:
    result = {"models": {"cnn": 0.1, "rnn": 0.3, "gru": None}, "stack": {"logistic": 0.2}}
    said = wording.opinions(EN, result, {"gru": "GRU"})
    assert "on their own (2)" in said and "what they say (1)" in said
    assert said.endswith("Not asked, as the others left no doubt: GRU.")


WRONG = {"value": 0.088, "low": 0.06, "high": 0.121}


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        (
            {"decided": 0.4, "wrong": WRONG},
            "is given on 40; of 100 such verdicts, the number of wrong ones is 9 (95 %",
        ),
        (
            {"decided": 1.0, "wrong": {**WRONG, "value": 0.002}},
            "the number of wrong ones is under 1 (",
        ),
        ({"decided": 0.0, "wrong": None}, "gives no verdict"),
        ({"decided": None, "wrong": None}, "was not measured"),
    ],
)
def test_a_channel_and_what_verdicts_on_it_are_worth(heard: dict[str, Any], said: str) -> None:
    opus = {"name": "opus", "label": "x", "p": 0.9, **heard}
    words = wording.channel(EN, answer("spoof", 0.9, channel=opus))
    assert words.startswith("Sounds as if it went through Opus, as voice notes do.")
    assert said in words
    assert wording.channel(EN, answer("inconclusive", 0.5, "unknown_channel", channel=opus)) == ""
    assert wording.channel_name(EN, {**opus, "name": "of_a_plugin", "label": "a tin can"}) == (
        "a tin can"
    )


def test_where_the_reasons_lie_in_a_sentence() -> None:
    place = {"towards": "spoof", "start_s": 3.0, "end_s": 65.0, "low_hz": 4000.0, "high_hz": 7000.0}
    explanation = {"focus": place, "windows": [{}] * 8, "bands": [{"typical": 0.1}]}

    def said(n_windows: int, verdict: str = "spoof", **changed: Any) -> str:
        result = {"segments": [{}] * n_windows, "verdict": verdict}
        return wording.focus(EN, {**explanation, **changed}, result)

    where = "What speaks most for a deepfake lies between 0:03 and 1:05, at 4 to 7 kHz."
    assert said(8) == where
    assert said(20) == (
        "Looked at for seconds and bands: the windows that speak most for the answer, 8 of 20. "
        f"{where}"
    )
    assert said(8, "inconclusive") == f"{EN('why.open')} {where}"
    assert said(8, bands=[{"typical": None}]) == f"{where} {EN('why.no_average')}"
    assert said(0, focus=None) == EN("why.nothing")


def test_models_are_drawn_under_their_labels() -> None:
    result = {"models": {"cnn": 0.1, "rnn": None, "sixth": 0.7}, "stack": {"xgboost": 0.2}}
    manifest = {"labels": {"cnn": "CNN", "xgboost": "XGBoost"}, "choice": "xgboost"}
    model = {"thresholds": {"bonafide_to": 0.3, "spoof_from": 0.8}, "manifest": manifest}
    drawn = opinions_chart(EN, result, model).to_dict()
    (rows,) = (rows for name, rows in drawn["datasets"].items() if name.startswith("data-"))
    seen = [(row["name"], row["p"]) for row in rows]
    assert seen == [("CNN", 0.1), ("sixth", 0.7), ("Stack, XGBoost (decides)", 0.2)]


def test_a_bar_of_a_table_is_never_certain() -> None:
    assert [chance_cell(share) for share in (0.0, 0.0335, 0.5, 1.0)] == [1, 3, 50, 99]


def test_only_the_simulated_corpus_makes_a_demonstration() -> None:
    assert wording.is_simulated({"card": f"# demo\n\n{SIMULATED_NOTE}\n"})
    assert not wording.is_simulated({"card": "# real"})
    assert not wording.is_simulated({})


def test_card_is_shown_without_its_tables() -> None:
    card = (
        "# demo\n\nIt errs. ![x](y)\n\n## Data\n\nMuch.\n\n## Results\n\nThese:\n\n| a |\n| - |\n"
    )
    brief = wording.brief_card(card + "\n## Limits\n\nMany.\n")
    for part in ("It errs. [x](y)", "**Data**\n\nMuch.", "**Limits**\n\nMany."):
        assert part in brief
    assert "Results" not in brief and "demo" not in brief and "|" not in brief
    assert wording.brief_card("") == ""


def test_bar_shows_the_band_and_nothing_beyond_its_ends() -> None:
    html = bar(EN, 1.0, {"bonafide_to": 0.25, "spoof_from": 0.75})
    for width in ("width:25.00%", "width:50.00%", "left:99.00%;transform:translateX(-99.00%)"):
        assert width in html


def test_client_sends_the_key_and_no_name() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"verdict": "spoof"})

    assert answering(answer, "secret").detect(b"bytes", "0" * 64) == {"verdict": "spoof"}
    assert seen[0].url == f"{URL}/v1/detect"
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert seen[0].headers["x-bonafide-bundle"] == "0" * 64
    assert b'name="audio"; filename="audio"' in seen[0].content and b"bytes" in seen[0].content
    answering(answer).model()
    assert not {"authorization", "x-bonafide-bundle"} & seen[1].headers.keys()
    assert "secret" not in repr(answering(answer, "secret"))


def _gone(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


BUSY = {"error": {"code": "busy", "message": "9 wait"}}


@pytest.mark.parametrize(
    ("answer", "code", "retry_after_s"),
    [
        (lambda _: httpx.Response(429, json=BUSY, headers={"retry-after": "4"}), "busy", 4),
        (lambda _: httpx.Response(429, json=BUSY, headers={"retry-after": "soon"}), "busy", 0),
        (lambda _: httpx.Response(502, text="<html>"), "bad_answer", 0),
        (lambda _: httpx.Response(400, json=["error"]), "bad_answer", 0),
        (lambda _: httpx.Response(200, text="fine"), "bad_answer", 0),
        (_gone, "unreachable", 0),
    ],
)
def test_client_gives_the_service_s_errors(
    answer: Callable[[httpx.Request], httpx.Response], code: str, retry_after_s: int
) -> None:
    with pytest.raises(ServiceError) as caught:
        answering(answer).model()
    assert (caught.value.code, caught.value.retry_after_s) == (code, retry_after_s)


@pytest.mark.parametrize("url", ["", "localhost:3000", "ftp://host", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be an address"):
        Service(url)


@pytest.mark.parametrize("port", [-1, 70_000])
def test_port_that_cannot_be_had_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match=f"--port {port}: cannot be listened on"):
        check_port(port)


def test_page_takes_no_more_than_the_service() -> None:
    assert options(1, 50_000_000)["server.maxUploadSize"] * 2**20 <= 50_000_000


def test_tone_is_drawn_where_it_sounds() -> None:
    seconds = np.arange(4 * RATE_HZ) / RATE_HZ
    tone = 0.5 * np.sin(2 * np.pi * 2_000 * seconds)
    tone[: 2 * RATE_HZ] = 0
    drawn = reduce(tone.astype(np.float32))
    middle = len(drawn.low) // 2
    assert drawn.drawn_s == 4.0
    assert drawn.level.shape == (drawings.ROWS, len(drawn.low))
    # 0 to 8 kHz over 128 rows from below: 2 kHz lies a quarter up
    rows = drawings.ROWS - 1 - drawn.level[:, middle + 5 :].argmax(axis=0)
    assert np.abs(rows - drawings.ROWS / 4).max() <= 1
    assert drawn.level[:, : middle - 5].max() == 0
    assert drawn.high[middle + 5 :].min() > 0.45 and drawn.low[middle + 5 :].max() < -0.45
    assert not drawn.high[: middle - 5].any()


@pytest.mark.parametrize("n_samples", [1, 255, 257, 4_000, 700 * RATE_HZ])
def test_drawing_is_bounded_for_any_length(n_samples: int) -> None:
    drawn = reduce(np.zeros(n_samples, np.float32))
    assert 1 <= len(drawn.low) == len(drawn.high) == drawn.level.shape[1] <= drawings.MAX_COLUMNS
    assert not drawn.level.any()


def wav(waveform: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, RATE_HZ, format="WAV")
    return file.getvalue()


def test_drawing_in_a_process_of_its_own_is_the_same() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, RATE_HZ).astype(np.float32)
    content = wav(noise)
    there, here = draw(content), reduce(drawings.first_minutes(content))
    np.testing.assert_array_equal(there.level, here.level)
    np.testing.assert_array_equal(there.low, here.low)
    assert there.drawn_s == here.drawn_s == 1.0


def test_only_the_first_minutes_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings, "MAX_DRAWN_S", 2.0)
    assert len(drawings.first_minutes(wav(np.zeros(5 * RATE_HZ)))) == 2 * RATE_HZ


def test_what_cannot_be_drawn_in_time_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DrawingError, match="cannot be drawn"):
        draw(b"this is no sound")
    monkeypatch.setattr(drawings, "LIMIT_S", 0.01)
    with pytest.raises(DrawingError, match="cannot be drawn"):
        draw(wav(np.zeros(RATE_HZ)))
