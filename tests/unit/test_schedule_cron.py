"""What a cron expression means: what it means to cron, whose fields are read here in the plain way.

The rules are those of crontab(5): weekdays count from Sunday, which is 0 and 7; where day and
weekday are both restricted, either is enough.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bonafide.errors import ConfigError
from bonafide.training.schedule.triggers import cron_trigger

NAMES = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
START = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)


def times(cron: str, zone: str, start: datetime, count: int) -> list[datetime]:
    """Return the first times from a moment on, as a scheduler that never sleeps asks for them."""
    trigger = cron_trigger(cron, zone)
    found: list[datetime] = []
    for _ in range(count):
        before = found[-1] if found else None
        due = trigger.get_next_fire_time(before, before or start)
        assert due is not None
        found.append(due)
    return found


@pytest.mark.parametrize(
    ("weekday", "expected"),
    [
        ("0", {"Sun"}),
        ("7", {"Sun"}),
        ("1", {"Mon"}),
        ("6", {"Sat"}),
        ("sun", {"Sun"}),
        ("MON-Fri", {"Mon", "Tue", "Wed", "Thu", "Fri"}),
        ("1-5", {"Mon", "Tue", "Wed", "Thu", "Fri"}),
        ("5-7", {"Fri", "Sat", "Sun"}),
        ("0-6", set(NAMES)),
        ("*", set(NAMES)),
        ("*/2", {"Sun", "Tue", "Thu", "Sat"}),
        ("1-5/2", {"Mon", "Wed", "Fri"}),
        ("0,3", {"Sun", "Wed"}),
        ("1,fri-sat", {"Mon", "Fri", "Sat"}),
    ],
)
def test_weekdays(weekday: str, expected: set[str]) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    fired = times(f"0 3 * * {weekday}", "UTC", start, len(expected) + 1)
    assert {due.strftime("%a") for due in fired} == expected
    assert fired[-1] == fired[0] + timedelta(days=7)


def of(most: int, least: int = 0) -> st.SearchStrategy[tuple[str, set[int]]]:
    """Make a field, and the numbers it stands for."""
    numbers = st.integers(least, most)
    span = st.tuples(numbers, numbers).map(sorted)
    steps = st.integers(1, most)
    each = st.one_of(
        numbers.map(lambda n: (str(n), {n})),
        span.map(lambda s: (f"{s[0]}-{s[1]}", set(range(s[0], s[1] + 1)))),
        st.tuples(span, steps).map(
            lambda p: (f"{p[0][0]}-{p[0][1]}/{p[1]}", set(range(p[0][0], p[0][1] + 1, p[1])))
        ),
    )
    lists = st.lists(each, min_size=1, max_size=3).map(
        lambda parts: (",".join(t for t, _ in parts), set[int]().union(*(n for _, n in parts)))
    )
    return st.one_of(st.just(("*", set(range(least, most + 1)))), lists)


def plain(fields: list[tuple[str, set[int]]], start: datetime) -> Iterator[datetime]:
    """Yield the minutes that fit, from a moment on: each of them is looked at."""
    (_, minutes), (_, hours), (day, days), (_, months), (weekday, weekdays) = fields
    at = start
    while at < start + timedelta(days=400):
        in_month, in_week = at.day in days, bool({at.isoweekday(), at.isoweekday() % 7} & weekdays)
        both = day != "*" and weekday != "*"
        fits = (in_month or in_week) if both else (in_month and in_week)
        if not (fits and at.month in months):
            at = at.replace(hour=0, minute=0) + timedelta(days=1)
            continue
        if at.hour in hours and at.minute in minutes:
            yield at
        at += timedelta(minutes=1)


@settings(max_examples=60, deadline=None)
@given(st.tuples(of(59), of(23), of(28, 1), of(12, 1), of(7)).map(list))
def test_the_plain_reading(fields: list[tuple[str, set[int]]]) -> None:
    cron = " ".join(text for text, _ in fields)
    expected = [at for at, _ in zip(plain(fields, START), range(3), strict=False)]
    assert expected and times(cron, "UTC", START, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "day", "expected"),
    [
        ("30 2 * * *", "2027-10-31", ["2027-10-31T02:30:00+02:00"]),
        ("30 2 * * *", "2027-03-28", ["2027-03-28T03:30:00+02:00"]),  # there is no 02:30
        ("0 3 * * *", "2027-03-28", ["2027-03-28T03:00:00+02:00"]),
        ("0 1 * * *", "2027-10-31", ["2027-10-31T01:00:00+02:00"]),
        ("0 6 * * *", "2027-10-31", ["2027-10-31T06:00:00+01:00"]),
    ],
)
def test_one_run_a_night_whatever_the_clock_does(cron: str, day: str, expected: list[str]) -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = datetime.fromisoformat(day).replace(tzinfo=zone)
    fired = times(cron, "Europe/Berlin", start, 3)
    assert [due.isoformat() for due in fired if due.date() == start.date()] == expected
    assert all(due == due.astimezone(UTC).astimezone(zone) for due in fired)


def test_times_that_passed_are_one() -> None:
    """A scheduler that slept for a month asks for what follows the time it missed."""
    trigger, now = cron_trigger("*/5 * * * *", "UTC"), START + timedelta(days=30)
    assert trigger.get_next_fire_time(START, now) == now + timedelta(minutes=4)


def test_a_clock_that_was_ahead_silences_nothing() -> None:
    ahead = START + timedelta(days=5 * 365)
    due = cron_trigger("0 3 * * *", "UTC").get_next_fire_time(ahead, START)
    assert due == datetime(2026, 3, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "match"),
    [
        ("0 3 last * *", "day 'last': must be numbers from 1 to 31"),
        ("0 3 L * *", "day 'l': must be numbers"),
        ("0 3 * * 5L", "weekday '5l': must be numbers from 0 to 7, or a name from sun to sat"),
        ("0 3 * * 1st mon", "wrong number of fields"),
        ("0 3 * * mon#1", "weekday 'mon#1'"),
        ("0 3 ? * *", "day '\\?'"),
        ("0 3 * * 8", "weekday '8'"),
        ("0 3 * * fri-mon", "weekday 'fri-mon': the first of a range must not be the larger"),
        ("5/10 * * * *", "minute '5/10': a step must follow .* 5-59/10"),
        ("*/90 * * * *", "its step must be a number from 1 to 59"),
        ("0 3 1- * *", "day '1-'"),
        ("0 3 1,,2 * *", "day ''"),
        ("٣ 3 * * *", "minute"),
        ("0 3 */2 * mon", "day \\*/2 with weekday mon: cron asks for both, and Kubernetes"),
    ],
)
def test_what_cron_does_not_read_everywhere(cron: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        cron_trigger(cron, "UTC")
    assert caught.value.code == "bad_cron"


def test_either_of_day_and_weekday() -> None:
    """The 13th, and each Friday."""
    fired = times("0 3 13 * 5", "UTC", datetime(2026, 3, 7, tzinfo=UTC), 4)
    assert [due.day for due in fired] == [13, 20, 27, 3]
    fired = times("0 3 15 * 5", "UTC", datetime(2026, 3, 7, tzinfo=UTC), 4)
    assert [due.day for due in fired] == [13, 15, 20, 27]
