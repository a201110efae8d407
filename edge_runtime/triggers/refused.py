"""Frames that the gate refuses while parts are looked for: which are answered, and which are looked at all the same."""

import math
from dataclasses import replace

from edge_runtime.cameras import Frame
from edge_runtime.gate import BLURRED

AGAIN_S = 10.0
"""From one answer to the next at least: a camera that flickers is told six times a minute, not thirty times a second.
One that gives nothing else is told once, and as long after that its status says `blind`."""
MOTION_S = 2.0
"""How long frames are blurred by what moves in them, at most: parts and hands are on their way for less."""


class Refused:
    """Which refused frames are answered: the first of each row of such, at once or as soon as AGAIN_S have gone by."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = False
        self._owed: Frame | None = None
        self._answered = -math.inf

    def see(self, frame: Frame) -> list[Frame]:
        """Look at the next frame, also a good one; the frame without pixels that is to be answered now, if any."""
        if frame.trouble is None:
            self._since, self._told = None, False
        elif not self._told:
            self._since = frame.taken if self._since is None else self._since
            if not is_blurred(frame) or frame.taken - self._since >= MOTION_S:
                self._told = True
                self._owed = self._owed or replace(frame, pixels=None)
        if self._owed is None or frame.taken - self._answered < AGAIN_S:
            return []
        self._answered = frame.taken
        return self.rest()

    def rest(self) -> list[Frame]:
        """What is still to be answered, however short the time since the last."""
        owed, self._owed = self._owed, None
        return [] if owed is None else [owed]


def is_blurred(frame: Frame) -> bool:
    """Whether no more is wrong with the frame than that it is blurred: parts show in it, and it may be they that move.

    A part that is found in it is an ERROR of its own.
    """
    return frame.trouble is not None and frame.trouble.startswith(BLURRED)
