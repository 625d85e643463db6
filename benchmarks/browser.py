"""What the page at ``/app/`` costs: what it loads, and how long a window takes in a browser.

    python -m benchmarks.browser [--windows 50] [--chromium /usr/bin/chromium]

A service shows the page to a real Chromium, which judges one recording. Printed are the bytes that
went over the network until it could, by file; then the median time for a window of 4 s there, that
of the same graph in this process by onnxruntime on one thread, and how many times the one is of the
other. Needs what tests need.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import sync_playwright

from benchmarks.sounds import speech
from benchmarks.streams import window_s
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.process.service import running_service

WAIT_MS = 60_000


def in_browser(url: str, clip: Path, chromium: str) -> tuple[dict[str, int], float, list[float]]:
    """Return bytes loaded by file, seconds until it could judge, and seconds of each window."""
    loaded = dict[str, int]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(service_workers="block")  # or it would load all twice
        page = context.new_page()
        page.on(
            "requestfinished",
            lambda request: loaded.update({request.url: request.sizes()["responseBodySize"]}),
        )
        start = time.perf_counter()
        page.goto(f"{url}/app/")
        page.wait_for_selector("#file:enabled", timeout=WAIT_MS)
        ready_s = time.perf_counter() - start
        page.set_input_files("#file", clip)
        page.wait_for_selector("body[data-answer]", timeout=WAIT_MS)
        answer = json.loads(page.get_attribute("body", "data-answer") or "")
        browser.close()
    names = {address.removeprefix(f"{url}/app/"): size for address, size in loaded.items()}
    return names, ready_s, [ms / 1e3 for ms in answer["ms"]]


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=50)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        soundfile.write(clip, speech(4.0 * given.windows), SAMPLE_RATE_HZ)
        known = {**os.environ, "BONAFIDE_HOME": folder}
        with running_service("--workers", "1", "--bundle", "fast", environment=known) as service:
            loaded, ready_s, took = in_browser(service.url, clip, given.chromium)
    for name, size in sorted(loaded.items(), key=lambda item: -item[1]):
        print(f"{size / 1e6:>9.2f} MB  {name or 'index.html'}")
    print(f"{sum(loaded.values()) / 1e6:>9.2f} MB  in all; ready after {ready_s:.1f} s")
    there, here = float(np.median(took)), window_s("fast")
    print(
        f"a window of 4 s: {1e3 * there:.1f} ms in the browser, {1e3 * here:.1f} ms here: ", end=""
    )
    print(f"{there / here:.1f} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
