"""The capture: no trigger without its frame, a camera that was lost is opened again, and nothing grows without end."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime.cameras import Frame, SourceEnded
from edge_runtime.cameras.capture import KEPT, MISSED, Capture
from edge_runtime.errors import CameraError, CameraLost
from edge_runtime.messages import Happening
from tests.integration.parts import wait_until

PIXELS = np.zeros((4, 4, 1), np.uint8)


class Scripted:
    """A camera that gives what it is told to: no real one loses a frame, or its cable, when a test wants it to."""

    def __init__(self, *script: object, live: bool = True, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.delay_s = delay_s
        self.live = live
        self.closed = 0
        self._script = list(script)

    def grab(self, timeout_s: float) -> Frame | None:
        if not self._script:
            time.sleep(min(timeout_s, 0.01))
            return None
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, int)
        return Frame(PIXELS, 0, step, 0.0)

    def close(self) -> None:
        self.closed += 1


def lost() -> CameraLost:
    return CameraLost("usb-1", "does not answer; plug it in")


class Told:
    """What the capture says of itself."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def __call__(self, what: Happening) -> None:
        self.kinds.append(what.kind)


def capture_of(*cameras: Any, each: bool = True, tell: Told | None = None) -> Capture:
    """A capture that opens one after the other; an exception among them is an attempt that fails."""
    following = iter(cameras)

    def open_one() -> Scripted:
        camera = next(following)
        if isinstance(camera, Exception):
            raise camera
        assert isinstance(camera, Scripted)
        return camera

    return Capture(open_one, threading.Event(), tell or Told(), each=each)


def taken(capture: Capture, count: int) -> list[Frame]:
    frames: list[Frame] = []

    def enough() -> bool:
        while (frame := capture.take()) is not None:
            frames.append(frame)
        return len(frames) >= count

    wait_until(enough, f"{count} frames come")
    return frames


def test_a_frame_that_was_lost_on_the_way_is_a_trigger_without_a_picture() -> None:
    with capture_of(Scripted(5, 6, 9, 10)) as capture:
        frames = taken(capture, 6)
    assert [(frame.sequence, frame.pixels is None) for frame in frames] == [
        (5, False),
        (6, False),
        (7, True),
        (8, True),
        (9, False),
        (10, False),
    ]
    assert frames[2].trouble == "was lost between the camera and this station"
    assert capture.missed == 2


def test_of_a_gap_beyond_all_bounds_the_first_are_errors_and_the_rest_is_counted_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with capture_of(Scripted(1, MISSED + 12)) as capture:
        frames = taken(capture, MISSED + 2)
    assert [frame.sequence for frame in frames] == [*range(1, MISSED + 2), MISSED + 12]
    late = frames[-1].pixels is None  # it came before those in front of it were taken
    assert capture.missed == MISSED + 10 + late
    assert "10 triggers more were lost" in caplog.text


def test_where_not_each_frame_is_a_trigger_a_gap_means_nothing() -> None:
    with capture_of(Scripted(5, 9), each=False) as capture:
        assert [frame.sequence for frame in taken(capture, 2)] == [5, 9]


def test_a_live_camera_that_is_faster_than_the_inspector_loses_pictures_and_no_trigger() -> None:
    with capture_of(Scripted(*range(KEPT + 20))) as capture:
        wait_until(lambda: capture.frames == KEPT + 20, "all are grabbed")
        frames = taken(capture, KEPT + 20)
    assert [frame.sequence for frame in frames] == list(range(KEPT + 20))
    assert [frame.pixels is None for frame in frames] == [False] * KEPT + [True] * 20
    assert f"{KEPT} others waited" in str(frames[-1].trouble)


def test_of_a_free_running_camera_the_newest_frames_are_kept() -> None:
    with capture_of(Scripted(*range(KEPT + 20)), each=False) as capture:
        wait_until(lambda: capture.frames == KEPT + 20, "all are grabbed")
        assert [frame.sequence for frame in taken(capture, KEPT)] == list(range(20, KEPT + 20))
    assert capture.dropped == 20


def test_a_replay_waits_for_who_is_late_and_then_is_over() -> None:
    with capture_of(Scripted(*range(KEPT + 5), SourceEnded(), live=False)) as capture:
        time.sleep(0.1)
        assert not capture.ended
        assert [frame.sequence for frame in taken(capture, KEPT + 5)] == list(range(KEPT + 5))
        wait_until(lambda: capture.ended, "the replay is over")


def test_a_camera_that_was_lost_is_closed_opened_again_and_both_are_told_once() -> None:
    first, second, told = Scripted(1, lost()), Scripted(1, 2), Told()
    with capture_of(first, lost(), lost(), second, tell=told) as capture:
        frames = taken(capture, 3)
        assert capture.lost_since is None
    assert [frame.sequence for frame in frames] == [1, 1, 2], "the count of a camera that came back starts over"
    assert told.kinds == ["camera-lost", "camera-back"]
    assert (first.closed, second.closed) == (1, 1)


def test_a_camera_that_is_not_there_at_the_start_is_waited_for() -> None:
    told = Told()
    with capture_of(lost(), Scripted(1), tell=told) as capture:
        taken(capture, 1)
    assert told.kinds == ["camera-lost", "camera-back"]


def test_a_camera_that_a_person_must_mend_ends_the_start() -> None:
    with pytest.raises(CameraError, match="no such folder"), capture_of(CameraError("pictures", "no such folder")):
        pytest.fail("it began")


def test_who_waits_is_told_of_a_loss_before_the_driver_lets_go() -> None:
    told, order = Told(), []

    class Slow(Scripted):
        def close(self) -> None:
            order.append(list(told.kinds))

    with capture_of(Slow(1, lost()), Scripted(1), tell=told) as capture:
        wait_until(lambda: capture.reconnects == 1, "back again")
    assert order == [["camera-lost"]]


def test_a_driver_that_raises_anything_at_all_is_a_camera_that_was_lost() -> None:
    with capture_of(Scripted(RuntimeError("driver bug")), Scripted(7)) as capture:
        assert [frame.sequence for frame in taken(capture, 1)] == [7]


def test_a_replay_that_fails_tells_who_takes_its_frames() -> None:
    with capture_of(Scripted(1, CameraError("pictures", "was deleted"), live=False)) as capture:
        taken(capture, 1)

        def told() -> bool:
            with pytest.raises(CameraError, match="was deleted"):
                return not capture.ended
            return True

        wait_until(told, "the fault is told")


@pytest.mark.parametrize("each", [True, False])
def test_stopping_ends_the_thread_and_closes_the_camera(*, each: bool) -> None:
    camera = Scripted(*range(100), live=False)  # more than waits: the thread is held up
    with capture_of(camera, each=each):
        pass
    assert camera.closed == 1
    assert not any(thread.name == "camera" for thread in threading.enumerate())


def test_the_thread_is_seen_to_go_round_while_nothing_comes() -> None:
    now: Callable[[], float] = time.monotonic
    with capture_of(Scripted()) as capture:
        before = now()
        wait_until(lambda: capture.seen > before, "the thread goes round")


def test_a_frame_of_a_camera_that_shows_things_late_was_taken_earlier() -> None:
    before = time.monotonic()
    with capture_of(Scripted(1, delay_s=1000.0)) as capture:
        assert taken(capture, 1)[0].taken < before - 999
