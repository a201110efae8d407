"""A GigE Vision camera as a process of its own, on loopback: real GVCP and GVSP, and a real loss when it is killed."""

import re
from contextlib import closing

import pytest

from edge_runtime.cameras import aravis_library, open_camera
from edge_runtime.cameras.config import AravisCamera
from edge_runtime.cameras.genicam import SENDING_S
from edge_runtime.errors import CameraError, CameraLost
from tests.cameras.gige import ID, Plug
from tests.cameras.grabbing import frame_of, loss_of, pixels_of


def config(**wanted: object) -> AravisCamera:
    """With a picture that fits into any system's socket buffer: what is lost here is lost on purpose."""
    return AravisCamera.model_validate({"kind": "aravis", "id": ID, "roi": [0, 0, 128, 96], **wanted})


def test_pictures_come_as_the_camera_counts_them(plug: Plug) -> None:
    plug()
    with closing(open_camera(config(rate_hz=50.0))) as camera:
        frames = [frame_of(camera) for _ in range(6)]
    assert [frame.sequence for frame in frames] == list(range(1, 7))
    assert [frame.captured_ns for frame in frames] == sorted({frame.captured_ns for frame in frames})
    assert {frame.pixels.shape for frame in frames if frame.pixels is not None} == {(96, 128, 1)}
    assert all(frame.trouble is None and frame.grab_ms < 1000 for frame in frames)


def test_the_only_camera_needs_no_id(plug: Plug) -> None:
    plug()
    assert ID in [found.id for found in aravis_library.found()]
    with closing(open_camera(AravisCamera(kind="aravis"))) as camera:
        frame_of(camera)


def test_what_the_file_sets_is_what_the_camera_does(plug: Plug) -> None:
    plug()
    wanted = config(pixel_format="BayerRG8", roi=[16, 8, 160, 120], exposure_us=7000.0, gain=2.0, rate_hz=40.0)
    with closing(open_camera(wanted)) as camera:
        assert pixels_of(camera).shape == (120, 160, 3)
        assert camera.delay_s == pytest.approx(0.007 + SENDING_S)
    with closing(open_camera(config(pixel_format="Mono16", roi=[0, 0, 64, 48]))) as camera:
        assert pixels_of(camera).shape == (48, 64, 1)


@pytest.mark.parametrize(
    ("wanted", "told", "takes"),
    [
        ({"exposure_us": 1.0}, "exposure_us = 1 is not possible", "ExposureTimeAbs takes 10 to 1e+07"),
        ({"gain": 40.0}, "gain = 40 is not possible", "GainRaw takes 0 to 10"),
        ({"pixel_format": "Mono99"}, 'pixel_format = "Mono99" is none of this camera\'s', "Mono8"),
        ({"roi": [0, 0, 4096, 10]}, "roi = [0, 0, 4096, 10] is not possible", "Width takes 1 to 2048"),
        ({"trigger": "Line7"}, 'trigger = "Line7" is none of this camera\'s', "one of: Line0, Software"),
    ],
)
def test_a_setting_that_cannot_be_made_is_refused_with_what_can(
    plug: Plug, wanted: dict[str, object], told: str, takes: str
) -> None:
    plug()
    with pytest.raises(CameraError, match=re.escape(f"{ID}: {told}")) as caught:
        open_camera(config(**wanted))
    assert not isinstance(caught.value, CameraLost)
    assert takes in str(caught.value)
    assert "under [camera]" in str(caught.value)
    with closing(open_camera(config())) as camera:  # the refusal let go of the camera
        pixels_of(camera)


def test_a_software_trigger_gives_one_picture_a_grab(plug: Plug) -> None:
    plug()
    with closing(open_camera(config(trigger="Software"))) as camera:
        assert [frame_of(camera).sequence for _ in range(3)] == [1, 2, 3]


def test_a_camera_that_waits_for_its_hardware_trigger_is_not_lost(plug: Plug) -> None:
    plug()
    with closing(open_camera(config(trigger="Line0", timeout_s=0.1))) as camera:
        assert [camera.grab(0.2) for _ in range(3)] == [None, None, None]


def test_a_camera_that_is_unplugged_is_lost_and_when_it_is_back_it_is_opened_as_before(plug: Plug) -> None:
    process = plug()
    wanted = config(pixel_format="BayerRG8", timeout_s=0.5)
    with closing(open_camera(wanted)) as camera:
        pixels_of(camera)
        process.kill()
        process.wait()
        assert loss_of(camera).startswith(f"{ID}: ")
    with pytest.raises(CameraLost):
        open_camera(wanted)
    plug()
    with closing(open_camera(wanted)) as camera:
        assert pixels_of(camera).shape == (96, 128, 3)


def test_a_camera_that_is_unplugged_while_it_waits_for_its_trigger_is_lost_too(plug: Plug) -> None:
    process = plug()
    with closing(open_camera(config(trigger="Line0"))) as camera:
        assert camera.grab(0.1) is None
        process.kill()
        process.wait()
        assert "no longer answers; is it without power, or its cable out?" in loss_of(camera)


def test_a_picture_whose_packets_were_lost_is_a_frame_without_pixels_that_says_so(plug: Plug) -> None:
    plug(lost=0.05)
    with closing(open_camera(config(rate_hz=50.0))) as camera:
        frames = [frame_of(camera) for _ in range(25)]
    torn = [frame for frame in frames if frame.pixels is None]
    assert torn
    assert all(str(frame.trouble).startswith(f"{ID}: the picture ") for frame in torn)


def test_a_camera_that_another_program_controls_is_lost_until_it_lets_go(plug: Plug) -> None:
    plug()
    with closing(open_camera(config())) as camera:
        pixels_of(camera)
        with pytest.raises(CameraLost):
            open_camera(config())
        pixels_of(camera)


def test_closing_twice_is_fine(plug: Plug) -> None:
    plug()
    camera = open_camera(config())
    camera.close()
    camera.close()


def test_a_boolean_is_set_and_a_feature_that_is_not_there_is_refused(plug: Plug) -> None:
    plug()
    with closing(aravis_library.Device(ID)) as device:
        assert device.has("TestBoolean")
        assert not device.has("NobodyHasThis")
        device.set_flag("TestBoolean", value=True)
        with pytest.raises(CameraError, match=f"{ID}: ") as caught:
            device.set_flag("NobodyHasThis", value=True)
        assert not isinstance(caught.value, CameraLost)
