"""Where a frame lies, for a jig that is loose: marks that were cut from a reference frame are looked for in it.

One mark tells the shift, two tell turn and scale as well. All regions move with them. This is about the jig before the
camera; how a part lies within its region is learnt with the part (`alignment.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge_runtime.errors import PictureError
from edge_runtime.picture import Image, is_blank, read_picture
from edge_runtime.regions import STILL, Motion
from edge_runtime.table import Count, Extent, LocalPath, Table

Grey = npt.NDArray[np.uint8]

SMALLEST = 8
"""Pixels of a mark's shorter side: what is smaller is found everywhere."""
CLEARLY = 0.95
"""A second place that is so much like the mark, as a share of the best place, leaves in doubt which it is."""
SCALE = 0.02
"""Share by which the distance of two marks may differ from the reference: a camera over a jig sees no more."""
SCALE_PIXELS = 2.0
"""The same in pixels, for marks that are close: how far two finds may be off together."""
APART = 50.0
"""Pixels between the middles of two marks, so that a find that is half a pixel off turns the frame by 0.6° at most."""


class Mark(Table):
    """`[mark.NAME]`: a picture cut from a reference frame, and where it lay there."""

    template: LocalPath = Field(description='a picture cut from a frame, as template = "left.png" (kenpin-edge mark)')
    at: Annotated[tuple[Count, Count], Field(strict=False)] = Field(
        description="[x, y] of the template's top left pixel in the frame it was cut from, as at = [120, 80]"
    )
    search: Extent = Field(description="how many pixels it may have moved each way, as search = 40")
    likeness: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.7, description="the correlation with the template, above 0 and at most 1, from which on it is found"
    )


@dataclass(frozen=True, slots=True)
class Found:
    """Where a mark lies: x, y of the template's top left, in pixels of the frame, and how like it that place is."""

    x: float
    y: float
    likeness: float


class Marks:
    """The marks of a station, one or two, with their templates; none: nothing ever moves."""

    def __init__(self, marks: Mapping[str, Mark]) -> None:
        """Read the templates. Raises PictureError where one cannot be used."""
        self._marks = dict(marks)
        self._templates = {name: read_template(mark) for name, mark in marks.items()}
        middles = [self._middle(name, *mark.at) for name, mark in marks.items()]
        if len(middles) == 2 and abs(middles[1] - middles[0]) < APART:
            why = f"lies {abs(middles[1] - middles[0]):.0f} pixels from the other mark; {APART:.0f} are needed to turn"
            raise PictureError(f"mark {list(marks)[1]!r}", why)

    def find(self, pixels: Image) -> dict[str, Found]:
        """Where each mark lies in a frame, uint8 [H, W, C]. Raises PictureError, naming the mark that is not found."""
        return {name: self.find_one(pixels, name) for name in self._marks}

    def find_one(self, pixels: Image, name: str) -> Found:
        """Where the mark `name` lies in a frame, uint8 [H, W, C]. Raises PictureError where it is not surely found."""
        return find(pixels, name, self._marks[name], self._templates[name])

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of the mark `name`, in pixels."""
        height, width = self._templates[name].shape
        return width, height

    def redrawn(self, before: "Marks") -> set[str]:
        """The marks that have another picture than `before`, also where it lies under the same name."""
        was = before._templates  # noqa: SLF001  # another of our own kind
        now = self._templates
        return {name for name in now.keys() & was.keys() if not np.array_equal(now[name], was[name])}

    def motion(self, found: Mapping[str, Found]) -> Motion:
        """How the frame has moved, from where its marks were found.

        Raises PictureError where their distance is another than in the reference frame.
        """
        if not found:
            return STILL
        was = [self._middle(name, *mark.at) for name, mark in self._marks.items()]
        now = [self._middle(name, found[name].x, found[name].y) for name in self._marks]
        if len(was) == 1:
            shift = now[0] - was[0]
            return np.array([[1.0, 0.0, shift.real], [0.0, 1.0, shift.imag]])
        apart, before = abs(now[1] - now[0]), abs(was[1] - was[0])
        if abs(apart - before) > max(SCALE * before, SCALE_PIXELS):
            why = f"are {apart:.1f} pixels apart, in the reference frame {before:.1f}: one of them is not the mark"
            raise PictureError(f"marks {' and '.join(map(repr, self._marks))}", why)
        turn = (now[1] - now[0]) / (was[1] - was[0])
        shift = (now[0] + now[1]) / 2 - turn * (was[0] + was[1]) / 2
        return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])

    def _middle(self, name: str, x: float, y: float) -> complex:
        """The middle of the template at x, y: it stays put when the frame turns a little."""
        height, width = self._templates[name].shape
        return complex(x + width / 2, y + height / 2)


def read_template(mark: Mark) -> Grey:
    """A mark's template from its file, in grey, uint8 [H, W]. Raises PictureError where it is none."""
    return as_template(read_picture(mark.template), mark.template)


def as_template(picture: Image, source: Path) -> Grey:
    """The picture of a mark, uint8 [H, W, C], in grey. Raises PictureError, naming `source`, where it is none."""
    if min(picture.shape[:2]) < SMALLEST:
        raise PictureError(source, f"is too small for a mark; cut one of {SMALLEST} pixels a side or more")
    if is_blank(picture):
        raise PictureError(source, "shows nothing that could be found again; cut a mark with edges both ways")
    return grey(picture)


def find(pixels: Image, name: str, mark: Mark, template: Grey) -> Found:
    """Where `mark` lies in a frame, uint8 [H, W, C], to a fraction of a pixel, by normalised correlation.

    Raises PictureError where no place within its search is like it, or two are.
    """
    height, width = template.shape
    left, top = max(0, mark.at[0] - mark.search), max(0, mark.at[1] - mark.search)
    right, bottom = mark.at[0] + width + mark.search, mark.at[1] + height + mark.search
    window = grey(pixels[top:bottom, left:right])
    if window.shape[0] < height or window.shape[1] < width:
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise PictureError(f"mark {name!r}", f"not found: at = {list(mark.at)} is outside the frame of {size} pixels")
    likeness = np.nan_to_num(cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED), nan=0, posinf=0, neginf=0)
    row, column = divmod(int(np.argmax(likeness)), likeness.shape[1])
    best = float(likeness[row, column])
    if best < mark.likeness:
        raise PictureError(f"mark {name!r}", f"not found (likeness {best:.2f}, needed {mark.likeness:.2f})")
    if abs(left + column - mark.at[0]) >= mark.search or abs(top + row - mark.at[1]) >= mark.search:
        raise PictureError(f"mark {name!r}", f"not found within {mark.search} pixels of where it was")
    x, y = left + _vertex(likeness[row], column), top + _vertex(likeness[:, column], row)
    likeness[_near(row, height), _near(column, width)] = 0
    second = float(likeness.max())
    if second >= max(mark.likeness, CLEARLY * best):
        raise PictureError(f"mark {name!r}", f"is in doubt: two places are like it ({best:.2f} and {second:.2f})")
    return Found(x, y, best)


def _near(at: int, size: int) -> slice:
    """The places whose template would overlap the one found by half or more."""
    return slice(max(0, at - size // 2), at + size // 2 + 1)


def _vertex(values: npt.NDArray[Any], at: int) -> float:
    """Where the parabola through the largest of `values`, at index `at`, and its neighbours is highest."""
    if not 0 < at < values.size - 1:
        return float(at)
    before, here, after = (float(value) for value in values[at - 1 : at + 2])
    curve = before - 2 * here + after
    return at + 0.5 * (before - after) / curve if curve < 0 else float(at)


def grey(picture: Image) -> Grey:
    """A picture, uint8 [H, W, C], in grey, uint8 [H, W]."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if picture.shape[2] == 3 else picture[..., 0], np.uint8)
