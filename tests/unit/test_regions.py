"""Where a region is cut from a frame: rectangles, quadrilaterals, and what lies outside."""

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge_runtime.errors import PictureError
from edge_runtime.picture import Image, ViewSpec
from edge_runtime.regions import Region, cut

Quad = tuple[tuple[float, float], ...]
SLANTED: Quad = ((60, 40), (210, 55), (190, 160), (75, 150))


def noise(height: int = 200, width: int = 300, channels: int = 1) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def at(corners: Quad) -> Region:
    return Region.model_validate({"expected": "A", "corners": corners})


def test_corners_of_a_box_give_what_the_box_gives() -> None:
    frame = noise()
    box = Region(expected="A", box=(40, 30, 120, 80))
    same = at(((40, 30), (160, 30), (160, 110), (40, 110)))
    assert np.array_equal(cut(frame, "r", same).picture, cut(frame, "r", box).picture)
    assert cut(frame, "r", same).box == (40, 30, 120, 80)
    assert cut(frame, "r", box).corners is None


def test_a_part_that_lies_turned_is_shown_upright() -> None:
    frame = noise(200, 200)
    part = frame[50:90, 60:140]
    on_its_side = at(((140, 50), (140, 90), (60, 90), (60, 50)))  # its top left is the frame's top right
    assert np.array_equal(cut(frame, "r", on_its_side).picture, np.rot90(part))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_quadrilateral_is_drawn_with_at_least_its_own_detail(channels: int) -> None:
    piece = cut(noise(channels=channels), "r", at(SLANTED))
    height, width = piece.picture.shape[:2]
    assert width >= 150
    assert height >= 115
    assert piece.picture.shape[2] == channels
    assert piece.box == (60, 40, 150, 120)
    assert piece.corners == SLANTED


def test_fine_stripes_in_a_large_quadrilateral_shrink_to_grey_and_not_to_broad_stripes() -> None:
    frame = np.zeros((1000, 1000, 1), np.uint8)
    frame[:, ::2] = 255
    view = ViewSpec(height=64, width=64, channels=1).view(
        cut(frame, "r", at(((20, 30), (980, 10), (960, 970), (40, 990)))).picture
    )
    assert view.min() > 100
    assert view.max() < 155


def test_a_whole_frame_is_the_frame_itself() -> None:
    frame = noise()
    piece = cut(frame, "r", Region(expected="A"))
    assert np.shares_memory(piece.picture, frame)
    assert piece.box == (0, 0, 300, 200)


def test_a_shifted_rectangle_is_cut_at_whole_pixels_so_that_none_is_changed() -> None:
    frame = noise()
    motion = np.array([[1.0, 0.0, 7.4], [0.0, 1.0, -3.6]])
    piece = cut(frame, "r", Region(expected="A", box=(40, 30, 120, 80)), motion)
    assert piece.box == (47, 26, 120, 80)
    assert np.array_equal(piece.picture, frame[26:106, 47:167])


def test_a_turn_that_nobody_could_see_leaves_a_rectangle_as_it_was_taken() -> None:
    frame, turn = noise(), np.asarray(cv2.getRotationMatrix2D((150, 100), 0.2, 1.0), np.float64)
    piece = cut(frame, "r", Region(expected="A", box=(90, 70, 120, 60)), turn)
    assert piece.corners is None
    assert np.array_equal(piece.picture, frame[70:130, 90:210])


def test_a_turned_rectangle_becomes_corners() -> None:
    turn = np.asarray(cv2.getRotationMatrix2D((150, 100), 5, 1.0), np.float64)
    piece = cut(noise(), "r", Region(expected="A", box=(90, 70, 120, 60)), turn)
    assert piece.picture.shape == (60, 120, 1)
    assert piece.corners is not None
    assert piece.corners[0] == pytest.approx(tuple(turn @ (90, 70, 1)), abs=0.01)


@pytest.mark.parametrize(
    "region",
    [
        Region(expected="A", box=(250, 0, 51, 10)),
        at(((200, 10), (300.5, 10), (300, 60), (200, 60))),
        at(((10, 10), (60, 10), (60, 201), (10, 190))),
    ],
)
def test_what_reaches_beyond_the_frame_is_refused_with_both_sizes(region: Region) -> None:
    with pytest.raises(PictureError, match=r"region J4: the frame is 300 x 200 pixels, but the region's (box|corners)"):
        cut(noise(), "J4", region)


def test_a_rectangle_that_moves_out_of_the_frame_is_refused() -> None:
    motion = np.array([[1.0, 0.0, -41.0], [0.0, 1.0, 0.0]])
    with pytest.raises(
        PictureError, match=r"box is \[40, 30, 120, 80\], moved with the marks to \[-1, 30, 120, 80\]; "
    ):
        cut(noise(), "r", Region(expected="A", box=(40, 30, 120, 80)), motion)


def test_a_region_that_turns_out_of_the_frame_is_called_as_the_station_file_has_it() -> None:
    motion = np.array([[0.9, 0.3, 500.0], [-0.3, 0.9, 0.0]])
    with pytest.raises(PictureError, match=r"box is \[40, 30, 120, 80\], moved with the marks to \[\[545.0, 15.0\], "):
        cut(noise(), "r", Region(expected="A", box=(40, 30, 120, 80)), motion)


@pytest.mark.parametrize(
    ("corners", "told"),
    [
        (((0, 0), (0, 9), (9, 9), (9, 0)), "counterclockwise"),
        (((0, 0), (9, 9), (9, 0), (0, 9)), "crosses itself"),
        (((0, 0), (90, 0), (30, 30), (0, 90)), "dented"),
        (((0, 0), (50, 0), (90, 0), (0, 90)), "three corners on one line"),
        (((0, 0), (10, 10), (20, 20), (30, 30)), "three corners on one line"),
        (((0, 0), (0, 0), (9, 9), (0, 9)), "two corners in one place"),
        (((0, 0), (9, 0), (9, 9)), "Field required"),
        (((-1, 0), (9, 0), (9, 9), (0, 9)), "greater than or equal to 0"),
    ],
)
def test_corners_that_no_part_has_are_refused(corners: Quad, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        at(corners)
