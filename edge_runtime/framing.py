"""From a frame to the pictures of its regions, or to why there are none to judge."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.cameras import Frame
from edge_runtime.errors import PictureError
from edge_runtime.gate import Gate, GateLimits, Source
from edge_runtime.marks import Mark, Marks
from edge_runtime.picture import Image
from edge_runtime.regions import Cut, Region, cut
from edge_runtime.verdict import Box


@dataclass(frozen=True, slots=True)
class Unfit:
    """A region that cannot be judged in this frame. `why`: for people; `box`: where it should have been."""

    why: str
    box: Box


WATCHED = 256
"""Frames whose trouble is remembered: more than any trigger chooses among."""


class Framing:
    """The regions of one camera's frames. It remembers the last frames, so one thread gives it all of them in order."""

    def __init__(
        self,
        regions: Mapping[str, Region],
        marks: Mapping[str, Mark] | None = None,
        limits: GateLimits | None = None,
        source: Source = Source.REPLAY,
    ) -> None:
        """`source`: where the frames come from. Raises PictureError where a mark's template cannot be used."""
        self.regions = dict(regions)
        self.marks = Marks(marks or {})
        self._gate = Gate(limits or GateLimits(), source)
        self._watched: dict[tuple[int, float], str | None] = {}

    def follow(self, before: "Framing") -> None:
        """Take the place of `before`, at the same camera, and remember the frames that it has seen."""
        self._gate.follow(before._gate)  # noqa: SLF001  # one of us
        self._watched = dict(before._watched)  # noqa: SLF001

    def watch(self, frame: Frame) -> None:
        """See a frame of a free-running camera that may never be judged: what is frozen or stale shows in a series."""
        if frame.pixels is not None:
            self._trouble(frame, frame.pixels)

    def look(self, frame: Frame) -> dict[str, Cut | Unfit]:
        """For each region its picture in `frame`, or why it must not be judged.

        What is wrong with the frame is so with all of its regions, also where one of them shows nothing of it: the next
        picture, which may be well, is not far.
        """
        try:
            if frame.pixels is None:
                return self._all_unfit(frame, frame.trouble or "the camera gave no picture")
            if trouble := self._trouble(frame, frame.pixels):
                return self._all_unfit(frame, trouble)
            motion = self.marks.motion(self.marks.find(frame.pixels))
        except PictureError as error:
            return self._all_unfit(frame, str(error))
        seen: dict[str, Cut | Unfit] = {}
        for name, region in self.regions.items():
            try:
                piece = cut(frame.pixels, name, region, motion)
            except PictureError as error:
                seen[name] = Unfit(error.why, region.bounds())
                continue
            whole = piece.picture.shape == frame.pixels.shape  # has been looked at
            trouble = None if whole else self._gate.burnt_out(piece.picture)
            seen[name] = Unfit(trouble, piece.box) if trouble else piece
        return seen

    def _trouble(self, frame: Frame, pixels: Image) -> str | None:
        """What the gate says of a frame; of one that was seen before, the same again: it has not come again."""
        key = frame.sequence, frame.taken
        if key not in self._watched:
            if len(self._watched) >= WATCHED:
                del self._watched[next(iter(self._watched))]
            self._watched[key] = self._gate.trouble(pixels, frame.taken)
        return self._watched[key]

    def _all_unfit(self, frame: Frame, why: str) -> dict[str, Cut | Unfit]:
        height, width = frame.pixels.shape[:2] if frame.pixels is not None else (0, 0)
        whole = 0, 0, width, height
        return {
            name: Unfit(why, whole if region.box is None and region.corners is None else region.bounds())
            for name, region in self.regions.items()
        }
