"""Parts by name: those that come with this package, and those that other packages bring."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from bonafide.errors import ConfigError


class Part(Protocol):
    """What can be registered: anything with a name."""

    @property
    def name(self) -> str:
        """Its name in a configuration."""


T = TypeVar("T", bound=Part)


class Registry(Generic[T]):
    """Parts of one sort by name, open to other packages through entry points.

    Another package's part is imported when its name is asked for; until then nobody pays for it.

    Parameters
    ----------
    group : str
        Group of the entry points, such as ``bonafide.views``. An entry point's name is that of the
        part that it points to.
    sort : type
        What every part must be.
    parts : iterable
        The parts that come with this package, in the order in which messages list them.
    """

    def __init__(self, group: str, sort: type[T], parts: Iterable[T]) -> None:
        self._group, self._sort = group, sort
        self._parts = {part.name: part for part in parts}

    def names(self) -> tuple[str, ...]:
        """Return the names of all parts, those of other packages last; imports none of them."""
        from importlib.metadata import entry_points

        return tuple(dict.fromkeys((*self._parts, *entry_points(group=self._group).names)))

    def find(self, name: str) -> T | None:
        """Return the part of that name, importing the package that brings it.

        Parameters
        ----------
        name : str

        Returns
        -------
        part or None
            None if no installed package has it.

        Raises
        ------
        ConfigError
            ``bad_plugin`` if the package that brings it cannot be imported or brings another thing.
        """
        if name not in self._parts:
            self._load(name)
        return self._parts.get(name)

    def _load(self, name: str) -> None:
        """Register what other packages have under that name."""
        from importlib.metadata import entry_points

        for entry in entry_points(group=self._group, name=name):
            where = f"entry point {name} = {entry.value} of {self._group}"
            try:
                part = entry.load()
            except Exception as error:  # another package's code may raise anything
                message = f"{where}: cannot be imported: {type(error).__name__}: {error}"
                raise ConfigError("bad_plugin", message) from error
            if not isinstance(part, self._sort) or part.name != name:
                allowed = f"must be a {self._sort.__name__} called {name!r}"
                raise ConfigError("bad_plugin", f"{where}: is {part!r}; {allowed}")
            self.register(part)

    def register(self, part: T) -> T:
        """Add a part for the life of this process.

        Processes that are started later know it only if an entry point names it.

        Parameters
        ----------
        part
            Its name must be free.

        Returns
        -------
        part
            The same.

        Raises
        ------
        ConfigError
            ``bad_plugin`` if the name is taken.
        """
        if part.name in self._parts:
            raise ConfigError("bad_plugin", f"{part.name}: {self._group} has a part of that name")
        self._parts[part.name] = part
        return part

    def unregister(self, name: str) -> None:
        """Forget a part.

        Parameters
        ----------
        name : str
            Of a part that is registered.
        """
        del self._parts[name]
