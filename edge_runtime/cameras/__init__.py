"""Cameras: where frames come from.

A new kind is one module with its `open`, one line in `open_camera`, and its table in `station.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from edge_runtime.picture import Image
from edge_runtime.station import FolderCamera, VideoCamera

Wait = Callable[[float], bool]
"""Sleep so many seconds; True, at once, when the station is to stop (`threading.Event.wait` is one)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, or the fact that there should have been one.

    `pixels`: uint8 [H, W, C], C is 1 or 3 (BGR); None where the trigger gave no picture that can be used, and `trouble`
    says why. `captured_ns`: Unix time of exposure. `grab_ms`: from the trigger to the frame in memory. `name`: the file
    it came from.
    """

    pixels: Image | None
    captured_ns: int
    sequence: int
    grab_ms: float
    name: str | None = None
    trouble: str | None = None


class Camera(Protocol):
    """A source of frames, and a context manager that lets go of it.

    Opening may block, and raises CameraError. A trigger whose picture is damaged or missing gives a Frame without
    pixels, never silence.
    """

    def grab(self) -> Frame | None:
        """Wait for the next trigger and its frame. None: the source has ended, or the station is to stop."""

    def close(self) -> None:
        """Let go of the device or file. May be called twice."""

    def __enter__(self) -> Self:
        """The camera itself."""

    def __exit__(self, *_: object) -> None:
        """Close it."""


class Pace:
    """Triggers at a steady rate: the n-th is due n periods after the first, so that pacing does not drift.

    `clock`: seconds that only grow. Who is late gets the triggers that are due at once, one after the other.
    """

    def __init__(self, rate_hz: float, wait: Wait, clock: Callable[[], float]) -> None:
        self._rate_hz, self._wait, self._clock = rate_hz, wait, clock
        self._start: float | None = None
        self.count = 0

    def next(self) -> bool:
        """Wait until the next trigger is due. False: the station is to stop."""
        now = self._clock()
        if self._start is None:
            self._start = now
        due = self._start + self.count / self._rate_hz
        self.count += 1
        return not self._wait(max(0.0, due - now))


def open_camera(config: FolderCamera | VideoCamera, wait: Wait) -> Camera:
    """Open the camera that a station names. Raises CameraError, saying what to do, where it cannot be opened."""
    from edge_runtime.cameras.folder import FolderReplay
    from edge_runtime.cameras.video import VideoReplay

    match config:
        case FolderCamera():
            return FolderReplay(config, wait)
        case VideoCamera():
            return VideoReplay(config, wait)
