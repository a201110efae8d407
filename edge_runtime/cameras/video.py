"""A video file, replayed frame by frame."""

import logging
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy.typing as npt

from edge_runtime.cameras import Clock, Frame, Pace, SourceEnded
from edge_runtime.cameras.config import VideoCamera
from edge_runtime.errors import CameraError, PictureError, remedy
from edge_runtime.picture import as_picture, shown_name

log = logging.getLogger(__name__)

FALLBACK_RATE_HZ = 25.0
"""For a file that does not say its rate: PAL's, which many recorders write."""
BELIEVABLE_RATE_HZ = 1000.0
"""A file that states more, or nothing, is not believed."""


class VideoReplay:
    """Replays a video at `rate_hz`, or at the rate the file states. Frames are named `file.mp4#17`, from 1."""

    live = False
    delay_s = 0.0

    def __init__(
        self, config: VideoCamera, sleep: Callable[[float], object] = time.sleep, clock: Clock = time.monotonic
    ) -> None:
        _check_it_is_a_file(config.path)
        self._config, self._clock = config, clock
        self._video = cv2.VideoCapture(str(config.path))
        self._first = self._read()
        if self._first is None:
            self._video.release()
            raise CameraError(config.path, "is no video that can be decoded; convert it, for instance to .mp4 (H.264)")
        stated = self._video.get(cv2.CAP_PROP_FPS)
        self._rate_hz = config.rate_hz or (stated if 0 < stated <= BELIEVABLE_RATE_HZ else FALLBACK_RATE_HZ)
        self._pace = Pace(sleep, clock)
        self._index = 0

    def grab(self, timeout_s: float) -> Frame | None:
        """The next frame when it is due; None where that is later. Raises SourceEnded when the replay is over."""
        if not self._pace.next(timeout_s, 1 / self._rate_hz):
            return None
        captured_ns, begin = time.time_ns(), self._clock()
        raw = self._following()
        if raw is None:
            raise SourceEnded
        pixels, trouble = None, None
        try:
            pixels = as_picture(raw, self._config.path)
        except PictureError as error:
            trouble = str(error)
        name = f"{shown_name(self._config.path.name)}#{self._index}"
        return Frame(pixels, captured_ns, self._pace.count, (self._clock() - begin) * 1000, name, trouble)

    def close(self) -> None:
        """Close the file."""
        self._video.release()

    def _following(self) -> npt.NDArray[Any] | None:
        """The next frame as OpenCV has it, from the start again where that was asked for."""
        raw, self._first = self._first, None
        if raw is None:
            raw = self._read()
        if raw is None:
            self._say_if_cut_short()
            if not self._config.repeat:
                return None
            self._video.release()
            self._video = cv2.VideoCapture(str(self._config.path))
            self._index = 0
            raw = self._read()
            if raw is None:
                raise CameraError(
                    self._config.path, "can no longer be read; put it back, or correct path under [camera]"
                )
        self._index += 1
        return raw

    def _read(self) -> npt.NDArray[Any] | None:
        try:
            found, raw = self._video.read()
        except cv2.error:  # some back ends raise where others say there is no frame
            return None
        return raw if found else None

    def _say_if_cut_short(self) -> None:
        """OpenCV does not tell a damaged frame from the end, and the stated count may be an estimate: only say it."""
        stated = int(self._video.get(cv2.CAP_PROP_FRAME_COUNT))
        if self._index < stated:
            log.warning("%s: ended after %d of %d frames; it may be damaged", self._config.path, self._index, stated)


def _check_it_is_a_file(path: Path) -> None:
    """Raise CameraError where it is none, or may not be read: FFmpeg would only say that it is no video."""
    how = "set path under [camera] to a video file"
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except FileNotFoundError as error:
        raise CameraError(path, f"is not there; {how}") from error
    except OSError as error:
        why = f"cannot be read ({error.strerror}); {remedy(error, how)}"
        raise CameraError(path, why).due_to(error) from error
    if stat.S_ISDIR(mode):
        raise CameraError(path, f'is a folder; {how}, or kind = "folder" for pictures')
    if not stat.S_ISREG(mode):
        raise CameraError(path, f"is no file; {how}")
