"""`kenpin-edge grab`: one picture from a station's camera, to set boxes by."""

import sys
import time
from pathlib import Path

import cv2

from edge_runtime.cameras import SourceEnded, open_camera
from edge_runtime.disk import write_whole
from edge_runtime.errors import CameraError, UsageError
from edge_runtime.picture import Image
from edge_runtime.station import Station

_GRAB_S = 0.25


def snapshot(path: Path, out: Path, timeout_s: float) -> None:
    """Write the next picture of the station `path` to `out`, a PNG, as regions see it.

    Raises StationError, UsageError where `out` cannot be written, and CameraError where no picture comes in time.
    """
    station = Station.read(path)
    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise UsageError(f"--out {out}: name a .png file in a folder that is there")
    picture = _next(station, timeout_s)
    try:
        write_whole(out, cv2.imencode(".png", picture)[1].tobytes())
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written ({error.strerror}); name another file") from error
    height, width, channels = picture.shape
    sys.stdout.write(f"{out}: {width} x {height} pixels, {'grey' if channels == 1 else 'colour'}\n")


def _next(station: Station, timeout_s: float) -> Image:
    camera = open_camera(station.camera)
    trouble = "does it wait for its trigger?" if getattr(station.camera, "trigger", None) else "is it running?"
    give_up = time.monotonic() + timeout_s
    try:
        while time.monotonic() < give_up:
            frame = camera.grab(_GRAB_S)
            if frame is not None and frame.pixels is not None:
                return frame.pixels
            if frame is not None and frame.trouble:
                trouble = frame.trouble
    except SourceEnded:
        trouble = f"the replay is over; {trouble}"
    finally:
        camera.close()
    raise CameraError(f"the {station.camera.kind} camera", f"gave no picture within {timeout_s:g} s; {trouble}")
