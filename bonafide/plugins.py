"""Registries by name, open to other packages through entry points."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from bonafide.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Named(Protocol):
    """Anything that carries the name it is known by."""

    @property
    def name(self) -> str:
        """Return the name."""


Item = TypeVar("Item", bound=Named)


class Registry(Mapping[str, Item]):
    """Items of one kind by name: our own, registered ones, and plug-ins of other packages.

    Names are listed without importing anything; a plug-in is imported when its item is asked for.
    An entry point must carry the name of the item that it points to.

    Parameters
    ----------
    group : str
        Entry point group of the plug-ins, such as ``bonafide.readers``.
    kind : type
        What every item must be an instance of.
    own : iterable of items
        What is always there.

    Raises
    ------
    ConfigError
        ``bad_plugin``, from every look-up: a plug-in cannot be imported, is of another kind, or
        carries a name that is not its own or already taken.
    """

    def __init__(self, group: str, kind: type[Item], own: Iterable[Item] = ()) -> None:
        self._group = group
        self._kind = kind
        self._items = {item.name: item for item in own}

    def register(self, item: Item) -> None:
        """Add an item for the life of this process, without packaging it.

        Parameters
        ----------
        item : Item
            An instance of the registry's kind.

        Raises
        ------
        ConfigError
            ``bad_plugin`` if its name is taken.
        """
        if item.name in self:
            raise ConfigError("bad_plugin", f"{self._group}: the name {item.name!r} is taken")
        self._items[item.name] = item

    def unregister(self, name: str) -> None:
        """Take an item that `register` added out again."""
        del self._items[name]

    def __getitem__(self, name: str) -> Item:
        """Return the item, importing its plug-in; KeyError if there is none."""
        return self._items[name] if name in self._items else self._load(self._plugins()[name])

    def __contains__(self, name: object) -> bool:
        """Return whether the name is known, without importing its plug-in."""
        return name in self._items or name in self._plugins()

    def __iter__(self) -> Iterator[str]:
        """Go through the names: our own, registered ones, then plug-ins by the alphabet."""
        yield from self._items
        yield from self._plugins()

    def __len__(self) -> int:
        """Count the names."""
        return len(self._items) + len(self._plugins())

    def _plugins(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points  # 20 ms that scoring does not have to pay

        found: dict[str, EntryPoint] = {}
        for entry in sorted(entry_points(group=self._group), key=lambda entry: entry.name):
            if entry.name in self._items or entry.name in found:
                raise self._bad(entry, "its name is taken; uninstall one of the two")
            found[entry.name] = entry
        return found

    def _load(self, entry: "EntryPoint") -> Item:
        try:
            item = entry.load()
        except Exception as error:  # another package's code: whatever it raises
            raise self._bad(entry, f"cannot be loaded ({error!r}); mend or uninstall it") from error
        if not isinstance(item, self._kind):
            seen = type(item).__name__
            raise self._bad(entry, f"points to a {seen}, must be a {self._kind.__name__}")
        if item.name != entry.name:
            raise self._bad(entry, f"points to {item.name!r}, must be an item of its own name")
        return item

    def _bad(self, entry: "EntryPoint", what: str) -> ConfigError:
        message = f"{self._group} plug-in {entry.name!r} ({entry.value}): {what}"
        return ConfigError("bad_plugin", message)
