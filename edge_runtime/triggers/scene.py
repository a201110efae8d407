"""The zone as presence detection sees it: small, slightly blurred, and against what it looks like when empty."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.picture import Image
from edge_runtime.table import Count, Extent

SIDE = 160
"""Pixels of the longer side at which the zone is looked at: parts are found to a hundredth of the zone, in 0.3 ms."""
FOLLOW_S = 3.0
"""Time constant with which the empty zone is followed; a cloud's shadow takes longer. Where a part is seen, the look of
the empty zone is kept."""
GAIN = 1.3
"""Up to how much brighter or darker as a whole, by the zone's edge, the zone still counts as the same: cameras that
set their exposure themselves, and flickering lamps."""
WHOLE = 0.5
"""Where more than this share of the zone's edge differs from the empty zone, the light or the camera changed, or the
part is larger than the zone. A hand or a part that reaches over the edge covers less of it."""

ROOM = 2
"""Pixels around a part that show its blur or its shadow."""

Small = npt.NDArray[np.uint8]
"""uint8 [h, w, C]: the zone, `SIDE` pixels long at most."""
Levels = npt.NDArray[np.uint8]
"""uint8 [h, w]: grey levels of difference."""
Mask = npt.NDArray[np.uint8]
"""uint8 [h, w]: 255 where something is so, else 0."""
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the small zone."""
Zone = tuple[Count, Count, Extent, Extent]


def _uint8(pixels: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """What OpenCV gives for uint8, which its types do not say."""
    return np.asarray(pixels, np.uint8)


def look(pixels: Image, zone: Zone | None) -> Small | None:
    """The zone of a picture, uint8 [H, W, C]; None where it reaches over the picture's edge."""
    if zone is not None:
        x, y, width, height = zone
        if y + height > pixels.shape[0] or x + width > pixels.shape[1]:
            return None
        pixels = pixels[y : y + height, x : x + width]
    longer = max(pixels.shape[:2])
    if longer >= 2 * SIDE:
        stride = longer // SIDE // 2  # of five megapixels averaging every one takes longer than all the rest
        pixels = pixels[::stride, ::stride] if stride > 1 else pixels
    if (factor := SIDE / max(pixels.shape[:2])) < 1:
        size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
        pixels = _uint8(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    small = _uint8(cv2.blur(pixels, (3, 3)))
    return small if small.ndim == 3 else small[..., None]


def difference(a: Small, b: Small) -> Levels:
    """By how many grey levels `a` differs from `b`, made as bright as `a`, in the most different channel: [h, w]."""
    gain = float(np.median((_edge(a) + 1.0) / (_edge(b) + 1.0)))
    scaled = cv2.convertScaleAbs(b, alpha=min(max(gain, 1 / GAIN), GAIN))
    channels = cv2.split(cv2.absdiff(a, scaled.reshape(b.shape)))
    most = channels[0]
    for channel in channels[1:]:
        most = cv2.max(most, channel)
    return _uint8(most)


def above(levels: Levels, contrast: int) -> Mask:
    """Where a difference is more than `contrast`."""
    return _uint8(cv2.threshold(levels, contrast, 255, cv2.THRESH_BINARY)[1])


def _edge(small: Small | Mask) -> npt.NDArray[np.uint8]:
    """The outermost pixels of a look or a mask, in a row."""
    return np.concatenate([side.reshape(-1) for side in (small[0], small[-1], small[:, 0], small[:, -1])])


def share(mask: Mask) -> float:
    """The share of a mask that is set."""
    return cv2.countNonZero(mask) / mask.size


def edge_share(mask: Mask) -> float:
    """The share of the zone's edge that is set."""
    return float(np.count_nonzero(_edge(mask)) / _edge(mask).size)


def box_of(there: Mask) -> Box:
    """The box around all that is set."""
    x, y, width, height = cv2.boundingRect(there)
    return x, y, width, height


def boxed(there: Mask, boxes: list[Box]) -> Mask:
    """Where parts are, with some room: what looks like the empty zone within a part's box is mostly the part's."""
    mask = np.zeros_like(there)
    for x, y, width, height in boxes:
        mask[max(0, y - ROOM) : y + height + ROOM, max(0, x - ROOM) : x + width + ROOM] = 255
    return mask


class Followed:
    """A look at the zone that is followed slowly as the light drifts: the empty zone, or a part that stands there."""

    def __init__(self, small: Small) -> None:
        self._mean = small.astype(np.float32)
        self.picture = small.copy()

    def follow(self, small: Small, not_where: Mask, seconds: float) -> None:
        """Come closer to `small`, by what `seconds` allow.

        Where `not_where` is set something else is seen; there the light is taken to have drifted as it did elsewhere,
        or a part that lay there for an hour would leave the place looking strange.
        """
        rate = 1 - math.exp(-seconds / FOLLOW_S)
        seen = cv2.bitwise_not(not_where)
        if rate <= 0 or not cv2.countNonZero(seen):
            return
        if cv2.countNonZero(not_where):
            drift = np.subtract(cv2.mean(small, seen), cv2.mean(self._mean, seen))[: small.shape[2]]
            self._mean[not_where > 0] += (rate * drift).astype(np.float32)
        cv2.accumulateWeighted(small, self._mean, rate, seen)
        self.picture = _uint8(cv2.convertScaleAbs(self._mean)).reshape(small.shape)

    def take(self, small: Small, where: Mask) -> None:
        """Become `small` at once where `where` is set."""
        self._mean[where > 0] = small[where > 0]
        self.picture = _uint8(cv2.convertScaleAbs(self._mean)).reshape(small.shape)
