"""What the gate says of pictures that are broken, and that it says nothing of those that are not."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import simplejpeg

from edge_runtime.gate import SETTLED, Gate, GateLimits, Source
from edge_runtime.picture import Image

SECOND = 1.0
RNG = np.random.default_rng(0)
SCENE: Image = np.kron(RNG.integers(20, 230, (12, 16, 3), np.uint8), np.ones((40, 40, 1), np.uint8))


def exposed(scene: Image = SCENE, noise: float = 2.0) -> Image:
    """The scene once more, with this exposure's own noise."""
    return np.clip(scene + RNG.normal(0, noise, scene.shape), 0, 255).astype(np.uint8)


def told(*pictures: Image, source: Source = Source.SENSOR, limits: GateLimits | None = None) -> list[str]:
    """What the gate says of each of these, one second apart; "" where it lets it pass."""
    gate = Gate(limits or GateLimits(), source)
    return [gate.trouble(picture, number * SECOND) or "" for number, picture in enumerate(pictures)]


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_a_working_camera_pass(source: Source, channels: int) -> None:
    assert told(*[exposed(SCENE[..., :channels]) for _ in range(10)], source=source) == [""] * 10


def test_no_light_is_dark_also_with_hot_pixels() -> None:
    capped = exposed(np.full_like(SCENE, 2))
    capped[RNG.integers(0, 480, 40), RNG.integers(0, 640, 40)] = 255
    (found,) = told(capped)
    assert found.startswith("dark: nothing is brighter than grey level ")


def test_a_small_bright_part_on_black_is_not_dark() -> None:
    black = exposed(np.full_like(SCENE, 2))
    black[200:240, 300:340] = exposed(SCENE)[200:240, 300:340]
    assert told(black) == [""]


def test_a_picture_that_is_saturated_is_burnt_out() -> None:
    assert told(np.full_like(SCENE, 255)) == ["burnt out: 100.0% of the picture is saturated; check light and exposure"]


def test_a_silhouette_before_a_light_is_not_burnt_out() -> None:
    lit = np.full_like(SCENE, 255)
    lit[100:400, 300:340] = 30
    assert told(exposed(lit, 0.5)) == [""]


def test_gross_blur_is_told_through_noise() -> None:
    coarse = cv2.resize(SCENE[::200, ::200], (640, 480), interpolation=cv2.INTER_NEAREST)
    (found,) = told(exposed(np.asarray(cv2.GaussianBlur(coarse, (0, 0), 60), np.uint8)))
    assert found.startswith("blurred: no edge is steeper than ")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_cut_short_is_torn_where_its_data_end(channels: int) -> None:
    jpeg = cv2.imencode(".jpg", exposed()[..., :channels])[1].tobytes()
    space = "GRAY" if channels == 1 else "BGR"
    torn = simplejpeg.decode_jpeg(jpeg[: len(jpeg) // 2], space, strict=False)
    for source in Source:
        (found,) = told(torn, source=source)
        assert found.startswith("torn below row "), source
    row = int(found.split()[3].rstrip(":"))
    assert np.array_equal(torn[row:], np.full_like(torn[row:], 128))


def test_rows_of_the_picture_before_are_torn_only_where_each_picture_has_its_own_noise() -> None:
    before, now = exposed(), exposed()
    torn = np.concatenate([now[:300], before[300:]])
    assert told(before, torn)[1].startswith("torn at row 301: rows 301 to 476 are those of the picture before")
    assert told(before, torn, source=Source.STREAM) == ["", ""]
    assert told(before, torn, source=Source.REPLAY) == ["", ""]


def test_rows_in_the_middle_that_are_the_last_pictures_are_torn_too() -> None:
    before, now = exposed(), exposed()
    assert told(before, np.concatenate([now[:200], before[200:300], now[300:]]))[1].startswith("torn at row 203")


def test_black_rows_that_were_not_black_before_are_torn_as_long_as_they_stay() -> None:
    def cut_off() -> Image:
        picture = exposed()
        picture[300:] = 0
        return picture

    found = told(exposed(), cut_off(), cut_off(), exposed())
    assert found == ["", *["torn below row 300: filled with grey level 0"] * 2, ""]


def test_a_scene_that_ends_in_black_or_white_from_the_start_is_not_torn() -> None:
    for value in (0, 255):
        ends = SCENE.copy()
        ends[300:] = value
        pictures = [exposed() for _ in range(3)]
        for picture in pictures:
            picture[300:] = value
        assert told(*pictures) == ["", "", ""]


def test_a_scene_that_fades_out_into_black_is_not_torn() -> None:
    fading = np.clip(SCENE * np.linspace(1, -0.5, 480)[:, None, None], 0, 255).astype(np.uint8)
    assert told(exposed(), fading) == ["", ""]


def test_a_bar_that_is_also_on_top_belongs_to_the_picture() -> None:
    barred = exposed()
    barred[:40] = barred[-40:] = 128
    assert told(barred) == [""]


def test_a_drawn_picture_on_an_even_ground_is_not_torn_in_a_replay() -> None:
    drawn = np.full((300, 300, 1), 90, np.uint8)
    drawn[50:200] = RNG.integers(0, 256, (150, 300, 1), np.uint8)
    drawn[0] = 200
    assert told(drawn, source=Source.REPLAY) == [""]
    assert told(drawn, source=Source.SENSOR)[0].startswith("torn")


def test_a_sensors_picture_that_comes_again_is_frozen_from_the_third_on() -> None:
    same = exposed()
    found = told(same, same.copy(), same.copy(), same.copy(), exposed(), same)
    assert [bool(each) for each in found] == [False, False, True, True, False, False]
    assert found[2] == "frozen: the camera has given the same picture 3 times; start it again"


def test_a_stream_may_repeat_itself_for_a_while_and_a_replay_for_ever() -> None:
    same = exposed()
    found = told(*[same] * 12, source=Source.STREAM)
    assert [bool(each) for each in found] == [False] * 10 + [True] * 2
    assert told(*[same] * 100, source=Source.REPLAY) == [""] * 100


def test_the_cameras_own_buffer_may_be_filled_again() -> None:
    buffer = exposed()
    gate = Gate(GateLimits(), Source.SENSOR)
    for number in range(5):
        np.copyto(buffer, exposed())
        assert gate.trouble(buffer, number) is None


def test_a_live_camera_must_keep_its_size_and_a_replay_the_one_that_is_stated() -> None:
    small = exposed()[:240, :320].copy()
    found = told(*[exposed() for _ in range(SETTLED)], small, exposed())
    assert found == ["", "", "", "320 x 240 pixels, not 640 x 480 as before or as [gate] says", ""]
    assert told(*[exposed() for _ in range(SETTLED)], small, source=Source.REPLAY) == [""] * 4
    limits = GateLimits(size=(640, 480))
    assert told(small, exposed(), source=Source.REPLAY, limits=limits)[0].startswith("320 x 240 pixels, not 640 x 480")


@pytest.mark.parametrize("odd", range(SETTLED))
def test_an_odd_size_at_the_start_of_a_live_camera_spoils_no_later_frame(odd: int) -> None:
    def small() -> Image:
        return exposed()[:240, :320].copy()

    first = [exposed() for _ in range(odd)]
    found = told(*first, small(), *[exposed() for _ in range(10)], small())
    assert found[-1].startswith("320 x 240 pixels, not 640 x 480"), "from then on it must keep its size"
    assert [bool(each) for each in found[:-1]].count(True) <= (1 if odd else 0)
    assert found[-6:-1] == [""] * 5


def test_a_live_camera_whose_frames_have_two_sizes_by_turns_is_refused() -> None:
    turns = [exposed() if number % 2 else exposed()[:240, :320].copy() for number in range(10)]
    assert [bool(each) for each in told(*turns)] == [False] * 2 + [True] * 8


def test_who_takes_over_the_frames_of_a_camera_knows_what_was_learnt_of_its_size() -> None:
    before, after = (Gate(GateLimits(), Source.SENSOR) for _ in range(2))
    assert [before.trouble(exposed(), number) for number in range(SETTLED - 1)] == [None] * (SETTLED - 1)
    after.follow(before)
    assert after.trouble(exposed(), 10.0) is None
    assert after.trouble(exposed()[:240, :320].copy(), 11.0) is not None


def test_a_size_that_was_stated_is_forgotten_by_who_takes_over_without_it() -> None:
    before, after = Gate(GateLimits(size=(1280, 1024)), Source.SENSOR), Gate(GateLimits(), Source.SENSOR)
    assert before.trouble(exposed(), 0.0) is not None
    after.follow(before)
    assert [after.trouble(exposed(), float(number)) for number in range(1, 5)] == [None] * 4


@pytest.mark.parametrize(
    ("off", "make"),
    [
        (GateLimits(dark=0), lambda: [exposed(np.full_like(SCENE, 2), 0.5)]),
        (GateLimits(burnt_out=1), lambda: [np.full_like(SCENE, 255)]),
        (GateLimits(blurred=0), lambda: [np.asarray(cv2.GaussianBlur(SCENE, (0, 0), 40), np.uint8)]),
        (GateLimits(frozen=0), lambda: [SCENE] * 5),
        (GateLimits(torn=False), lambda: [np.concatenate([exposed()[:300], np.full((180, 640, 3), 128, np.uint8)])]),
    ],
)
def test_each_question_is_asked_and_can_be_left_out(off: GateLimits, make: Callable[[], list[Image]]) -> None:
    pictures = make()
    assert any(told(*pictures))
    assert not any(told(*pictures, limits=off))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (16, 16, 1), (27, 27, 1), (17, 2, 3)])
def test_small_pictures_are_no_trouble_to_look_at(shape: tuple[int, ...]) -> None:
    pictures = [RNG.integers(0, 256, shape, np.uint8) for _ in range(3)]
    assert [each for each in told(*pictures) if each.startswith(("blurred", "frozen"))] == []
