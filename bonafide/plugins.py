"""Parts by name: those of this package, and those that other packages add."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from bonafide.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Part(Protocol):
    """What can be registered: anything with a name."""

    @property
    def name(self) -> str:
        """Its name in a configuration or on the command line."""


T = TypeVar("T", bound=Part)


class Registry(Generic[T]):
    """Parts of one sort by name, open to other packages through entry points.

    Another package's part is imported only when it is asked for.

    Parameters
    ----------
    group : str
        Group of the entry points, such as ``bonafide.readers``. An entry point's name is that of
        the part that it points to.
    sort : type
        Type that every part must have.
    parts : iterable
        The parts that come with this package, in the order in which messages list them.
    lazy : mapping of str to str
        More parts of this package: name -> ``module:attribute``, imported when asked for.

    Examples
    --------
    >>> from bonafide.features.kinds import KINDS
    >>> KINDS.find("mfcc").name
    'mfcc'
    >>> KINDS.find("no such view") is None
    True
    """

    def __init__(
        self, group: str, sort: type[T], parts: Iterable[T] = (), lazy: Mapping[str, str] = {}
    ) -> None:
        self._group, self._sort, self._lazy = group, sort, dict(lazy)
        self._parts = {part.name: part for part in parts}
        self._loaded: dict[str, T] = {}  # of other packages

    def names(self) -> tuple[str, ...]:
        """Return the names of all parts, importing none of them.

        Returns
        -------
        tuple of str
            In the order of the constructor, then registered ones, then those of other packages.

        Raises
        ------
        ConfigError
            ``bad_plugin`` if a package adds a part whose name is taken.
        """
        return (*self._parts, *self._entries())

    def all(self) -> list[T]:
        """Return all parts, importing those of other packages.

        Returns
        -------
        list of Part
            In the order of `names`.

        Raises
        ------
        ConfigError
            ``bad_plugin`` as in `names` and `find`.
        """
        return [*self._parts.values(), *map(self._load, self._entries().values())]

    def find(self, name: str) -> T | None:
        """Return the part of that name.

        Parameters
        ----------
        name : str
            What a user wrote.

        Returns
        -------
        Part or None
            None if no package has it.

        Raises
        ------
        ConfigError
            ``bad_plugin`` if its package cannot be imported or provides something else.
        """
        for known in (self._parts, self._loaded):
            if name in known:
                return known[name]
        entry = self._entries().get(name)
        return None if entry is None else self._load(entry)

    def module_of(self, name: str) -> str | None:
        """Return the module that would be imported for a part, importing nothing.

        Parameters
        ----------
        name : str
            What a user wrote.

        Returns
        -------
        str or None
            None for a part that needs no import, or that no package has.

        Raises
        ------
        ConfigError
            ``bad_plugin`` as in `names`.
        """
        entry = self._entries().get(name)
        return None if entry is None or name in self._parts else entry.module

    def _entries(self) -> "dict[str, EntryPoint]":
        """Return what is not imported yet: our own, then other packages', alphabetically."""
        # slow to import, and few commands need it
        from importlib.metadata import EntryPoint, entry_points

        found = {name: EntryPoint(name, at, self._group) for name, at in self._lazy.items()}
        for entry in sorted(entry_points(group=self._group), key=lambda entry: entry.name):
            if entry.name in self._parts or entry.name in found:
                raise self._bad(entry, "the name is taken; uninstall one of the two packages")
            found[entry.name] = entry
        return found

    def _load(self, entry: "EntryPoint") -> T:
        if entry.name in self._loaded:
            return self._loaded[entry.name]
        try:
            part = entry.load()
        except Exception as error:  # another package's code may raise anything
            what = f"cannot be imported: {type(error).__name__}: {error}; fix or uninstall it"
            raise self._bad(entry, what) from error
        if not isinstance(part, self._sort) or part.name != entry.name:
            allowed = f"must be a {self._sort.__name__} called {entry.name!r}"
            raise self._bad(entry, f"is {part!r}; {allowed}")
        return self._loaded.setdefault(entry.name, part)

    def _bad(self, entry: "EntryPoint", what: str) -> ConfigError:
        where = f"entry point {entry.name} = {entry.value} of {self._group}"
        return ConfigError("bad_plugin", f"{where}: {what}")

    def register(self, part: T) -> T:
        """Add a part for the life of this process, and return it.

        Processes that it starts know the part only if an entry point names it.

        Parameters
        ----------
        part : Part
            Of the registry's sort.

        Returns
        -------
        Part
            `part` itself.

        Raises
        ------
        ConfigError
            ``bad_plugin`` if the name is taken.
        """
        if part.name in self.names():
            raise ConfigError("bad_plugin", f"{part.name}: {self._group} has a part of that name")
        self._parts[part.name] = part
        return part

    def unregister(self, name: str) -> None:
        """Remove the part of that name, whether registered or imported."""
        self._parts.pop(name, None)
        self._loaded.pop(name, None)
