"""What work beside the answers costs: two services, one of them with a record, a shadow, a canary.

    python -m benchmarks.beside --requests 2000 [--shadow REF | --canary REF:SHARE%]

Each has one worker; one client asks them in turn, fifty requests at a time, with the same 4 s of
FLAC. Prints the median of each in milliseconds, and the ratio of the two with a 95 % interval
(bootstrap over these blocks).
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.sounds import encode, speech
from bonafide.monitoring.record import Record
from bonafide.process.service import running_service

CLIP_S, WARM, BLOCK, RESAMPLES, PAUSE_S = 4.0, 50, 50, 2000, 1.5


def asked(http: httpx.Client, url: str, clip: bytes) -> float:
    """Return the seconds that one answer took."""
    start = time.perf_counter()
    http.post(f"{url}/v1/detect", content=clip).raise_for_status()
    return time.perf_counter() - start


def ratios(times: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the ratio of medians of two columns, and its 95 % interval."""
    blocks = times[: len(times) // BLOCK * BLOCK].reshape(-1, BLOCK, 2)
    rng = np.random.default_rng(1)
    drawn = [
        np.divide(*np.median(blocks[rng.integers(len(blocks), size=len(blocks))], axis=(0, 1)))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(np.divide(*np.median(times, axis=0))), float(low), float(high)


def main() -> None:
    """Measure, and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="of each service")
    roles = parser.add_mutually_exclusive_group()  # without either: a record alone
    roles.add_argument("--shadow", metavar="REF", default="", help="scores once more")
    roles.add_argument("--canary", metavar="REF:SHARE", default="", help="answers a share")
    arguments = parser.parse_args()
    clip = encode(speech(CLIP_S), "flac")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        record = Path(folder) / "record.sqlite"
        roles_of = {role: getattr(arguments, role) for role in ("shadow", "canary")}
        beside = {f"BONAFIDE_{role.upper()}": ref for role, ref in roles_of.items()}
        beside |= {"BONAFIDE_RECORD": str(record)}
        urls = []
        for environment in (beside, {}):
            own = {**os.environ, **environment, "BONAFIDE_HOME": str(Path(folder) / "home")}
            service = running_service("--workers", "1", environment=own)
            urls.append(opened.enter_context(service).url)
        http = opened.enter_context(httpx.Client(trust_env=False, timeout=60))
        for url in urls * WARM:
            asked(http, url, clip)
        columns: list[list[float]] = [[], []]
        for _ in range(arguments.requests // BLOCK):
            for column, url in zip(columns, urls, strict=True):
                column.extend(asked(http, url, clip) for _ in range(BLOCK))
                time.sleep(PAUSE_S)  # what is beside one is done before the other is asked
        times = np.array(columns).T
        rows = Counter(each.bundle[:8] for each in Record(record).read())
    name = next((f"{role} {ref}" for role, ref in roles_of.items() if ref), "record")
    with_it, plain = np.median(times, axis=0) * 1000
    ratio, low, high = ratios(times)
    told = ", ".join(f"{count} by {bundle}" for bundle, count in rows.items())
    print(f"with a {name} {with_it:.2f} ms, without {plain:.2f} ms; answers recorded: {told}")
    print(f"ratio {ratio:.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
