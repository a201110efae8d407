"""For who aims a camera without a screen: how a station's regions lie on a picture, and marks cut from one."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.cameras import Frame
from edge_runtime.console import for_machines
from edge_runtime.disk import try_writing, write_whole
from edge_runtime.errors import PictureError, UsageError
from edge_runtime.file_names import as_text
from edge_runtime.framing import Framing, Unfit
from edge_runtime.lettering import (
    BACK,
    BOLD,
    Colour,
    Rectangle,
    in_the_way,
    places,
    plate,
    plate_size,
    shortened_all,
    width_of,
    write,
)
from edge_runtime.marks import Found, Mark, as_template, find, grey
from edge_runtime.noise import likeness_after_noise
from edge_runtime.picture import Image, printable, read_picture, shown_name
from edge_runtime.regions import Cut
from edge_runtime.station import Station
from edge_runtime.verdict import Box

GOOD, BAD, MARK = (0, 200, 0), (0, 0, 255), (255, 160, 0)
"""BGR: a region that can be judged, one that cannot, and a mark."""
UNFIT = 1
"""Exit status where a region cannot be judged; 2 is a mistake of who asks."""
ASIDE = 4
"""Pixels that a mark is moved aside, to see whether it is told from itself."""
SAME = 0.95
"""Likeness at which it is not: a line looks the same all along itself."""


class _Tag(NamedTuple):
    """What is written of a region or a mark, and what that encloses."""

    words: tuple[str, ...]
    box: Rectangle
    colour: Colour

    def text(self, size: int, room: int) -> str:
        """So that it takes no more than `room` pixels."""
        between = ": " if len(self.words) > 1 else ""
        return between.join(shortened_all(self.words, size, room - width_of(between, size)))


def show_regions(path: Path, picture: Path, out: Path) -> int:
    """Draw the regions and marks of the station file `path` onto `picture` as the PNG `out`, and print where they are.

    The exit status: 0 where all regions can be judged, 1 where one cannot.

    Raises StationError, PictureError where the picture or a mark's template cannot be used, and UsageError where `out`
    cannot be written. What is wrong with the picture, as the station sees it, is printed.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: expected the name of a PNG, as overlay.png")
    station = Station.read(path)
    framing = Framing(station.region, station.mark, station.gate, station.source)
    pixels = read_picture(picture)
    with _explained(out):
        try_writing(out)
    drawn = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels.copy()
    unfit = False
    tags: list[_Tag] = []
    for name, mark in station.mark.items():
        try:
            found = framing.marks.find_one(pixels, name)
        except PictureError as error:
            _say(str(error))
            unfit = True
            continue
        _say(f"mark {name!r}: [{found.x:.1f}, {found.y:.1f}], was {list(mark.at)}, likeness {found.likeness:.2f}")
        tags.append(_outline_mark(drawn, name, found, framing.marks.size(name)))
    for name, seen in framing.look(Frame(pixels, 0, 1, 0.0, shown_name(picture.name))).items():
        expected = station.region[name].expected
        corners = _corners(seen)
        if isinstance(seen, Unfit):
            _say(f"region {name} ({expected}): bad_image: {seen.why}")
            unfit = True
        else:
            height, width = seen.picture.shape[:2]
            where = [list(corner) for corner in seen.corners] if seen.corners else list(seen.box)
            _say(f"region {name} ({expected}): {where}, {width} x {height} pixels upright")
        colour = GOOD if isinstance(seen, Cut) else BAD
        tags.append(_outline_region(drawn, corners, (name, expected), colour))
    _keep(out, _name_all(drawn, tags))
    return UNFIT if unfit else 0


def cut_mark(picture: Path, out: Path, box: Box, search: int) -> None:
    """Cut the mark in `box` (x, y, width, height) of `picture` into the PNG `out`, and print its table for the station.

    Raises PictureError where the picture cannot be read, and UsageError where `out` cannot be written or the box is no
    mark that could be found again within `search` pixels: it is another size than can be, the picture shows it twice,
    or it is noise and will be gone.
    """
    pixels = read_picture(picture)
    height, width = pixels.shape[:2]
    x, y, w, h = box
    if x + w > width or y + h > height:
        raise UsageError(f"--box {x} {y} {w} {h} is not within {picture}, which is {width} x {height} pixels")
    if not out.name.lower().endswith(".png"):
        raise UsageError(f"{out}: expected the name of a PNG, as left.png; others lose what a mark is found by")
    if search < 1:
        raise UsageError("--search 0 finds a mark only where it was; expected the pixels that it may move")
    cropped = pixels[y : y + h, x : x + w]
    try:
        template = as_template(cropped, picture)
        mark = Mark(template=out, at=(x, y), search=search)
        _check_it_has_a_place(pixels, template, x, y)
        _check_it_is_no_noise(pixels, box, mark)
        find(pixels, out.stem, mark, template)
    except PictureError as error:
        raise UsageError(f"--box {x} {y} {w} {h} of {picture} is no good mark: {error.why}") from error
    _keep(out, cropped)
    # Where the station file lies is not known here, and a path in it that is not absolute is relative to its folder.
    table, file = (_toml(as_text(text)) for text in (out.stem, out.resolve()))
    sys.stdout.write(for_machines(f"[mark.{table}]\ntemplate = {file}\nat = [{x}, {y}]\nsearch = {search}\n"))


def _toml(text: str) -> str:
    """A basic string of TOML: as JSON's, but for characters beyond 16 bits, which a terminal may have to escape."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(each if ord(each) <= 0xFFFF else f"\\U{ord(each):08x}" for each in quoted)


def _keep(out: Path, drawn: Image) -> None:
    with _explained(out):
        write_whole(out, cv2.imencode(".png", drawn)[1].tobytes())


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror}); name another file") from error


def _check_it_has_a_place(pixels: Image, template: npt.NDArray[np.uint8], x: int, y: int) -> None:
    """Raise PictureError where a mark looks the same a little aside."""
    height, width = template.shape
    frame = grey(pixels)
    for across, down, way in ((ASIDE, 0, "left and right"), (0, ASIDE, "up and down")):
        for sign in (-1, 1):
            left, top = x + sign * across, y + sign * down
            aside = frame[max(0, top) : top + height, max(0, left) : left + width]
            if aside.shape != template.shape or min(left, top) < 0:
                continue
            likeness = float(cv2.matchTemplate(aside, template, cv2.TM_CCOEFF_NORMED)[0, 0])
            if likeness > SAME:
                raise PictureError("mark", f"it looks the same {way} of itself; cut one with edges in both directions")


def _check_it_is_no_noise(pixels: Image, box: Box, mark: Mark) -> None:
    """Raise PictureError where the next picture will not show what this one does."""
    likeness = likeness_after_noise(grey(pixels), box, mark.search + max(box[2:]))
    if likeness < mark.likeness:
        why = f"of it the next picture shows {likeness:.2f} at most, needed {mark.likeness:.2f}, the rest is noise"
        raise PictureError("mark", f"{why}; cut one that stands out more, closely around it, or give more light")


def _corners(seen: Cut | Unfit) -> npt.NDArray[np.float64]:
    if isinstance(seen, Cut) and seen.corners is not None:
        return np.array(seen.corners, np.float64)
    x, y, w, h = seen.box
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], np.float64)


def _outline_mark(drawn: Image, name: str, found: Found, size: tuple[int, int]) -> _Tag:
    corner = round(found.x), round(found.y)
    cv2.rectangle(drawn, corner, (corner[0] + size[0], corner[1] + size[1]), MARK, _thick(drawn))
    return _Tag((name,), (*corner, *size), MARK)


def _outline_region(drawn: Image, corners: npt.NDArray[np.float64], words: tuple[str, ...], colour: Colour) -> _Tag:
    """With a dot in the part's own top left."""
    points = corners.round().astype(np.int32)
    cv2.polylines(drawn, [points], True, colour, _thick(drawn), cv2.LINE_AA)
    cv2.circle(drawn, points[0].tolist(), 3 * _thick(drawn), colour, -1, cv2.LINE_AA)
    left, top, width, height = cv2.boundingRect(points)
    return _Tag(words, (left, top, width, height), colour)


def _name_all(drawn: Image, tags: Sequence[_Tag]) -> Image:
    """Each text beside what it is of; where long or in each other's way, numbers there, and the texts below."""
    height, width = drawn.shape[:2]
    size = 14 * _thick(drawn)
    gap = 4 * _thick(drawn)  # the dot
    around = [(x - gap, y - gap, w + 2 * gap, h + 2 * gap) for x, y, w, h in (tag.box for tag in tags)]
    texts = [tag.text(size, width) for tag in tags]
    sizes = [plate_size(text, size) for text in texts]
    spots = places(sizes, around, (width, height))
    legend: list[str] = []
    if max(sizes)[0] > width // 2 or in_the_way(spots, around):
        texts = [str(number) for number in range(1, len(tags) + 1)]
        room = width - 2 * size
        legend = [
            f"{text}  {tag.text(size, room - width_of(f'{text}  ', size))}"
            for text, tag in zip(texts, tags, strict=True)
        ]
        spots = places([plate_size(text, size) for text in texts], around, (width, height))
    for tag, text, (left, top, _, _) in zip(tags, texts, spots, strict=True):
        plate(drawn, text, left, top, size, tag.colour, BACK)
    return np.vstack([drawn, _legend(legend, [tag.colour for tag in tags], width, size)]) if legend else drawn


def _legend(lines: Sequence[str], colours: Sequence[Colour], width: int, size: int) -> Image:
    """The lines, in as many columns as the longest lets fit: uint8 [H, `width`, 3]."""
    column = max(width_of(line, size) for line in lines) + 2 * size
    rows = math.ceil(len(lines) / max(1, width // column))
    legend = np.full((2 * size * rows + size, width, 3), BACK, np.uint8)
    for index, (line, colour) in enumerate(zip(lines, colours, strict=True)):
        across, down = divmod(index, rows)
        write(legend, line, size + column * across, 2 * size * (down + 1), size, colour, BOLD)
    return legend


def _thick(drawn: Image) -> int:
    """Pixels of a line, so that it is seen when the picture fills a screen."""
    return max(1, round(float(drawn.shape[1]) / 800))


def _say(line: str) -> None:
    sys.stdout.write(printable(line) + "\n")
