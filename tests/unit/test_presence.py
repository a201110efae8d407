import math
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge_runtime.cameras import Frame
from edge_runtime.errors import PictureError
from edge_runtime.picture import Image
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.presence import Presence
from edge_runtime.triggers.sheet import PART as PART_COLOUR
from edge_runtime.triggers.sheet import WORDS, sheet
from edge_runtime.triggers.sheet import ZONE as ZONE_COLOUR
from tests.triggers import HEIGHT, WIDTH, Rectangle, frames, judged, numbers, picture

PART: Rectangle = (130, 60, 60, 60, 200)
OTHER: Rectangle = (120, 66, 70, 50, 160)
TWIN: Rectangle = PART


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.png"
    cv2.imwrite(str(path), picture())
    return path


@pytest.fixture
def still(empty: Path) -> Presence:
    return Presence(PresenceTrigger(kind="presence", when="still", empty=empty))


def passing(**more: object) -> Presence:
    return Presence(PresenceTrigger.model_validate({"kind": "presence", "when": "passing", **more}))


def hand(depth: float) -> Rectangle:
    """A hand that reaches into the picture from above, so many pixels deep."""
    return 140, 0, 30, depth, 50


def nothing(count: int) -> list[Image]:
    return [picture()] * count


def lying(part: Rectangle, count: int) -> list[Image]:
    return [picture([part])] * count


def put_down(part: Rectangle) -> list[Image]:
    """Eight frames: a hand lowers the part from above the picture."""
    x, y, width, height, level = part
    tops = np.linspace(-height, y, 8)
    return [picture([(x, top, width, height, level), hand(top + 10)]) for top in tops]


def reach_in(part: Rectangle, depth: float) -> list[Image]:
    """A hand comes so deep over the part that lies there, and goes."""
    ways = [*np.linspace(0, depth, 8), *np.linspace(depth, 0, 8)]
    return [picture([part, hand(way)]) for way in ways]


# Parts that are put down.


def test_a_part_put_down_is_judged_once_when_it_stands_still(still: Presence) -> None:
    start = nothing(10) + put_down(PART)
    due = numbers(judged(still, frames(start + lying(PART, 100) + put_down(PART)[::-1] + nothing(20))))
    # It lies from the frame after the last of the hand: 0.3 s are 8 frames at 25 a second.
    assert due == [len(start) + 8]


def test_each_of_many_parts_is_judged(still: Presence) -> None:
    one = put_down(PART) + lying(PART, 20) + put_down(PART)[::-1] + nothing(3)
    assert len(numbers(judged(still, frames(one * 7)))) == 7


def test_a_part_that_lies_there_at_the_start_is_judged(still: Presence) -> None:
    assert len(numbers(judged(still, frames(lying(PART, 30) + nothing(30) + put_down(PART) + lying(PART, 30))))) == 2


def test_a_part_that_is_stuck_for_an_hour_while_the_light_drifts_is_judged_once(still: Presence) -> None:
    drift = [picture([PART], light=1 + 0.25 * math.sin(i / 300)) for i in range(3600)]
    assert len(numbers(judged(still, frames(drift, rate_hz=1)))) == 1


def test_after_a_stuck_part_in_drifting_light_the_zone_is_empty_again(still: Presence) -> None:
    drift = [picture([PART], light=1 - 0.4 * i / 900) for i in range(900)]
    gone = [picture(light=0.6)] * 60
    again = [picture([PART], light=0.6)] * 60
    assert len(numbers(judged(still, frames(drift + gone + again, rate_hz=5)))) == 2


def test_a_hand_that_reaches_over_the_part_gives_no_second_verdict(still: Presence) -> None:
    seen = put_down(PART) + lying(PART, 20) + reach_in(PART, 110) + lying(PART, 20)
    assert len(numbers(judged(still, frames(seen)))) == 1


def test_a_hand_that_rests_on_the_part_gives_no_second_verdict(still: Presence) -> None:
    seen = put_down(PART) + lying(PART, 20) + [picture([PART, hand(110)])] * 200 + lying(PART, 20)
    assert len(numbers(judged(still, frames(seen)))) == 1


def test_a_hand_that_reaches_through_the_empty_zone_gives_no_verdict(still: Presence) -> None:
    through = [picture([hand(way)]) for way in [*range(0, 120, 10), *range(120, 0, -10)]]
    assert judged(still, frames(nothing(10) + through + nothing(10))) == []


@pytest.mark.parametrize("second", [OTHER, TWIN])
def test_a_part_swapped_before_the_zone_was_seen_empty_gets_its_verdict(still: Presence, second: Rectangle) -> None:
    x, y, width, height, level = PART
    x2, y2, width2, height2, level2 = second
    # The old one is pushed out to the right while the new one comes from the left.
    swap = [
        picture([(x + way, y, width, height, level), (x2 - 180 + way, y2, width2, height2, level2)])
        for way in range(0, 181, 20)
    ]
    seen = lying(PART, 30) + swap + lying(second, 30)
    assert len(numbers(judged(still, frames(seen)))) == 2


@pytest.mark.parametrize("level", [0, 255])
def test_one_flash_is_no_new_part(still: Presence, level: int) -> None:
    flash = [np.full((HEIGHT, WIDTH, 3), level, np.uint8)]
    assert len(numbers(judged(still, frames(lying(PART, 30) + flash + lying(PART, 30) + nothing(9) + flash)))) == 1


def test_a_part_hardly_different_from_what_it_lies_on_is_gone_when_it_has_left(still: Presence) -> None:
    faint: Rectangle = (130, 60, 60, 60, 128)  # on a grey of 100
    rng = np.random.default_rng(0)
    scenes: list[list[Rectangle]] = ([[]] * 20 + [[faint]] * 20) * 4
    assert len(numbers(judged(still, frames(picture(scene, 1.0, 6.0, rng) for scene in scenes)))) == 4


def test_a_part_that_may_have_been_swapped_while_frames_were_lost_is_judged_again(still: Presence) -> None:
    assert len(numbers(judged(still, frames([*lying(PART, 30), *[None] * 50, *lying(PART, 30)])))) == 2


def test_a_few_lost_frames_give_no_second_verdict(still: Presence) -> None:
    assert len(numbers(judged(still, frames([*lying(PART, 30), *[None] * 5, *lying(PART, 30)])))) == 1


def test_frames_without_pixels_count_as_lost(still: Presence) -> None:
    dead = [Frame(None, 0, i, 0.0, None, "torn", i / 25) for i in range(30, 80)]
    seen = list(frames([*lying(PART, 30), *[None] * 50, *lying(PART, 30)]))
    assert len(numbers(judged(still, sorted(seen + dead, key=lambda frame: frame.taken)))) == 2


def test_a_part_that_came_and_went_while_frames_were_lost_is_an_error(still: Presence) -> None:
    seen = [*nothing(10), *put_down(PART), *[None] * 30, *nothing(10)]
    [answer] = judged(still, frames(seen))
    assert answer.pixels is None
    assert "frames were lost" in (answer.trouble or "")


def test_a_part_that_never_stands_still_is_an_error_when_it_leaves(still: Presence) -> None:
    shaken = [picture([(100 + 40 * (i % 2), 60, 60, 60, 200)]) for i in range(300)]
    [answer] = judged(still, frames(nothing(10) + shaken + nothing(10)))
    assert "never stood still" in (answer.trouble or "")


def test_a_part_over_the_edge_of_the_zone_is_an_error_when_it_leaves(still: Presence) -> None:
    [answer] = judged(still, frames(nothing(10) + lying((-20, 60, 80, 60, 200), 40) + nothing(10)))
    assert "larger than the part" in (answer.trouble or "")


def test_a_part_that_stays_over_the_edge_is_judged_as_it_is(still: Presence) -> None:
    assert len(numbers(judged(still, frames(nothing(10) + lying((-20, 60, 80, 60, 200), 100) + nothing(10))))) == 1


def test_parts_larger_than_the_zone_are_judged(empty: Path) -> None:
    inside = PresenceTrigger(kind="presence", when="still", empty=empty, zone=(140, 70, 40, 40))
    one = put_down(PART) + lying(PART, 30) + put_down(PART)[::-1] + nothing(10)
    assert len(numbers(judged(Presence(inside), frames(one * 3)))) == 3


def test_a_part_put_beside_one_that_was_judged_gets_its_verdict(still: Presence) -> None:
    left: Rectangle = (20, 60, 60, 60, 200)
    seen = (
        [picture([left])] * 30 + [picture([left, PART])] * 30 + [picture([left])] * 30 + [picture([left, OTHER])] * 30
    )
    assert len(numbers(judged(still, frames(seen)))) == 3


def test_another_zone_of_the_same_picture_is_not_looked_at(empty: Path) -> None:
    beside = PresenceTrigger(kind="presence", when="still", empty=empty, zone=(0, 0, 100, 180))
    assert judged(Presence(beside), frames(put_down(PART) + lying(PART, 30))) == []


def test_a_camera_that_was_moved_never_makes_parts_vanish(still: Presence) -> None:
    beam: Rectangle = (0, 150, WIDTH, 20, 20)  # moved into the picture, over two of its edges
    one = [picture([beam])] * 200 + [picture([beam, PART])] * 200
    due = judged(still, frames(one * 3))
    # The beam, which is doubt; then each part.
    assert len([frame for frame in due if (frame.name or "") and int(frame.name or 0) % 400 >= 200]) == 3


@pytest.mark.parametrize(("light", "level"), [(0.4, 10), (2.2, 40)])
def test_light_that_was_switched_never_makes_parts_vanish(still: Presence, light: float, level: int) -> None:
    one = [picture(light=light)] * 30 + [picture([(130, 60, 60, 60, level)], light=light)] * 30
    due = judged(still, frames(nothing(30) + one * 3))
    # The whole zone, which is doubt; then each part.
    assert [(number - 30) // 30 for number in numbers(due)] == [0, 1, 3, 5]


def test_a_camera_that_looks_elsewhere_never_makes_parts_vanish(tmp_path: Path) -> None:
    ground = cv2.resize(np.random.default_rng(3).integers(0, 255, (24, 40, 3), np.uint8), (WIDTH + 60, HEIGHT + 60))

    def scene(moved: int, *, part: bool) -> Image:
        seen = np.asarray(ground[moved : moved + HEIGHT, moved : moved + WIDTH].copy(), np.uint8)
        if part:
            seen[60:120, 130:190] = (40, 60, 200)
        return seen

    cv2.imwrite(str(tmp_path / "empty.png"), scene(0, part=False))
    presence = Presence(PresenceTrigger(kind="presence", when="still", empty=tmp_path / "empty.png"))
    one = [scene(25, part=False)] * 100 + [scene(25, part=True)] * 30
    due = judged(presence, frames([scene(0, part=False)] * 20 + one * 3))
    assert len([number for number in numbers(due) if (number - 20) % 130 >= 100]) == 3


def test_what_is_left_over_the_edge_beside_a_judged_part_hides_no_later_part(still: Presence) -> None:
    first: Rectangle = (20, 60, 60, 60, 200)
    cable: Rectangle = (250, 0, 20, 60, 20)
    one = [picture([first, cable])] * 30 + [picture([first, cable, PART])] * 30
    due = judged(still, frames([picture([first])] * 30 + one * 3))
    assert len([number for number in numbers(due) if number >= 30 and (number - 30) % 60 >= 30]) == 3


def test_a_part_that_trembles_where_it_lies_gives_no_second_verdict(still: Presence) -> None:
    x, y, width, height, level = PART
    seen = [picture([(x + 2 * (i // 40 % 2), y, width, height, level)]) for i in range(400)]
    assert len(numbers(judged(still, frames(seen)))) == 1


def test_grey_pictures_will_do(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), picture()[..., 0])
    grey = Presence(PresenceTrigger(kind="presence", when="still", empty=tmp_path / "empty.png"))
    seen = [each[..., :1] for each in put_down(PART) + lying(PART, 30)]
    assert len(numbers(judged(grey, frames(seen)))) == 1


@pytest.mark.parametrize("grey_empty", [True, False])
def test_the_empty_zone_and_the_frames_may_be_grey_and_coloured(tmp_path: Path, *, grey_empty: bool) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), picture()[..., 0] if grey_empty else picture())
    either = Presence(PresenceTrigger(kind="presence", when="still", empty=tmp_path / "empty.png"))
    seen = put_down(PART) + lying(PART, 30)
    due = judged(either, frames(seen if grey_empty else [each[..., :1] for each in seen]))
    assert len(numbers(due)) == 1
    assert due[0].pixels is not None
    assert due[0].pixels.shape[2] == (3 if grey_empty else 1)


# Parts that pass.


def belt(starts: list[float], step: float, length: float = 40, count: int | None = None) -> list[Image]:
    """Parts that move to the right by `step` pixels a frame; `starts`: their left edges in the first frame."""
    if count is None:
        count = math.ceil((WIDTH - min(starts)) / step) + 5
    return [picture([(start + step * i, 70, length, 40, 200) for start in starts]) for i in range(count)]


def test_a_part_seen_in_many_frames_is_judged_in_the_one_nearest_the_middle() -> None:
    [number] = numbers(judged(passing(), frames(belt([-60], step=10))))
    assert abs(-60 + 10 * number + 20 - WIDTH / 2) <= 5


@pytest.mark.parametrize("turn", range(4))
def test_parts_may_come_from_any_side(turn: int) -> None:
    seen = [np.ascontiguousarray(np.rot90(each, turn)) for each in belt([-60, -260], step=8)]
    assert len(numbers(judged(passing(), frames(seen)))) == 2


def test_parts_close_behind_each_other_are_told_apart() -> None:
    due = numbers(judged(passing(), frames(belt([-60, -130, -200, -270, -340], step=9))))
    assert len(due) == 5
    assert {gap // 7 for gap in (b - a for a, b in pairwise(due))} == {1}


def test_parts_side_by_side_are_told_apart() -> None:
    pictures = [picture([(x, 30, 40, 40, 200), (x - 15, 110, 40, 40, 200)]) for x in range(-60, WIDTH + 40, 10)]
    assert len(numbers(judged(passing(), frames(pictures)))) == 2


def test_a_belt_that_stops_gives_no_second_verdict() -> None:
    moving = belt([-60, -250], step=10)
    seen = moving[:12] + [moving[12]] * 500 + moving[12:30] + [moving[30]] * 500 + moving[30:]
    assert len(numbers(judged(passing(), frames(seen)))) == 2


def test_lost_frames_lose_no_part_that_was_seen() -> None:
    seen: list[Image | None] = list(belt([-60, -300, -540], step=8))
    seen[30:35] = [None] * 5
    seen[60:66] = [None] * 6
    assert len(numbers(judged(passing(), frames(seen)))) == 3


def test_a_part_that_the_middle_was_not_seen_of_is_judged_where_it_was_nearest() -> None:
    seen: list[Image | None] = list(belt([-60], step=10))
    lost: list[Image | None] = [None] * (len(seen) - 14)
    seen[14:] = [*lost, *nothing(20)]
    assert numbers(judged(passing(), frames(seen))) == [13]


def test_a_part_never_seen_whole_is_an_error() -> None:
    [answer] = judged(passing(), frames(nothing(5) + belt([-400], step=20, length=400) + nothing(5)))
    assert answer.pixels is None
    assert "never whole" in (answer.trouble or "") or "light or the camera" in (answer.trouble or "")


def test_a_part_that_has_passed_the_middle_is_judged_at_once() -> None:
    presence = passing()
    when = [int(frame.name or "") for frame in frames(belt([-60], step=10)) if presence.see(frame) is not None]
    assert when == [21]  # its middle is in the picture's at frame 20


def test_a_part_taken_from_the_belt_is_judged_within_a_second() -> None:
    presence = passing()
    seen = belt([-60], step=10) + belt([-60], step=10, count=14) + nothing(25)
    when = [int(frame.name or "") for frame in frames(seen) if presence.see(frame) is not None]
    assert len(when) == 2


def test_what_flickers_up_in_one_frame_is_no_part() -> None:
    glint: Rectangle = (200, 20, 40, 40, 250)
    seen = belt([-60], step=10) + nothing(5) + [picture([glint])] + nothing(30)
    assert len(numbers(judged(passing(), frames(seen)))) == 1


def test_a_part_wider_than_the_zone_across_the_belt_is_judged() -> None:
    pictures = nothing(3) + [picture([(x, 0, 40, HEIGHT, 200)]) for x in range(-60, WIDTH + 40, 8)]
    assert len(numbers(judged(passing(), frames(pictures)))) == 1


def test_a_part_on_the_belt_when_all_begins_costs_one_verdict_and_no_later_part() -> None:
    due = judged(passing(), frames(belt([100, -300, -600, -900], step=8)))
    # The part itself, where it was (which looks different as long as it is taken for the empty belt), and three more.
    assert 4 <= len(due) <= 5


def test_when_the_light_is_switched_parts_that_may_have_passed_are_an_error_and_later_ones_are_judged() -> None:
    before, after = belt([-60], step=8), belt([-60, -300], step=8)
    bright = [np.clip(each.astype(np.int16) + 90, 0, 255).astype(np.uint8) for each in [*nothing(40), *after]]
    due = judged(passing(), frames(before + bright))
    assert [frame.pixels is None for frame in due] == [False, True, False, False]
    assert "light or the camera changed" in (due[1].trouble or "")


@pytest.mark.parametrize("step", [3, 10])
def test_parts_that_lie_on_a_belt_for_long_and_go_on_with_it_are_no_unrest(step: int) -> None:
    rng = np.random.default_rng(5)
    print_ = cv2.resize(rng.integers(120, 255, (6, 18, 3), np.uint8), (120, 80), interpolation=cv2.INTER_NEAREST)

    def scene(left: int) -> Image:
        wide = np.pad(picture(), ((0, 0), (200, 200), (0, 0)), "edge")
        wide[50:130, left + 200 : left + 320] = print_
        return np.asarray(wide[:, 200 : 200 + WIDTH], np.uint8)

    moving = [scene(left) for left in range(-140, WIDTH + 20, step)]
    stops = len(moving) // 3
    one = [*moving[:stops], *[moving[stops]] * 700, *moving[stops:]]
    assert len(numbers(judged(passing(), frames(one * 4)))) == 4


def test_at_the_end_of_a_replay_parts_under_way_are_judged() -> None:
    assert len(numbers(judged(passing(), frames(belt([-60], step=10, count=14))))) == 1


# What a station asks for.


def test_the_zone_must_be_in_the_picture(empty: Path) -> None:
    with pytest.raises(PictureError, match="does not hold the zone"):
        Presence(PresenceTrigger(kind="presence", when="still", empty=empty, zone=(300, 0, 100, 100)))
    small = passing(zone=(300, 0, 100, 100))
    answers = judged(small, frames(nothing(10)))
    assert [frame.pixels for frame in answers] == [None]
    assert "does not fit" in (answers[0].trouble or "")
    assert "correct zone, or take empty anew" in (answers[0].trouble or "")


def test_where_parts_stand_the_empty_zone_must_be_shown() -> None:
    with pytest.raises(ValidationError, match="is needed"):
        PresenceTrigger(kind="presence", when="still")


def test_the_sheet_shows_what_would_be_judged_and_why_a_part_got_no_verdict(empty: Path) -> None:
    config = PresenceTrigger(kind="presence", when="still", empty=empty, zone=(10, 10, 300, 160))
    unjudged = nothing(10) + lying((-20, 60, 80, 60, 200), 40) + nothing(10)
    shown, count = sheet(config, frames([*put_down(PART), *lying(PART, 30), *unjudged]))
    assert count == 2
    assert shown.shape[1] == 4 * 320
    head = shown.shape[0] - 180
    first, second = shown[head:, :320], shown[:, 320:640]
    assert (first[10] == ZONE_COLOUR).all(axis=-1).sum() > 250  # the zone's upper edge
    assert (first == PART_COLOUR).all(axis=-1).sum() > 100  # the part's outline
    assert (second == WORDS).all(axis=-1).any()


def test_a_pictures_name_is_read_on_a_dark_ground_and_hides_nothing(empty: Path) -> None:
    config = PresenceTrigger(kind="presence", when="still", empty=empty)
    shown, _ = sheet(config, frames([*put_down(PART), *lying(PART, 30)]))
    tile = shown[:, :320]
    rows = (tile == WORDS).all(axis=-1).any(axis=1)
    head = tile.shape[0] - 180
    assert rows[:head].any()
    assert not rows[head:].any()
    assert np.median(tile[:head]) < 40


# Real footage.

FOOTAGE = Path(__file__).parents[2] / ".." / "shared" / "data" / "video"
needs_footage = pytest.mark.skipif(not FOOTAGE.is_dir(), reason="the footage is not here")


def _replay(name: str) -> Iterator[Image]:
    video = cv2.VideoCapture(str(FOOTAGE / name))
    while (read := video.read())[0]:
        yield np.asarray(read[1], np.uint8)


@needs_footage
@pytest.mark.parametrize("zone", [None, (40, 0, 400, 270), (100, 0, 280, 270)])
def test_a_real_bolt_on_a_belt_is_judged_once_in_the_middle(zone: tuple[int, int, int, int] | None) -> None:
    shown = list(_replay("bolt-multi-size-detection.gif"))
    assert numbers(judged(passing(zone=zone), frames(shown * 3))) == [12, 49, 86]


@needs_footage
@pytest.mark.parametrize("knock", [(20, 12), (45, 30), (0, 25)])
def test_parts_that_nobody_sees_since_the_camera_was_knocked_are_an_error_and_later_ones_are_judged(
    knock: tuple[int, int],
) -> None:
    """A drawn part before a real, crowded background, which then lies elsewhere in the picture."""
    ground = np.pad(
        cv2.resize(next(_replay("bottle-detection.mp4")), (480, 360)), ((60,) * 2, (60,) * 2, (0,) * 2), "reflect"
    )

    def scene(moved: tuple[int, int], left: int) -> Image:
        x, y = moved
        seen = ground[60 + y : 420 + y, 60 + x : 540 + x].copy()
        seen[130:230, max(0, left) : max(0, left + 100)] = (30, 60, 200)
        return np.asarray(seen, np.uint8)

    way = [*range(-120, 500, 20), *[600] * 10]
    seen = [scene((0, 0), 600)] * 10 + [scene((0, 0), left) for left in way * 3] + [scene(knock, 600)] * 75
    due = judged(passing(), frames(seen + [scene(knock, left) for left in way * 14]))
    assert any("long looked different" in str(frame.trouble) for frame in due)
    late = [int(frame.name or "") for frame in due if int(frame.name or "") >= len(seen) + 8 * len(way)]
    assert len(late) == 6, "each of the later parts is judged once"


@needs_footage
def test_real_bottles_put_down_by_a_hand_are_judged_once_each(tmp_path: Path) -> None:
    # Counted by eye. Each place has a bottle at first; it is taken away, and put back; the left one twice.
    places = {"left": (20, 280, 3), "middle": (240, 600, 2), "right": (460, 1000, 2)}
    film = "bottle-detection.mp4"
    for place, (_, empty_at, _) in places.items():
        cv2.imwrite(str(tmp_path / f"{place}.png"), next(islice(_replay(film), empty_at, None)))
    watchers = {
        (place, still_s): Presence(
            PresenceTrigger(
                kind="presence",
                when="still",
                empty=tmp_path / f"{place}.png",
                zone=(x, 85, 150, 245),
                still_s=still_s,
                contrast=40,  # the hand that is at work at the next place throws a shadow
            )
        )
        for place, (x, _, _) in places.items()
        for still_s in (0.2, 0.5, 1.0)
    }
    due: dict[tuple[str, float], list[Frame]] = {which: [] for which in watchers}
    for frame in frames(_replay(film), rate_hz=29.8):
        for which, watcher in watchers.items():
            due[which] += [answer for answer in [watcher.see(frame)] if answer is not None]
    found = {which: len(numbers(answers)) for which, answers in due.items()}
    assert found == {(place, still_s): places[place][2] for place, still_s in watchers}
