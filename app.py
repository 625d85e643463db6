"""``streamlit run app.py``: the page of `bonafide app`, with a detector of its own."""

import os
import runpy
import threading
from concurrent.futures import Future

import streamlit as st

from bonafide.errors import BonafideError
from bonafide.process.service import is_loopback
from serving.app.allowed import Allowed
from serving.app.client import URL
from serving.app.launch import PAGE, own_service


@st.cache_resource(show_spinner="Starting the detector …")
def own_url() -> str:
    """Start a detector for all visits, in a thread that outlives each of them; return its URL."""
    address: Future[str] = Future()

    def hold() -> None:
        try:
            with own_service() as url:
                address.set_result(url)
                threading.Event().wait()
        except BonafideError as error:
            address.set_exception(error)

    threading.Thread(target=hold, daemon=True).start()
    return address.result()


def main() -> None:
    """Start the detector unless one is named, and show the page."""
    if not is_loopback(st.get_option("server.address") or ""):
        # The page asks nobody who they are, and Streamlit serves the whole network by itself.
        st.error("Other machines can reach this page. Start it with --server.address 127.0.0.1")
        st.stop()
    if not os.environ.get(URL):
        try:
            os.environ |= {URL: own_url(), **Allowed(own=True).to_environment()}
        except BonafideError as error:
            st.error(f"The detector did not start ({error.code}); the log says why.")
            st.stop()
    runpy.run_path(str(PAGE))


main()
