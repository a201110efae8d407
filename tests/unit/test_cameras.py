"""Folder and video replays: by name, when due, without drift, and never silent about a damaged picture."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import Camera, Frame, SourceEnded, open_camera
from edge_runtime.cameras.config import FolderCamera, VideoCamera
from edge_runtime.cameras.folder import LONGEST_S, SHORTEST_S, FolderReplay
from edge_runtime.cameras.video import VideoReplay
from edge_runtime.errors import CameraError
from edge_runtime.picture import Image

PATIENT_S = 10.0


def shown(frame: Frame | None) -> Image:
    """The pixels of a frame that must have some."""
    assert frame is not None
    assert frame.pixels is not None
    return frame.pixels


def names(camera: Camera, count: int) -> list[str | None]:
    return [frame.name if frame else None for frame in grabbed(camera, count)]


def grabbed(camera: Camera, count: int) -> list[Frame | None]:
    return [camera.grab(PATIENT_S) for _ in range(count)]


class Time:
    """A clock that stands still but for who waits, and for `work`."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def write(folder: Path, name: str, value: int) -> None:
    cv2.imwrite(str(folder / name), np.full((20, 30), value, np.uint8))


def replay(folder: Path, time: Time, *, repeat: bool = False) -> FolderReplay:
    config = FolderCamera(kind="folder", path=folder, rate_hz=4.0, repeat=repeat)
    return FolderReplay(config, time.sleep, time.clock)


def test_pictures_come_by_name_and_then_the_replay_ends(tmp_path: Path) -> None:
    for value, name in enumerate(["b.png", "a.png", "c.bmp"]):
        write(tmp_path, name, value)
    (tmp_path / "notes.txt").write_text("no picture")
    camera = replay(tmp_path, Time())
    frames = grabbed(camera, 3)
    with pytest.raises(SourceEnded):
        camera.grab(PATIENT_S)
    assert [frame and frame.name for frame in frames] == ["a.png", "b.png", "c.bmp"]
    assert [int(shown(frame)[0, 0, 0]) for frame in frames] == [1, 0, 2]
    assert [frame and frame.sequence for frame in frames] == [1, 2, 3]


def test_pacing_does_not_drift_however_long_the_work_takes(tmp_path: Path) -> None:
    for number in range(8):
        write(tmp_path, f"{number}.png", number)
    time = Time()
    due: list[float] = []
    camera = replay(tmp_path, time)
    for _ in range(8):
        assert camera.grab(PATIENT_S)
        due.append(time.now - 100.0)
        time.now += 0.1 + 0.07 * (len(due) % 2)
    assert due == pytest.approx([n / 4 for n in range(8)])


def test_who_was_late_catches_up_and_misses_no_picture(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path, f"{number}.png", number)
    time = Time()
    camera = replay(tmp_path, time)
    camera.grab(PATIENT_S)
    time.now += 10
    assert names(camera, 3) == ["1.png", "2.png", "3.png"]
    assert time.now == 110.0


def test_a_picture_is_read_when_it_is_due_and_not_before(tmp_path: Path) -> None:
    write(tmp_path, "a.png", 1)
    write(tmp_path, "b.png", 2)
    camera = replay(tmp_path, Time())
    camera.grab(PATIENT_S)
    write(tmp_path, "b.png", 77)
    assert shown(camera.grab(PATIENT_S))[0, 0, 0] == 77


def test_a_damaged_or_vanished_picture_is_a_frame_that_says_why(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path, name, 5)
    camera = replay(tmp_path, Time())
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    (tmp_path / "b.png").unlink()
    first, second, third = grabbed(camera, 3)
    assert first is not None
    assert first.pixels is None
    assert "a.png: is cut short" in str(first.trouble)
    assert second is not None
    assert second.pixels is None
    assert "b.png: cannot be read" in str(second.trouble)
    assert shown(third) is not None
    assert third is not None
    assert third.trouble is None


def test_a_replay_that_repeats_starts_over_with_what_is_there_then(tmp_path: Path) -> None:
    write(tmp_path, "a.png", 1)
    camera = replay(tmp_path, Time(), repeat=True)
    camera.grab(PATIENT_S)
    write(tmp_path, "b.png", 2)
    assert names(camera, 3) == ["a.png", "b.png", "a.png"]


def test_a_picture_that_is_due_later_than_one_waits_is_not_lost(tmp_path: Path) -> None:
    write(tmp_path, "a.png", 1)
    write(tmp_path, "b.png", 2)
    time = Time()
    camera = replay(tmp_path, time)
    assert names(camera, 1) == ["a.png"]
    assert camera.grab(0.1) is None
    assert camera.grab(0.1) is None
    assert names(camera, 1) == ["b.png"]
    assert time.now == pytest.approx(100.25)


def test_a_missing_folder_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"nowhere: cannot be read .*set path under \[camera\]"):
        replay(tmp_path / "nowhere", Time())


def test_an_empty_folder_says_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"has no pictures \(.bmp, .*put some there"):
        replay(tmp_path, Time())


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "line.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for value in (40, 120, 200):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    return path


def test_a_videos_frames_come_in_order_at_its_own_rate(video: Path) -> None:
    time = Time()
    camera = VideoReplay(VideoCamera(kind="video", path=video), time.sleep, time.clock)
    frames = grabbed(camera, 3)
    assert time.now == pytest.approx(100.2)
    with pytest.raises(SourceEnded):
        camera.grab(PATIENT_S)
    assert [frame and frame.name for frame in frames] == ["line.avi#1", "line.avi#2", "line.avi#3"]
    assert [float(shown(frame).mean()) for frame in frames] == pytest.approx([40, 120, 200], abs=3)


def test_a_video_may_repeat(video: Path) -> None:
    camera = open_camera(VideoCamera(kind="video", path=video, repeat=True, rate_hz=1000.0))
    assert names(camera, 5) == ["line.avi#1", "line.avi#2", "line.avi#3", "line.avi#1", "line.avi#2"]


def test_a_missing_video_and_one_that_is_none_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="is not there; set path"):
        open_camera(VideoCamera(kind="video", path=tmp_path / "no.mp4"))
    with pytest.raises(CameraError, match="is a folder; set path under"):
        open_camera(VideoCamera(kind="video", path=tmp_path))
    (tmp_path / "no.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(CameraError, match="is no video that can be decoded"):
        open_camera(VideoCamera(kind="video", path=tmp_path / "no.mp4"))


def test_without_a_rate_pictures_come_as_far_apart_as_their_files_were_written(tmp_path: Path) -> None:
    written = {"a.png": 1000.0, "b.png": 1001.5, "c.png": 1001.5, "d.png": 90000.0, "e.png": 90000.25}
    for number, (name, at) in enumerate(written.items()):
        write(tmp_path, name, number)
        os.utime(tmp_path / name, (at, at))
    time = Time()
    camera = FolderReplay(FolderCamera(kind="folder", path=tmp_path), time.sleep, time.clock)
    due = []
    for _ in written:
        assert camera.grab(60.0)
        due.append(time.now - 100.0)
    assert due == pytest.approx([0, 1.5, 1.5 + SHORTEST_S, 1.5 + SHORTEST_S + LONGEST_S, 1.77 + LONGEST_S])


def test_a_picture_that_is_gone_takes_no_time_of_its_own(tmp_path: Path) -> None:
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        write(tmp_path, name, number)
    time = Time()
    camera = FolderReplay(FolderCamera(kind="folder", path=tmp_path), time.sleep, time.clock)
    (tmp_path / "b.png").unlink()
    assert [frame and frame.pixels is None for frame in grabbed(camera, 3)] == [False, True, False]
    assert time.now == pytest.approx(100.0 + 2 * SHORTEST_S)
