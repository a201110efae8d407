"""Whether a place of a picture shows a thing, or only the noise of the sensor, which is another in the next picture.

Noise is fine grained and everywhere: a small blur takes it away, and the quiet places around have as much of it. Light
that changes slowly across the picture is neither, and is taken away first.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.marks import Grey
from edge_runtime.verdict import Box

BLUR = 1.0
"""Sigma in pixels of the small blur. A lens has blurred whatever it shows by about as much already."""
GRAINY = 0.15
"""Share of the variance that the blur must leave. Of white noise it leaves 0.08, in one of a hundred places of 8 pixels
a side 0.15; of holes, crosses, corners, tags and letters of that size 0.2 or more, but of a ring of hairlines 0.13."""
TILE = 16
"""Side in pixels of a quiet place."""
QUIET = 0.25
"""Share of the tiles around that are taken for quiet: most of a scene may be busy."""
FEWEST = 8
"""Tiles that tell something about the surroundings."""
STARK, SMOOTH = 8.0, 0.35
"""Grey levels that the blur leaves, and the share of the variance that they are: what has both is no noise of a camera
that works, however busy its surroundings. Of noise of 20 grey levels a Bayer sensor's picture leaves 6, and 0.3."""


def likeness_after_noise(frame: Grey, box: Box, around: int) -> float:
    """How like itself the place `box` (x, y, width, height) of a picture will be in the next one, from 0 (noise) to 1.

    `frame`: uint8 [H, W]. `around`: pixels each way in which the surroundings are looked at. It is the share of the
    place's variance that is not noise, to which the normalised correlation of two pictures of it comes.
    """
    x, y, w, h = box
    shown = _evenly_lit(frame[y : y + h, x : x + w])
    energy = float(shown.var())
    smooth = float(cv2.GaussianBlur(shown, (0, 0), BLUR).var())
    if smooth <= GRAINY * energy:
        return 0.0
    if smooth >= max(STARK**2, SMOOTH * energy):
        return 1.0
    left, top = max(0, x - around), max(0, y - around)
    near = frame[top : y + h + around, left : x + w + around].astype(np.float64)
    near[y - top : y - top + h, x - left : x - left + w] = np.nan
    tiles = _evenly_lit(_tiles(near)).var(axis=(1, 2))
    if tiles.size < FEWEST:
        return 1.0
    return max(0.0, 1.0 - float(np.quantile(tiles, QUIET)) / energy)


def _evenly_lit(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """`pixels`, [..., H, W], without their means and slopes."""
    even = pixels - pixels.mean(axis=(-2, -1), keepdims=True)
    for axis in (-2, -1):
        steps = np.arange(pixels.shape[axis]) - (pixels.shape[axis] - 1) / 2
        along = steps[:, None] if axis == -2 else steps
        even = even - along * (even * along).mean(axis=(-2, -1), keepdims=True) / (steps**2).mean()
    return np.asarray(even)


def _tiles(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The whole tiles that hold no NaN, float64 [N, TILE, TILE]."""
    rows, columns = pixels.shape[0] // TILE, pixels.shape[1] // TILE
    grid = pixels[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    tiles = grid.swapaxes(1, 2).reshape(-1, TILE, TILE)
    return tiles[~np.isnan(tiles).any(axis=(1, 2))]
