"""Whether a canary is worse than it may be: counted by all workers of a server together.

Of each criterion a cumulative sum is kept (Page, 1954): each observation adds the logarithm of how
much likelier it is at three times the allowed odds than at the allowed share, and below 0 the sum
begins anew. At `LIMIT` it alarms. A canary that is exactly as bad as allowed does so once in at
least `FALSE_ALARM` observations on average (Lorden, 1971), one that fails each time after nine.
"""

import math
import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from bonafide.process.lock import locked
from bonafide.registry.beside import percent

FALSE_ALARM = 10_000
LIMIT = math.log(FALSE_ALARM)
ODDS = 3.0
# By criterion: what was bad of how many observations.
WORDS = {
    "errors": "requests failed",
    "latency": "answers took too long beside production's",
    "disagreement": "answers have another verdict than production's",
}
_SUM = struct.Struct("dqq")  # of each criterion: the sum; bad ones, and all, since it was 0
_ALARM = struct.Struct("q")  # behind them: the criterion that alarmed, from 1; 0: none did
_ALARM_AT = _SUM.size * len(WORDS)
_SIZE = _ALARM_AT + _ALARM.size


def added(total: float, bad: bool, allowed: float, weight: float = 1.0) -> float:
    """Return a sum after one more observation.

    Parameters
    ----------
    total : float
        The sum before, at least 0.
    bad : bool
        What was observed.
    allowed : float
        The share of bad ones that is allowed, above 0 and at most 1; at 1 no sum ever grows.
    weight : float
        Of a bad one, above 0 and at most 1.

    Returns
    -------
    float
        At least 0; `LIMIT` and more alarm.
    """
    scale = 1 + (ODDS - 1) * allowed
    return max(0.0, total + (weight * math.log(ODDS / scale) if bad else -math.log(scale)))


class Watch:
    """The sums of one canary, in a file that the workers share.

    Parameters
    ----------
    path : Path
        The file; made if it is missing.
    allowed : mapping of str to float
        The share of bad observations that is allowed, by criterion, as `WORDS` names them.

    Raises
    ------
    OSError
        If there is no room for it.
    """

    def __init__(self, path: Path, allowed: Mapping[str, float]) -> None:
        self._path, self._allowed = path, allowed
        with path.open("a+b") as file:
            os.posix_fallocate(file.fileno(), 0, _SIZE)  # a hole might find no room later on
            self._seen = mmap.mmap(file.fileno(), _SIZE)

    @property
    def alarm(self) -> str:
        """The criterion that alarmed; empty while none has."""
        (number,) = _ALARM.unpack_from(self._seen, _ALARM_AT)
        return ["", *WORDS][number]

    @property
    def why(self) -> str:
        """What was seen of that criterion, as words that follow a bundle's name."""
        place = _SUM.size * list(WORDS).index(self.alarm)
        _, bad, seen = _SUM.unpack_from(self._seen, place)
        allowed = percent(self._allowed[self.alarm])
        return f"{bad} of its last {seen} {WORDS[self.alarm]}; {allowed} may"

    def add(self, criterion: str, bad: bool, weight: float = 1.0) -> bool:
        """Add an observation.

        Parameters
        ----------
        criterion : str
            A name of `WORDS`.
        bad : bool
            What was observed.
        weight : float
            Of a bad one, as in `added`.

        Returns
        -------
        bool
            Whether this one raised the alarm, which is raised once.
        """
        number = list(WORDS).index(criterion)
        place = _SUM.size * number
        with locked(self._path):
            if self.alarm:
                return False
            total, n_bad, n_seen = _SUM.unpack_from(self._seen, place)
            total = added(total, bad, self._allowed[criterion], weight)
            now = (total, n_bad + bad, n_seen + 1) if total else (total, 0, 0)
            _SUM.pack_into(self._seen, place, *now)
            if total >= LIMIT:
                _ALARM.pack_into(self._seen, _ALARM_AT, number + 1)
            return total >= LIMIT
