"""The bundle that a page is about."""

from collections.abc import Mapping, Sequence

import streamlit as st

from bonafide.registry.listing import MISSING, reference
from serving.app.language import Words

Listed = Mapping[str, str]
CHOSEN = "bundle"  # the same on every page, in the state of a visit


def full_name(each: Listed) -> str:
    """Return ``name:version``."""
    return "{name}:{version}".format(**each)


def choose_bundle(words: Words, found: Sequence[Listed]) -> Listed:
    """Ask for one of the bundles that are listed: at first, that which answers."""
    named = {reference(each): each for each in found if each["stage"] != MISSING}
    stages = [each["stage"] for each in named.values()]
    first = stages.index("production" if "production" in stages else "shipped")
    chosen = st.selectbox(
        words("models.choose"),
        list(named),
        first,
        format_func=lambda ref: label(words, named[ref]),
        key=CHOSEN,
    )
    return named[chosen]


def label(words: Words, each: Listed) -> str:
    """Return a bundle's name, version and stage, to choose it by."""
    return f"{full_name(each)} ({words('models.stage_' + each['stage'])})"


def minute(stamp: str) -> str:
    """Return a time of ISO 8601, in UTC as all that are kept, to the minute."""
    return stamp[:16].replace("T", " ")
