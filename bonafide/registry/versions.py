"""The versions that a registry keeps: folders ``bundles/NAME/VERSION`` that never change."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bonafide.bundle import MANIFEST, SIGNATURE, Bundle, bundle_facts, read_bundle, write_bundle
from bonafide.errors import BundleError
from bonafide.registry.stores import Store


class Versions:
    """The kept bundles of a store.

    Parameters
    ----------
    store : Store
        Where they lie.
    cache : Path
        Where bundles of an object store are fetched to.
    """

    def __init__(self, store: Store, cache: Path) -> None:
        self._store, self._cache = store, cache

    def keep(
        self,
        candidate: Bundle,
        manifest: Mapping[str, Any] | None = None,
        card: str | None = None,
        version: str | None = None,
    ) -> Bundle:
        """Copy a bundle into the registry under a version of its own, which never changes.

        A detector that is already kept, hash for hash, is not kept twice: the earlier bundle is
        returned. Versions that cannot be read (damaged or of another format) are ignored. Others
        that keep or promote at the same time wait for each other, or take the next version.

        Parameters
        ----------
        candidate : Bundle
            Its files are copied.
        manifest : mapping or None
            Entries that replace or join the candidate's.
        card : str or None
            The model card, Markdown; None for the candidate's.
        version : str or None
            The version to have if it is free; None, or where it is not, for the next one.

        Returns
        -------
        Bundle
            As it is kept, with its version.
        """
        folder = f"bundles/{candidate.manifest['name']}"
        entries = {**candidate.manifest, **(manifest or {})}
        with self._store.drafting(folder) as draft:
            draft.mkdir(parents=True)
            for name in (*candidate.manifest["files"], MANIFEST):  # and nothing that lies beside
                (draft / name).write_bytes((candidate.folder / name).read_bytes())
            if card is not None:
                (draft / "card.md").write_text(card, encoding="utf-8")
            sha256 = write_bundle(draft, entries).digest()
            while True:
                path = f"{folder}/{self._place(folder, sha256, version)}"
                write_bundle(draft, {**entries, "version": path.rpartition("/")[2]})
                if self._store.publish(draft, path, sha256):
                    break
        return read_bundle(self.fetch(path))

    def _place(self, folder: str, sha256: str, wanted: str | None) -> str:
        """Return the version that has this content, else the wanted one if free, or the next."""
        taken = sorted(int(name) for name in self._store.names(folder) if name.isdecimal())
        for number in map(str, taken):
            if self._holds(f"{folder}/{number}", sha256):
                return number
        if wanted and wanted.isdecimal() and int(wanted) not in taken:
            return wanted
        return str(max(taken, default=0) + 1)

    def _holds(self, path: str, sha256: str) -> bool:
        """Return whether a version has this content, or is to have it once it is written whole."""
        if (claimed := self._store.content(path)) is not None:
            return claimed == sha256
        if self._facts([path]).get(path, {}).get("sha256") != sha256:
            return False
        with contextlib.suppress(BundleError):  # damaged: it is kept anew
            return read_bundle(self.fetch(path)).digest() == sha256
        return False

    def fetch(self, path: str) -> Path:
        """Return the folder on this machine of the version at ``bundles/NAME/VERSION``."""
        return self._store.fetch(path, self._cache)

    def place(self, path: str) -> str:
        """Return where the version at ``bundles/NAME/VERSION`` lies, or would."""
        return self._store.place(path)

    def manifest(self, path: str) -> bytes:
        """Return the manifest of the version at ``bundles/NAME/VERSION``, wherever it lies."""
        return self._store.read(f"{path}/{MANIFEST}")

    def sign(self, bundle: Bundle, signature: bytes) -> None:
        """Write a bundle's signature beside its manifest, wherever it lies.

        Parameters
        ----------
        bundle : Bundle
            A kept one, or one in another folder.
        signature : bytes
            As `bonafide.registry.trust.sign` returns it; one that is there is replaced.
        """
        kept = "bundles/{name}/{version}".format(**bundle.identity)
        if bundle.folder == self.fetch(kept):
            self._store.write(f"{kept}/{SIGNATURE}", signature)
            self.fetch(kept)
        else:
            (bundle.folder / SIGNATURE).write_bytes(signature)

    def _facts(self, paths: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return what the manifests of versions say, without those that cannot be read."""
        found = {}
        for path in paths:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if facts := bundle_facts(self.manifest(path)):
                    found[path] = facts
        return found

    def kept(self) -> list[dict[str, str]]:
        """Return what the manifests of the kept bundles say of them, the newest first.

        Returns
        -------
        list of dict of str to str
            ``name``, ``version``, ``created``, ``sha256`` and ``folder``. No hash is verified; a
            version whose manifest cannot be read is left out.
        """
        folders = [f"bundles/{name}" for name in self._store.names("bundles")]
        paths = [
            f"{folder}/{number}"
            for folder in folders
            for number in self._store.names(folder)
            if number.isdecimal()
        ]
        paths.sort(key=lambda path: int(path.rpartition("/")[2]))
        found = self._facts(paths)
        placed = [{**facts, "folder": self._store.place(path)} for path, facts in found.items()]
        return sorted(placed, key=lambda each: each["created"])[::-1]
