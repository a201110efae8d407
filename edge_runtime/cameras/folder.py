"""A folder of pictures, replayed by name."""

import time
from collections.abc import Callable
from pathlib import Path

from edge_runtime.cameras import Clock, Frame, Pace, SourceEnded
from edge_runtime.cameras.config import FolderCamera
from edge_runtime.errors import CameraError, PictureError
from edge_runtime.picture import SUFFIXES, pictures_in, printable, read_picture


class FolderReplay:
    """Replays the pictures of a folder at a steady rate. Each is read when it is due, not before.

    The list is read at opening, and again at each repetition. A picture that is damaged, or gone since, is a trigger
    like the others: its frame has no pixels and says why.
    """

    live = False

    def __init__(
        self, config: FolderCamera, sleep: Callable[[float], object] = time.sleep, clock: Clock = time.monotonic
    ) -> None:
        self._config, self._clock = config, clock
        self._pace = Pace(config.rate_hz, sleep, clock)
        self._paths = self._list()
        self._next = 0

    def grab(self, timeout_s: float) -> Frame | None:
        """The next picture when it is due; None where that is later. Raises SourceEnded when the replay is over."""
        if self._next == len(self._paths):
            if not self._config.repeat:
                raise SourceEnded
            self._paths, self._next = self._list(), 0
        path = self._paths[self._next]
        if not self._pace.next(timeout_s):
            return None
        self._next += 1
        captured_ns, begin = time.time_ns(), self._clock()
        pixels, trouble = None, None
        try:
            pixels = read_picture(path)
        except PictureError as error:
            trouble = str(error)
        grab_ms = (self._clock() - begin) * 1000
        return Frame(pixels, captured_ns, self._pace.count, grab_ms, printable(path.name), trouble)

    def close(self) -> None:
        """Nothing is held open between pictures."""

    def _list(self) -> list[Path]:
        folder = self._config.path
        try:
            paths = pictures_in(folder)
        except OSError as error:
            why = f"cannot be read as a folder of pictures ({error.strerror}); set path under [camera]"
            raise CameraError(folder, why) from error
        if not paths:
            kinds = ", ".join(sorted(SUFFIXES))
            raise CameraError(folder, f"has no pictures ({kinds}); put some there, or set path under [camera]")
        return paths
