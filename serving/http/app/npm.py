"""What the page runs on, from npm: onnxruntime-web, as ``package-lock.json`` has it.

    python serving/http/app/npm.py

It is put beside this file, compressed, where it is not there yet; a wheel is built with it.
"""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
LOCK, TARGET = FOLDER / "package-lock.json", FOLDER / "runtime"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
PACKED = "ort.wasm.gz"
MARK = TARGET / "package-lock.sha256"  # written last


def is_there() -> bool:
    """Return whether it was put there by the lock that holds now."""
    return MARK.is_file() and MARK.read_text() == _digest()


def fetch() -> None:
    """Install it by npm, in a temporary folder, and put the two files that the page loads here.

    Raises
    ------
    FileNotFoundError
        Where there is no npm.
    subprocess.CalledProcessError
        Where npm cannot get it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in (LOCK, FOLDER / "package.json", FOLDER / ".npmrc"):
            shutil.copy(each, folder)
        subprocess.run(["npm", "ci"], cwd=folder, check=True, stdout=sys.stderr)
        made = folder / "node_modules" / "onnxruntime-web" / "dist"
        shutil.rmtree(TARGET, ignore_errors=True)
        TARGET.mkdir()
        shutil.copy(made / SCRIPT, TARGET / SCRIPT)
        packed = gzip.compress((made / WASM).read_bytes(), mtime=0)
        (TARGET / PACKED).write_bytes(packed)
        MARK.write_text(_digest())


def _digest() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def main() -> None:
    """Fetch it if need be; without npm, say what is left out."""
    if is_there():
        return
    if shutil.which("npm") is None:
        shutil.rmtree(TARGET, ignore_errors=True)  # of an older lock
        sys.stderr.write("npm was not found: the page at /app/ is left out\n")
        return
    fetch()


if __name__ == "__main__":
    main()
