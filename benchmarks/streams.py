"""How long after its sound the event of a live stream comes, with many streams at once.

    python -m benchmarks.streams [--streams 20] [--seconds 20] [--bundle NAME ...]

A service with one worker, in a home of its own, gets that many streams, each as fast as it plays.
A line a bundle, in milliseconds: what scoring one window takes by itself in this process, then the
delay of the events behind the last sound that they rest on, half of them and 95 of 100 within; and
how many times the one is of the other. The exit code is 1 if an event is missing.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np
from websockets.asyncio.client import connect

from benchmarks.sounds import speech
from bonafide.detector import Detector
from bonafide.live import HOP_S
from bonafide.process.service import running_service

PIECE_S = 0.02  # as telephones cut it
TIMES = 50
COLUMNS = ("window", "p50", "p95", "max", "p95 / window")


async def delays(url: str, sound: bytes, start_s: float) -> list[float]:
    """Send one stream as it plays; return how late each event came, in seconds."""
    size = round(PIECE_S * 32_000)
    late = []
    await asyncio.sleep(start_s)
    async with connect(f"{url.replace('http', 'ws')}/v1/stream", proxy=None) as connection:
        start = time.monotonic()

        async def read() -> None:
            async for message in connection:
                event = json.loads(message)
                if "at_s" in event:
                    late.append(time.monotonic() - start - event["at_s"])

        reading = asyncio.create_task(read())
        for at in range(0, len(sound), size):
            end_s = (at + size) / 32_000
            await asyncio.sleep(max(0.0, start + end_s - time.monotonic()))
            await connection.send(sound[at : at + size])
        await connection.send('{"end": true}')
        await reading
    return late


async def all_delays(url: str, streams: int, seconds: float) -> list[float]:
    """Return the delays of all events of so many streams, which start within one hop."""
    sound = (speech(seconds) * 32_767).astype("<i2").tobytes()
    calls = [delays(url, sound, HOP_S * number / streams) for number in range(streams)]
    return [late for each in await asyncio.gather(*calls) for late in each]


def window_s(name: str) -> float:
    """Return the median seconds that one window takes by itself."""
    detector = Detector.shipped(name)
    window = speech(4.0).astype(np.float32)[np.newaxis]
    took = []
    for _ in range(TIMES):
        start = time.perf_counter()
        detector.score_windows(window)
        took.append(time.perf_counter() - start)
    return float(np.median(took))


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--bundle", nargs="+", default=["fast", "default"])
    given = parser.parse_args(words)
    print(f"{'bundle':<10}" + "".join(f"{name:>14}" for name in COLUMNS))
    expected = given.streams * int(given.seconds / HOP_S)
    complete = True
    for name in given.bundle:
        alone = window_s(name)
        with tempfile.TemporaryDirectory() as folder:
            options = ("--workers", "1", "--bundle", name)
            known = {**os.environ, "BONAFIDE_HOME": folder}
            with running_service(*options, environment=known) as service:
                late = asyncio.run(all_delays(service.url, given.streams, given.seconds))
        complete &= len(late) == expected
        p50, p95 = np.percentile(late, [50, 95])
        figures = [*(1e3 * value for value in (alone, p50, p95, max(late))), p95 / alone]
        print(f"{name:<10}" + "".join(f"{value:>14.1f}" for value in figures), flush=True)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
