"""What whoever started the page lets its visitors do, passed on in the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "BONAFIDE_PAGE"


@dataclass(frozen=True)
class Allowed:
    """What the page may show and do; nothing of it unless it is said.

    Parameters
    ----------
    own : bool
        Whether the service is the page's own, so that this machine's home is the one that answers.
    manage : bool
        Whether visitors may promote bundles and roll them back.
    files : Path or None
        The folder whose files visitors may have judged by their paths; None for none.
    """

    own: bool = False
    manage: bool = False
    files: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Allowed":
        """Return what `to_environment` wrote; nothing is allowed where nothing is written."""
        read = json.loads(environment.get(VARIABLE, "{}"))
        files = read.pop("files", None)
        return cls(**read, files=Path(files) if files else None)

    def to_environment(self) -> dict[str, str]:
        """Return the variable that `from_environment` reads back."""
        files = str(self.files) if self.files else None
        return {VARIABLE: json.dumps({"own": self.own, "manage": self.manage, "files": files})}
