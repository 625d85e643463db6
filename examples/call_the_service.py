"""Ask a running service (`bonafide serve`) about one recording, with the standard library alone.

python examples/call_the_service.py http://127.0.0.1:3000 RECORDING
"""

import json
import os
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener


def detect(service: str, recording: Path) -> dict[str, object]:
    """Return the service's answer; its key, if it wants one, is in BONAFIDE_API_KEY."""
    headers = {"content-type": "application/octet-stream"}
    if key := os.environ.get("BONAFIDE_API_KEY"):
        headers["authorization"] = f"Bearer {key}"
    request = Request(f"{service}/v1/detect", recording.read_bytes(), headers)  # noqa: S310
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
            return dict(json.load(answer))
    except HTTPError as error:  # its body says what was wrong
        return dict(json.load(error))


if __name__ == "__main__":
    try:
        print(json.dumps(detect(sys.argv[1], Path(sys.argv[2])), indent=1))
    except (URLError, OSError) as error:  # no service there, or no such recording
        sys.exit(f"call_the_service: {error}")
