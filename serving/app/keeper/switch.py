"""Promoting a bundle and rolling back, by the registry's own rules, once it is confirmed."""

import streamlit as st

from bonafide.errors import BonafideError
from bonafide.registry import Entry, Registry, State
from bonafide.registry.listing import SHIPPED
from serving.app import wording
from serving.app.failure import show_refusal
from serving.app.keeper.choice import Listed, full_name
from serving.app.language import Words

DONE = "switched"  # what the last switch came to, in the state of a visit


def show_switch(words: Words, registry: Registry, chosen: Listed) -> None:
    """Offer what can be done with the chosen bundle; each asks to be confirmed."""
    st.subheader(words("switch.title"), anchor=False)
    st.caption(words("switch.caption"))
    if done := st.session_state.pop(DONE, None):
        st.success(wording.plain(done), icon=":material/check:")
    if chosen["stage"] == SHIPPED:
        st.markdown(words("switch.only_kept"))
        return
    seen, name = registry.sound(), full_name(chosen)
    ask = st.dialog(words("switch.sure"))(_ask)
    with st.container(horizontal=True):
        if chosen["stage"] != "production":
            if st.button(words("switch.promote", bundle=name)):
                ask(words, registry, "promote", name, seen)
            back = name
        else:
            back = str(seen.line[-2]) if len(seen.line) > 1 else ""
        if chosen["stage"] != "staging":
            to = back or words("switch.shipped")
            if st.button(words("switch.back", bundle=to)):
                ask(words, registry, "back", back, seen)


def _ask(words: Words, registry: Registry, what: str, ref: str, seen: State) -> None:
    """Ask for a reason, and whether to go on; then do it, or say why not."""
    now = str(seen.production or words("switch.shipped"))
    name = ref or words("switch.shipped")
    st.markdown(wording.plain(words(f"switch.{what}_sure", bundle=name, now=now)))
    why = st.text_input(words("switch.why"))
    with st.container(horizontal=True):
        go_on = st.button(words("switch.go_on"), type="primary")
        if st.button(words("switch.cancel")):
            st.rerun()
    if not go_on:
        return
    try:
        entry = _switch(registry, what, ref, why.strip(), seen)
    except BonafideError as error:
        show_refusal(f"{words('models.refused')} {words.foreign(error.message)}", error)
        return
    said = words("switch.done", bundle=str(entry.after if entry else ref), now=now)
    st.session_state[DONE] = said
    st.rerun()


def _switch(registry: Registry, what: str, ref: str, why: str, seen: State) -> Entry | None:
    if what == "promote":
        return registry.promote(registry.find(ref), why=why, seen=seen)
    return registry.rollback(ref or None, why=why, seen=seen)
