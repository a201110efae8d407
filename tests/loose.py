"""Textured parts that lie loosely in their jig: a fixed pattern of rectangles, shifted and turned."""

import cv2
import numpy as np

from edge_runtime.picture import Image

SIDE = 48
PLAY_SHIFT, PLAY_TURN = 6.0, 4.0
"""How far the jig lets a part move: pixels each way, and degrees."""


def pattern(seed: int, channels: int = 1) -> Image:
    """A part on its table, uint8 [2 SIDE, 2 SIDE, channels]: more than a view shows, so that it can be moved."""
    rng = np.random.default_rng(seed)
    table = np.full((2 * SIDE, 2 * SIDE, channels), 90, np.uint8)
    for _ in range(14):
        corner, size = rng.integers(SIDE // 2 + 6, SIDE * 3 // 2 - 12, 2), rng.integers(5, 14, 2)
        colour = tuple(int(value) for value in rng.integers(0, 256, channels))
        cv2.rectangle(table, corner.tolist(), (corner + size).tolist(), colour, -1)
    return table


def shown(table: Image, x: float, y: float, turn: float, noise: np.random.Generator) -> Image:
    """The view, uint8 [SIDE, SIDE, C], of a part shifted by `x`, `y` pixels and turned by `turn` degrees."""
    centre = SIDE - 0.5
    matrix = cv2.getRotationMatrix2D((centre, centre), turn, 1.0)
    matrix[:, 2] += np.array([x, y])
    moved = cv2.warpAffine(table, matrix, (2 * SIDE, 2 * SIDE), borderMode=cv2.BORDER_REPLICATE)
    view = moved.reshape(table.shape)[SIDE // 2 : SIDE * 3 // 2, SIDE // 2 : SIDE * 3 // 2]
    return np.asarray(np.clip(view + noise.normal(0, 3, view.shape), 0, 255), np.uint8)


def loose_views(table: Image, count: int, seed: int) -> Image:
    """`count` views as the jig shows them, uint8 [count, SIDE, SIDE, C]."""
    rng = np.random.default_rng(seed)
    lies = rng.uniform((-PLAY_SHIFT, -PLAY_SHIFT, -PLAY_TURN), (PLAY_SHIFT, PLAY_SHIFT, PLAY_TURN), (count, 3))
    return np.stack([shown(table, x, y, turn, rng) for x, y, turn in lies])
