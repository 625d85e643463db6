"""A MariaDB server for tests: of the user who runs them, in a folder, gone when the block ends."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.servers import wait_for

USER, PASSWORD = "tests", "tests"
# What a crash of the machine would lose does not matter here.
QUICK = (
    *("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--innodb-log-file-size=16M"),
    *("--innodb-flush-method=nosync", "--innodb-buffer-pool-size=64M", "--skip-log-bin"),
)


@contextlib.contextmanager
def mariadb(folder: Path) -> Iterator[str]:
    """Run a server without any database; give the URL of one that ZenML is to make."""
    server, install = _program("mariadbd"), _program("mariadb-install-db")
    user, data = f"--user={getpass.getuser()}", f"--datadir={folder}/data"
    words = ("--no-defaults", user, data, "--skip-test-db", "--auth-root-authentication-method")
    subprocess.run([install, *words[:-1], f"{words[-1]}=normal"], check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    first = folder / "first.sql"
    first.write_text(
        f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
        f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';\n"
    )
    place = (f"--socket={folder}/socket", f"--pid-file={folder}/pid", f"--init-file={first}")
    where = ("--bind-address=127.0.0.1", f"--port={port}", "--skip-name-resolve")
    log = folder / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [server, "--no-defaults", user, data, *place, *where, *QUICK],
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            wait_for(lambda: "ready for connections" in log.read_text(), "MariaDB takes them")
            yield f"mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/zenml"
        finally:
            process.kill()


def _program(name: str) -> str:
    """Return the path of a program of Debian's `mariadb-server-core` and `mariadb-client-core`."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        message = f"{name} is not installed (Debian: mariadb-server-core, mariadb-client-core)"
        assert not os.environ.get("CI"), message
        pytest.skip(message)
    return found
