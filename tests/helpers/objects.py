"""An S3-compatible store for tests: moto's server, in a process of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

SERVE = """
import threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

store, one = DomainDispatcherApplication(create_backend_app), threading.Lock()

def answer(environ, start_response):
    with one:  # moto looks and writes in two steps, which a store does in one
        return list(store(environ, start_response))

WSGIRequestHandler.log = lambda *_: None
WSGIRequestHandler.protocol_version = "HTTP/1.1"  # clients wait for 100 Continue
server = make_server("127.0.0.1", 0, answer, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""
BUCKET = "models"


@contextlib.contextmanager
def object_store() -> Iterator[Mapping[str, str]]:
    """Run a store with a bucket; give the environment in which ``s3://models`` is it."""
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
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
            yield environment
        finally:
            server.kill()
