"""Retraining on a schedule: a small long-lived process that starts one run at a time.

`runner` starts runs, when `triggers` say so; `bonafide.history` remembers them, `notices` tells
people, and `targets` writes what other schedulers need.
"""
