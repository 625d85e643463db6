"""Take the picture of a run in ZenML's dashboard: docs/images/dag.png. Needs chromium.

A tiny detector is trained on simulated voices for it, so anyone can take the picture again.
"""

import re
import signal
import subprocess
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, Page, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.helpers.homes import Home, train_tiny

PICTURE = Path(__file__).with_name("images") / "dag.png"
SIZE = {"width": 1500, "height": 950}
MARGIN, WAIT_MS = 80, 90_000


def show(page: Page, url: str) -> None:
    """Open the newest run, close the panel beside its graph, and have all of the graph in sight."""
    page.goto(f"{url}/projects/default/runs")
    page.get_by_role("link", name=re.compile("training")).first.click(timeout=WAIT_MS)
    page.locator(".react-flow__node").first.wait_for(timeout=WAIT_MS)
    page.get_by_text("Run Insights").locator("xpath=..").get_by_role("button").first.click()
    page.locator("button[data-variant=outline][data-size=icon-xs]").first.click()
    page.wait_for_timeout(3000)  # it glides there


def around(page: Page) -> FloatRect:
    """Return the rectangle of the graph's nodes, with a margin."""
    boxes = [node.bounding_box() for node in page.locator(".react-flow__node").all()]
    ends = [(b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]) for b in boxes if b]
    left, top, *_ = map(min, zip(*ends, strict=True))
    *_, right, bottom = map(max, zip(*ends, strict=True))
    size = {"width": right - left + 2 * MARGIN, "height": bottom - top + 2 * MARGIN}
    return {"x": left - MARGIN, "y": top - MARGIN, **size}  # type: ignore[typeddict-item]


def take(home: Home, picture: Path) -> None:
    """Open the dashboard and save the graph of the newest run."""
    command = home.command("dashboard", "--no-browser")
    with subprocess.Popen(
        command, env=home.environment, stdout=subprocess.PIPE, text=True
    ) as dashboard:
        assert dashboard.stdout
        said = re.search(r"http://\S+", dashboard.stdout.readline())
        assert said
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            page = browser.new_page(color_scheme="light", viewport=SIZE, device_scale_factor=2)
            show(page, said[0])
            page.screenshot(path=picture, clip=around(page))
            browser.close()
        dashboard.send_signal(signal.SIGINT)
    with Image.open(picture) as image:  # a fraction of the size
        image.convert("RGB").quantize(64).save(picture, optimize=True)


def main() -> None:
    """Train, and take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        take(train_tiny(Path(folder)).home, PICTURE)


if __name__ == "__main__":
    main()
