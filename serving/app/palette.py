"""The page's colours: blue and orange, which colour-blind people tell apart."""

from PIL import Image, ImageDraw

REAL, UNDECIDED, FAKE = "#3b82c4", "#8a8f98", "#d9740b"
ACCENT = {"light": "#2f6fab", "dark": "#5a9bd5"}


def icon() -> Image.Image:
    """Draw the page's icon: three bars of sound, the last one of another kind."""
    image = Image.new("RGBA", (64, 64))
    pen = ImageDraw.Draw(image)
    for number, (height, colour) in enumerate(((28, REAL), (56, REAL), (36, FAKE))):
        left, top = 6 + 19 * number, 32 - height // 2
        pen.rounded_rectangle((left, top, left + 13, top + height), 6, colour)
    return image
