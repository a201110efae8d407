"""A camera that Linux knows as a video device, through OpenCV's V4L2."""

import os
import stat
from pathlib import Path

import cv2

from edge_runtime.cameras.config import V4l2Camera
from edge_runtime.cameras.opencv import OpenCvCamera, open_capture
from edge_runtime.errors import CameraError, CameraLost

_MANUAL = 1
"""V4L2_EXPOSURE_MANUAL."""
_EXPOSURE_UNIT_US = 100
"""V4L2_CID_EXPOSURE_ABSOLUTE counts in these."""


def open_v4l2(config: V4l2Camera) -> OpenCvCamera:
    """Open the device and set it. Raises CameraLost where it is away or in use, CameraError where it must not be so."""
    device = Path(config.device)
    try:
        mode = device.stat().st_mode
    except OSError as error:
        why = "is not there; plug the camera in, or set device under [camera] to one of `kenpin-edge cameras`"
        raise CameraLost(device, why) from error
    if not stat.S_ISCHR(mode):
        raise CameraError(device, "is no video device; set device under [camera] to one of `kenpin-edge cameras`")
    if not os.access(device, os.R_OK | os.W_OK):
        raise CameraError(device, "must not be opened by this user; add the user to the group video, and log in again")
    capture = open_capture(config.device, cv2.CAP_V4L2, {})
    if capture is None:
        raise CameraLost(device, "did not open; another program has it, or it is no camera")
    try:
        _configure(capture, config)
    except CameraError:
        capture.release()
        raise
    return OpenCvCamera(capture, config.device, config.timeout_s, config.delay_s)


def _configure(capture: cv2.VideoCapture, config: V4l2Camera) -> None:
    """Make the settings, the format first. Raises CameraError where the camera makes another of one.

    A JPEG is taken as it comes, so that a torn one is found.
    """
    if config.pixel_format is not None:
        fourcc = cv2.VideoWriter.fourcc(*config.pixel_format)
        capture.set(cv2.CAP_PROP_FOURCC, fourcc)
        got = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False).decode("ascii", "replace")
        _insist(config, "pixel_format", config.pixel_format, got)
    size = {
        "width": (config.width, cv2.CAP_PROP_FRAME_WIDTH),
        "height": (config.height, cv2.CAP_PROP_FRAME_HEIGHT),
    }
    for asked, what in size.values():
        if asked is not None:
            capture.set(what, asked)
    for setting, (asked, what) in size.items():  # drivers take the nearest size, so it counts once both are set
        _insist(config, setting, asked, int(capture.get(what)))
    if config.rate_hz is not None:
        capture.set(cv2.CAP_PROP_FPS, config.rate_hz)
        _insist(config, "rate_hz", config.rate_hz, capture.get(cv2.CAP_PROP_FPS))
    if config.exposure_us is not None:
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL)
        capture.set(cv2.CAP_PROP_EXPOSURE, config.exposure_us / _EXPOSURE_UNIT_US)
        _insist(config, "exposure_us", config.exposure_us, capture.get(cv2.CAP_PROP_EXPOSURE) * _EXPOSURE_UNIT_US)
    if config.gain is not None:
        capture.set(cv2.CAP_PROP_GAIN, config.gain)
        _insist(config, "gain", config.gain, capture.get(cv2.CAP_PROP_GAIN))
    if int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG"):
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)


def _insist(config: V4l2Camera, setting: str, asked: float | str | None, got: float | str) -> None:
    """Raise CameraError unless the camera made of a setting what was asked, to the step that its unit allows."""
    if asked is None or asked == got:
        return
    if isinstance(asked, float | int) and isinstance(got, float | int):
        step = _EXPOSURE_UNIT_US if setting == "exposure_us" else 0.5 if setting in ("gain", "rate_hz") else 0
        if abs(asked - got) <= step:
            return
    why = (
        f"made {setting} = {got} of {asked}; correct it under [camera]: what it can do is shown by v4l2-ctl --device "
        f"{config.device} --list-formats-ext --list-ctrls"
    )
    raise CameraError(config.device, why)
