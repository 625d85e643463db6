"""A clock for tests of schedules, whose runs are told apart by the second."""

from datetime import UTC, datetime, timedelta

import pytest

from bonafide import history

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def let_seconds_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass from `NOON` on whenever anybody looks at the clock of schedules."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(history, "now", lambda: NOON + timedelta(seconds=next(ticks)))
