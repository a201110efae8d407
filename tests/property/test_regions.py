"""A place in the frame comes out where it should, however the part is seen, and is told in the frame again."""

import math
import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_runtime.inspector import _peak
from edge_runtime.picture import Image
from edge_runtime.regions import STILL, Cut, Region, cut
from tests.marked import LEFT, RIGHT, marked_frame, marks_in, motion, moved

WIDTH, HEIGHT = 400, 360
Points = npt.NDArray[np.float64]


@st.composite
def quadrilaterals(draw: st.DrawFn) -> Points:
    """Corners of a flat part seen from anywhere: turned by any angle, each corner pulled where perspective may."""
    angle = draw(st.floats(0, 2 * math.pi))
    half = np.array([draw(st.floats(30, 90)), draw(st.floats(30, 90))])
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    pulled = square * np.array([[draw(st.floats(0.55, 1)), draw(st.floats(0.55, 1))] for _ in range(4)])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray(pulled @ turn.T + (WIDTH / 2, HEIGHT / 2))


inner = st.floats(0.1, 0.9)


def spot(x: float, y: float) -> Image:
    """A frame that is dark but for a round spot whose middle is at x, y, pixel (i, j) covering [i, i + 1)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    light = np.exp(-((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2) / (2 * 1.5**2))
    return np.asarray(light * 250, np.uint8)[..., None]


def brightest(piece: Cut) -> tuple[int, int]:
    peak = _peak(piece.picture[..., 0].astype(np.float32), STILL, piece)
    assert peak is not None
    return peak


@settings(deadline=None)
@given(quadrilaterals(), inner, inner)
def test_a_spot_on_a_part_in_perspective_comes_out_in_its_place_and_is_told_in_the_frame(
    corners: Points, across: float, down: float
) -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    matrix = cv2.getPerspectiveTransform(square, corners.astype(np.float32))
    ((x, y),) = cv2.perspectiveTransform(np.array([[[across, down]]]), matrix)[0]
    region = Region.model_validate({"expected": "A", "corners": corners.tolist()})
    piece = cut(spot(x, y), "r", region)
    height, width = piece.picture.shape[:2]
    row, column = divmod(int(np.argmax(piece.picture)), width)
    # The spot is 3 pixels wide, and an upright picture may be some times as large as what it shows in perspective.
    assert abs(column + 0.5 - across * width) < 2 + 0.02 * width
    assert abs(row + 0.5 - down * height) < 2 + 0.02 * height
    found_x, found_y = brightest(piece)
    assert abs(found_x + 0.5 - x) <= 1.3
    assert abs(found_y + 0.5 - y) <= 1.3


@settings(deadline=None)
@given(st.tuples(st.integers(0, 300), st.integers(0, 260), st.integers(20, 100), st.integers(20, 100)), inner, inner)
def test_a_spot_in_a_rectangle_is_told_where_it_is(box: tuple[int, int, int, int], across: float, down: float) -> None:
    x, y = box[0] + across * box[2], box[1] + down * box[3]
    found_x, found_y = brightest(cut(spot(x, y), "r", Region(expected="A", box=box)))
    assert abs(found_x + 0.5 - x) <= 1
    assert abs(found_y + 0.5 - y) <= 1


@settings(deadline=None)
@given(quadrilaterals(), st.permutations(range(4)))
def test_corners_are_taken_from_whichever_comes_first_but_only_in_their_order(
    corners: Points, order: list[int]
) -> None:
    assume(_is_convex(corners))
    turned = [order[0], *[(order[0] + n) % 4 for n in (1, 2, 3)]]
    shuffled = {"expected": "A", "corners": corners[order].tolist()}
    if order == turned:
        Region.model_validate(shuffled)
        return
    try:
        Region.model_validate(shuffled)
    except ValidationError:
        return
    raise AssertionError(f"order {order} was taken")


def _is_convex(corners: Points) -> bool:
    return bool(cv2.isContourConvex(corners.astype(np.float32)))


@settings(deadline=None, max_examples=40)
@given(st.floats(-15, 15), st.floats(-15, 15), st.floats(-3, 3))
def test_a_part_is_seen_the_same_wherever_the_jig_has_moved_to(x: float, y: float, turn: float) -> None:
    frame = marked_frame()
    shifted = moved(frame, x, y, turn)
    region = Region(expected="A", box=(250, 180, 150, 120))
    with tempfile.TemporaryDirectory() as folder:
        marks = marks_in(Path(folder), LEFT, RIGHT)
    found = marks.motion(marks.find(shifted))
    for point in ((250.0, 180.0), (400.0, 300.0)):
        index = np.array([*point, 1.0]) - (0.5, 0.5, 0)  # OpenCV moved pixels by their index
        assert np.abs(found @ (*point, 1.0) - (motion(x, y, turn) @ index + 0.5)).max() < 0.5
    seen = cut(shifted, "r", region, found).picture
    there = cut(frame, "r", region).picture
    if seen.shape != there.shape:  # the marks' scale is not 1 to the last digit
        seen = np.asarray(cv2.resize(seen, there.shape[1::-1]), np.uint8)[..., None]
    a_pixel_off = cut(frame, "r", region, np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])).picture
    assert difference(seen, there) < difference(a_pixel_off, there)


def difference(one: Image, other: Image) -> float:
    return float(np.abs(cv2.blur(one, (5, 5)).astype(int) - cv2.blur(other, (5, 5))).mean())
