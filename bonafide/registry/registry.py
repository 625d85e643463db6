"""The registry: which bundles there are, which of them is in production, and how it came there."""

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal

from bonafide.bundle import MANIFEST, SIGNATURE, Bundle, read_bundle
from bonafide.errors import BundleError, RegistryError
from bonafide.home import SHIPPED, SHIPPED_NAMES, home, shipped_bundles, shipped_folder
from bonafide.registry.journal import Entry, State, Version
from bonafide.registry.reports import DAMAGED, SUFFIXES, report_path, require_gate
from bonafide.registry.stores import open_store
from bonafide.registry.trust import require_trusted
from bonafide.registry.versions import Versions

NOTE = "production.json"  # what versions of this package without a journal left
_HASH = re.compile("[0-9a-f]{8,64}")


class Registry:
    """Kept bundles, their stages and holds, and the journal of every switch.

    Parameters
    ----------
    url : str or Path
        A folder, such as the home, or a URL that `bonafide.registry.stores.open_store` takes.
    cache : Path or None
        Where bundles of an object store are fetched to; None for the home.

    Raises
    ------
    ConfigError
        As in `open_store` and `bonafide.home.home`.
    """

    def __init__(self, url: str | Path, cache: Path | None = None) -> None:
        self._store = open_store(url)
        self.url = self._store.url
        place = sha256(self.url.encode()).hexdigest()[:12]
        self.versions = Versions(self._store, (cache or home()) / "fetched" / place)
        self._entries: list[Entry] = []
        self._state = State()  # after those, so that a look at a long journal stays short

    # --- the journal ------------------------------------------------------------------------------

    def journal(self) -> list[Entry]:
        """Return every switch, the first one first.

        Returns
        -------
        list of Entry

        Raises
        ------
        RegistryError
            ``bad_journal`` if an entry is missing or cannot be read; ``unreachable``.
        """
        names = {name for name in self._store.names("journal") if name.endswith(".json")}
        known = len(self._entries)
        if known > len(names):  # another registry lies here now
            self._entries, self._state, known = [], State(), 0
        for number in range(known + 1, len(names) + 1):
            path = f"journal/{number:08d}.json"
            try:
                self._entries.append(Entry.from_bytes(self._store.read(path), number))
            except (*DAMAGED, OSError) as error:
                raise RegistryError(
                    "bad_journal",
                    f"{self._store.place(path)}: not an entry of the journal, of which "
                    f"{len(names)} are here: {error!r}; restore it from a backup",
                ) from error
        return list(self._entries)

    def state(self) -> State:
        """Return what is in production and what is held.

        Returns
        -------
        State

        Raises
        ------
        RegistryError
            As in `journal`.
        """
        entries, start = self.journal(), State()
        if not entries:
            start = self._noted()
            entries = self.journal()  # again: with the first entry the note goes
        if not entries:
            return start
        if not self._state.number:
            self._state = State.starting_with(entries[0].before)
        self._state = self._state.after(*entries[self._state.number :])
        return self._state

    def _noted(self) -> State:
        """Return what the note of an earlier version of this package says is in production."""
        try:
            return State.starting_with(Version(**json.loads(self._store.read(NOTE))))
        except FileNotFoundError:
            return State()
        except (*DAMAGED, OSError) as error:
            place = self._store.place(NOTE)
            return State.starting_with(None, f"{place}: does not name a bundle: {error!r}")

    def append(self, decide: Callable[[State], Entry | None]) -> Entry | None:
        """Write the entry that is decided on; decide again if another one was written meanwhile.

        Parameters
        ----------
        decide : callable
            Takes the state; returns the entry that follows, or None for none.

        Returns
        -------
        Entry or None
            What was written.

        Raises
        ------
        RegistryError
            As in `journal`; ``disk_full`` or ``unwritable`` if it cannot be written.
        """
        while True:
            entry = decide(self.state())
            if entry is None:
                return None
            if self._store.create(entry.path, entry.to_bytes()):
                if entry.number == 1:
                    self._store.remove(NOTE)
                return entry

    # --- switches ---------------------------------------------------------------------------------

    def promote(
        self, bundle: Bundle, *, why: str = "", override: str = "", seen: State | None = None
    ) -> Entry | None:
        """Put a kept bundle into production.

        Parameters
        ----------
        bundle : Bundle
            One of this registry's, as read.
        why : str
            What the journal says of it.
        override : str
            Why it goes past the gate; empty if it does not.
        seen : State or None
            What the promotion was decided on; None for the state as it is now.

        Returns
        -------
        Entry or None
            None if it is in production already.

        Raises
        ------
        RegistryError
            ``not_kept`` if it is none of this registry's, ``not_gated`` without a report of the
            gate that lets it pass, ``held`` if it or what is in production is held, ``overtaken``
            if another switch came between.
        BundleError
            As in `bonafide.registry.trust.require_trusted`.
        """
        require_trusted(bundle)
        self.require_kept(bundle)
        version, seen = Version.of(bundle), seen or self.state()

        def decide(state: State) -> Entry | None:
            now = state.production
            if version == now:
                return None
            if now != seen.production:
                return _refused(state, version)
            for each in (now, version):
                if each is not None and each in state.holds:
                    raise held(each, state.holds[each])
            if not override:
                self.require_gate(version, state)
            return Entry(
                *(state.number + 1, "promote", version, now, version, override or why),
                override=bool(override),
            )

        return _accepted(self.append(decide))

    def require_gate(self, version: Version, state: State) -> None:
        """Raise ``not_gated`` for a version that the gate does not let into production."""
        require_gate(self._store, version, state)

    def keeps(self, bundle: Bundle) -> bool:
        """Return whether a bundle is kept here, under its version and with its content."""
        kept = self.versions.fetch(Version.of(bundle).folder)
        if kept.resolve() == bundle.folder.resolve():
            return True
        try:
            return read_bundle(kept).digest() == bundle.digest()
        except BundleError:
            return False

    def require_kept(self, bundle: Bundle) -> None:
        """Raise ``not_kept`` for a bundle that is not kept here."""
        if not self.keeps(bundle):
            version = Version.of(bundle)
            raise RegistryError(
                "not_kept",
                f"{version} ({bundle.folder}): is not kept in {self.url}; keep it first: bonafide "
                f"models push {bundle.folder} --to {self.url}",
            )

    def rollback(
        self, ref: str | None = None, *, why: str = "", seen: State | None = None
    ) -> Entry:
        """Put an earlier bundle back into production, and hold it there.

        Parameters
        ----------
        ref : str or None
            One that was in production before; None for the last one before this, which is the
            shipped default where this was the first.
        why : str
            What the journal says of it.
        seen : State or None
            What it was decided on; None for the state as it is now.

        Returns
        -------
        Entry

        Raises
        ------
        RegistryError
            ``never_served`` if it never was in production; ``no_earlier`` if none was before what
            is, or `ref` is in production; ``overtaken`` if another switch came between.
        BundleError
            As in `find`.
        """
        seen = seen or self.state()
        bundle = self.find(ref) if ref else self._earlier(seen)
        version = Version.of(bundle)
        if version == seen.production:
            raise RegistryError("no_earlier", f"{version}: is in production; name an earlier one")
        if ref and version not in seen.served:
            raise RegistryError("never_served", f"{version}: never was in production; promote it")

        def decide(state: State) -> Entry:
            now = state.production
            if now != seen.production:
                return _refused(state, version)
            return Entry(state.number + 1, "rollback", version, now, version, why)

        entry = _accepted(self.append(decide))
        assert entry is not None
        return entry

    def _earlier(self, state: State) -> Bundle:
        if state.production is None:
            raise RegistryError("no_earlier", f"{self.url}: nothing is in production")
        if len(state.line) > 1:
            earlier = self._read(state.line[-2])
            require_trusted(earlier)
            return earlier
        shipped = read_bundle(SHIPPED)  # it answered before the first promotion
        return self.versions.keep(shipped, version=shipped.identity["version"])

    def hold(self, bundle: Bundle, *, why: str = "") -> Entry | None:
        """Hold a bundle: in production nothing replaces it but a rollback, elsewhere it stays out.

        Parameters
        ----------
        bundle : Bundle
            One of this registry's.
        why : str
            What the journal says of it.

        Returns
        -------
        Entry or None
            None if it is held already.
        """
        return self._mark("hold", bundle, why)

    def release(self, bundle: Bundle, *, why: str = "") -> Entry | None:
        """End a hold.

        Parameters
        ----------
        bundle : Bundle
            One of this registry's.
        why : str
            What the journal says of it.

        Returns
        -------
        Entry or None
            None if it is not held.
        """
        return self._mark("release", bundle, why)

    def _mark(self, what: Literal["hold", "release"], bundle: Bundle, why: str) -> Entry | None:
        """Hold a bundle, or release it; production stays as it is."""
        if what == "hold":
            self.require_kept(bundle)
        version = Version.of(bundle)

        def decide(state: State) -> Entry | None:
            if (version in state.holds) == (what == "hold"):
                return None
            now = state.production
            return Entry(state.number + 1, what, version, now, now, why)

        return self.append(decide)

    # --- names ------------------------------------------------------------------------------------

    def production(self) -> Version | None:
        """Return what is in production.

        Returns
        -------
        Version or None
            None: nothing, the shipped bundle answers.

        Raises
        ------
        BundleError
            ``bad_production`` if an earlier version's ``production.json`` is damaged.
        RegistryError
            As in `journal`.
        """
        return self.sound().production

    def sound(self) -> State:
        """Return the state, or raise as `production` does."""
        state = self.state()
        if state.damage:
            raise BundleError("bad_production", f"{state.damage}; train or promote again")
        return state

    def find(self, ref: Path | str | None = None) -> Bundle:
        """Load the named bundle, else the one in production, else the shipped ``default``.

        Parameters
        ----------
        ref : Path, str or None
            As `folder` takes it; None for the one in production or shipped.

        Returns
        -------
        Bundle
            Its hashes verified and, where keys are trusted, its signature.

        Raises
        ------
        BundleError
            As in `read` and `bonafide.registry.trust.load_bundle`.
        RegistryError
            As in `journal`.
        """
        bundle = self.read(ref)
        require_trusted(bundle)
        return bundle

    def read(self, ref: Path | str | None = None) -> Bundle:
        """Read a bundle like `find`, to look at and not to score with, whoever signed it.

        Parameters
        ----------
        ref : Path, str or None
            As in `find`.

        Returns
        -------
        Bundle
            Its hashes verified.

        Raises
        ------
        BundleError
            As in `read_bundle`, `folder` and `production`; ``altered`` if the bundle in production
            is not the one that was promoted.
        RegistryError
            As in `journal`.
        """
        if ref is not None:
            return read_bundle(self.folder(str(ref)))
        served = self.production()
        return self._read(served) if served else read_bundle(SHIPPED)

    def _read(self, version: Version) -> Bundle:
        """Read a bundle that the journal names; look at no other."""
        bundle = read_bundle(self.versions.fetch(version.folder))
        if (seen := bundle.digest()) != version.sha256:
            raise BundleError(
                "altered",
                f"{bundle.folder}: its content hash is {seen}; the journal says {version.sha256}",
            )
        return bundle

    def folder(self, ref: str) -> Path:
        """Return the folder of the bundle that a user names.

        Parameters
        ----------
        ref : str
            A bundle's folder; ``name:version``; ``name``: the version of that name that is in
            production, else the newest; or the hash of its content, of which 8 digits are enough.
            The shipped bundles answer to ``default`` and ``fast`` where no kept bundle has that
            name.

        Returns
        -------
        Path
            Absolute.

        Raises
        ------
        BundleError
            ``no_bundle`` if nothing answers to `ref`; ``ambiguous_bundle`` if several hashes begin
            with it.
        RegistryError
            As in `journal`.
        """
        if "/" in ref or (Path(ref) / MANIFEST).is_file():
            return Path(ref).resolve()
        known = [*self.versions.kept(), *shipped_bundles()]
        if named := [each for each in known if ref in (each["name"], _full_name(each))]:
            served = str(self.state().production) if len(named) > 1 else ""
            return self._folder_of(next((e for e in named if _full_name(e) == served), named[0]))
        if ref in SHIPPED_NAMES:  # damaged, as its reader will say
            return shipped_folder(ref)
        hashed = [each for each in known if _HASH.fullmatch(ref) and each["sha256"].startswith(ref)]
        if len({each["sha256"] for each in hashed}) > 1:
            several = ", ".join(map(_full_name, hashed))
            raise BundleError("ambiguous_bundle", f"{ref}: the hashes of {several} begin with it")
        if hashed:
            return self._folder_of(hashed[0])
        names = ", ".join([*map(_full_name, self.versions.kept()), *SHIPPED_NAMES])
        raise BundleError(
            "no_bundle", f"{ref}: no bundle's folder and no bundle {ref!r}; known are {names}"
        )

    def _folder_of(self, facts: Mapping[str, str]) -> Path:
        path = Version(facts["name"], facts["version"], facts["sha256"]).folder
        is_kept = facts["folder"] == self._store.place(path)
        return self.versions.fetch(path) if is_kept else Path(facts["folder"])

    # --- between registries -----------------------------------------------------------------------

    def copy_to(self, other: "Registry", bundle: Bundle) -> Bundle:
        """Keep a bundle in another registry too, with its signature and the gate's reports.

        Broken off, it leaves no half bundle there, and is gone on with when it is done again.

        Parameters
        ----------
        other : Registry
            Where to.
        bundle : Bundle
            One of this registry's.

        Returns
        -------
        Bundle
            As kept there; with another version where that one is another bundle's, of which the
            signature does not hold, so that it stays behind.
        """
        kept = other.versions.keep(bundle, version=bundle.identity["version"])
        manifests = {(each.folder / MANIFEST).read_bytes() for each in (bundle, kept)}
        if (signature := bundle.folder / SIGNATURE).is_file() and len(manifests) == 1:
            other.versions.sign(kept, signature.read_bytes())
        for suffix in SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                content = self._store.read(report_path(Version.of(bundle), suffix))
                # never over one that is there, which may refuse
                other._store.create(report_path(Version.of(kept), suffix), content)
        return kept

    def add_report(self, bundle: Bundle, suffix: str, content: bytes) -> None:
        """Write a report of a bundle: ``.html``, or ``.gate.json`` with what the gate decided."""
        self._store.write(report_path(Version.of(bundle), suffix), content)


def _full_name(facts: Mapping[str, str]) -> str:
    return f"{facts['name']}:{facts['version']}"


def held(version: Version, hold: Entry) -> RegistryError:
    """Return the error that a bundle is held."""
    why = f" ({hold.why})" if hold.why else ""
    return RegistryError(
        "held",
        f"{version}: held since {hold.at} by {hold.by}{why}; bonafide models release {version} "
        "ends that",
    )


def _refused(state: State, version: Version) -> Entry:
    now = state.production
    return Entry(state.number + 1, "refused", version, now, now, f"{now} came into production")


def _accepted(entry: Entry | None) -> Entry | None:
    """Raise the error of a switch that the journal says was refused."""
    if entry is not None and entry.action == "refused":
        raise RegistryError(
            "overtaken",
            f"{entry.bundle}: {entry.why} meanwhile, which it was not decided against; look again "
            "(bonafide models list)",
        )
    return entry
