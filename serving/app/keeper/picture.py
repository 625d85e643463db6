"""A picture that was drawn for white paper, in the colours of the page."""

import base64
from html import escape

import streamlit as st

ON_DARK = "filter:invert(.91) hue-rotate(180deg);"  # as bonafide/evaluation/templates/page.css


def show_picture(svg: str, said: str, width_px: float, least_px: float = 0) -> None:
    """Show a picture.

    Parameters
    ----------
    svg : str
        An ``<svg>`` element; as the source of an image it can run and load nothing.
    said : str
        What a screen reader says of it.
    width_px : float
        How wide it is drawn, where there is room.
    least_px : float
        How narrow it may get; where there is less room it is scrolled, from its middle.
    """
    source = base64.b64encode(svg.encode()).decode()
    colours = ON_DARK if st.context.theme.type == "dark" else ""
    st.html(
        '<div tabindex="0" style="overflow-x:auto;position:relative;direction:ltr">'
        f'<img alt="{escape(said)}" src="data:image/svg+xml;base64,{source}" style="display:block;'
        f'width:{width_px:.0f}px;max-width:max(100%, {least_px:.0f}px);{colours}">'
        f'<i style="position:absolute;top:0;left:calc({least_px / 2:.0f}px - 45vw);width:90vw;'
        'height:1px;scroll-initial-target:nearest"></i></div>'
    )
