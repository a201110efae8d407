"""The tables of cameras in a station file: complete ones are read, and a mistake is told in the file's words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.cameras.config import AravisCamera, CameraConfig, Lines, PylonCamera, StreamCamera, V4l2Camera
from edge_runtime.cameras.genicam import WRAP, Count
from edge_runtime.errors import StationError
from edge_runtime.station import Station
from tests.stations import UP_TO_CAMERA

FIRST = UP_TO_CAMERA.count("\n") + 1


def camera(folder: Path, table: str) -> CameraConfig:
    (folder / "station.toml").write_text(UP_TO_CAMERA + table)
    return Station.read(folder / "station.toml").camera


def mistakes(folder: Path, table: str) -> list[str]:
    with pytest.raises(StationError) as caught:
        camera(folder, table)
    return [mistake.rpartition("station.toml:")[2] for mistake in caught.value.mistakes]


def test_each_kind_is_read_with_all_of_its_settings(tmp_path: Path) -> None:
    genicam = 'exposure_us = 500\ngain = 6.0\npixel_format = "Mono8"\nroi = [0, 0, 640, 480]\nrate_hz = 10\n'
    genicam += 'trigger = "Line1"\n'
    lines = '[camera.lines]\nlines = 2048\ncut = "presence"\nbackground = "dark"\nthreshold = 40\ngap = 16\n'
    stream = camera(
        tmp_path, 'kind = "stream"\nurl = "rtsp://cam:word@10.0.0.7/stream1"\ntimeout_s = 2\ndelay_s = 0.8\n'
    )
    assert stream == StreamCamera(kind="stream", url="rtsp://cam:word@10.0.0.7/stream1", timeout_s=2, delay_s=0.8)
    usb = camera(tmp_path, 'kind = "v4l2"\ndevice = "/dev/video0"\nwidth = 640\nheight = 480\npixel_format = "MJPG"\n')
    assert usb == V4l2Camera(kind="v4l2", device="/dev/video0", width=640, height=480, pixel_format="MJPG")
    aravis = camera(tmp_path, f'kind = "aravis"\nid = "Maker-123"\n{genicam}{lines}')
    assert isinstance(aravis, AravisCamera)
    assert aravis.roi == (0, 0, 640, 480)
    assert aravis.lines == Lines(lines=2048, cut="presence", background="dark", threshold=40, gap=16)
    pylon = camera(
        tmp_path, f'kind = "pylon"\nserial = "400123"\n{genicam}[camera.lines]\nlines = 64\ncut = "trigger"\n'
    )
    assert isinstance(pylon, PylonCamera)
    assert pylon.trigger == "Line1"


def test_only_a_kind_is_needed_where_there_is_one_camera(tmp_path: Path) -> None:
    assert camera(tmp_path, 'kind = "aravis"\n') == AravisCamera(kind="aravis")
    assert camera(tmp_path, 'kind = "pylon"\n') == PylonCamera(kind="pylon")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            'kind = "usb"',
            '[camera] kind = "usb": expected kind = "folder" or "video" or "stream" or "v4l2" or "aravis"',
        ),
        ('kind = "stream"', "[camera] url: is missing; expected an address, as url = "),
        ('kind = "stream"\nurl = "/etc/passwd"', '[camera] url = "/etc/passwd": cannot be the address of a stream'),
        ('kind = "stream"\nurl = "file:///etc/passwd"', "cannot be the address of a stream"),
        ('kind = "stream"\nurl = "concat:a|b"', "cannot be the address of a stream"),
        ('kind = "stream"\nurl = "rtsp://"', "cannot be the address of a stream"),
        ('kind = "stream"\nurl = "rtsp://h:99999/"', "cannot be the address of a stream"),
        ('kind = "stream"\nurl = "http://h/a b"', "cannot be the address of a stream"),
        ('kind = "v4l2"\ndevice = "part.onnx"', "has another form; expected a device below /dev, as device = "),
        ('kind = "v4l2"\ndevice = "/dev/video0"\npixel_format = "MJPEG"', "expected four characters, as pixel_format"),
        ('kind = "aravis"\nserial = "1"', '[camera] serial = "1": unknown key'),
        ('kind = "aravis"\nroi = [0, 0, 0, 10]', "[camera] roi = [0, 0, 0, 10]: must be greater than or equal to 1"),
        ('kind = "aravis"\nexposure_us = 0', "expected microseconds, as exposure_us = 5000"),
    ],
)
def test_a_mistake_is_told_with_what_was_expected(tmp_path: Path, table: str, told: str) -> None:
    (mistake,) = mistakes(tmp_path, table)
    assert told in mistake


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('cut = "trigger"', ["[camera.lines] lines: is missing; expected the picture's height in lines"]),
        ('lines = 64\ncut = "somehow"', ["[camera.lines] cut = \"somehow\": must be 'trigger' or 'presence'"]),
        (
            'lines = 64\ncut = "presence"',
            ["[camera.lines] background", "[camera.lines] gap", "[camera.lines] threshold"],
        ),
        ('lines = 64\ncut = "trigger"\ngap = 4', ['[camera.lines] gap = 4: belongs to cut = "presence"']),
        ('lines = 64\ncut = "trigger"\ngaps = 4', ['[camera.lines] gaps = 4: unknown key; did you mean "gap"?']),
    ],
)
def test_a_mistake_in_the_lines_is_told_with_its_place(tmp_path: Path, table: str, told: list[str]) -> None:
    found = mistakes(tmp_path, f'kind = "aravis"\n[camera.lines]\n{table}\n')
    assert len(found) == len(told)
    assert all(expected in mistake for expected, mistake in zip(told, sorted(found), strict=True))
    assert all(int(mistake.partition(" ")[0]) > FIRST for mistake in found)


@pytest.mark.parametrize(
    "url", ["rtps://cam:geheim@10.0.0.7/", "rtsp://cam:geheim@10.0.0.7:0/", "rtsp://cam:ge@heim@:99999/"]
)
def test_a_mistake_in_an_address_does_not_show_its_password(tmp_path: Path, url: str) -> None:
    (mistake,) = mistakes(tmp_path, f'kind = "stream"\nurl = "{url}"\n')
    assert "[camera] url = " in mistake
    assert "heim" not in mistake


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=200), st.integers(1, WRAP))
def test_a_count_of_16_bits_goes_on_where_it_starts_over_and_shows_what_was_lost(steps: list[int], begin: int) -> None:
    count = Count()
    assert count.next(begin) == 1
    sequence, number = 1, begin
    for step in steps:
        sequence += step
        number = (number + step - 1) % WRAP + 1
        assert count.next(number) == sequence


def test_a_count_that_goes_beyond_16_bits_or_starts_at_0_is_taken_as_it_is() -> None:
    count = Count()
    assert [count.next(number) for number in (0, 1, 2, 5, 70_000, 70_001)] == [1, 2, 3, 6, 70_001, 70_002]


def test_a_long_count_that_goes_back_was_reset_and_nothing_is_made_up() -> None:
    count = Count()
    assert [count.next(number) for number in (100_000, 100_001, 1, 2)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("numbers", "counted"),
    [
        ((5000, 4999, 5000, 5001), [1, 2, 3, 4]),  # a block that came late; what follows it is not lost
        ((5000, 1, 2, 4), [1, 2, 3, 5]),  # a camera that counts anew
        ((7, 7, 7), [1, 2, 3]),  # and one that does not count
        ((5, 60_000, 60_002), [1, 2, 4]),
        ((100_000, 99_999, 100_001), [1, 2, 4]),
        ((100_000, 60_000, 60_001), [1, 2, 3]),
    ],
)
def test_a_count_that_jumps_makes_up_no_lost_pictures_and_says_so_once(
    numbers: tuple[int, ...], counted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    count = Count()
    assert [count.next(number) for number in numbers] == counted
    assert caplog.text.count("none is taken for lost") == 1
