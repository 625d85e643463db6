"""The page at ``/app/``: the detector in the browser, so that nothing that is heard leaves it.

    python -m serving.http.app FOLDER

writes it for any other web server. It is the ``fast`` bundle that ships, whatever is in production.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from bonafide.audio import FRAME_SAMPLES, MIN_SOUND_S, MIN_SPEECH_S
from bonafide.audio.mixing import CANCELLED, MAX_SAMPLE, SILENT
from bonafide.audio.speech import SPEECH_BAND_HZ, SPEECH_FLOOR_DBFS, SPEECH_SHARE
from bonafide.audio.stream import Limits
from bonafide.bundle import Bundle, read_bundle
from bonafide.channel import measured_on
from bonafide.detection import NO_VERDICT
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.home import shipped_folder
from bonafide.parts import DRIFT, MIN_WINDOWS
from serving.http.app import npm
from serving.http.errors import ApiError
from serving.http.live import FOLDER as LIVE

BUNDLE = "fast"
FOLDER = Path(__file__).parent
RUNTIME = npm.TARGET
OURS = (
    *("index.html", "app.css", "app.js", "judging.js", "sampling.js", "worker.js"),
    *("app.webmanifest", "icon.svg"),
)
OF_LIVE = {"look.css": "live.css", "words.js": "words.js", "sound.js": "sound.js"}
SCRIPT, WASM = npm.SCRIPT, npm.PACKED.removesuffix(".gz")
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}


def rules(bundle: Bundle) -> dict[str, Any]:
    """Return the numbers by which ``judging.js`` does what `bonafide.judging` does.

    Parameters
    ----------
    bundle : Bundle
        That the browser runs.

    Returns
    -------
    dict
        As JSON has it.
    """
    known, channels = bundle.manifest, []
    for channel in known["channels"]:
        decided, wrong = measured_on(bundle, channel["name"])
        channels.append({**channel, "decided": decided, "wrong": wrong and asdict(wrong)})
    return {
        **{key: known[key] for key in ("name", "version", "sha256", "prior_spoof", "thresholds")},
        "channels": channels,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "window_samples": bundle.spec.window_samples,
        "min_sound_s": MIN_SOUND_S,
        "no_verdict": list(NO_VERDICT),
        "min_rate_hz": Limits().min_rate_hz,
        "mixing": {"max_sample": MAX_SAMPLE, "cancelled": CANCELLED, "silent": SILENT},
        "speech": {
            "frame_samples": FRAME_SAMPLES,
            "band_hz": SPEECH_BAND_HZ,
            "floor_dbfs": SPEECH_FLOOR_DBFS,
            "share": SPEECH_SHARE,
            "min_s": MIN_SPEECH_S,
        },
        "parts": {"min_windows": MIN_WINDOWS, "drift": DRIFT},
    }


@cache
def contents() -> Mapping[str, bytes | Path]:
    """Return every file of the page by its name; that of the runtime is compressed (gzip).

    Raises
    ------
    FileNotFoundError
        Where the runtime was not installed with the page.
    """
    folder = shipped_folder(BUNDLE)
    found: dict[str, bytes | Path] = {name: (FOLDER / name).read_bytes() for name in OURS}
    found |= {name: (LIVE / source).read_bytes() for name, source in OF_LIVE.items()}
    found["rules.json"] = json.dumps(rules(read_bundle(folder)), separators=(",", ":")).encode()
    found["detector.onnx"] = folder / "detector.onnx"
    found |= {f"runtime/{SCRIPT}": RUNTIME / SCRIPT, f"runtime/{WASM}": RUNTIME / npm.PACKED}
    digest = hashlib.sha256()
    for content in found.values():
        digest.update(content if isinstance(content, bytes) else content.read_bytes())
    kept = json.dumps(["./", *(name for name in found if name != "index.html")])
    worker = (FOLDER / "sw.js").read_text(encoding="utf-8")
    worker = worker.replace("FILES = []", f"FILES = {kept}").replace("DIGEST", digest.hexdigest())
    return {**found, "sw.js": worker.encode()}


def write(folder: Path) -> None:
    """Write the page into a folder that any web server may show, over https or on this machine.

    Parameters
    ----------
    folder : Path
        Made if need be; files of these names are replaced.

    Raises
    ------
    FileNotFoundError
        As in `contents`.
    """
    for name, content in contents().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = content if isinstance(content, bytes) else content.read_bytes()
        path.write_bytes(gzip.decompress(whole) if name.endswith(WASM) else whole)


def _served(name: str) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            content = contents()[name]
        except FileNotFoundError:
            message = "this installation was built without the page's runtime; see docs/browser.md"
            return ApiError("not_found", message).response()
        kind = KINDS[Path(name).suffix]
        if isinstance(content, bytes):
            return Response(content, media_type=kind)
        if not name.endswith(WASM):
            return FileResponse(content, media_type=kind)
        taken = Headers(scope=request.scope).get("accept-encoding", "")
        if not re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", taken):
            whole = gzip.decompress(content.read_bytes())
            return Response(whole, media_type=kind, headers={"vary": "accept-encoding"})
        packed = {"content-encoding": "gzip", "vary": "accept-encoding"}
        return FileResponse(content, media_type=kind, headers=packed)

    return answer


def app_routes() -> list[Route]:
    """Return a route for each file of the page, and one that leads there."""
    runtime = (f"runtime/{SCRIPT}", f"runtime/{WASM}")
    names = (*OURS, *OF_LIVE, "rules.json", "detector.onnx", *runtime, "sw.js")
    paths = {name: f"/app/{name}" for name in names} | {"index.html": "/app/"}
    moved = Route("/app", lambda _: RedirectResponse("app/"), methods=["GET"])
    return [
        moved,
        *(Route(path, _served(name), methods=["GET"]) for name, path in paths.items()),
    ]
