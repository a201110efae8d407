"""Marks that are found where they lie, and frames that are refused where they are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import PictureError
from edge_runtime.marks import Mark, Marks
from edge_runtime.picture import Image
from tests.marked import LEFT, RIGHT, marked_frame, marks_in, moved


def test_a_frame_that_has_not_moved_has_not_moved(tmp_path: Path) -> None:
    marks = marks_in(tmp_path, LEFT, RIGHT)
    assert marks.motion(marks.find(marked_frame())) == pytest.approx(np.eye(2, 3), abs=0.01)


def test_without_marks_nothing_moves() -> None:
    marks = Marks({})
    assert np.array_equal(marks.motion(marks.find(marked_frame())), np.eye(2, 3))


def test_one_mark_tells_the_shift(tmp_path: Path) -> None:
    marks = marks_in(tmp_path, LEFT)
    found = marks.motion(marks.find(moved(marked_frame(), 7.3, -4.6, 0)))
    assert found == pytest.approx(np.array([[1, 0, 7.3], [0, 1, -4.6]]), abs=0.15)


def test_light_and_colour_do_not_move_a_mark(tmp_path: Path) -> None:
    marks = marks_in(tmp_path, LEFT)
    dim = np.repeat((marked_frame() * 0.4 + 60).astype(np.uint8), 3, axis=2)
    assert marks.motion(marks.find(dim)) == pytest.approx(np.eye(2, 3), abs=0.05)


def hidden() -> Image:
    frame = marked_frame()
    frame[LEFT[1] - 20 : LEFT[1] + 68, LEFT[0] - 20 : LEFT[0] + 68] = 90
    return frame


def doubled() -> Image:
    frame = marked_frame()
    x, y = LEFT
    frame[y + 3 : y + 51, x - 38 : x + 10] = 90
    frame[y - 20 : y + 28, x - 38 : x + 10] = frame[y : y + 48, x : x + 48]
    return frame


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (hidden(), r"mark 'left'.*not found \(likeness 0\.\d\d, needed 0\.70\)"),
        (moved(marked_frame(), 70, 0, 0), r"mark 'left'.*not found"),
        (marked_frame()[:60, :60], r"mark 'left'.*outside the frame of 60 x 60 pixels"),
        (doubled(), r"mark 'left'.*in doubt: two places are like it"),
        (np.full((480, 640, 1), 90, np.uint8), r"mark 'left'.*not found \(likeness 0\.00"),
    ],
)
def test_a_mark_that_is_not_surely_found_is_named(tmp_path: Path, frame: Image, told: str) -> None:
    with pytest.raises(PictureError, match=told):
        marks_in(tmp_path, LEFT).find(frame)


def test_marks_that_have_come_apart_are_not_believed(tmp_path: Path) -> None:
    frame = marked_frame()
    stretched = np.asarray(cv2.resize(frame, None, fx=1.04, fy=1.04), np.uint8)[..., None]
    marks = marks_in(tmp_path, LEFT, RIGHT)
    with pytest.raises(PictureError, match=r"marks 'left' and 'right'.*pixels apart, in the reference frame"):
        marks.motion(marks.find(stretched))


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (np.full((40, 40), 90, np.uint8), "shows nothing that could be found again"),
        (np.random.default_rng(0).integers(0, 256, (7, 40), np.uint8), "too small for a mark"),
    ],
)
def test_a_template_that_cannot_be_found_again_is_refused(tmp_path: Path, picture: Image, told: str) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), picture)
    with pytest.raises(PictureError, match=rf"m\.png: .*{told}"):
        Marks({"m": Mark(template=tmp_path / "m.png", at=(0, 0), search=10)})


def test_two_marks_in_one_place_cannot_tell_a_turn(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="30 pixels from the other mark; 50 are needed"):
        marks_in(tmp_path, LEFT, (LEFT[0] + 30, LEFT[1]))
