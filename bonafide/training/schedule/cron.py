"""Cron expressions, as cron and Kubernetes read them: APScheduler 3 counts weekdays from Monday."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from apscheduler.triggers.base import BaseTrigger

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Of each field: its name, the least and the largest number, and the names of the first ones.
FIELDS: tuple[tuple[str, int, int, Sequence[str]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("weekday", 0, 7, WEEKDAYS),
)
DAY, YEARS = timedelta(days=1), 9  # from one 29 February to the next are at most eight


class CronTimes(BaseTrigger):
    """The times that fit a cron expression.

    Where day and weekday are both restricted, either is enough. A time of the clock that daylight
    saving leaves out is an hour later; of one that it repeats the first counts.

    Parameters
    ----------
    cron : str
        Minute, hour, day, month, weekday: numbers, names (``mon``, ``jan``), ranges, steps, lists.
        Weekdays count from Sunday, which is 0 and 7.
    zone : tzinfo
        Whose clock it is.

    Raises
    ------
    ValueError
        For what is no expression, or not the same one everywhere.
    """

    def __init__(self, cron: str, zone: tzinfo) -> None:
        fields = cron.lower().split()
        if len(fields) != len(FIELDS):
            raise ValueError(f"wrong number of fields; got {len(fields)}, expected {len(FIELDS)}")
        found = [_numbers(text, *field) for text, field in zip(fields, FIELDS, strict=True)]
        self._minutes, self._hours, self._days, self._months, weekdays = found
        self._weekdays, self._zone = {number % 7 for number in weekdays}, zone
        _, _, day, _, weekday = fields
        self._either = "*" not in (day, weekday)
        if self._either and "*" in day + weekday:
            raise ValueError(
                f"day {day} with weekday {weekday}: cron asks for both, and Kubernetes for either; "
                "write out the numbers, or leave one of the two *"
            )

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the next time; those that have passed by now are not asked for again.

        Parameters
        ----------
        previous : datetime or None
            When it last fired.
        now : datetime
            The time.

        Returns
        -------
        datetime or None
            From now on, and after the previous one; None if no time ever fits.
        """
        after = now.astimezone(UTC)
        if previous is not None and previous <= after:  # else the clock was set back
            after = max(after, previous.astimezone(UTC) + timedelta(microseconds=1))
        first = after.astimezone(self._zone).date() - DAY  # daylight saving may begin at midnight
        days = (first + number * DAY for number in range(366 * YEARS))
        for day in filter(self._fits, days):
            if due := [each for each in self._times(day) if each >= after]:
                return min(due).astimezone(self._zone)
        return None

    def _fits(self, day: date) -> bool:
        of_month, of_week = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        fits = of_month or of_week if self._either else of_month and of_week
        return fits and day.month in self._months

    def _times(self, day: date) -> list[datetime]:
        """Return the times of a day, in UTC: those that the clock leaves out as if it had not."""
        clock = [time(hour, minute) for hour in self._hours for minute in self._minutes]
        return [datetime.combine(day, at, self._zone).astimezone(UTC) for at in clock]


def with_sunday_as_0(cron: str) -> str:
    """Return an expression of the same times for Kubernetes and its like, which know no 7.

    Returns
    -------
    str

    Examples
    --------
    >>> with_sunday_as_0("0 3 * * 5-7")
    '0 3 * * 0,5,6'
    """
    *others, weekday = cron.split()
    numbers = _numbers(weekday.lower(), *FIELDS[-1])
    if "*" in weekday or 7 not in numbers:
        return cron
    return " ".join([*others, ",".join(map(str, sorted({number % 7 for number in numbers})))])


def _numbers(text: str, field: str, least: int, most: int, names: Sequence[str]) -> set[int]:
    """Return the numbers that a field stands for."""
    found: set[int] = set()
    for part in text.split(","):
        span, slash, by = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = least, most
        else:
            start = _number(first, part, field, least, most, names)
            end = _number(last, part, field, least, most, names) if dash else start
        if slash and not (by.isascii() and by.isdigit() and 0 < int(by) <= most):
            raise ValueError(f"{field} {part!r}: its step must be a number from 1 to {most}")
        if slash and span != "*" and not dash:
            raise ValueError(
                f"{field} {part!r}: a step must follow * or a range, as in {span}-{most}/{by}"
            )
        if start > end:
            raise ValueError(f"{field} {part!r}: the first of a range must not be the larger one")
        found.update(range(start, end + 1, int(by or 1)))
    return found


def _number(word: str, part: str, field: str, least: int, most: int, names: Sequence[str]) -> int:
    if word in names:
        return least + names.index(word)
    if word.isascii() and word.isdigit() and least <= int(word) <= most:
        return int(word)
    named = f", or a name from {names[0]} to {names[-1]}" if names else ""
    raise ValueError(f"{field} {part!r}: must be numbers from {least} to {most}{named}")
