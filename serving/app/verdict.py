"""The verdict, large, over a bar that shows the probability: HTML, so that it stays text."""

from collections.abc import Mapping
from typing import Any

from serving.app.language import Words
from serving.app.palette import FAKE, REAL, UNDECIDED
from serving.app.wording import edges

COLOURS = {"bonafide": REAL, "spoof": FAKE, "partly_spoof": FAKE, "inconclusive": UNDECIDED}
SIGNS = {"bonafide": "✓", "spoof": "!", "partly_spoof": "!", "inconclusive": "?"}


def headline(words: Words, verdict: str) -> str:
    """Return the verdict in large letters, with a sign and a colour."""
    colour = COLOURS[verdict]
    return (
        f'<div role="status" style="display:flex;align-items:center;gap:.75rem;margin:.25rem 0">'
        f'<span aria-hidden="true" style="flex:none;width:2.75rem;height:2.75rem;'
        f"border-radius:50%;background:{colour};color:#fff;font-size:1.6rem;font-weight:700;"
        f'display:grid;place-items:center">{SIGNS[verdict]}</span>'
        f'<span data-testid="verdict" style="font-size:clamp(1.5rem,6vw,2.1rem);font-weight:700;'
        f'line-height:1.15">{words(f"verdict.{verdict}")}</span></div>'
    )


def bar(words: Words, p_spoof: float, thresholds: Mapping[str, Any]) -> str:
    """Return the probability on a bar of three parts: real, undecided, deepfake."""
    low, high = edges(thresholds)
    parts = ((low, REAL), (high - low, UNDECIDED), (1 - high, FAKE))
    coloured = "".join(
        f'<span style="width:{100 * share:.2f}%;background:{colour}"></span>'
        for share, colour in parts
    )
    place = f"{100 * min(max(p_spoof, 0.01), 0.99):.2f}%"
    marks = "".join(
        f'<span style="position:absolute;left:{100 * share:.2f}%;'
        f'transform:translateX(-{100 * share:.2f}%)">{words.percent(share)}</span>'
        for share in (low, high)
        if 0 < share < 1
    )
    real = words("bar.real_to", low=words.percent(low)) if low > 0 else words("bar.never_real")
    fake = words("bar.fake_from", high=words.percent(high)) if high < 1 else words("bar.never_fake")
    shown = words.percent(p_spoof)
    described = words("bar.described", chance=shown, real=real, fake=fake)
    ends = f"<span>{words('bar.real')}</span><span>{words('bar.fake')}</span>"
    return (
        # From left to right in every language, as the charts below.
        f'<div dir="ltr" role="img" aria-label="{described}" style="margin:.25rem 0 .5rem">'
        f'<div style="position:relative;height:1.6rem"><span style="position:absolute;'
        f"left:{place};transform:translateX(-{place});"  # so that no end of it sticks out
        f'font-weight:700;white-space:nowrap">{shown}</span>'
        f"</div>"
        f'<div style="position:relative"><div style="display:flex;gap:2px;height:.9rem;'
        f'border-radius:.45rem;overflow:hidden">{coloured}</div>'
        f'<span style="position:absolute;left:{place};top:-.25rem;width:.3rem;height:1.4rem;'
        f"transform:translateX(-50%);background:currentColor;border-radius:.15rem;"
        f'outline:2px solid rgba(128,128,128,.35)"></span></div>'
        f'<div style="position:relative;height:1.3rem;font-size:.85rem;margin-top:.3rem;'
        f'white-space:nowrap">{marks}</div>'
        f'<div style="display:flex;justify-content:space-between;font-size:.85rem">{ends}</div>'
        f"</div>"
    )
