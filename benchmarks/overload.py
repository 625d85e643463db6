"""Four times as many requests as the service can answer: it must answer 429 at once, and recover.

    python -m benchmarks.overload --seconds 60 [--workers N] [--file clip.wav]

The rate that it sustains is measured by closed loops first; the load comes from another process.
The exit code is 1 if anything but 200 and 429 came back, if answers took more than five times as
long as without load, or if recovery took longer than five seconds.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving import Running, service
from benchmarks.sounds import encode, speech
from bonafide.bundle import Bundle
from bonafide.home import home
from bonafide.registry import find_bundle

CLIP_S = 4.0
TIMES = 4
CLOSED_LOOPS = 8
MAX_RATIO, MAX_RECOVERY_S = 5.0, 5.0
GIVE_UP_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What was measured.

    Parameters
    ----------
    unloaded_p99_ms, sustained_per_s : float
        With one client, and with closed loops.
    loaded : dict
        What `benchmarks.load` printed of the overload.
    recovery_s : float
        From the end of the overload until the service is ready and answers as fast as before.
    """

    unloaded_p99_ms: float
    sustained_per_s: float
    loaded: dict[str, Any]
    recovery_s: float

    @property
    def ratio(self) -> float:
        """How many times as long an answer takes under overload (99th percentiles)."""
        return float(self.loaded["p99_ms"] or float("inf")) / self.unloaded_p99_ms

    def faults(self) -> list[str]:
        """Return what went wrong, a line each."""
        faults = [
            f"{count} answers {status}"
            for status, count in self.loaded["statuses"].items()
            if status not in ("200", "429")
        ]
        if self.loaded["broken"]:
            faults.append(f"{self.loaded['broken']} connections broke")
        if not self.ratio <= MAX_RATIO:
            faults.append(
                f"answers take {self.ratio:.1f} times as long: must be at most {MAX_RATIO:g}"
            )
        if not self.recovery_s <= MAX_RECOVERY_S:
            faults.append(
                f"recovery takes {self.recovery_s:.1f} s, "
                f"longer than the {MAX_RECOVERY_S:g} s limit"
            )
        return faults

    def lines(self) -> list[str]:
        """Return what is printed."""
        return [
            f"without load: p99 {self.unloaded_p99_ms:.1f} ms",
            f"sustained: {self.sustained_per_s:.0f} answers a second",
            f"at {TIMES} times that: {json.dumps(self.loaded['statuses'])}, "
            f"{self.loaded['broken']} broken, {self.loaded['per_second']:.0f} answers a second",
            f"p99 of the 200s: {self.loaded['p99_ms'] or float('nan'):.1f} ms, "
            f"{self.ratio:.1f} times that without load",
            f"recovered after {self.recovery_s:.2f} s",
        ]


def _recovery(running: Running, clip: Path, limit_ms: float) -> float:
    """Wait until the service is ready and an answer takes no longer than without load."""
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < GIVE_UP_S:
        if running.is_ready():
            seen = running.load(clip, "--clients", "1", "--seconds", "0.1")
            if set(seen["statuses"]) == {"200"} and seen["p50_ms"] <= limit_ms:
                return passed
    return float("inf")


def measure(bundle: Bundle, content: bytes, workers: int, seconds: float) -> Outcome:
    """Start a service and measure it without load, at its limit, over its limit, and after."""
    with tempfile.TemporaryDirectory() as name, service(bundle.folder, workers) as running:
        clip = Path(name) / "clip"
        clip.write_bytes(content)
        closed = ("--clients", str(CLOSED_LOOPS * workers), "--seconds", f"{max(2.0, seconds / 6)}")
        running.load(clip, *closed)  # first runs are slow
        alone = running.load(clip, "--clients", "1", "--seconds", f"{max(2.0, seconds / 6)}")
        sustained = running.load(clip, *closed)["per_second"]
        rate = ("--rate", str(TIMES * sustained), "--seconds", str(seconds))
        loaded = running.load(clip, *rate)
        return Outcome(
            unloaded_p99_ms=alone["p99_ms"],
            sustained_per_s=sustained,
            loaded=loaded,
            recovery_s=_recovery(running, clip, alone["p99_ms"]),
        )


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--file", type=Path, help="a recording; default: speech-like sound")
    parser.add_argument("--bundle", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    content = arguments.file.read_bytes() if arguments.file else encode(speech(CLIP_S), "wav")
    bundle = find_bundle(home(), arguments.bundle)
    outcome = measure(bundle, content, arguments.workers, arguments.seconds)
    print("\n".join([*outcome.lines(), *(f"FAULT {fault}" for fault in outcome.faults())]))
    return bool(outcome.faults())


if __name__ == "__main__":
    sys.exit(main())
