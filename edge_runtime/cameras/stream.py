"""A network camera's stream: RTSP, or MJPEG and others over HTTP, through OpenCV's FFmpeg."""

from urllib.parse import urlsplit

import cv2

from edge_runtime.cameras.config import StreamCamera
from edge_runtime.cameras.opencv import OpenCvCamera, open_capture
from edge_runtime.errors import CameraLost

CONNECTING_S = 30.0
"""How long connecting may take, whatever silence is allowed: half of what the watchdog takes for a hung driver."""
_MJPEG = int(cv2.VideoWriter.fourcc(*"MJPG"))


def open_stream(config: StreamCamera) -> OpenCvCamera:
    """Connect to the stream, in `timeout_s` and `CONNECTING_S` at most. Raises CameraLost where nothing answers there.

    A name, password or path that the camera refuses looks the same from here: it may be starting, so it is tried again.
    """
    name = without_secrets(config.url)
    connecting_s = min(config.timeout_s, CONNECTING_S)
    timeouts = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: connecting_s * 1000,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: config.timeout_s * 1000,
    }
    capture = open_capture(config.url, cv2.CAP_FFMPEG, timeouts)
    if capture is None:
        why = (
            f"no stream within {connecting_s:g} s; is the camera on and reachable, and are path, name and password "
            "in url under [camera] right?"
        )
        raise CameraLost(name, why)
    if int(capture.get(cv2.CAP_PROP_FOURCC)) == _MJPEG:
        capture.set(cv2.CAP_PROP_FORMAT, -1)  # the JPEGs themselves, which can be checked
    return OpenCvCamera(capture, name, config.timeout_s, config.delay_s)


def without_secrets(url: str) -> str:
    """`url` as it may be logged: without name, password and query, any of which may open a door."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
