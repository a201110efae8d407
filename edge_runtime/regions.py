"""Where in a frame a part is looked at: a rectangle, or a quadrilateral that perspective has made of one.

Coordinates are in pixels of the frame from its top left corner, pixel (i, j) covering [i, i + 1) × [j, j + 1): the
corners of `box = [x, y, w, h]` are [x, y], [x + w, y], [x + w, y + h] and [x, y + h], and give the same picture.

A rectangle is cut out as it is. A quadrilateral is drawn upright in one step, with at least one pixel for each of the
frame's wherever it is drawn smallest; from there on `ViewSpec.view` makes a view of it, by area averaging as of every
other picture. A step straight to the view's size would skip pixels of a large quadrilateral.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from edge_runtime.errors import PictureError
from edge_runtime.picture import Image
from edge_runtime.table import Count, Extent, Table
from edge_runtime.verdict import Box, Corners

Motion = npt.NDArray[np.float64]
"""[2, 3]: where a point of the reference frame lies in this one."""
STILL: Motion = np.eye(2, 3)

STRAIGHT = math.sin(math.radians(3))
"""Sine of the angle between two sides below which they make no corner: a slip of the pen, not a view of a part."""
STRETCH = 2.0
"""A quadrilateral is drawn at most so many times as large as its longer sides: strong perspective, bounded memory."""
UNSEEN = 0.5
"""Pixels that a turn moves a rectangle's corners by, so that it is not worth the blur of drawing it anew."""
SLACK = 1e-6
"""Pixels: what rounding adds to a whole number."""


def _clockwise(corners: Corners) -> Corners:
    """Only what a flat part can look like: four true corners, no crossing, clockwise as seen in the frame."""
    points = np.array(corners)
    sides = np.roll(points, -1, axis=0) - points
    lengths = np.hypot(*sides.T)
    if lengths.min() < 1:
        raise PydanticCustomError("corners", "has two corners in one place")
    following = np.roll(sides, -1, axis=0)
    turns = (sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]) / (lengths * np.roll(lengths, -1))
    if np.abs(turns).min() < STRAIGHT:
        raise PydanticCustomError("corners", "has three corners on one line, so no area to look at or no fourth corner")
    if (turns < 0).all():
        raise PydanticCustomError("corners", "goes counterclockwise, which shows the part mirrored")
    if (turns < 0).any():
        raise PydanticCustomError("corners", "crosses itself or is dented")
    return corners


def _instead_of_box(corners: Corners | None, info: ValidationInfo) -> Corners | None:
    if corners is not None and info.data.get("box") is not None:
        raise PydanticCustomError("corners", "stands beside box: name one of the two")
    return corners


_Across = Annotated[float, Field(ge=0)]
_Corner = Annotated[tuple[_Across, _Across], Field(strict=False)]


class Region(Table):
    """A place in the frame with its own expected part, given by `box` or `corners`; by neither: the whole frame."""

    expected: str = Field(min_length=1, description="one of the bundle's part labels")
    box: Annotated[tuple[Count, Count, Extent, Extent], Field(strict=False)] | None = Field(
        default=None, description="[x, y, width, height] in whole pixels, as box = [0, 0, 300, 300]"
    )
    corners: Annotated[
        Annotated[tuple[_Corner, _Corner, _Corner, _Corner], Field(strict=False), AfterValidator(_clockwise)] | None,
        AfterValidator(_instead_of_box),
    ] = Field(
        default=None,
        description="four [x, y] in pixels, clockwise from the part's top left, "
        "as corners = [[0, 0], [300, 0], [300, 300], [0, 300]]",
    )

    def bounds(self) -> Box:
        """The upright rectangle around it in the reference frame; zeros for a whole frame, whose size is not known."""
        if self.corners is not None:
            return _around(np.array(self.corners))
        return self.box or (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Cut:
    """A region's picture, from one frame.

    `picture`: uint8 [H, W, C]; a rectangle's shares the frame's memory. `box`: the region in that frame, or what is
    around it; `corners`: where it is no upright rectangle. `to_frame`: float64 [3, 3], from the picture to the frame.
    """

    picture: Image
    box: Box
    corners: Corners | None
    to_frame: npt.NDArray[np.float64]

    def in_frame(self, x: float, y: float) -> tuple[int, int]:
        """The frame's pixel in which the point x, y of the picture lies."""
        across, down, scale = self.to_frame @ (x, y, 1.0)
        return math.floor(across / scale + SLACK), math.floor(down / scale + SLACK)


def cut(pixels: Image, name: str, region: Region, motion: Motion = STILL) -> Cut:
    """The picture of the region `name` in a frame, `pixels` (uint8 [H, W, C]), that has moved by `motion`.

    A rectangle that was shifted, but not visibly turned, is cut at whole pixels, which changes none of them. Raises
    PictureError where it does not lie within the frame.
    """
    height, width = pixels.shape[:2]
    if region.box is None and region.corners is None:
        return _upright(pixels, (0, 0, width, height))
    if region.box is not None and motion is STILL:  # nearly always
        _check_box(name, region.box, width, height, f"box is {list(region.box)}")
        return _upright(pixels, region.box)
    points = _moved(region, motion)
    if region.box is not None:
        moved = points - _moved(region, STILL)
        shift = moved.mean(axis=0)
        if np.abs(moved - shift).max() < UNSEEN:
            x, y, w, h = region.box
            box = x + round(shift[0]), y + round(shift[1]), w, h
            _check_box(name, box, width, height, f"box is {list(region.box)}, moved with the marks to {list(box)}")
            return _upright(pixels, box)
    if (points < -SLACK).any() or (points > np.array([width, height]) + SLACK).any():
        raise _outside(name, _where(region, points, motion), width, height)
    return _drawn_upright(pixels, points)


def _where(region: Region, points: npt.NDArray[np.float64], motion: Motion) -> str:
    """Where the station file has a region, and where its corners have moved to from there."""
    named = f"box is {list(region.box)}" if region.box is not None else f"corners are {_shown(_moved(region, STILL))}"
    return named if motion is STILL else f"{named}, moved with the marks to {_shown(points)}"


def _shown(points: npt.NDArray[np.float64]) -> list[list[float]]:
    return [[round(x, 1), round(y, 1)] for x, y in points.tolist()]


def _check_box(name: str, box: Box, width: int, height: int, what: str) -> None:
    x, y, w, h = box
    if not (0 <= x <= width - w and 0 <= y <= height - h):
        raise _outside(name, what, width, height)


def _outside(name: str, what: str, width: int, height: int) -> PictureError:
    why = f"the frame is {width} x {height} pixels, but the region's {what}; correct it, or aim the camera"
    return PictureError(f"region {name}", why)


def _upright(pixels: Image, box: Box) -> Cut:
    x, y, w, h = box
    return Cut(pixels[y : y + h, x : x + w], box, None, np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1.0]]))


def _moved(region: Region, motion: Motion) -> npt.NDArray[np.float64]:
    """The region's corners in a frame that has moved, float64 [4, 2]."""
    if region.corners is not None:
        points = np.array(region.corners, np.float64)
    else:
        x, y, w, h = region.bounds()
        points = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float64)
    return np.asarray(points @ motion[:, :2].T + motion[:, 2])


def _drawn_upright(pixels: Image, points: npt.NDArray[np.float64]) -> Cut:
    """The quadrilateral `points`, float64 [4, 2], as the rectangle that it is a view of."""
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    matrix = cv2.getPerspectiveTransform(square, points.astype(np.float32))
    sides = np.hypot(*(np.roll(points, -1, axis=0) - points).T)
    size = []
    for axis, longest in ((0, max(sides[0], sides[2])), (1, max(sides[1], sides[3]))):
        steepest = max(_stretch(matrix, corner, axis) for corner in square)
        size.append(max(1, math.ceil(min(steepest, STRETCH * longest) - 1e-3)))
    width, height = size
    to_frame = np.asarray(matrix @ np.diag([1 / width, 1 / height, 1.0]), np.float64)
    half = np.array([[1.0, 0, 0.5], [0, 1.0, 0.5], [0, 0, 1.0]])  # OpenCV's (0, 0) is the first pixel's centre
    upright = cv2.warpPerspective(
        pixels,
        np.linalg.inv(half) @ to_frame @ half,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    a, b, c, d = ((round(x, 2), round(y, 2)) for x, y in points.tolist())
    picture = np.asarray(upright, np.uint8).reshape(height, width, pixels.shape[2])
    return Cut(picture, _around(points), (a, b, c, d), to_frame)


def _stretch(matrix: npt.NDArray[Any], corner: npt.NDArray[np.float32], axis: int) -> float:
    """Pixels of the frame that one unit along `axis` covers at a `corner` of the unit square."""
    x, y, scale = matrix @ (*corner, 1.0)
    slope = (matrix[:2, axis] - np.array([x, y]) / scale * matrix[2, axis]) / scale
    return float(np.hypot(*slope))


def _around(points: npt.NDArray[np.float64]) -> Box:
    left, top = np.floor(points.min(axis=0) + SLACK).astype(int).tolist()
    right, bottom = np.ceil(points.max(axis=0) - SLACK).astype(int).tolist()
    return left, top, right - left, bottom - top
