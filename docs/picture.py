"""Take the README's picture of the page: docs/images/page.png. Needs chromium; `make picture`.

A simulated voice is judged by the shipped detector, so anyone can take the picture again.
"""

import tempfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import sync_playwright

from bonafide.audio import decode
from bonafide.features.spec import SAMPLE_RATE_HZ
from bonafide.simulation.corpus import simulate
from tests.browser.conftest import CHROMIUM, running_app

PICTURE = Path(__file__).with_name("images") / "page.png"
WIDTH, MARGIN, CLIP_S, WAIT_MS = 1000, 30, 10, 90_000
MAIN = "[data-testid=stMain]"


def record(folder: Path) -> Path:
    """Write ten seconds of a simulated voice as folder/voice.wav and return its path."""
    manifest = simulate(folder / "corpus", clips=48, speakers=6)
    clips = [decode(path) for path in sorted((manifest.parent / "audio").iterdir())]
    path = folder / "voice.wav"
    soundfile.write(path, np.concatenate(clips)[: CLIP_S * SAMPLE_RATE_HZ], SAMPLE_RATE_HZ)
    return path


def take(url: str, recording: Path, picture: Path) -> None:
    """Upload the recording, wait for its verdict and save all down to the charts over time."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(
            color_scheme="light", viewport={"width": WIDTH, "height": 900}, device_scale_factor=1.5
        )
        page.goto(url)
        page.locator("input[type=file]").set_input_files(recording, timeout=WAIT_MS)
        page.get_by_test_id("verdict").wait_for(timeout=WAIT_MS)
        page.wait_for_timeout(3000)  # charts are drawn after their place is made
        height = page.evaluate(f"document.querySelector('{MAIN}').scrollHeight")
        page.set_viewport_size({"width": WIDTH, "height": height})
        page.wait_for_timeout(1000)
        top = page.get_by_role("heading", level=1).bounding_box()
        end = page.get_by_role("heading", name="What each model says").bounding_box()
        edge = top["x"] - MARGIN, top["y"] - MARGIN
        size = WIDTH - 2 * edge[0], end["y"] - edge[1]
        clip = dict(zip(("x", "y", "width", "height"), (*edge, *size), strict=True))
        page.screenshot(path=picture, clip=clip)
        browser.close()
    with Image.open(picture) as image:  # a fraction of the size
        image.convert("RGB").quantize(128).save(picture, optimize=True)


def main() -> None:
    """Take the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recording = record(folder)
        with running_app(folder / "home", folder / "log") as app:
            take(app.url, recording, PICTURE)


if __name__ == "__main__":
    main()
