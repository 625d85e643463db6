"""Recordings for who has none at hand; `bonafide.simulation.examples` makes them."""

from pathlib import Path

EXAMPLES = ("voice", "machine")


def example(name: str) -> bytes:
    """Return a recording: a FLAC file.

    Parameters
    ----------
    name : str
        One of `EXAMPLES`.
    """
    return (Path(__file__).with_name("examples") / f"{name}.flac").read_bytes()
