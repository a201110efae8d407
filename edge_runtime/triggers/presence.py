"""Presence: a free-running camera's frames in, one frame out for each part. `docs/triggers.md` states the rules."""

from collections import deque
from dataclasses import replace

import cv2
import numpy as np

from edge_runtime.cameras import Frame
from edge_runtime.errors import PictureError
from edge_runtime.picture import Image, read_picture
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.passing import Passing
from edge_runtime.triggers.refused import Refused, is_blurred
from edge_runtime.triggers.scene import Followed, Mask, Small, above, difference, look
from edge_runtime.triggers.still import Still

GREY, COLOUR = 1, 3
"""Channels."""
WAITING = 32
"""Parts that may wait with their pictures to be judged: twice as many as are followed. Those side by side share one."""


class Presence:
    """Which frames of a free-running camera are judged. Time is the frames' own; nothing is waited for.

    A part that was seen and cannot be judged is answered, too: with a frame without pixels whose `trouble` says why.
    Raises PictureError where `empty` is no picture, or the zone is not in it.
    """

    def __init__(self, config: PresenceTrigger) -> None:
        self._zone, self._contrast = config.zone, config.contrast
        empty = None
        if config.empty is not None:
            small = look(read_picture(config.empty), config.zone)
            if small is None:
                raise PictureError(config.empty, f"does not hold the zone {list(config.zone or ())}; correct it")
            empty = Followed(small)
        self._rule = Still(config, empty) if config.when == "still" else Passing(config, empty)
        self._shape = None if empty is None else empty.picture.shape
        self._unfit = False
        self._refused = Refused()
        self._due: deque[Frame] = deque()

    def see(self, frame: Frame) -> Frame | None:
        """Look at the next frame; the first that is due, as of `due`, else None.

        A frame without pixels cannot be looked at, and counts as lost. So does one that the gate refuses, unless it is
        only blurred; of a row of these the first is answered by its trouble: see `Refused`. A frame that does not hold
        the zone, or is of another shape than those before, is answered so, too, the first of a row of such.
        """
        if frame.pixels is not None:
            for refused in self._refused.see(frame):
                self._wait(refused)
            if frame.trouble is None or is_blurred(frame):
                for part in self._seen(frame, frame.pixels):
                    self._wait(part)
        return self.due()

    def due(self, *, idle: bool = True) -> Frame | None:
        """The frame to be judged of the part that waits longest; None where none waits.

        Without time (`idle`) only one that has no pixels, which takes none: so what waits stays within bounds.
        """
        if not self._due or not (idle or self._due[0].pixels is None):
            return None
        return self._due.popleft()

    def _wait(self, part: Frame) -> None:
        """Let a part wait for its verdict: an ERROR, where too many wait with their pictures."""
        if part.pixels is not None and sum(each.pixels is not None for each in self._due) >= WAITING:
            part = replace(part, pixels=None, trouble=f"a part came while {WAITING} others waited to be judged")
        self._due.append(part)

    def _seen(self, frame: Frame, pixels: Image) -> list[Frame]:
        """What is to be judged because of this frame."""
        small = self._look(pixels)
        if small is None or (self._shape is not None and small.shape != self._shape):
            first, self._unfit = not self._unfit, True
            return [replace(frame, pixels=None, trouble=self.unfit(pixels))] if first else []
        self._shape, self._unfit = small.shape, False
        return self._rule.see(frame, small)

    def unfit(self, pixels: Image) -> str | None:
        """Why parts cannot be looked for in such a picture; None where they can."""
        small = self._look(pixels)
        if small is not None and self._shape in (None, small.shape):
            return None
        height, width = pixels.shape[:2]
        why = f"a picture of {width} x {height} pixels does not fit the zone or the picture of the empty zone"
        return f"{why}; correct zone, or take empty anew (kenpin-edge grab)"

    @property
    def sees(self) -> bool:
        """Whether parts could be looked for in the last frame."""
        return not self._unfit

    def rest(self) -> list[Frame]:
        """At the end of the frames: what is still to be judged, in order."""
        due, self._due = self._due, deque()
        return [*due, *self._refused.rest(), *self._rule.rest()]

    def differs(self, pixels: Image) -> Mask | None:
        """Where the zone of a picture differs from the empty zone as it is known now, at the size of `look`."""
        small = self._look(pixels)
        empty = self._rule.empty
        return None if small is None or empty is None else above(difference(small, empty.picture), self._contrast)

    def _look(self, pixels: Image) -> Small | None:
        """The zone of a picture, in grey or colour as the empty zone is: it may have been kept in another way."""
        small = look(pixels, self._zone)
        if small is None or self._shape is None or small.shape[2] == self._shape[2]:
            return small
        if self._shape[2] == GREY:
            return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)[..., None], np.uint8)
        return np.repeat(small, COLOUR, axis=2)
