"""The journal: every switch of a registry, one object each; what is in production follows from it.

Entry n is written to ``journal/<n>.json`` only where nothing is, so of two that would be the n-th
one is. Nothing else says what is in production, so a switch takes effect by being recorded.
"""

import getpass
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Literal, cast, get_args
from uuid import uuid4

from bonafide.bundle import Bundle, require_names

Role = Literal["shadow", "canary"]
End = Literal["no_shadow", "no_canary", "returned"]
Switch = Literal["promote", "rollback", "hold", "release", "refused"]
Action = Literal[Switch, Role, End]
ENDS: Mapping[End, Role] = {"no_shadow": "shadow", "no_canary": "canary", "returned": "canary"}
Stage = Literal["staging", "production", "archived"]


@dataclass(frozen=True)
class Version:
    """A kept bundle.

    Parameters
    ----------
    name, version : str
        Of the bundle.
    sha256 : str
        Of its content.

    Raises
    ------
    ValueError
        For a name or version that no folder may have, or a hash that is no text.
    """

    name: str
    version: str
    sha256: str

    def __post_init__(self) -> None:
        """Check them: what is read and written lies in a folder of that name."""
        require_names(self.name, self.version)
        if not isinstance(self.sha256, str):
            raise ValueError(f"sha256 {self.sha256!r}: must be text")

    @classmethod
    def of(cls, bundle: Bundle) -> "Version":
        """Return a bundle's."""
        return cls(**bundle.identity)

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def folder(self) -> str:
        """Where it lies in a registry."""
        return f"bundles/{self.name}/{self.version}"


@dataclass(frozen=True)
class Entry:
    """A line of the journal.

    Parameters
    ----------
    number : int
        From 1.
    action : str
        ``promote``, ``rollback``, ``hold``, ``release``; ``refused``: a promotion that another
        switch overtook; ``shadow``, ``canary``: the bundle is one beside that in production since
        then; ``no_shadow``, ``no_canary``: not any more; ``returned``: a service stopped the
        canary.
    bundle : Version
        What it is about.
    before, after : Version or None
        What was in production, and what is since then; None: nothing, the shipped bundle answers.
    why : str
        The reason that was given.
    override : bool
        Whether the promotion went past the gate.
    by : str
        The user and the machine.
    at : str
        The time, UTC, ISO 8601.
    share : float
        Of a canary: the share of clients that it answers, above 0 and below 1; else 0.
    """

    number: int
    action: Action
    bundle: Version
    before: Version | None
    after: Version | None
    why: str
    override: bool = False
    by: str = field(default_factory=lambda: _who())
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    share: float = 0.0

    @property
    def path(self) -> str:
        """Where it lies in a registry."""
        return f"journal/{self.number:08d}.json"

    def to_json(self) -> dict[str, Any]:
        """Return it with ``from`` and ``to`` as the names of what was and is in production."""
        entries = asdict(self)
        ends = {"from": entries.pop("before"), "to": entries.pop("after")}
        if not self.share:
            del entries["share"]
        return {**entries, **ends}

    def to_bytes(self) -> bytes:
        """Return what is written; no two writings are the same, so each knows its own again."""
        return (json.dumps({**self.to_json(), "id": uuid4().hex}, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, number: int) -> "Entry":
        """Read what `to_bytes` wrote; anything else raises a ValueError, TypeError or KeyError."""
        read = json.loads(content)
        del read["id"]
        if type(read["number"]) is not int or read["number"] != number:
            raise ValueError(f"it says that it is number {read['number']}")
        if read["action"] not in get_args(Action) or type(read.get("override")) is not bool:
            raise ValueError("its action or override is none")
        if not all(isinstance(read[key], str) for key in ("why", "by", "at")):
            raise ValueError("why, by and at must be text")
        if (type(share := read.get("share", 0.0)) is not float) or (
            not 0 < share < 1 if read["action"] == "canary" else share
        ):
            raise ValueError(f"share {share!r}: must be that of a canary, above 0 and below 1")
        bundle, before, after = (read.pop(key) for key in ("bundle", "from", "to"))
        return cls(**read, bundle=Version(**bundle), before=_version(before), after=_version(after))


def _version(read: Mapping[str, str] | None) -> Version | None:
    return None if read is None else Version(**read)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True)
class State:
    """What a journal says after its last entry.

    Parameters
    ----------
    number : int
        Of the last entry; 0 for an empty journal.
    switch : int
        The number of the last entry that changed what is in production.
    line : tuple of Version
        What was in production, one after the other up to now; a rollback takes the later ones off.
    served : frozenset of Version
        All that ever was in production.
    holds : dict of Version to Entry
        What is held, and since which entry.
    beside : dict of str to Entry
        Which bundle is the ``shadow`` and which the ``canary``, and since which entry.
    damage : str
        Why the note of an earlier version of this package, ``production.json``, cannot be read.
    """

    number: int = 0
    switch: int = 0
    line: tuple[Version, ...] = ()
    served: frozenset[Version] = frozenset()
    holds: Mapping[Version, Entry] = field(default_factory=dict)
    beside: Mapping[Role, Entry] = field(default_factory=dict)
    damage: str = ""

    @property
    def production(self) -> Version | None:
        """What is in production; None: nothing, the shipped bundle answers."""
        return self.line[-1] if self.line else None

    @property
    def stamp(self) -> str:
        """Text that changes when what is in production does."""
        return f"{self.switch} {self.production}"

    def stage(self, version: Version) -> Stage:
        """Return a version's stage."""
        if version == self.production:
            return "production"
        return "archived" if version in self.served else "staging"

    @classmethod
    def starting_with(cls, version: Version | None, damage: str = "") -> "State":
        """Return the state before the first entry."""
        line = (version,) if version else ()
        return cls(line=line, served=frozenset(line), damage=damage)

    def after(self, *entries: Entry) -> "State":
        """Return the state after these entries too."""
        return reduce(State._then, entries, self)

    def _then(self, entry: Entry) -> "State":
        holds = dict(self.holds)
        if entry.action == "hold":
            holds[entry.bundle] = entry
        if entry.action == "release":
            holds.pop(entry.bundle, None)
        if entry.action == "rollback":
            holds = {key: value for key, value in holds.items() if key != entry.before}
            holds[entry.bundle] = entry
        beside = self._beside(entry)
        then = replace(self, number=entry.number, holds=holds, beside=beside, damage="")
        if entry.before == entry.after or entry.after is None:
            return then
        line, served = self._line(entry, entry.after), self.served | {entry.after}
        return replace(then, switch=entry.number, line=line, served=served)

    def _beside(self, entry: Entry) -> dict[Role, Entry]:
        beside = dict(self.beside)
        if entry.action in get_args(Role):
            beside[cast(Role, entry.action)] = entry
        if entry.action == "hold" and (one := beside.get("canary")) and one.bundle == entry.bundle:
            del beside["canary"]  # what is held answers nobody
        if entry.action in ENDS:
            beside.pop(ENDS[cast(End, entry.action)], None)
        return {role: each for role, each in beside.items() if each.bundle != entry.after}

    def _line(self, entry: Entry, now: Version) -> tuple[Version, ...]:
        if entry.action == "promote":
            return (*self.line, now)
        if now in self.line:
            return self.line[: len(self.line) - self.line[::-1].index(now)]
        return (*self.line, now) if now in self.served else (now,)  # back to before the first
