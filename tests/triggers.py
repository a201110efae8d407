"""A made-up line in front of a camera: parts on a belt, or put down by a hand. Shared by the tests of presence."""

from collections.abc import Iterable, Iterator

import numpy as np

from edge_runtime.cameras import Frame
from edge_runtime.picture import Image
from edge_runtime.triggers.presence import Presence

WIDTH, HEIGHT = 320, 180
RATE_HZ = 25.0

Rectangle = tuple[float, float, float, float, int]
"""x, y, width, height in pixels, and a grey level."""


def picture(
    rectangles: Iterable[Rectangle] = (), light: float = 1.0, noise: float = 0.0, rng: np.random.Generator | None = None
) -> Image:
    """The scene: a belt with a slope of grey, with the rectangles on it, the later ones above."""
    scene = np.empty((HEIGHT, WIDTH, 3), np.float32)
    scene[:] = np.linspace(90, 110, WIDTH, dtype=np.float32)[None, :, None]
    for x, y, width, height, level in rectangles:
        top, left = max(0, round(y)), max(0, round(x))
        scene[top : max(0, round(y + height)), left : max(0, round(x + width))] = level
    scene *= light
    if noise and rng is not None:
        scene += rng.normal(0, noise, scene.shape).astype(np.float32)
    return scene.clip(0, 255).astype(np.uint8)


def frames(pictures: Iterable[Image | None], rate_hz: float = RATE_HZ) -> Iterator[Frame]:
    """Pictures as a camera gives them; None is a frame that was lost on the way, and never arrives."""
    for i, pixels in enumerate(pictures):
        if pixels is not None:
            yield Frame(pixels, 0, i, 0.0, str(i), None, i / rate_hz)


def judged(presence: Presence, seen: Iterable[Frame]) -> list[Frame]:
    """All that is to be judged, to the end."""
    return [due for frame in seen if (due := presence.see(frame)) is not None] + presence.rest()


def numbers(due: Iterable[Frame]) -> list[int]:
    """Which frames are judged; those without pixels are a failure here."""
    answers = list(due)
    assert [frame.trouble for frame in answers if frame.pixels is None] == []
    return [int(frame.name or "") for frame in answers]
