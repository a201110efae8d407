"""Words on pictures: in the plant's own language, shortened to their room, and beside each other."""

from collections.abc import Sequence

import cv2
import numpy as np

from edge_runtime.picture import Image, printable

Colour = tuple[int, int, int]
"""BGR."""
Rectangle = tuple[int, int, int, int]
"""x, y, width, height in pixels."""

BOLD = 600
BACK = (30, 26, 24)
"""What is behind words that lie on a picture, so that they can be read whatever it shows."""
_ELLIPSIS = "…"
_LARGE = 1 << 15
"""Pixels: OpenCV wants to know how large the picture is, and the width of words does not depend on it."""


def write(picture: Image, text: str, x: int, y: int, size: int, colour: Colour, weight: int = 400) -> None:
    """Write `text` with its base line's left end at `x`, `y`; `size` is the pixels of a line."""
    cv2.putText(picture, printable(text), (x, y), colour, _font(), size, weight)


def width_of(text: str, size: int, weight: int = BOLD) -> int:
    """Pixels that `text` takes."""
    return int(cv2.getTextSize((_LARGE, _LARGE), printable(text), (0, 0), _font(), size, weight)[2])


def shortened(text: str, size: int, room: int, weight: int = BOLD) -> str:
    """`text` as it is where it fits into `room` pixels; else its beginning, and an ellipsis."""
    text = printable(text)
    if width_of(text, size, weight) <= room:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if width_of(text[:middle] + _ELLIPSIS, size, weight) <= room:
            fits = middle
        else:
            too_long = middle
    return text[:fits] + _ELLIPSIS


def shortened_all(texts: Sequence[str], size: int, room: int, weight: int = BOLD) -> list[str]:
    """`texts` so that together they take `room` pixels at most; the longest give way first."""
    told = list(texts)
    widths = [width_of(text, size, weight) for text in texts]
    shortest_first = sorted(range(len(texts)), key=widths.__getitem__)
    for done, index in enumerate(shortest_first):
        told[index] = shortened(texts[index], size, room // (len(texts) - done), weight)
        room -= min(widths[index], room // (len(texts) - done))
    return told


def plate_size(text: str, size: int) -> tuple[int, int]:
    """Width and height of a plate, in pixels."""
    return width_of(text, size) + 2 * (size // 3), size + size // 2


def plate(picture: Image, text: str, left: int, top: int, size: int, ink: Colour, back: Colour) -> None:
    """Write `text` on a plate of its own, within the picture."""
    width, height = plate_size(text, size)
    picture[max(0, top) : top + height, max(0, left) : left + width] = back
    write(picture, text, left + size // 3, top + size + size // 10, size, ink, BOLD)


def places(sizes: Sequence[tuple[int, int]], boxes: Sequence[Rectangle], within: tuple[int, int]) -> list[Rectangle]:
    """Where plates go, each beside its box: where none hides another, if there is such a place, nor a box.

    `sizes`: width and height of each plate. `boxes`: what they are of. `within`: width and height of the picture.
    """
    taken: list[Rectangle] = []
    for size, box in zip(sizes, boxes, strict=True):
        ways = [_within(place, within) for place in _beside(size, box)]
        hidden = zip(_hidden(ways, taken), _hidden(ways, boxes), range(len(ways)), strict=True)
        taken.append(ways[min(hidden)[2]])
    return taken


def in_the_way(plates: Sequence[Rectangle], boxes: Sequence[Rectangle]) -> bool:
    """Whether a plate lies on another one, or on the box of another one, which it would seem to name.

    A box that encloses the plate's own is no such one: somewhere in it that plate must be.
    """
    for index, (each, own) in enumerate(zip(plates, boxes, strict=True)):
        whole = own[2] * own[3]
        others = [box for box, hidden in zip(boxes, _hidden(boxes, [own]), strict=True) if hidden < whole]
        if _hidden([each], [*plates[:index], *others])[0]:
            return True
    return False


def _beside(size: tuple[int, int], box: Rectangle) -> list[Rectangle]:
    """Above a box, below, to the right, to the left, and in it: what is first is liked best."""
    x, y, width, height = box
    w, h = size
    corners = [(x, y - h), (x + width - w, y - h), (x, y + height), (x + width - w, y + height),
               (x + width, y), (x - w, y), (x, y), (x, y + height - h)]  # fmt: skip
    return [(left, top, w, h) for left, top in corners]


def _within(place: Rectangle, picture: tuple[int, int]) -> Rectangle:
    x, y, w, h = place
    return max(0, min(x, picture[0] - w)), max(0, min(y, picture[1] - h)), w, h


def _hidden(places: Sequence[Rectangle], others: Sequence[Rectangle]) -> list[int]:
    """Pixels of `others` that each of `places` would hide."""
    if not others:
        return [0] * len(places)
    x, y, w, h = np.array(places).T[..., None]
    left, top, width, height = np.array(others).T
    across = np.minimum(x + w, left + width) - np.maximum(x, left)
    down = np.minimum(y + h, top + height) - np.maximum(y, top)
    hidden: list[int] = (across.clip(0) * down.clip(0)).sum(axis=1).tolist()
    return hidden


def _font() -> cv2.FontFace:
    """OpenCV's own, with letters of most languages; labels are in the plant's."""
    return cv2.FontFace("sans")
