"""Network streams from real servers: MJPEG over HTTP, and RTSP. And a video device that is not there."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from edge_runtime.cameras import open_camera, stream
from edge_runtime.cameras.config import StreamCamera, V4l2Camera
from edge_runtime.cameras.opencv import WAITING
from edge_runtime.cameras.stream import without_secrets
from edge_runtime.errors import CameraError, CameraLost
from edge_runtime.pulse import GRABBING_S
from tests.cameras.grabbing import DEADLINE_S, frame_of, loss_of, pixels_of
from tests.cameras.mjpeg import HEIGHT, PERIOD_S, WIDTH, MjpegCamera
from tests.integration.parts import free_port
from tests.stations import UP_TO_CAMERA

ROOT = Path(__file__).parents[2]
RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")
DEBIAN_PYTHON = Path("/usr/bin/python3")
LOGIN = "cam:geheim@"

Start = Callable[..., MjpegCamera]


def http(port: int, login: str = "", timeout_s: float = 5.0) -> StreamCamera:
    return StreamCamera(kind="stream", url=f"http://{login}127.0.0.1:{port}/mjpeg", timeout_s=timeout_s)


def test_pictures_come_in_order_and_are_counted(mjpeg: Start) -> None:
    with closing(open_camera(http(mjpeg().port))) as camera:
        before = time.time_ns()
        frames = [frame_of(camera) for _ in range(8)]
    assert [frame.sequence for frame in frames] == list(range(1, 9))
    shown = [frame.pixels for frame in frames if frame.pixels is not None]
    assert {pixels.shape for pixels in shown} == {(HEIGHT, WIDTH, 3)}
    brightness = [int(pixels[4, 4, 0]) for pixels in shown]
    assert brightness == pytest.approx([(number % 20) * 10 + 30 for number in range(8)], abs=2)
    assert all(frame.captured_ns >= before - 1e9 for frame in frames)
    assert camera.live
    assert camera.delay_s == 0.5


def test_a_torn_picture_is_a_frame_that_says_so_and_the_next_is_fine(mjpeg: Start) -> None:
    with closing(open_camera(http(mjpeg(torn=frozenset({2})).port))) as camera:
        frames = [frame_of(camera) for _ in range(4)]
    assert [frame.pixels is None for frame in frames] == [False, False, True, False]
    assert "/mjpeg: sent a torn JPEG" in str(frames[2].trouble)


def test_what_is_no_picture_at_all_is_a_frame_that_says_so_and_not_one_row_of_pixels(mjpeg: Start) -> None:
    with closing(open_camera(http(mjpeg(other=frozenset({2})).port))) as camera:
        frames = [frame_of(camera) for _ in range(4)]
    assert [frame.pixels is None for frame in frames] == [False, False, True, False]
    assert "/mjpeg: sent a torn JPEG" in str(frames[2].trouble)


def test_who_grabs_late_gets_what_is_new_and_sees_what_was_lost(mjpeg: Start) -> None:
    with closing(open_camera(http(mjpeg().port))) as camera:
        first = frame_of(camera)
        time.sleep(PERIOD_S * WAITING * 5)
        late = frame_of(camera)
        age_s = time.monotonic() - late.taken
    assert late.sequence > first.sequence + 1
    assert age_s < PERIOD_S * WAITING * 4


def test_a_camera_that_ends_the_stream_is_lost_and_comes_back_at_the_same_address(mjpeg: Start) -> None:
    server = mjpeg()
    with closing(open_camera(http(server.port))) as camera:
        pixels_of(camera)
        server.stop()
        assert "ended the stream, or was cut off" in loss_of(camera)
    with pytest.raises(CameraLost, match=r"no stream within 5 s; is the camera on and reachable"):
        open_camera(http(server.port))
    mjpeg(port=server.port)
    with closing(open_camera(http(server.port))) as camera:
        pixels_of(camera)


def test_a_silent_camera_is_lost_after_its_timeout_and_nobody_waits_longer_than_asked(mjpeg: Start) -> None:
    server = mjpeg()
    with closing(open_camera(http(server.port, timeout_s=1.0))) as camera:
        pixels_of(camera)
        server.silent.set()
        longest_s, lost = 0.0, ""
        give_up = time.monotonic() + DEADLINE_S
        while not lost and time.monotonic() < give_up:
            begin = time.monotonic()
            try:
                camera.grab(0.05)
            except CameraLost as error:
                lost = str(error)
            longest_s = max(longest_s, time.monotonic() - begin)
    assert "gave no picture for 1." in lost
    assert longest_s < 0.5


def test_closing_twice_and_while_a_read_hangs_is_fine(mjpeg: Start) -> None:
    server = mjpeg()
    camera = open_camera(http(server.port, timeout_s=2.0))
    pixels_of(camera)
    server.silent.set()
    camera.close()
    camera.close()


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/mjpeg", "rtsp://127.0.0.1:{port}/stream1"])
def test_a_stream_that_is_not_there_is_one_line_and_ffmpegs_is_not_beside_it(tmp_path: Path, address: str) -> None:
    url = address.format(port=free_port())
    station = tmp_path / "station.toml"
    station.write_text(f'{UP_TO_CAMERA}kind = "stream"\nurl = "{url}"\ntimeout_s = 1.0\n')
    command = [sys.executable, "-m", "edge_runtime", "grab", str(station), "--out", str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"kenpin-edge: {url}: no stream within 1 s")
    assert done.stderr.count("\n") == 1


def test_name_and_password_open_the_stream_and_are_never_shown(mjpeg: Start) -> None:
    server = mjpeg(login="cam:geheim")
    with closing(open_camera(http(server.port, LOGIN))) as camera:
        pixels_of(camera)
        server.stop()
        assert "geheim" not in loss_of(camera)


@pytest.mark.parametrize("level", ["-8", "16", "32"])
def test_a_wrong_password_shows_nowhere_not_even_in_what_ffmpeg_prints(mjpeg: Start, level: str) -> None:
    code = (
        "import sys\n"
        "from edge_runtime.cameras import open_camera\n"
        "from edge_runtime.cameras.config import StreamCamera\n"
        "open_camera(StreamCamera(kind='stream', url=sys.argv[1]))\n"
    )
    url = f"http://cam:gehe1m@127.0.0.1:{mjpeg(login='cam:geheim').port}/mjpeg?token=gehe1m"
    command = [sys.executable, "-c", code, url]
    told = {**os.environ, "OPENCV_FFMPEG_LOGLEVEL": level}
    ended = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert "are path, name and password in url under [camera] right?" in ended.stderr
    assert "gehe1m" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam:word@10.0.0.7:554/stream1?user=cam&password=word", "rtsp://10.0.0.7:554/stream1"),
        ("http://cam:w@rd@10.0.0.7/mjpeg", "http://10.0.0.7/mjpeg"),
        ("rtsp://[fe80::7]:554/a", "rtsp://[fe80::7]:554/a"),
    ],
)
def test_an_address_is_shown_without_what_opens_doors(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@dataclass
class RtspServer:
    port: int
    process: "subprocess.Popen[str]"

    def stream(self, path: str, timeout_s: float = 10.0) -> StreamCamera:
        url = f"rtsp://{LOGIN}127.0.0.1:{self.port}/{path}"
        return StreamCamera(kind="stream", url=url, timeout_s=timeout_s)


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    """An RTSP server that lets cam:geheim in."""
    port = free_port()
    command = [str(DEBIAN_PYTHON), str(RTSP_SERVER), str(port), "cam", "geheim"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        if server.stdout.readline() != "ready\n":
            pytest.fail("these tests need GStreamer's RTSP server: run scripts/cameras, or `make test`")
        yield RtspServer(port, server)
        server.kill()


@pytest.mark.parametrize("path", ["jpeg", "vp8"])
def test_an_rtsp_stream_is_read_decoded_here_or_by_ffmpeg(rtsp: RtspServer, path: str) -> None:
    with closing(open_camera(rtsp.stream(path))) as camera:
        frames = [frame_of(camera) for _ in range(5)]
    assert all(frame.pixels is not None for frame in frames)
    assert {frame.pixels.shape for frame in frames if frame.pixels is not None} == {(240, 320, 3)}
    assert [frame.sequence for frame in frames] == sorted({frame.sequence for frame in frames})


def test_an_rtsp_server_that_is_killed_is_a_lost_camera(rtsp: RtspServer) -> None:
    with closing(open_camera(rtsp.stream("jpeg", timeout_s=2.0))) as camera:
        pixels_of(camera)
        rtsp.process.kill()
        assert f"rtsp://127.0.0.1:{rtsp.port}/jpeg: " in loss_of(camera)


# Nothing here can stand in for a V4L2 device (that needs a kernel module): what opening one says is tested, and not
# that pictures come. See docs/cameras.md.


def test_a_video_device_that_is_not_there_is_lost_and_says_what_to_do() -> None:
    config = V4l2Camera(kind="v4l2", device="/dev/v4l/by-id/usb-nobody-has-this")
    with pytest.raises(CameraLost, match=r"usb-nobody-has-this: is not there; plug the camera in") as told:
        open_camera(config)
    assert "kenpin-edge cameras" in str(told.value)


def test_what_is_no_camera_is_not_opened() -> None:
    with pytest.raises(CameraError, match=r"is no video device; set device under \[camera\]") as told:
        open_camera(V4l2Camera(kind="v4l2", device="/dev/shm"))  # noqa: S108  # a folder that every Linux has in /dev
    assert not isinstance(told.value, CameraLost)
    with pytest.raises(CameraLost, match=r"/dev/null: did not open; another program has it, or it is no camera"):
        open_camera(V4l2Camera(kind="v4l2", device="/dev/null"))


def test_connecting_to_a_stream_is_no_hang_however_long_silence_may_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog ends a station whose driver has been in one call for too long; connecting is one call."""
    asked: list[dict[int, float]] = []
    monkeypatch.setattr(stream, "open_capture", lambda _url, _api, timeouts: asked.append(timeouts))
    with pytest.raises(CameraLost, match="no stream within 30 s"):
        stream.open_stream(StreamCamera(kind="stream", url="rtsp://10.0.0.7/1", timeout_s=600))
    assert asked[0][cv2.CAP_PROP_OPEN_TIMEOUT_MSEC] < GRABBING_S * 1000
    assert asked[0][cv2.CAP_PROP_READ_TIMEOUT_MSEC] == 600_000
