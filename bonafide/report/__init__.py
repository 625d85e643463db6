"""The report of one recording: a page that gives account of the answer and explains itself."""

from bonafide.report.page import render, spokesman, track_drawn
from bonafide.report.pdf import printer

__all__ = ["printer", "render", "spokesman", "track_drawn"]
