"""Line-scan over a dark belt: whether nothing but darkness is seen. A lamp that fails looks as if no part came."""

import numpy as np

from edge_runtime.cameras.config import Lines
from edge_runtime.picture import Image

DARK, DARK_SHARE = 16, 0.25
"""Grey level below which a dark background is none that a lamp lights: as dark as the gate calls a picture, and this
share of `threshold` at most, since who sets a low one has a belt that is nearly black."""
DARK_S = 10.0
"""How long lines must be so dark for that to be told."""
LIT_SHARE = 0.01
"""Of the pixels, this share must be brighter; hot ones are fewer."""
SOME = 4
"""Lines of a block that are looked at: a lamp lights all of them."""


class Darkness:
    """Looks at the blocks of one camera in order."""

    def __init__(self, lines: Lines) -> None:
        presence = lines.cut == "presence" and lines.background == "dark" and lines.threshold is not None
        self._below = min(DARK, DARK_SHARE * (lines.threshold or 0)) if presence else 0.0
        self._since: float | None = None
        self._told = False

    def see(self, block: Image, taken: float) -> str | None:
        """What is to be told of one more block, uint8 [h, W, C], in words: once, until there is light.

        `taken`: when, in seconds of a clock that nobody sets.
        """
        if not self._below:
            return None
        some = block[:: max(1, len(block) // SOME)].max(axis=2)
        brightest = int(np.percentile(some, 100 * (1 - LIT_SHARE)))
        if brightest >= self._below:
            self._since, self._told = None, False
            return None
        self._since = taken if self._since is None else self._since
        if self._told or taken - self._since < DARK_S:
            return None
        self._told = True
        why = f"for {DARK_S:g} s no line was brighter than grey level {brightest}; check light, lens cap and exposure"
        return f"may have passed unseen: {why}"
