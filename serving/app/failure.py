"""An error on the page: of the service, or of this machine."""

import streamlit as st

from bonafide.client import ServiceError
from bonafide.errors import BonafideError
from serving.app import wording
from serving.app.language import Words


def show_failure(words: Words, error: ServiceError, where: str) -> None:
    """Show an error in plain words, with a way to try again where that may help.

    Parameters
    ----------
    words : Words
    error : ServiceError
    where : str
        What failed: one thing of a page, as each button has a key of its own.
    """
    if error.code == "not_found":  # this service serves fewer endpoints, as it was told to
        st.caption(wording.failure(words, error))
        return
    st.error(wording.plain(wording.failure(words, error)), icon=":material/error:")
    if error.retry_after_s or error.code in wording.PASSING | {"unreachable"}:
        st.button(words("page.again"), key=f"again-{where}", icon=":material/refresh:")


def show_refusal(said: str, error: BonafideError) -> None:
    """Show what this machine itself refuses, in words and with the error's code."""
    st.error(wording.plain(f"{said} ({error.code})"), icon=":material/error:")
