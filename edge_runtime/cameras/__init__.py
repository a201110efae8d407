"""Cameras: where frames come from.

A new kind is one module with a class that keeps to `Camera`, one line in `open_camera`, and its table in `config.py`.
`capture.py` owns the one that runs: it opens it, grabs, and opens it again when it was lost.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edge_runtime.cameras.config import (
    AravisCamera,
    CameraConfig,
    FolderCamera,
    PylonCamera,
    StreamCamera,
    V4l2Camera,
    VideoCamera,
)
from edge_runtime.picture import Image

Clock = Callable[[], float]
"""Seconds that only grow."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, or the fact that there should have been one.

    `pixels`: uint8 [H, W, C], C is 1 or 3 (BGR); None where the trigger gave no picture that can be used, and `trouble`
    says why. `captured_ns`: Unix time of exposure, or of arrival where the camera does not tell. `sequence`: as the
    camera counts; what is left out was lost on the way. `grab_ms`: from the trigger to the frame in memory. `name`: the
    file it came from. `taken`: the same moment as `captured_ns`, by a clock that nobody sets; from `Capture`, the
    earliest at which it can have been exposed. `watched`: whether the gate has seen it; `trouble` is then also what it
    found wrong with the pixels.
    """

    pixels: Image | None
    captured_ns: int
    sequence: int
    grab_ms: float
    name: str | None = None
    trouble: str | None = None
    taken: float = field(default_factory=time.monotonic)
    watched: bool = False


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
    delay_s: float
    """How long after exposure began a frame is captured, as `captured_ns` counts, at most; 0 for a replay.

    Who needs a picture exposed after a moment takes the first one captured more than this later.
    """

    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame; None where none came within `timeout_s`. Raises CameraLost, and SourceEnded."""

    def close(self) -> None:
        """Let go of the device or file. May be called twice."""


class Pace:
    """Triggers of a replay: each is due a period after the one before was due, so that pacing does not drift.

    Who is late gets the triggers that are due at once, one after the other. `count`: how many were due.
    """

    def __init__(self, sleep: Callable[[float], object], clock: Clock) -> None:
        self._sleep, self._clock = sleep, clock
        self._due: float | None = None
        self.count = 0

    def next(self, timeout_s: float, period_s: float) -> bool:
        """Wait until the next trigger is due, for `timeout_s` at most; whether it is. The first is due at once."""
        now = self._clock()
        due = now if self._due is None else self._due + period_s
        if due - now > timeout_s:
            self._sleep(timeout_s)
            return False
        if due > now:
            self._sleep(due - now)
        self._due = due
        self.count += 1
        return True


def open_camera(config: CameraConfig) -> Camera:
    """Open the camera that a station names.

    Raises CameraError, saying what to do, where it cannot be used so; CameraLost where another attempt may succeed.
    """
    camera = _open(config)
    if isinstance(config, FolderCamera | VideoCamera) or config.lines is None:
        return camera
    from edge_runtime.cameras.linescan import LineScan

    return LineScan(camera, config.lines, config.timeout_s)


def _open(config: CameraConfig) -> Camera:
    """Each kind is imported when it is asked for: a line PC has the libraries of its own camera only."""
    match config:
        case FolderCamera():
            from edge_runtime.cameras.folder import FolderReplay

            return FolderReplay(config)
        case VideoCamera():
            from edge_runtime.cameras.video import VideoReplay

            return VideoReplay(config)
        case StreamCamera():
            from edge_runtime.cameras.stream import open_stream

            return open_stream(config)
        case V4l2Camera():
            from edge_runtime.cameras.v4l2 import open_v4l2

            return open_v4l2(config)
        case AravisCamera():
            from edge_runtime.cameras.aravis import Aravis

            return Aravis(config)
        case PylonCamera():
            from edge_runtime.cameras.pylon import Pylon

            return Pylon(config)
