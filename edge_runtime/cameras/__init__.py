"""Cameras: where frames come from.

A new kind is one module with a class that keeps to `Camera`, one line in `open_camera`, and its table in `station.py`.
`capture.py` owns the one that runs: it opens it, grabs, and opens it again when it was lost.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edge_runtime.cameras.config import CameraConfig, FolderCamera, VideoCamera
from edge_runtime.picture import Image

Clock = Callable[[], float]
"""Seconds that only grow."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, or the fact that there should have been one.

    `pixels`: uint8 [H, W, C], C is 1 or 3 (BGR); None where the trigger gave no picture that can be used, and `trouble`
    says why. `captured_ns`: Unix time of exposure, or of arrival where the camera does not tell. `sequence`: as the
    camera counts; what is left out was lost on the way. `grab_ms`: from the trigger to the frame in memory. `name`: the
    file it came from. `taken`: the same moment as `captured_ns`, by a clock that nobody sets.
    """

    pixels: Image | None
    captured_ns: int
    sequence: int
    grab_ms: float
    name: str | None = None
    trouble: str | None = None
    taken: float = field(default_factory=time.monotonic)


class SourceEnded(Exception):  # noqa: N818  # no error: the way a replay says that it is over
    """A replay is over."""


class Camera(Protocol):
    """A source of frames, used by one thread.

    Opening may block for seconds. It raises CameraError where a person must mend something, and CameraLost where the
    device does not answer, which another attempt may mend. A trigger whose picture is damaged or missing gives a Frame
    without pixels, never silence.
    """

    live: bool
    """Whether the world goes on while nobody grabs. A replay waits for who is late, and does not come back."""

    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame; None where none came within `timeout_s`. Raises CameraLost, and SourceEnded."""

    def close(self) -> None:
        """Let go of the device or file. May be called twice."""


class Pace:
    """Triggers at a steady rate: the n-th is due n periods after the first, so that pacing does not drift.

    Who is late gets the triggers that are due at once, one after the other. `count`: how many were due.
    """

    def __init__(self, rate_hz: float, sleep: Callable[[float], object], clock: Clock) -> None:
        self._rate_hz, self._sleep, self._clock = rate_hz, sleep, clock
        self._start: float | None = None
        self.count = 0

    def next(self, timeout_s: float) -> bool:
        """Wait until the next trigger is due, for `timeout_s` at most; whether it is."""
        now = self._clock()
        if self._start is None:
            self._start = now
        pause = self._start + self.count / self._rate_hz - now
        if pause > timeout_s:
            self._sleep(timeout_s)
            return False
        if pause > 0:
            self._sleep(pause)
        self.count += 1
        return True


def open_camera(config: CameraConfig) -> Camera:
    """Open the camera that a station names. Raises CameraError, saying what to do, where it cannot be opened."""
    from edge_runtime.cameras.folder import FolderReplay
    from edge_runtime.cameras.video import VideoReplay

    match config:
        case FolderCamera():
            return FolderReplay(config)
        case VideoCamera():
            return VideoReplay(config)
