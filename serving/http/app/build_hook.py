"""Puts what the page at ``/app/`` runs on into wheels and source distributions."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

APP = "serving/http/app"


class Hook(BuildHookInterface[Any]):
    """Fetches it before a build; one for development fetches nothing."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files, which git ignores, to what is built."""
        if version != "editable":
            subprocess.run([sys.executable, Path(self.root, APP, "npm.py")], check=True)
        build_data["artifacts"].append(f"/{APP}/runtime/*")
