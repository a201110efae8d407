"""`kenpin-edge presence`: what a station would judge, drawn for who sets it up."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edge_runtime.cameras import Frame, SourceEnded, open_camera
from edge_runtime.disk import write_whole
from edge_runtime.errors import UsageError
from edge_runtime.station import Station
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.sheet import sheet

GRAB_S = 0.25
SAY_S = 2.0
"""Seconds from one line of progress to the next."""


def draw(path: Path, out: Path) -> None:
    """Draw the frames that the station `path` would judge to `out`, a PNG, until its replay ends or Ctrl-C comes.

    Raises StationError, CameraError, PictureError, and UsageError where the station looks for no parts or `out` cannot
    be written.
    """
    station = Station.read(path)
    if not isinstance(station.trigger, PresenceTrigger):
        raise UsageError(f'{path}: looks for no parts; set kind = "presence" under [trigger]')
    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise UsageError(f"--out {out}: name a .png file in a folder that is there")
    picture, count = sheet(station.trigger, _frames(station))
    try:
        write_whole(out, cv2.imencode(".png", picture)[1].tobytes())
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written ({error.strerror}); name another file") from error
    sys.stdout.write(f"{count} part{'s' if count != 1 else ''} would be judged; see {out}\n")


def _frames(station: Station) -> Iterator[Frame]:
    camera = open_camera(station.camera)
    seen, said = 0, time.monotonic()
    try:
        while True:
            frame = camera.grab(GRAB_S)
            if frame is not None:
                seen += 1
                yield frame
            if time.monotonic() - said > SAY_S:
                said = time.monotonic()
                sys.stderr.write(f"{seen} pictures; Ctrl-C ends and draws\n")
    except (SourceEnded, KeyboardInterrupt):
        return
    finally:
        camera.close()
