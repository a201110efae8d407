"""What the camera tests do again and again."""

import time

import pytest

from edge_runtime.cameras import Camera, Frame
from edge_runtime.errors import CameraLost
from edge_runtime.picture import Image

DEADLINE_S = 30.0
"""Nothing here takes as long; who waits longer has found a fault."""


def frame_of(camera: Camera) -> Frame:
    """The next frame, whatever it is."""
    give_up = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up:
        frame = camera.grab(0.25)
        if frame is not None:
            return frame
    pytest.fail(f"no frame came within {DEADLINE_S:.0f} s")


def pixels_of(camera: Camera) -> Image:
    """The pixels of the next frame, which must have some."""
    frame = frame_of(camera)
    assert frame.pixels is not None, frame.trouble
    return frame.pixels


def loss_of(camera: Camera) -> str:
    """What the camera says when it is lost, which must happen."""
    give_up = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up:
        try:
            camera.grab(0.25)
        except CameraLost as lost:
            return str(lost)
    pytest.fail(f"the camera was not lost within {DEADLINE_S:.0f} s")
