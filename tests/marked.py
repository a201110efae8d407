"""A frame with two marks and a part between them, as a loose jig shows it."""

from pathlib import Path

import cv2
import numpy as np

from edge_runtime.marks import Mark, Marks
from edge_runtime.picture import Image

LEFT, RIGHT = (80, 90), (500, 340)
"""Where the marks' templates lie in the frame, their top left."""
SIDE = 48
SEARCH = 40
NAMES = ("left", "right")


def marked_frame() -> Image:
    """uint8 [480, 640, 1]: an even table, two marks of rings and crosses, and a textured part in the middle."""
    rng = np.random.default_rng(3)
    frame = np.full((480, 640, 1), 90, np.uint8)
    for number, (x, y) in enumerate((LEFT, RIGHT)):
        cv2.circle(frame, (x + 24, y + 24), 18, 220, -1)
        cv2.drawMarker(frame, (x + 24, y + 24), 20, number * 45, markerSize=30, thickness=5)
    frame[180:300, 250:400] = cv2.resize(rng.integers(0, 256, (12, 15), np.uint8), (150, 120))[..., None]
    return frame


def moved(frame: Image, x: float, y: float, turn: float) -> Image:
    """The same after the jig has shifted by x, y pixels and turned by `turn` degrees about the frame's middle."""
    height, width = frame.shape[:2]
    shown = cv2.warpAffine(frame, motion(x, y, turn), (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.uint8).reshape(frame.shape)


def motion(x: float, y: float, turn: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Where that takes a pixel's index, float64 [2, 3]."""
    matrix = np.asarray(cv2.getRotationMatrix2D((319.5, 239.5), turn, 1.0), np.float64)
    matrix[:, 2] += np.array([x, y])
    return matrix


def mark_tables(folder: Path, *places: tuple[int, int]) -> dict[str, Mark]:
    """Marks whose templates were cut from the reference frame, one or two."""
    marks = {}
    for name, (x, y) in zip(NAMES, places, strict=False):
        cv2.imwrite(str(folder / f"{name}.png"), marked_frame()[y : y + SIDE, x : x + SIDE])
        marks[name] = Mark(template=folder / f"{name}.png", at=(x, y), search=SEARCH)
    return marks


def marks_in(folder: Path, *places: tuple[int, int]) -> Marks:
    """The same, ready to be looked for."""
    return Marks(mark_tables(folder, *places))
