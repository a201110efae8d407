"""What network and video-device cameras have in common: OpenCV reads, in a thread that can be left waiting.

OpenCV's `read` returns when it likes (a silent camera blocks it for seconds), so a thread of this camera's own reads,
and `grab` waits as long as it was told. The thread also keeps the stream's own buffers empty: what is grabbed is new.
"""

import threading
import time
from collections import deque
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.cameras import Frame
from edge_runtime.errors import CameraLost, PictureError
from edge_runtime.picture import as_picture, decode_jpeg

WAITING = 4
"""Frames that wait for who grabs, at most: enough for a hiccup. Then the oldest goes, and `sequence` shows it."""
FAREWELL_S = 1.0
"""How long closing waits for the thread. A read that hangs ends by its own timeout, and releases the device then."""

Raw = npt.NDArray[Any]


class OpenCvCamera:
    """Frames of an open `cv2.VideoCapture`, which belongs to this object from now on.

    `name`: how errors call the camera, without passwords. `timeout_s`: this long without a frame, and it is lost.
    `sequence` counts what was read. A raw JPEG is decoded here, strictly: a torn one is a frame that says so, where
    OpenCV and FFmpeg would fill what is missing and say nothing.
    """

    live = True

    def __init__(self, capture: cv2.VideoCapture, name: str, timeout_s: float, delay_s: float) -> None:
        self.delay_s = delay_s
        self._name, self._timeout_s = name, timeout_s
        self._waiting: deque[tuple[int, int, float, Raw]] = deque(maxlen=WAITING)
        self._changed = threading.Condition()
        self._closed, self._lost = False, ""
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._read_all, args=(capture,), name="camera-reader", daemon=True)
        self._thread.start()

    def grab(self, timeout_s: float) -> Frame | None:
        """The oldest frame that waits; None where none comes in time. Raises CameraLost."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._lost or self._closed, timeout_s)
            if not self._waiting:
                silent_s = time.monotonic() - self._last
                if self._lost or silent_s > self._timeout_s:
                    raise CameraLost(self._name, self._lost or f"gave no picture for {silent_s:.1f} s")
                return None
            sequence, captured_ns, taken, raw = self._waiting.popleft()
        begin = time.perf_counter()
        pixels, trouble = None, None
        try:
            pixels = decode_jpeg(raw.tobytes()) if _is_compressed(raw) else as_picture(raw, self._name)
        except PictureError as error:
            trouble = str(error)
        except ValueError as error:
            trouble = f"{self._name}: sent a torn JPEG ({error})"
        return Frame(pixels, captured_ns, sequence, (time.perf_counter() - begin) * 1000, None, trouble, taken)

    def close(self) -> None:
        """Let the thread end, and with it the connection; a read that hangs is left to its own timeout."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(FAREWELL_S)

    def _read_all(self, capture: cv2.VideoCapture) -> None:
        """The thread: read until closed or lost."""
        sequence = 0
        try:
            while not self._closed:
                begin = time.monotonic()
                found, raw = capture.read()
                now = time.monotonic()
                if not found or raw is None:
                    silent = now - begin >= 0.9 * self._timeout_s
                    self._end(
                        f"gave no picture for {now - begin:.1f} s" if silent else "ended the stream, or was cut off"
                    )
                    return
                sequence += 1
                with self._changed:
                    self._last = now
                    if not self._closed:
                        self._waiting.append((sequence, time.time_ns(), now, raw))
                    self._changed.notify_all()
        except cv2.error as error:  # some back ends raise where others say there is no frame
            self._end(f"could not be read ({error.err})")
        finally:
            capture.release()

    def _end(self, why: str) -> None:
        with self._changed:
            self._lost = why
            self._changed.notify_all()


def _is_compressed(raw: Raw) -> bool:
    """Whether `raw` is what came from the camera, a row of bytes, instead of pixels: a JPEG, or what should be one."""
    return raw.ndim == 2 and min(raw.shape) == 1 and raw.dtype == np.uint8


def open_capture(source: str, api: int, parameters: dict[int, float]) -> cv2.VideoCapture | None:
    """`source` opened by OpenCV's back end `api`; None where it does not open."""
    try:
        capture = cv2.VideoCapture(source, api, [int(each) for pair in parameters.items() for each in pair])
    except cv2.error:
        return None
    if not capture.isOpened():
        capture.release()
        return None
    return capture
