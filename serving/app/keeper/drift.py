"""Whether what is answered lately differs from what was answered first, or from training."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import streamlit as st

from bonafide.errors import missing_extra
from bonafide.home import home
from bonafide.monitoring.drift import Window
from bonafide.monitoring.expected import EXPECTED, expected_of
from bonafide.monitoring.figures import drift_figure
from bonafide.monitoring.record import AGAINST, FIRST, RECORD, TRAINING, Record
from bonafide.monitoring.watch import Watch
from bonafide.registry import bundle_folder, find_bundle, registry_of
from bonafide.registry.listing import listed, names_of, reference
from serving.app.keeper.choice import choose_bundle
from serving.app.keeper.picture import show_picture
from serving.app.language import END, LEFT, Words
from serving.settings import Settings

Json = dict[str, Any]
LIBRARIES = ("scipy", "matplotlib")
FIGURE_PX = 720  # wide
KEPT_S = 60  # what was seen of a record is kept


def show_drift(words: Words) -> None:
    """Show what `bonafide monitor` says of the record of this machine."""
    st.markdown(words("drift.intro"))
    path = Path(Settings.from_environment().record or home() / RECORD)
    if not path.exists():
        st.info(words("drift.none"), icon=":material/info:")
        return
    for library in LIBRARIES:
        if find_spec(library) is None:
            raise missing_extra(library, "train")
    known = listed(registry_of(home()))
    chosen = choose_bundle(words, known)
    ref = reference(chosen)
    against = _choose_reference(words, ref)
    with st.spinner(words("drift.looking")):
        watch = _watch(path, chosen["sha256"], ref, against).with_names(names_of(known))
    if watch.windows:
        _show_windows(words, watch)
    else:
        st.markdown(words("drift.few", answers=watch.answers, needed=watch.needed))
    _show_remarks(words, watch)


def _choose_reference(words: Words, bundle: str) -> str:
    """Ask what answers are compared with, of a bundle that knows both."""
    if not (bundle_folder(home(), bundle) / EXPECTED).exists():
        return FIRST
    return st.radio(
        words("drift.against"),
        AGAINST,
        format_func=lambda name: words(f"drift.against_{name}"),
        horizontal=True,
    )


@st.cache_data(ttl=KEPT_S, show_spinner=False)
def _watch(path: Path, sha256: str, ref: str, against: str) -> Watch:
    expected = expected_of(find_bundle(home(), ref)) if against == TRAINING else ()
    return Watch.of(Record(path), sha256, reference=expected)


def moved_since(windows: Sequence[Window]) -> dict[str, float]:
    """Return what alarms in the newest window, and since when it has in each.

    Parameters
    ----------
    windows : sequence of Window
        At least one, in the order of time.

    Returns
    -------
    dict of str to float
        Name of each statistic that alarms -> seconds since 1970 of the first answer of the first
        of the windows in a row, up to the newest, in which it does.
    """
    since = {}
    for name in windows[-1].alarms:
        for window in reversed(windows):
            if name not in window.alarms:
                break
            since[name] = window.start
    return since


def _show_windows(words: Words, watch: Watch) -> None:
    windows, to = watch.windows, "_training" if watch.against == TRAINING else ""
    if moved := moved_since(windows):
        lines = [words(f"drift.alarm{to}", rows=windows[-1].rows), ""]
        lines += [
            f"- {words('drift.since', what=_name(words, name), since=f'{LEFT}{_when(at)}{END}')}"
            for name, at in moved.items()
        ]
        st.warning("\n".join(lines), icon=":material/warning:")
        st.markdown(words("drift.meaning"))
    else:
        st.success(words(f"drift.calm{to}", rows=windows[-1].rows), icon=":material/check:")
    show_picture(drift_figure(windows), words("drift.title"), FIGURE_PX)
    st.caption(words("drift.figure"))
    st.dataframe([_row(words, window) for window in reversed(windows)], hide_index=True)


def _row(words: Words, window: Window) -> Json:
    return {
        words("drift.from"): _when(window.start),
        words("drift.to"): _when(window.end),
        words("drift.answers"): window.rows,
        words("drift.undecided"): words.percent(window.undecided),
        words("drift.moved"): words.listed(_name(words, name) for name in window.alarms),
    }


def _show_remarks(words: Words, watch: Watch) -> None:
    """Show what people and other bundles said of the same recordings, and what is damaged."""
    if (error := watch.error) and error.decided:
        counts = {"decided": error.decided, "wrong": error.wrong}
        low, high = words.percent(error.low), words.percent(error.high)
        st.markdown(words("drift.judged", **counts, low=low, high=high))
    for other in watch.others:
        counts = {"differ": other.differ, "recordings": other.recordings}
        st.markdown(words("drift.other", bundle=other.called, **counts))
    if watch.damaged:
        st.markdown(words("drift.damaged", rows=watch.damaged))


def _name(words: Words, statistic: str) -> str:
    return words(f"drift.{statistic.replace(' ', '_')}")


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
