"""How the page's messages are written: counts need no plural, and percent signs stand one way."""

import re

import pytest

from serving.app.language import LANGUAGES, Words

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
    assert words.interval(share).startswith(f"12.3{one_way} ")


def test_french_signs_keep_to_what_they_follow() -> None:
    said = Words("fr").messages.values()
    assert not [message for message in said if re.search("« | [:;?!»%]", message)]
