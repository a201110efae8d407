"""For who aims a camera without a screen: how a station's regions lie on a picture, and marks cut from one."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.cameras import Frame
from edge_runtime.disk import write_whole
from edge_runtime.errors import PictureError, UsageError
from edge_runtime.framing import Framing, Unfit
from edge_runtime.marks import Found, Mark, as_template, find, grey
from edge_runtime.noise import likeness_after_noise
from edge_runtime.picture import Image, printable, read_picture
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
    drawn = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels.copy()
    unfit = False
    for name, mark in station.mark.items():
        try:
            found = framing.marks.find_one(pixels, name)
        except PictureError as error:
            _say(str(error))
            unfit = True
            continue
        _say(f"mark {name!r}: [{found.x:.1f}, {found.y:.1f}], was {list(mark.at)}, likeness {found.likeness:.2f}")
        _draw_mark(drawn, name, found, framing.marks.size(name))
    for name, seen in framing.look(Frame(pixels, 0, 1, 0.0, printable(picture.name))).items():
        expected = station.region[name].expected
        corners = _corners(seen)
        if isinstance(seen, Unfit):
            _say(f"region {name} ({expected}): bad_image: {seen.why}")
            unfit = True
        else:
            height, width = seen.picture.shape[:2]
            where = [list(corner) for corner in seen.corners] if seen.corners else list(seen.box)
            _say(f"region {name} ({expected}): {where}, {width} x {height} pixels upright")
        _draw_region(drawn, corners, f"{name}: {expected}", GOOD if isinstance(seen, Cut) else BAD)
    _keep(out, drawn)
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
    table, file = (json.dumps(text, ensure_ascii=False) for text in (out.stem, str(out.resolve())))
    sys.stdout.write(f"[mark.{table}]\ntemplate = {file}\nat = [{x}, {y}]\nsearch = {search}\n")


def _keep(out: Path, drawn: Image) -> None:
    try:
        write_whole(out, cv2.imencode(".png", drawn)[1].tobytes())
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


def _draw_mark(drawn: Image, name: str, found: Found, size: tuple[int, int]) -> None:
    corner = round(found.x), round(found.y)
    cv2.rectangle(drawn, corner, (corner[0] + size[0], corner[1] + size[1]), MARK, _thick(drawn))
    _write(drawn, name, corner, MARK)


def _draw_region(drawn: Image, corners: npt.NDArray[np.float64], text: str, colour: tuple[int, int, int]) -> None:
    """Its outline, with a dot in the part's own top left, and what is expected there."""
    points = corners.round().astype(np.int32)
    cv2.polylines(drawn, [points], True, colour, _thick(drawn), cv2.LINE_AA)
    cv2.circle(drawn, points[0].tolist(), 3 * _thick(drawn), colour, -1, cv2.LINE_AA)
    _write(drawn, text, points[0].tolist(), colour)


def _write(drawn: Image, text: str, above: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Within the picture. OpenCV has no letters but ASCII; what is printed has all."""
    thick = _thick(drawn)
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * thick, thick)
    left = max(0, min(above[0] + 4 * thick, drawn.shape[1] - width - thick))
    place = left, max(above[1] - 4 * thick, 12 * thick)
    cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * thick, colour, thick, cv2.LINE_AA)


def _thick(drawn: Image) -> int:
    """Pixels of a line, so that it is seen when the picture fills a screen."""
    return max(1, round(float(drawn.shape[1]) / 800))


def _say(line: str) -> None:
    sys.stdout.write(printable(line) + "\n")
