"""Watching what a service answers: a record of it, and whether it drifts from what it was."""
