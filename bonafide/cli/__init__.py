"""The command line: one file a group of commands, each thin: parse, call the domain, print."""

from bonafide.cli.root import main

__all__ = ["main"]
