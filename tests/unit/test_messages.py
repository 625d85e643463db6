"""How the page's messages are written: counts, signs, numbers, lists, and what is in English."""

import re

import pytest

from bonafide.provenance import watermark
from bonafide.training.config import OF_ENCODER, ROBUST
from serving.app import wording
from serving.app.charts import opinions_chart
from serving.app.language import LANGUAGES, Words
from serving.app.origin import facts_in_words, why_not

COUNTS = "n|more|decided|wrong|total|real|fake|parts|undecided|failed|sounds|sources|speakers"
COUNTED = re.compile(rf"\{{({COUNTS}|answers|requests|differ|right|rows)\}} (\w+)")
# What fits after any number. Windows of answers, which `drift` tells of, always hold many.
AFTER = {"en": {"of"}, "de": {"von", "zu"}, "es": {"de"}, "fr": {"cas"}}
MANY = {f"drift.{what}{of}" for what in ("alarm", "calm") for of in ("", "_training")}


@pytest.mark.parametrize("language", AFTER)
def test_a_count_of_one_reads_as_well_as_others(language: str) -> None:
    messages = Words(language).messages
    wrong = {
        f"{key}: {found[0]}"
        for key, message in messages.items()
        for found in COUNTED.finditer(message)
        if key not in MANY and found[2] not in AFTER[language]
    }
    assert not wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_percent_sign_stands_one_way(language: str) -> None:
    words = Words(language)
    one_way = words("number.percent", n="")
    said = "\n".join(words.messages.values()).replace("95-%-Intervall", "")  # as Duden has it
    seen = re.findall(r"(?<=[\d}])\D?[%٪]", said)
    assert set(seen) == {one_way} and len(seen) == len(re.findall(r"[%٪\uff05]", said))
    share = {"value": 0.123, "low": 0.1, "high": 0.145}
    assert words.interval(share).startswith(f"12{words('number.point')}3{one_way} ")


def test_french_signs_keep_to_what_they_follow() -> None:
    said = Words("fr").messages.values()
    assert not [message for message in said if re.search("« | [:;?!»%]", message)]


def test_base_models_of_ours_are_named_in_each_language() -> None:
    given = {"robust": ROBUST["label"], "speech": OF_ENCODER["label"], "cnn": "CNN"}
    model = {"manifest": {"labels": given}}
    assert wording.labels(Words("en"), model) == given
    german = wording.labels(Words("de"), model)
    assert (german["robust"], german["cnn"]) == ("Robustes Netz", "CNN")
    theirs = {"manifest": {"labels": {"speech": "wav2vec"}}}
    assert wording.labels(Words("de"), theirs) == {"speech": "wav2vec"}


def test_numbers_and_lists_are_written_as_in_the_language() -> None:
    share = {"value": 0.123, "low": 0.101, "high": 0.145}
    assert Words("de").interval(share) == "12,3 % [10,1; 14,5]"
    written = {language: Words(language).listed("ab") for language in ("en", "zh", "ar")}
    assert written == {"en": "a, b", "zh": "a、b", "ar": "a، b"}
    parts = [{"start_s": at, "end_s": at + 8, "p_spoof": 0.97} for at in (16.0, 40.0)]
    assert wording.parts(Words("zh"), {"parts": parts}) == "0:16-0:24、0:40-0:48"
    assert "8,0 kHz" in _facts_in("de") and 'Angabe des Encoders: "libFLAC".' in _facts_in("de")


def _facts_in(language: str) -> str:
    facts = {"codec": "opus", "rate_hz": 48_000, "channels": 1, "duration_s": 52.0}
    more = {"band_hz": 8_000, "library": "libFLAC", "damage": "it breaks off.", "omitted": ""}
    return facts_in_words(Words(language), {**facts, **more})


def test_what_is_not_of_the_language_keeps_its_order() -> None:
    arabic = _facts_in("ar")
    for foreign in ("opus", "48000 Hz", "8.0 kHz", "it breaks off."):
        assert f"\u2066{foreign}\u2069" in arabic
    assert "\u2066" not in _facts_in("de")
    (drawn,) = _names_drawn("ar")
    assert drawn == "\u2067نموذج تجميعي، \u2066logistic\u2069 (يقرّر)\u2069"


def _names_drawn(language: str) -> list[str]:
    result = {"models": {}, "stack": {"logistic": 0.2}}
    model = {"thresholds": {"bonafide_to": 0.3, "spoof_from": 0.8}}
    manifest = {"manifest": {"choice": "logistic"}}
    drawn = opinions_chart(Words(language), result, {**model, **manifest}).to_dict()
    (rows,) = (rows for name, rows in drawn["datasets"].items() if name.startswith("data-"))
    return [row["name"] for row in rows]


def test_a_package_that_is_missing_is_told_in_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "find_spec", lambda name: None)
    (missing,) = watermark.Watermark().missing()
    assert why_not(Words("en"), missing.why) == missing.why
    said = why_not(Words("de"), missing.why)
    assert said == "das Paket resemble-perth fehlt: pip install resemble-perth"
    assert why_not(Words("de"), "the tags are too many") == "the tags are too many"
