"""Whether a view looks, at all, like those the part was learnt from: as bright, as rich in contrast, as sharp.

A lens cap, an empty jig, a burnt-out or blurred picture can lie close to its drawing, so the difference alone must not
call it OK. The ranges are each label's own, taken from its good training views, and travel in the bundle.
"""

from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from edge_runtime.picture import Image

ROOM = 0.5
"""How far beyond what was seen a view may lie, as a share of the range seen: light and focus drift over the years."""
LEAST_ROOM = (4.0, 2.0, 0.2)
"""The same in grey levels, for parts whose training views are all alike."""

BEYOND = (("darker", "brighter"), ("lower_contrast", "higher_contrast"), ("blurrier", "sharper"))
"""What a view is whose figure lies below the range, or above it; in the order of `quality`'s figures."""

Three = tuple[float, float, float]

THIRDS = np.full((1, 3), 1 / 3, np.float32)
"""From colour to grey, every channel alike."""


def quality(view: Image) -> Three:
    """Brightness (mean), contrast (standard deviation) and sharpness (mean absolute Laplacian) in grey levels.

    `view`: uint8 [H, W, C].
    """
    grey = view[..., 0] if view.shape[2] == 1 else cv2.transform(view.astype(np.float32), THIRDS)
    mean, deviation = cv2.meanStdDev(grey)
    edges = cv2.Laplacian(grey, cv2.CV_16S if grey.dtype == np.uint8 else cv2.CV_32F)  # exact for whole numbers
    return float(mean[0, 0]), float(deviation[0, 0]), cv2.norm(edges, cv2.NORM_L1) / edges.size


class Usual(BaseModel):
    """The range of each of `quality`'s three figures in which a view of one label is judged."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    low: Three
    high: Three

    @classmethod
    def of(cls, views: Image) -> Self:
        """The range seen in good `views`, uint8 [N, H, W, C], and some room."""
        seen: npt.NDArray[np.float64] = np.array([quality(view) for view in views])
        low, high = seen.min(axis=0), seen.max(axis=0)
        room = np.maximum(ROOM * (high - low), LEAST_ROOM)
        return cls(low=tuple((low - room).tolist()), high=tuple((high + room).tolist()))

    def beyond(self, view: Image) -> tuple[str, ...]:
        """How `view`, uint8 [H, W, C], lies outside the range, as of `BEYOND`; empty where it lies in it."""
        return tuple(
            lower if x < a else higher
            for (lower, higher), a, x, b in zip(BEYOND, self.low, quality(view), self.high, strict=True)
            if not a <= x <= b
        )

    def holds(self, view: Image) -> bool:
        """Whether `view`, uint8 [H, W, C], lies in the range."""
        return not self.beyond(view)
