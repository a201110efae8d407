"""A Basler camera as its maker's own library emulates it: grabbing, settings, triggers, damage, and removal."""

import re
import sys
import time
from contextlib import closing
from typing import Any

import pytest

from edge_runtime.cameras.config import PylonCamera
from edge_runtime.cameras.genicam import SENDING_S
from edge_runtime.cameras.pylon import Pylon
from edge_runtime.errors import CameraError, CameraLost
from tests.cameras.grabbing import frame_of, loss_of, pixels_of

SERIAL = "0815-0000"
"""Of the first that pylon emulates."""


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "1")


def config(**wanted: object) -> PylonCamera:
    return PylonCamera.model_validate({"kind": "pylon", "serial": SERIAL, **wanted})


def node(camera: Pylon, name: str) -> Any:
    """A feature of the emulator itself, by which it is told to fail."""
    return camera._camera.GetNodeMap().GetNode(name)


def test_pictures_come_as_the_camera_counts_them() -> None:
    with closing(Pylon(PylonCamera(kind="pylon"))) as camera:
        frames = [frame_of(camera) for _ in range(6)]
    assert [frame.sequence for frame in frames] == list(range(1, 7))
    assert {frame.pixels.shape for frame in frames if frame.pixels is not None} == {(1040, 1024, 1)}
    assert all(frame.trouble is None for frame in frames)


def test_a_picture_that_has_waited_is_no_answer_to_who_asks_now() -> None:
    with closing(Pylon(config(rate_hz=20.0))) as camera:
        frame_of(camera)
        time.sleep(0.5)
        asked = time.monotonic()
        waiting = [frame_of(camera) for _ in range(5)]
        assert all(frame.taken < asked for frame in waiting[:4])
        fresh = [frame_of(camera) for _ in range(12)]
    assert fresh[-1].taken > asked


@pytest.mark.parametrize(
    ("pixel_format", "channels"),
    [
        *[(f"Mono{depth}", 1) for depth in (8, 10, 12, 16)],
        *[(f"Bayer{kind}", 3) for kind in ("RG8", "GB12", "BG10", "GR16")],
        *[("RGB8Packed", 3), ("BGR8Packed", 3)],
    ],
)
def test_grey_bayer_and_colour_of_any_depth_are_pictures(pixel_format: str, channels: int) -> None:
    with closing(Pylon(config(pixel_format=pixel_format, roi=[64, 32, 320, 240]))) as camera:
        picture = pixels_of(camera)
    assert picture.shape == (240, 320, channels)
    assert int(picture.max()) - int(picture.min()) > 100  # its test picture goes from black to white


@pytest.mark.parametrize(
    ("wanted", "told", "takes"),
    [
        ({"exposure_us": 2e7}, "exposure_us = 2e+07 is not possible", "ExposureTime takes 1 to 1e+07"),
        ({"gain": 99.0}, "gain = 99 is not possible", "Gain takes 0 to 48"),
        ({"pixel_format": "Mono99"}, 'pixel_format = "Mono99" is none of this camera\'s', "one of: Mono8, Mono10, "),
        ({"pixel_format": "BGRA8Packed"}, "pixel_format = BGRA8Packed cannot be read", "this camera has: Mono8, "),
        ({"roi": [4000, 0, 1000, 10]}, "roi = [4000, 0, 1000, 10] is not possible", "OffsetX takes 0 to 3096"),
        ({"trigger": "Line9"}, 'trigger = "Line9" is none of this camera\'s', "one of: Software, Line1, "),
    ],
)
def test_a_setting_that_cannot_be_made_is_refused_with_what_can(
    wanted: dict[str, object], told: str, takes: str
) -> None:
    with pytest.raises(CameraError, match=re.escape(f"Basler {SERIAL}: {told}")) as caught:
        Pylon(config(**wanted))
    assert not isinstance(caught.value, CameraLost)
    assert takes in str(caught.value)
    with closing(Pylon(config())) as camera:  # the refusal let go of the camera
        pixels_of(camera)


def test_a_software_trigger_gives_one_picture_a_grab_and_counts_from_the_trigger() -> None:
    with closing(Pylon(config(trigger="Software", exposure_us=20000.0))) as camera:
        frames = [frame_of(camera) for _ in range(3)]
        assert camera.delay_s == pytest.approx(0.02 + SENDING_S)
    assert [frame.sequence for frame in frames] == [1, 2, 3]
    assert all(frame.grab_ms > 1 for frame in frames)


def test_a_camera_that_waits_for_its_hardware_trigger_is_not_lost() -> None:
    with closing(Pylon(config(trigger="Line1", timeout_s=0.1))) as camera:
        assert [camera.grab(0.2) for _ in range(2)] == [None, None]


def test_damaged_pictures_are_frames_that_say_so_and_none_is_left_out() -> None:
    with closing(Pylon(config())) as camera:
        pixels_of(camera)
        node(camera, "ForceFailedBufferCount").SetValue(3)
        node(camera, "ForceFailedBuffer").Execute()
        frames = [frame_of(camera) for _ in range(20)]
    damaged = [frame for frame in frames if frame.pixels is None]
    assert len(damaged) == 3
    assert {frame.trouble for frame in damaged} == {f"Basler {SERIAL}: The buffer was incompletely grabbed."}
    assert [frame.sequence for frame in frames] == list(range(frames[0].sequence, frames[0].sequence + 20))


@pytest.mark.parametrize("trigger", [None, "Software", "Line1"])
def test_a_camera_that_is_removed_is_lost_and_can_be_opened_again(trigger: str | None) -> None:
    with closing(Pylon(config(trigger=trigger))) as camera:
        camera.grab(0.1)
        node(camera, "FirePnPCallback").Execute()
        assert loss_of(camera).startswith(f"Basler {SERIAL}: ")
    with closing(Pylon(config())) as camera:
        pixels_of(camera)


def test_a_serial_number_that_does_not_answer_is_lost_and_names_those_that_do() -> None:
    with pytest.raises(CameraLost, match=rf"Basler 4711: does not answer \(here are: {SERIAL}\)"):
        Pylon(config(serial="4711"))


def test_several_cameras_need_a_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "2")
    with pytest.raises(CameraError, match=r"several answer; set serial .* to one of: 0815-0000, 0815-0001"):
        Pylon(PylonCamera(kind="pylon"))


def test_without_the_makers_library_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypylon", None)
    with pytest.raises(CameraError, match=r"pip install 'kenpin\[pylon\]'"):
        Pylon(config())


def test_closing_twice_is_fine() -> None:
    camera = Pylon(config())
    camera.close()
    camera.close()
