"""A folder of pictures, replayed by name."""

import time
from collections.abc import Callable
from pathlib import Path

from edge_runtime.cameras import Clock, Frame, Pace, SourceEnded
from edge_runtime.cameras.config import FolderCamera
from edge_runtime.errors import CameraError, PictureError, remedy
from edge_runtime.picture import SUFFIXES, pictures_in, read_picture, shown_name

SHORTEST_S, LONGEST_S = 0.02, 10.0
"""What lies between two pictures that go by their files' times, at least and at most: a folder that was copied has one
time for all, and nobody waits for the night between two shifts."""


class FolderReplay:
    """Replays the pictures of a folder, at a steady rate or as far apart as the files' times are (see `LONGEST_S`).

    Each is read when it is due, not before. The list is read at opening, and again at each repetition. A picture that
    is damaged, or gone since, is a trigger like the others: its frame has no pixels and says why.
    """

    live = False
    delay_s = 0.0

    def __init__(
        self, config: FolderCamera, sleep: Callable[[float], object] = time.sleep, clock: Clock = time.monotonic
    ) -> None:
        self._config, self._clock = config, clock
        self._paths = self._list()
        self._next = 0
        self._before: float | None = None  # when the file of the picture before was written
        self._pace = Pace(sleep, clock)

    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture when it is due; None where that is later. Raises SourceEnded when the replay is over."""
        if self._next == len(self._paths):
            if not self._config.repeat:
                raise SourceEnded
            self._paths, self._next = self._list(), 0
        path = self._paths[self._next]
        written = _written(path)
        if not self._pace.next(timeout_s, self._period_s(written)):
            return None
        self._next += 1
        self._before = written
        captured_ns, begin = time.time_ns(), self._clock()
        pixels, trouble = None, None
        try:
            pixels = read_picture(path)
        except PictureError as error:
            trouble = str(error)
        grab_ms = (self._clock() - begin) * 1000
        return Frame(pixels, captured_ns, self._pace.count, grab_ms, shown_name(path.name), trouble)

    def close(self) -> None:
        """Nothing is held open between pictures."""

    def _period_s(self, written: float | None) -> float:
        """How long after the picture before the one whose file was `written` then is due."""
        if self._config.rate_hz is not None:
            return 1 / self._config.rate_hz
        apart_s = written - self._before if written is not None and self._before is not None else 0.0
        return min(max(apart_s, SHORTEST_S), LONGEST_S)

    def _list(self) -> list[Path]:
        folder = self._config.path
        try:
            paths = pictures_in(folder)
        except OSError as error:
            how = remedy(error, "set path under [camera]")
            why = f"cannot be read as a folder of pictures ({error.strerror}); {how}"
            raise CameraError(folder, why).due_to(error) from error
        if not paths:
            kinds = ", ".join(sorted(SUFFIXES))
            raise CameraError(folder, f"has no pictures ({kinds}); put some there, or set path under [camera]")
        return paths


def _written(path: Path) -> float | None:
    """When the file `path` was written, in seconds; None where it is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
