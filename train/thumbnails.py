"""Pictures as they stand in the report: small PNGs inside `data:` addresses, so that the page needs no other file."""

import base64
import math

import cv2
import numpy as np
import numpy.typing as npt
from cv2.typing import MatLike

from edge_runtime.picture import Image

FULL_SCALE = 8.0
"""Tolerances at the bright end of the heat map. One scale for every picture of every report, so that two compare."""

_STEPS = 48  # colours in a heat map: more than an eye tells apart, and few enough for PNG to pack well


def thumbnail(picture: Image, side: int) -> str:
    """`picture` (uint8 [H, W, 1 or 3]) shrunk to at most `side` pixels. A smaller one stays: the page enlarges it."""
    shrink = max(picture.shape[:2]) / side
    if shrink > 1:
        return data_address(cv2.resize(picture, _shrunk(picture.shape, shrink), interpolation=cv2.INTER_AREA))
    return data_address(picture)


def heat_map(difference: npt.NDArray[np.float32], side: int) -> str:
    """`difference` (float32 [H, W], in tolerances) from black (none) to bright yellow (`FULL_SCALE` and above).

    What is no number is bright. Shrinking keeps each patch's largest value: a fine scratch must not average away.
    """
    heat = np.nan_to_num(difference, nan=FULL_SCALE, posinf=FULL_SCALE, neginf=FULL_SCALE).clip(0, FULL_SCALE)
    shrink = max(heat.shape) / side
    if shrink > 1:
        reach = math.ceil(shrink)
        heat = cv2.dilate(heat, np.ones((reach, reach), np.uint8))
        heat = cv2.resize(heat, _shrunk(heat.shape, shrink), interpolation=cv2.INTER_NEAREST)
    steps = np.round(heat / FULL_SCALE * _STEPS) * (255 / _STEPS)
    return data_address(cv2.applyColorMap(steps.astype(np.uint8), cv2.COLORMAP_INFERNO))


def scale_bar() -> str:
    """The heat map's colours from 0 to `FULL_SCALE`, one pixel high."""
    ramp = np.linspace(0, FULL_SCALE, 256, dtype=np.float32)[None]
    return heat_map(ramp, ramp.size)


def data_address(picture: MatLike) -> str:
    """`picture` (uint8 [H, W], or [H, W, 1 or 3] in OpenCV's order) as a PNG in a `data:` address."""
    written, png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not written:
        raise ValueError(f"OpenCV does not write {picture.dtype} {picture.shape} as PNG")
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode()


def _shrunk(shape: tuple[int, ...], shrink: float) -> tuple[int, int]:
    """Width and height, as OpenCV wants them."""
    return max(1, round(shape[1] / shrink)), max(1, round(shape[0] / shrink))
