"""What a candidate would replace: the bundle in production, or the shipped one."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bonafide.bundle import Bundle
from bonafide.detector import Detector
from bonafide.errors import BundleError
from bonafide.home import SHIPPED
from bonafide.lineage.trained_on import TrainedOn
from bonafide.registry import production_folder


@dataclass(frozen=True)
class Incumbent:
    """What a candidate would replace.

    Parameters
    ----------
    bundle : Bundle
        The one in production, or else the one that is shipped.
    damage : str
        Why the one in production cannot be read; empty if it can, or if there is none.
    """

    bundle: Bundle
    damage: str = ""

    @property
    def name(self) -> str:
        """Name and version, and whether it is the one that is shipped."""
        identity = self.bundle.identity
        name = f"{identity['name']}:{identity['version']}"
        return f"{name} (shipped)" if self.bundle.folder == SHIPPED else name

    @property
    def note(self) -> str:
        """What must be said of it after a comparison; mostly nothing."""
        unread = f"; what is in production cannot be read ({self.damage})" if self.damage else ""
        unknown = f"; what it was trained on is not known, and may favour it ({self._told[1]})"
        return unread + (unknown if self.heard is None else "")

    @property
    def heard(self) -> TrainedOn | None:
        """What it was trained on; None where that is not known."""
        return self._told[0]

    @cached_property
    def _told(self) -> tuple[TrainedOn | None, str]:
        """What it was trained on, or why that is not known."""
        try:
            return TrainedOn.of_bundle(self.bundle), ""
        except BundleError as error:
            return None, error.message


def incumbent_of(root: Path) -> Incumbent:
    """Return the bundle in production, or the shipped one where there is none or it is damaged.

    Parameters
    ----------
    root : Path
        The home folder.

    Returns
    -------
    Incumbent

    Raises
    ------
    BundleError
        If the shipped bundle is damaged.
    """
    try:
        return Incumbent(_that_runs(production_folder(root) or SHIPPED))
    except BundleError as error:
        return Incumbent(_that_runs(SHIPPED), error.message)


def _that_runs(folder: Path) -> Bundle:
    """Read a bundle, and load its detector once to see that it can be served."""
    return Detector(folder).bundle
