"""Cameras in the daemon's own hands: one that goes comes back by itself, and its settings with it."""

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from edge_runtime.cameras import Frame, open_camera
from edge_runtime.cameras.capture import Capture
from edge_runtime.cameras.config import AravisCamera, CameraConfig, StreamCamera
from edge_runtime.messages import Happening
from tests.cameras.gige import ID, Plug
from tests.cameras.grabbing import DEADLINE_S
from tests.cameras.mjpeg import HEIGHT, WIDTH, MjpegCamera
from tests.integration.parts import wait_until


def capture(config: CameraConfig, told: list[str]) -> Capture:
    def tell(what: Happening) -> None:
        told.append(what.kind)

    return Capture(partial(open_camera, config), threading.Event(), tell, each=False)


def fresh(camera: Capture) -> Frame:
    """A frame with pixels that was taken after this was asked for."""
    since, give_up = time.monotonic(), time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up:
        frame = camera.take()
        if frame is not None and frame.pixels is not None and frame.taken > since:
            return frame
        time.sleep(0.005)
    pytest.fail(f"no fresh frame came within {DEADLINE_S:.0f} s")


def test_a_network_camera_that_restarts_is_opened_again(mjpeg: Callable[..., MjpegCamera]) -> None:
    server, told = mjpeg(), list[str]()
    url = f"http://127.0.0.1:{server.port}/mjpeg"
    with capture(StreamCamera(kind="stream", url=url, timeout_s=1.0), told) as camera:
        fresh(camera)
        server.stop()
        wait_until(lambda: camera.lost_since is not None, "the camera is lost")
        mjpeg(port=server.port)
        frame = fresh(camera)
    assert frame.pixels is not None
    assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
    assert told == ["camera-lost", "camera-back"]


def test_a_gige_camera_whose_cable_was_out_is_set_as_before(plug: Plug) -> None:
    process, told = plug(), list[str]()
    config = AravisCamera.model_validate(
        {"kind": "aravis", "id": ID, "roi": [8, 8, 64, 48], "pixel_format": "BayerRG8", "timeout_s": 1.0}
    )
    with capture(config, told) as camera:
        fresh(camera)
        process.kill()
        wait_until(lambda: camera.lost_since is not None, "the camera is lost")
        plug()
        frame = fresh(camera)
    assert frame.pixels is not None
    assert frame.pixels.shape == (48, 64, 3)
    assert told == ["camera-lost", "camera-back"]
