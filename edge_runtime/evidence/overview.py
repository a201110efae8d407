"""One picture that shows at a glance what was judged and why: the frame, and each region's view, drawing, difference.

Two such pictures can be compared: the heat of the difference has one scale, in tolerances of the part, whatever the
picture shows. Nothing is told by colour alone, and the colours are ones that the colour-blind tell apart (Okabe and
Ito's; a heat map whose brightness only grows).
"""

import textwrap
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.inspector import Look
from edge_runtime.lettering import (
    Colour,
    Rectangle,
    in_the_way,
    places,
    plate,
    plate_size,
    shortened,
    shortened_all,
    width_of,
    write,
)
from edge_runtime.picture import Image
from edge_runtime.verdict import Call, RegionVerdict, Thresholds, Verdict

USUAL_HEAT, FULL_HEAT = 3.0, 12.0
"""Tolerances from which on the difference glows, and is at its brightest. Of good boards 99 pixels in 100 are below 3
and none above 7; a defect's brightest, or a wrong part's, is above 12."""
MOST_REGIONS = 6
"""That are drawn, the worst first; what is left out is said."""

TILE, FRAME = 288, 512
"""Pixels: a side of a region's pictures, and the width of the frame."""
GAP = 20
HEAD = 96
"""Pixels of the band that says the verdict."""
LINE = 22
TITLE = 17
TAG, ROOMS_OF_A_NAME = 15, (120, 60, 30)
"""Pixels: letters of a name in the frame, and how much of it is written: less where names are in each other's way."""
COLUMN = 3 * (TILE + GAP)
ROOM = COLUMN - GAP - 16
"""For a line of text beside the frame."""
WIDTH = 2 * GAP + FRAME + COLUMN

PAPER, INK, FAINT = (34, 30, 28), (245, 245, 245), (180, 175, 170)
"""Colours, BGR."""
COLOURS = {Call.OK: (178, 114, 0), Call.NG: (0, 94, 213), Call.ERROR: (66, 228, 240)}
INK_ON = {Call.OK: INK, Call.NG: INK, Call.ERROR: (0, 0, 0)}
RING = (255, 255, 255)


def overview(verdict: Verdict, frame: Image, looks: Mapping[str, Look]) -> Image:
    """Draw a verdict: uint8 [H, W, 3]. `frame`: uint8 [H, W, C], as it came. `looks`: what was seen, by region."""
    worst_first = sorted(verdict.regions, key=lambda region: list(Call).index(region.verdict), reverse=True)
    shown = worst_first[:MOST_REGIONS]
    rows = [_row(region, looks.get(region.name), verdict.thresholds) for region in shown]
    if left_out := worst_first[MOST_REGIONS:]:
        rows.append(_words([f"and {len(left_out)} more: " + ", ".join(f"{r.name} {r.verdict}" for r in left_out)]))
    side = np.vstack([_frame(frame, worst_first), _legend(FRAME)])
    body = np.vstack(rows)
    height = max(side.shape[0], body.shape[0]) + GAP
    page = np.full((HEAD + GAP + height, WIDTH, 3), PAPER, np.uint8)
    page[:HEAD] = _head(verdict)
    _put(page, side, GAP, HEAD + GAP)
    _put(page, body, 2 * GAP + FRAME, HEAD + GAP)
    return page


def _head(verdict: Verdict) -> Image:
    """The band on top: what was decided, of whom, when."""
    band = np.full((HEAD, WIDTH, 3), COLOURS[verdict.verdict], np.uint8)
    ink = INK_ON[verdict.verdict]
    write(band, str(verdict.verdict), GAP, 66, 56, ink, weight=800)
    left = 290
    write(band, f"{verdict.captured_at:%Y-%m-%d  %H:%M:%S}.{verdict.captured_at:%f} UTC", left, 38, 24, ink, 600)
    room = WIDTH - GAP - left
    number = f"    seq {verdict.seq}    {verdict.id}"
    names = (verdict.site, " / ", verdict.line, " / ", verdict.station)
    where = "".join(shortened_all(names, TITLE, room - width_of(number, TITLE))) + number
    write(band, where, left, 64, TITLE, ink)
    how = (f"bundle {verdict.bundle.name}", f"-{verdict.bundle.version}    trigger {verdict.trigger}    ")
    write(band, "".join(shortened_all((*how, verdict.picture or ""), TITLE, room)), left, 86, TITLE, ink)
    return band


def _frame(frame: Image, regions: Sequence[RegionVerdict]) -> Image:
    """The frame, `FRAME` wide, with each region where it was found, and where the difference is largest.

    `regions`: the worst first, which no other hides.
    """
    height, width = frame.shape[:2]
    scale = min(FRAME / width, 1.5 * FRAME / height)
    drawn = _resized(_coloured(frame), max(1, round(width * scale)), max(1, round(height * scale)))
    boxes: list[Rectangle] = []
    for region in reversed(regions):
        x, y, w, h = region.box
        corners = region.corners or ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
        outline = np.clip(np.round(np.array(corners) * scale), 1, (drawn.shape[1] - 2, drawn.shape[0] - 2))
        points = outline.astype(np.int32)[:, None]
        cv2.polylines(drawn, [points], isClosed=True, color=(0, 0, 0), thickness=5, lineType=cv2.LINE_AA)
        colour = COLOURS[region.verdict]
        cv2.polylines(drawn, [points], isClosed=True, color=colour, thickness=3, lineType=cv2.LINE_AA)
        if region.peak is not None and region.verdict is not Call.OK:
            _ring(drawn, (region.peak[0] + 0.5) * scale, (region.peak[1] + 0.5) * scale)
        left, top, across, down = cv2.boundingRect(points)
        boxes.insert(0, (left, top, across, down))
    _name_all(drawn, regions, boxes)
    page = np.full((drawn.shape[0] + GAP, FRAME, 3), PAPER, np.uint8)
    _put(page, drawn, (FRAME - drawn.shape[1]) // 2, 0)
    return page


def _name_all(drawn: Image, regions: Sequence[RegionVerdict], boxes: Sequence[Rectangle]) -> None:
    """Name and verdict beside each region; where there is no room for all, the first can be read."""
    texts, spots = [""], [(0, 0, 0, 0)]
    for room in ROOMS_OF_A_NAME:
        texts = [f"{shortened(region.name, TAG, room)} {region.verdict}" for region in regions]
        spots = places([plate_size(text, TAG) for text in texts], boxes, (drawn.shape[1], drawn.shape[0]))
        if not in_the_way(spots, boxes):
            break
    for region, text, (left, top, _, _) in reversed(list(zip(regions, texts, spots, strict=True))):
        plate(drawn, text, left, top, TAG, INK_ON[region.verdict], COLOURS[region.verdict])


def _row(region: RegionVerdict, look: Look | None, limits: Thresholds) -> Image:
    """What was decided of a region in words, and below it what was seen."""
    lines = [_verdict(region), *_why(region, limits)]
    said = _words(lines, COLOURS[region.verdict], INK_ON[region.verdict])
    if look is None:
        return said
    peak = np.unravel_index(int(np.argmax(look.difference)), look.difference.shape)
    across, down = ((at + 0.5) / side for at, side in zip(peak[::-1], look.difference.shape[::-1], strict=True))
    tiles = []
    for picture, what in (
        (_coloured(look.view), "what the camera sees"),
        (_coloured(look.reconstruction), f"what {shortened(region.expected, 15, TILE // 3)} should look like"),
        (_heat(look), f"difference, up to {_times(float(look.difference.max()))}"),
    ):
        drawn = _enlarged(picture)
        tile = np.full((drawn.shape[0] + LINE + GAP, TILE + GAP, 3), PAPER, np.uint8)
        _put(tile, drawn, 0, 0)
        if region.verdict is not Call.OK:
            _ring(tile, across * drawn.shape[1], down * drawn.shape[0])
        write(tile, what, 0, drawn.shape[0] + 34, 15, FAINT)
        tiles.append(tile)
    return np.vstack([said, np.hstack(tiles)])


def _verdict(region: RegionVerdict) -> str:
    """A region's verdict in one line: of long names the beginnings, all else whole."""
    sure = f" ({region.found_score:.2f})" if region.found and region.found_score is not None else ""
    words = f"   {region.verdict}   {region.reason.replace('_', ' ')}: expected "
    found = (", found ", region.found) if region.found else ("", "")
    room = ROOM - width_of(words + found[0] + sure, TITLE)
    name, expected, other = shortened_all((region.name, region.expected, found[1]), TITLE, room)
    return name + words + expected + found[0] + other + sure


def _why(region: RegionVerdict, limits: Thresholds) -> list[str]:
    """The figures against their limits, and what else there is to say."""
    figures = [
        f"{what} {score:.3f} ({'NG, as it is at or above' if score >= limit else 'below'} {limit:.3f})"
        for what, score, limit in (
            ("defect", region.defect_score, limits.defect),
            ("other part", region.mismatch_score, limits.mismatch),
        )
        if score is not None and limit is not None
    ]
    words = ["     ".join(figures)] if figures else []
    if region.unusual:
        told = ", ".join(word.replace("_", " ") for word in region.unusual)
        expected = shortened(region.expected, 16, COLUMN // 3)
        words.append(f"unlike the views that {expected} was learnt from: {told}")
    return words + (textwrap.wrap(region.detail, 110)[:4] if region.detail else [])


def _heat(look: Look) -> Image:
    """The difference over the view: dim where it is within the tolerances, glowing where it is not."""
    size = look.view.shape[1], look.view.shape[0]
    known = np.nan_to_num(look.difference, nan=FULL_HEAT, posinf=FULL_HEAT, neginf=0)
    share = np.clip(cv2.resize(known, size, interpolation=cv2.INTER_NEAREST) / FULL_HEAT, 0, 1)
    grey = cv2.cvtColor(_coloured(look.view), cv2.COLOR_BGR2GRAY)
    dim = np.repeat(grey[..., None] * 0.45, 3, axis=2)
    glow = _glow(share)
    seen = _seen(share)
    return np.asarray(dim * (1 - seen) + glow * seen, np.uint8)


def _glow(share: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Colours of 0 to 1, float32 [..., 3]. The darkest of the map are left out: they would look like no difference."""
    level = np.asarray(70 + 185 * share, np.uint8)
    return np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), np.float32)


def _seen(share: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """How much of the glow is seen, of what is below it the rest; [..., 1]."""
    usual = USUAL_HEAT / FULL_HEAT
    return np.asarray(np.clip(2 * (share - usual) / (1 - usual), 0, 1)[..., None])


def _legend(width: int) -> Image:
    """What the heat means."""
    legend = np.full((84, width, 3), PAPER, np.uint8)
    write(legend, "difference between view and drawing, in tolerances of the part", 0, 16, 15, FAINT)
    share = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    seen = _seen(share)
    legend[26:46] = (40 * (1 - seen) + _glow(share) * seen).astype(np.uint8)
    for tolerances in range(0, int(FULL_HEAT) + 1, 3):
        most = tolerances == FULL_HEAT
        text = f"{tolerances} and more" if most else str(tolerances)
        left = width - width_of(text, 15) if most else round(width * tolerances / FULL_HEAT)
        write(legend, text, left, 64, 15, FAINT)
    return legend


def _enlarged(picture: Image) -> Image:
    """A picture as large as fits into a square of `TILE`; each pixel of a small view is seen as what it is."""
    height, width = picture.shape[:2]
    scale = min(TILE / width, TILE / height)
    scale = float(int(scale)) if scale > 1 else scale
    return _resized(picture, max(1, round(width * scale)), max(1, round(height * scale)))


def _words(lines: Sequence[str], colour: Colour = PAPER, ink: Colour = INK) -> Image:
    """Lines of text; the first is on a plate."""
    page = np.full((LINE * len(lines) + 14, COLUMN, 3), PAPER, np.uint8)
    page[: LINE + 6, : COLUMN - GAP] = colour
    for number, line in enumerate(lines):
        first = number == 0
        told = shortened(line, TITLE, ROOM)
        write(page, told, 8 if first else 0, 20 + (LINE * number + 4 if number else 0), TITLE if first else 16,
              ink if first else FAINT, 600 if first else 400)  # fmt: skip
    return page


def _ring(picture: Image, x: float, y: float) -> None:
    centre = round(x), round(y)
    cv2.circle(picture, centre, 15, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.circle(picture, centre, 15, RING, 2, cv2.LINE_AA)


def _put(page: Image, picture: Image, left: int, top: int) -> None:
    page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture


def _coloured(picture: Image) -> Image:
    """A copy in three channels."""
    grey = picture.shape[2] == 1
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if grey else picture.copy(), np.uint8)


def _resized(picture: Image, width: int, height: int) -> Image:
    how = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)


def _times(value: float) -> str:
    return f"{value:.1f} tolerances" if np.isfinite(value) else "what is no number"
