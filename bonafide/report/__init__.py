"""The report of one recording: a page that explains itself, for a file of evidence."""

from bonafide.report.page import render, spokesman
from bonafide.report.pdf import printer

__all__ = ["printer", "render", "spokesman"]
