"""What a file itself says of its origin, apart from the verdict."""

import re
from typing import Any

import streamlit as st

from bonafide.client import ServiceError
from bonafide.provenance.finding import NO_PACKAGE
from bonafide.provenance.quoted import quoted
from serving.app import wording
from serving.app.asked import Asked
from serving.app.failure import show_failure
from serving.app.language import Words
from serving.app.recording import Recording

Json = dict[str, Any]
NOT_INSTALLED = re.compile(NO_PACKAGE.format(r"(\S+)", "(.+)"))


def show_origin(words: Words, asked: Asked, recording: Recording) -> None:
    """Ask the provenance desk and show each finding with what it proves."""
    st.subheader(words("origin.title"), anchor=False)
    st.caption(words("origin.caption"))
    try:
        with st.spinner(words("origin.asking")):
            origin = asked.provenance(recording)
    except ServiceError as error:
        show_failure(words, error, "origin")
        return
    st.markdown(wording.plain(facts_in_words(words, origin["facts"])))
    for found in origin["findings"]:
        with st.container(border=True):
            key = f"finding.{found['code']}"
            st.markdown(f"**{words(f'{key}.name')}**")
            st.text(found["seen"])
            for part in ("proves", "absence"):
                said = wording.plain(words(f"{key}.{part}"))
                st.markdown(f"*{words(f'origin.{part}')}* {said}")
    if not origin["findings"]:
        st.markdown(words("origin.nothing"))
    _show_absent(words, origin)


def facts_in_words(words: Words, facts: Json) -> str:
    """Return what a file is, without suspicion."""
    said = words(
        "origin.fact_codec",
        codec=words.foreign(facts["codec"]),
        rate=facts["rate_hz"],
        channels=facts["channels"],
        duration=words.number(f"{facts['duration_s']:.2f}"),
    )
    more = []
    if (band_hz := facts["band_hz"]) is not None:
        more.append(words("origin.fact_band", khz=words.number(f"{band_hz / 1000:.1f}")))
    if library := facts["library"]:
        more.append(words("origin.fact_library", tag=words.foreign(quoted(library))))
    more += [words.foreign(facts[name]) for name in ("damage", "omitted") if facts[name]]
    return " ".join([said, *more])


def _show_absent(words: Words, origin: Json) -> None:
    """List what was looked for and is not there, and what could not be looked for."""
    if origin["not_found"]:
        with st.expander(words("origin.not_found")):
            for absent in origin["not_found"]:
                key = f"finding.{absent['code']}"
                said = wording.plain(words(f"{key}.absence"))
                st.markdown(f"- **{words(f'{key}.name')}**: {said}")
    for missing in origin["not_looked_for"]:
        name = words(f"finding.{missing['code']}.name")
        why = why_not(words, missing["why"])
        st.caption(wording.plain(f"{words('origin.not_looked_for')}: {name} ({why})"))


def why_not(words: Words, why: str) -> str:
    """Return why something was not looked for: in this language where a package is missing."""
    if missing := NOT_INSTALLED.fullmatch(why):
        package, install = map(words.foreign, missing.groups())
        return words("origin.package_missing", package=package, install=install)
    return words.foreign(why)
