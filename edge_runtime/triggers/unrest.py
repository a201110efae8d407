"""Whether parts pass unseen over what has long looked different: the camera was knocked, or a sheet lies there."""

import numpy as np
import numpy.typing as npt

from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.scene import Mask, Small, above, difference, share

SLOW_S, FAST_S = 5.0, 1.0
"""A crossing as long as no part has shown how fast the belt is, and the shortest that counts: by then chance is out."""
LONG = 2.0
"""Crossings: what differs for longer lies there."""
ENOUGH = 1.0
"""Crossings: what moves within it for longer is not just what lay there and goes on with the belt."""
PATIENCE = 5.0
"""Crossings that a frame is waited for in which nothing moves; after it, parts follow each other without a gap."""
APART = 0.05
"""Crossings: what is seen is compared with what was seen so long ago, to tell whether anything moves now."""
EARLIER = 5
"""How many such are kept: with the first of them it is compared to tell what moved; a slow part has left its place."""


class Unrest:
    """Watches what moves within what has long differed from the empty zone."""

    def __init__(self, config: PresenceTrigger) -> None:
        self._config = config
        self.forget()

    def forget(self) -> None:
        """Begin anew: the empty zone was learnt anew, or parts are seen to cross."""
        self._differs_s: npt.NDArray[np.float32] | None = None  # for how long, by pixels
        self._earlier: list[tuple[float, Small]] = []
        self._moved_s = 0.0

    def see(self, taken: float, small: Small, there: Mask, seconds: float, crossing_s: float | None) -> bool:
        """Whether parts pass unseen, and this is a frame to learn the empty zone from.

        `there`: where `small` differs from the empty zone. `seconds`: since the last frame. `crossing_s`: how long a
        part takes through the zone, if known.
        """
        crossing_s = max(crossing_s or SLOW_S, FAST_S)
        before = self._differs_s if self._differs_s is not None else np.zeros(there.shape, np.float32)
        self._differs_s = np.where(there > 0, before + np.float32(seconds), np.float32(0))
        if not self._earlier or taken - self._earlier[-1][0] > APART * crossing_s:
            self._earlier = [*self._earlier[1 - EARLIER :], (taken, small)]
        lies = self._differs_s > LONG * crossing_s
        if not lies.any():
            return False
        moved = above(difference(small, self._earlier[0][1]), self._config.contrast)
        moved[~lies] = 0
        self._moved_s += seconds if self._is_part(moved) else 0.0
        if self._moved_s <= ENOUGH * crossing_s:
            return False
        moves = above(difference(small, self._earlier[-2:][0][1]), self._config.contrast)
        return not self._is_part(moves) or self._moved_s > PATIENCE * crossing_s

    def _is_part(self, mask: Mask) -> bool:
        return share(mask) >= self._config.min_area
