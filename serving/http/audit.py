"""The audit log: who called what, when, and what came of it; no audio and no names of files."""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bonafide.errors import ConfigError

log = logging.getLogger("bonafide.serve")


class Audit:
    """A file that gets a line of JSON for each call of the API.

    It is opened for each line, so that a rotated file is left alone and a new one begun.

    Parameters
    ----------
    path : Path
        Created if it is missing, for its owner alone.

    Raises
    ------
    ConfigError
        ``bad_setting`` if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._broken, self._fault = path, False, 0
        try:
            os.close(self._open())
        except OSError as error:
            message = f"BONAFIDE_AUDIT={path}: cannot be written: {error.strerror}"
            raise ConfigError("bad_setting", message) from error

    def _open(self) -> int:
        # O_NONBLOCK: a pipe that nobody reads costs lines, and holds up no answer
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(self._path, flags, 0o600)

    def write(self, **entry: Any) -> None:
        """Add a line, with the time; where there is no room, say so in the log and go on.

        Parameters
        ----------
        **entry : Any
            JSON values.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, **entry}).encode() + b"\n"
        # One write, so that lines of several workers do not mix; a part of one ends first.
        line = b"\n" + line if self._broken else line
        try:
            file = self._open()
            try:
                self._broken = os.write(file, line) < len(line)
            finally:
                os.close(file)
        except OSError as error:
            if error.errno != self._fault:
                log.error("the audit log misses calls: %s: %s", self._path, error.strerror)
            self._fault = error.errno or 0
        else:
            self._fault = 0
