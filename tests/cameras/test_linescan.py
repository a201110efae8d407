"""A camera of lines around a real camera that sends blocks, and around a film that is seen as blocks."""

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import Camera, Frame, SourceEnded, open_camera
from edge_runtime.cameras.config import Lines, PylonCamera, VideoCamera
from edge_runtime.cameras.genicam import SENDING_S
from edge_runtime.cameras.linescan import LineScan, Moment, cutter
from edge_runtime.cameras.video import VideoReplay
from edge_runtime.errors import CameraLost
from edge_runtime.gate import Gate, GateLimits
from edge_runtime.station import Station
from tests.cameras.grabbing import frame_of, pixels_of

BY_PRESENCE = Lines(lines=64, cut="presence", background="dark", threshold=100, gap=8)


def test_a_film_of_a_belt_seen_as_blocks_gives_one_picture_a_part(tmp_path: Path) -> None:
    lines = np.zeros((16 * 20, 160, 3), np.uint8)
    parts = {20: 40, 90: 50, 200: 30}
    for begin, length in parts.items():
        lines[begin : begin + length, 40:120] = (200, 200, 200)
    film = cv2.VideoWriter(str(tmp_path / "belt.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (160, 16))
    for block in lines.reshape(20, 16, 160, 3):
        film.write(block)
    film.release()
    replay = VideoReplay(VideoCamera(kind="video", path=tmp_path / "belt.avi", rate_hz=1000.0))
    with closing(LineScan(replay, BY_PRESENCE, 5.0)) as camera:
        frames = [frame_of(camera) for _ in parts]
        with pytest.raises(SourceEnded):
            frame_of(camera)
    assert [frame.sequence for frame in frames] == [1, 2, 3]
    for frame, length in zip(frames, parts.values(), strict=True):
        assert frame.pixels is not None
        assert frame.pixels.shape == (64, 160, 3)
        bright = frame.pixels[:, 80, 0] > 100
        assert bright[:length].all()
        assert not bright[length:].any()


def test_parts_of_several_lengths_on_a_belt_without_noise_are_not_torn(tmp_path: Path) -> None:
    station = tmp_path / "station.toml"
    station.write_text(
        'site = "s"\nline = "l"\nstation = "c"\nbundle = "b.onnx"\ndata = "d"\n'
        '[camera]\nkind = "pylon"\n[camera.lines]\nlines = 256\ncut = "presence"\n'
        'background = "dark"\nthreshold = 40\ngap = 16\n'
        '[region.J4]\nexpected = "A"\n[mqtt]\nhost = "h"\n'
    )
    lines = cutter(Lines(lines=256, cut="presence", background="dark", threshold=40, gap=16))
    gate = Gate(GateLimits(), Station.read(station).source)
    rng = np.random.default_rng(1)
    for number, length in enumerate((150, 150, 100, 180, 90)):
        belt = np.zeros((length + 40, 640, 1), np.uint8)
        belt[8 : 8 + length, 100:500] = rng.integers(80, 200, (length, 400, 1))
        [part] = lines.add(belt, Moment(0, float(number)))
        assert part.pixels is not None
        assert gate.trouble(part.pixels, float(number)) is None


def test_a_camera_that_is_set_up_with_lines_joins_its_triggered_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    config = PylonCamera.model_validate(
        {"kind": "pylon", "roi": [0, 0, 320, 64], "rate_hz": 100.0, "lines": {"lines": 256, "cut": "trigger"}}
    )
    with closing(open_camera(config)) as camera:
        assert camera.live
        assert camera.delay_s == pytest.approx(0.01 + SENDING_S)
        assert [pixels_of(camera).shape for _ in range(3)] == [(256, 320, 1)] * 3


class Script:
    """A camera that does what it is told, for what no emulator does at a wanted line. `plan`: frames, None, errors."""

    live = True
    delay_s = 0.0

    def __init__(self, plan: list[Frame | CameraLost | None], tick_s: float = 0.1) -> None:
        self._plan, self._tick_s, self.now = plan, tick_s, 0.0

    def clock(self) -> float:
        return self.now

    def grab(self, timeout_s: float) -> Frame | None:
        self.now += min(self._tick_s, timeout_s)
        step = self._plan.pop(0) if self._plan else None
        if isinstance(step, CameraLost):
            raise step
        return step

    def close(self) -> None:
        """Nothing is open."""


def block(sequence: int, *, part: bool, trouble: str | None = None) -> Frame:
    pixels = np.full((16, 32, 1), 200 if part else 0, np.uint8)
    return Frame(None if trouble else pixels, sequence * 1000, sequence, 0.0, None, trouble, float(sequence))


def scan(plan: list[Frame | CameraLost | None], lines: Lines = BY_PRESENCE) -> Camera:
    script = Script(plan)
    return LineScan(script, lines, 2.0, script.clock)


def test_a_part_is_captured_with_its_first_block_and_was_exposed_no_earlier_than_the_block_before_was_whole() -> None:
    camera = scan([block(1, part=False), block(2, part=True), block(3, part=True), block(4, part=False)])
    frame = frame_of(camera)
    assert (frame.captured_ns, frame.taken, frame.sequence) == (2000, 1.0, 1)
    assert frame.pixels is not None


@pytest.mark.parametrize(
    "plan",
    [
        [block(1, part=True), block(3, part=False)],
        [block(1, part=True), block(2, part=True, trouble="torn"), block(3, part=False)],
    ],
)
def test_a_part_that_lacks_a_block_is_a_frame_that_says_so(plan: list[Frame | CameraLost | None]) -> None:
    frame = frame_of(scan(plan))
    assert frame.pixels is None
    assert frame.trouble == "a part lacks 1 block of its lines, which were lost"


def test_a_camera_that_is_lost_while_a_part_passes_tells_of_the_part_first() -> None:
    camera = scan([block(1, part=True), CameraLost("camera", "no longer answers")])
    assert frame_of(camera).trouble == "a part was not seen whole: the camera ended while it passed"
    for _ in range(2):
        with pytest.raises(CameraLost, match="no longer answers"):
            camera.grab(1.0)


def test_a_belt_that_stands_still_with_a_part_on_it_is_told_in_time_and_the_rest_is_no_part_of_its_own() -> None:
    waiting: list[Frame | CameraLost | None] = [None] * 30
    rest = [block(2, part=True), block(3, part=False), block(4, part=True), block(5, part=False)]
    camera = scan([block(1, part=True), *waiting, *rest])
    assert frame_of(camera).trouble == "a part was not seen whole: no more lines for 2 s"
    following = frame_of(camera)
    assert following.captured_ns == 4000
    assert following.pixels is not None


def test_nobody_waits_longer_for_a_part_than_asked() -> None:
    script = Script([block(number, part=False) for number in range(1, 100)])
    camera = LineScan(script, BY_PRESENCE, 2.0, script.clock)
    assert camera.grab(0.5) is None
    assert script.now == pytest.approx(0.5)


def over(levels: list[int]) -> list[Frame]:
    """What is told of a belt that is looked at once a second, of these grey levels, with a hot pixel."""
    blocks = [np.full((16, 200, 1), level, np.uint8) for level in levels]
    for pixels in blocks:
        pixels[:, 7] = 255
    camera = scan([Frame(pixels, 0, number, 0.0, taken=float(number)) for number, pixels in enumerate(blocks, 1)])
    return [frame for _ in range(len(blocks) + 1) if (frame := camera.grab(0.1)) is not None]


def test_a_lamp_that_fails_over_a_dark_belt_is_told_once_and_again_when_it_fails_again() -> None:
    lit, out = [30] * 20, [3] * 100
    told = over([*lit, *out, *lit, *out])
    assert [frame.pixels for frame in told] == [None, None]
    assert told[0].trouble == (
        "a part may have passed unseen: for 10 s no line was brighter than grey level 3; check light, lens cap and "
        "exposure"
    )
    assert [frame.taken for frame in told] == [30.0, 150.0]


def test_an_empty_belt_under_a_lamp_and_a_moment_without_light_are_not_told() -> None:
    assert over([30] * 100) == []
    assert over(([30] * 5 + [3] * 9) * 10) == []
