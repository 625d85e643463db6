"""The bundles of this machine: which there are, what each is worth, how two differ."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from bonafide.bundle import Bundle
from bonafide.home import home
from bonafide.registry import Registry, registry_of
from bonafide.registry.difference import difference, shown
from bonafide.registry.listing import MISSING, listed, measured, reference
from bonafide.report.words import thresholds_for
from serving.app import wording
from serving.app.allowed import Allowed
from serving.app.card import show_card
from serving.app.keeper.choice import Listed, choose_bundle, full_name, label, minute
from serving.app.keeper.switch import show_switch
from serving.app.language import Words

Json = dict[str, Any]


def show_models(words: Words, allowed: Allowed) -> None:
    """List the bundles, show one, compare it with another, and switch where that is allowed."""
    registry = registry_of(home())
    found = listed(registry)
    st.markdown(words("models.intro"))
    st.dataframe([_row(words, registry, each) for each in found], hide_index=True)
    chosen = choose_bundle(words, found)
    bundle = registry.read(reference(chosen))
    _show_bundle(words, bundle)
    _show_difference(words, registry, found, chosen, bundle)
    if allowed.manage:
        show_switch(words, registry, chosen)
    else:
        st.caption(words("switch.off"))


def _row(words: Words, registry: Registry, each: Listed) -> Json:
    metrics = _measured(each["sha256"], registry, each)
    eer = metrics.get("eer")
    stage = words(f"models.stage_{each['stage']}")
    if each["held"]:
        stage = words.listed((stage, words("models.held")))
    return {
        words("models.bundle"): full_name(each),
        words("models.stage"): words.listed(filter(None, (stage, each["beside"]))),
        words("models.error"): words.interval(eer) if eer else "",
        words("models.measured_on"): metrics.get("on", metrics.get("rows", "")),
        words("models.created"): minute(each["created"]),
        "SHA-256": each["sha256"],
    }


@st.cache_data(max_entries=1024, show_spinner=False)  # the hash is of the metrics, too
def _measured(sha256: str, _registry: Registry, _each: Listed) -> Json:
    return measured(_registry, _each)


def _show_bundle(words: Words, bundle: Bundle) -> None:
    """Show a bundle's card, and its thresholds and errors on each channel."""
    manifest = bundle.manifest
    st.markdown(wording.plain(wording.trained_on(words, {"manifest": manifest})))
    with st.expander(words("models.card")):
        path = bundle.folder / "card.md"
        card = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if card:
            show_card(words, card)
        else:
            st.markdown(words("models.no_card"))
    with st.expander(words("models.channels")):
        known = manifest.get("channels") or [{"name": "", "label": words("models.any_channel")}]
        st.dataframe([_channel(words, bundle, each) for each in known], hide_index=True)


def _channel(words: Words, bundle: Bundle, channel: Json) -> Json:
    thresholds = thresholds_for({"channel": channel}, bundle.manifest)
    errors = bundle.channel_errors.get(channel["name"], {})
    wrong = errors.get("wrong")  # nothing where nothing was decided

    def edge(name: str) -> str:
        value = thresholds[name]
        return words("models.never") if value is None else words.percent(value)

    return {
        words("batch.channel"): wording.channel_name(words, channel),
        words("models.real_to"): edge("bonafide_to"),
        words("models.fake_from"): edge("spoof_from"),
        words("models.decided"): words.percent(1 - errors["undecided"]) if errors else "",
        words("models.wrong"): words.interval(wrong) if wrong else "",
    }


def _show_difference(
    words: Words, registry: Registry, found: Sequence[Listed], chosen: Listed, bundle: Bundle
) -> None:
    """Show what differs between the manifests of the chosen bundle and of another one."""
    gone = [chosen, *(each for each in found if each["stage"] == MISSING)]
    others = {reference(each): each for each in found if each not in gone}
    other = st.selectbox(
        words("models.compare"),
        list(others),
        None,
        format_func=lambda ref: label(words, others[ref]),
        placeholder=words("models.none"),
        key="other",
    )
    if other is None:
        return
    differing = difference(bundle.manifest, registry.read(other).manifest)
    one, two = full_name(chosen), full_name(others[other])
    if one == two:  # what ships, and a copy of it
        one, two = label(words, chosen), label(words, others[other])
    rows = [
        {words("models.entry"): key, one: shown(first), two: shown(second)}
        for key, (first, second) in differing.items()
    ]
    if rows:
        width = {words("models.entry"): st.column_config.TextColumn(width="medium")}
        st.dataframe(rows, hide_index=True, column_config=width)
    else:
        st.markdown(words("models.same"))
