"""From a frame to the pictures of its regions, or to why there are none to judge."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edge_runtime.cameras import Frame
from edge_runtime.errors import PictureError
from edge_runtime.gate import Gate, GateLimits, Source
from edge_runtime.marks import Mark, Marks
from edge_runtime.regions import Cut, Region, cut
from edge_runtime.verdict import Box


@dataclass(frozen=True, slots=True)
class Unfit:
    """A region that cannot be judged in this frame. `why`: for people; `box`: where it should have been."""

    why: str
    box: Box


class Framing:
    """The regions of one camera's frames. It remembers the one before, so one thread gives it all in order."""

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

    def follow(self, before: "Framing") -> None:
        """Take the place of `before`, at the same camera, and remember the frame that it saw last."""
        self._gate.follow(before._gate)  # noqa: SLF001  # one of us

    def watch(self, frame: Frame) -> Frame:
        """The next frame of the camera, with what is wrong with it: what is frozen or torn shows beside the one before.

        Of a free-running camera each frame is watched when it comes. It may be judged never, several times, or long
        after later ones, and is then as it was found now.
        """
        if frame.pixels is None or frame.watched:
            return frame
        return replace(frame, trouble=self._gate.trouble(frame.pixels, frame.taken), watched=True)

    def look(self, frame: Frame) -> dict[str, Cut | Unfit]:
        """For each region its picture in `frame`, or why it must not be judged. `frame`: watched, or else the next one.

        What is wrong with the frame is so with all of its regions, also where one of them shows nothing of it: the next
        picture, which may be well, is not far.
        """
        try:
            frame = self.watch(frame)
            if frame.pixels is None or frame.trouble is not None:
                return self._all_unfit(frame, frame.trouble or "the camera gave no picture")
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

    def _all_unfit(self, frame: Frame, why: str) -> dict[str, Cut | Unfit]:
        height, width = frame.pixels.shape[:2] if frame.pixels is not None else (0, 0)
        whole = 0, 0, width, height
        return {
            name: Unfit(why, whole if region.box is None and region.corners is None else region.bounds())
            for name, region in self.regions.items()
        }
