"""The picture that a person looks at."""

from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.evidence.overview import (
    COLOURS,
    FRAME,
    GAP,
    HEAD,
    MOST_REGIONS,
    ROOM,
    TITLE,
    _heat,
    _verdict,
    overview,
)
from edge_runtime.lettering import width_of
from edge_runtime.picture import Image
from edge_runtime.verdict import Call, Reason, RegionVerdict
from tests.evidence import frame, look, verdict


def pixels(**size: int) -> Image:
    shot = frame(**size).pixels
    assert shot is not None
    return shot


def drawn_in(picture: Image, call: Call) -> int:
    """Pixels below the head that are in the colour of a call."""
    return int((picture[HEAD:] == np.array(COLOURS[call])).all(axis=2).sum())


@pytest.mark.parametrize("call", Call)
def test_the_head_is_in_the_colour_of_the_call(call: Call) -> None:
    picture = overview(verdict(call), pixels(), {"J4": look()})
    assert picture[2, 2].tolist() == list(COLOURS[call])
    assert drawn_in(picture, call) > 1000
    assert sum(drawn_in(picture, other) for other in Call if other is not call) == 0


def test_the_frame_that_it_is_drawn_on_is_not_touched() -> None:
    shot, seen = pixels(), look(channels=3)
    before, view = shot.copy(), seen.view.copy()
    overview(verdict(Call.NG), shot, {"J4": seen})
    assert np.array_equal(shot, before)
    assert np.array_equal(seen.view, view)


def test_where_the_difference_is_within_the_tolerances_nothing_glows() -> None:
    calm = look()
    calm.difference[:] = 2.9
    glowing = look()
    glowing.difference[:] = 12
    dim, bright = (overview(verdict(Call.OK), pixels(), {"J4": seen}) for seen in (calm, glowing))
    changed = (dim != bright).any(axis=2)
    assert bright[changed].mean() > dim[changed].mean() + 50


def test_the_heat_has_one_scale_whatever_the_picture_shows() -> None:
    """The same difference looks the same beside a larger one."""
    some, more = look(32), look(32)
    some.difference[:], more.difference[:] = 1, 1
    some.difference[20:24, 4:8] = more.difference[20:24, 4:8] = 6
    more.difference[2:6, 20:24] = 500
    differs = (_heat(some) != _heat(more)).any(axis=2)
    assert differs[2:6, 20:24].all()
    assert differs.sum() == 16


@pytest.mark.parametrize("size", [(1944, 2592, 1), (40, 1000, 3), (3000, 60, 1), (16, 16, 3)])
def test_it_takes_frames_of_any_shape(size: tuple[int, int, int]) -> None:
    height, width, channels = size
    picture = overview(verdict(Call.NG), pixels(height=height, width=width, channels=channels), {"J4": look()})
    assert 500 < picture.shape[0] < 2000
    assert picture.shape[2] == 3


@pytest.mark.parametrize("side", [(16, 200), (300, 20), (700, 700)])
def test_it_takes_views_of_any_shape_also_with_a_coarser_difference(side: tuple[int, int]) -> None:
    seen = replace(look(), view=np.full((*side, 3), 90, np.uint8), reconstruction=np.full((*side, 3), 50, np.uint8))
    assert overview(verdict(Call.NG), pixels(), {"J4": seen}).shape[2] == 3


def test_a_difference_that_is_no_number_is_drawn_at_full_heat() -> None:
    seen = look()
    seen.difference[3, 3] = np.nan
    seen.difference[4, 4] = np.inf
    overview(verdict(Call.NG), pixels(), {"J4": seen})


def test_of_many_regions_the_worst_are_drawn_and_the_picture_stays_small() -> None:
    good = RegionVerdict(name="ok", expected="A12", verdict=Call.OK, reason=Reason.MATCH, box=(0, 0, 16, 16))
    bad = RegionVerdict(name="bad", expected="品番-7", verdict=Call.NG, reason=Reason.DEFECT, box=(0, 0, 16, 16))
    many = tuple(good.model_copy(update={"name": f"ok {n}"}) for n in range(60))
    looks = {region.name: look() for region in (*many, bad)}
    picture = overview(verdict(Call.NG, (*many, bad)), pixels(), looks)
    assert picture.shape[0] < 450 * MOST_REGIONS
    assert drawn_in(picture, Call.NG) > 10_000
    assert drawn_in(picture, Call.OK) > drawn_in(picture, Call.NG)


def test_a_region_that_could_not_be_judged_says_why_and_has_no_pictures() -> None:
    region = RegionVerdict(
        name="J4", expected="A12", verdict=Call.ERROR, reason=Reason.BAD_IMAGE, detail="dark " * 100, box=(0, 0, 64, 48)
    )
    silent = region.model_copy(update={"detail": None})
    told, untold = (overview(verdict(Call.ERROR, (each,)), pixels(), {}) for each in (region, silent))
    assert told.shape == untold.shape
    assert (told != untold).any()


def test_corners_are_drawn_as_they_are_and_a_region_beyond_the_frame_at_its_edge() -> None:
    aslant = RegionVerdict(
        name="J4",
        expected="A12",
        verdict=Call.NG,
        reason=Reason.DEFECT,
        box=(5, 5, 40, 30),
        corners=((5, 5), (45, 8), (40, 35), (8, 30)),
        peak=(10, 10),
    )
    beyond = RegionVerdict(
        name="J5", expected="A12", verdict=Call.ERROR, reason=Reason.BAD_IMAGE, box=(600, 900, 50, 50)
    )
    picture = overview(verdict(Call.ERROR, (aslant, beyond)), pixels(), {"J4": look()})
    assert drawn_in(picture, Call.NG) > 200
    assert drawn_in(picture, Call.ERROR) > 200


def test_a_long_name_hides_no_neighbours_name() -> None:
    good, bad = (
        RegionVerdict(name=name, expected="A12", verdict=call, reason=reason, box=(x, 200, 50, 50))
        for name, call, reason, x in (("J4", Call.OK, Reason.MATCH, 100), ("J5", Call.NG, Reason.DEFECT, 170))
    )
    long = bad.model_copy(update={"name": "J" * 64})
    shot = pixels(height=480, width=640)
    short, named = (overview(verdict(Call.NG, (good, each)), shot, {}) for each in (bad, long))
    frames = (each[:, : FRAME + GAP] for each in (short, named))
    tags = [drawn_in(each, Call.OK) for each in frames]
    assert tags[0] > 1000
    assert tags[0] == tags[1]


@pytest.mark.parametrize("name", ["J" * 64, "検品" * 32])
def test_a_long_name_leaves_room_for_what_was_expected_and_found(name: str) -> None:
    region = RegionVerdict(
        name=name,
        expected="A12",
        verdict=Call.NG,
        reason=Reason.WRONG_PART,
        found="B7",
        found_score=0.97,
        box=(0, 0, 9, 9),
    )
    title = _verdict(region)
    assert title.endswith("…   NG   wrong part: expected A12, found B7 (0.97)")
    assert title.startswith(name[:8])
    assert width_of(title, TITLE) <= ROOM
    all_long = _verdict(region.model_copy(update={"expected": name, "found": name}))
    assert all_long.count("…") == 3
    assert all_long.endswith("… (0.97)")
    assert width_of(all_long, TITLE) <= ROOM
