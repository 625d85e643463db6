"""Bonafide: tell machine-generated speech from human speech."""

__version__ = "0.1.0"
