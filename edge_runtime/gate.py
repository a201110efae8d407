"""Whether a frame is a picture of the line at all: what is wrong with it whatever part it shows.

A dark, burnt-out, blurred, frozen, torn or wrongly sized frame is not judged, and so is never OK. What a part needs of
its view beyond that is learnt with the part (`quality.py`). A false alarm here stops a line, so each limit is far
beyond what a working camera gives: of 5 290 real pictures none is refused (`benchmarks/gate`).

What can be told depends on where frames come from. Each picture of a sensor has noise of its own: when a row comes
again to the last bit, it was not exposed again. A compressed stream repeats what has not moved; a replay may hold the
same picture twice.
"""

import math
from enum import StrEnum
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge_runtime.picture import Image
from edge_runtime.table import Extent, Table

BLURRED = "blurred"
"""How the trouble of a blurred frame begins. It is the only one that a part can cause, which moves in the picture."""

Rows = npt.NDArray[np.uint8]
"""Some rows of a frame in grey, uint8 [rows, W]."""

ROWS = 64
"""Rows of a frame that are looked at, evenly spread: enough to tell a twentieth of it, in a tenth of a millisecond."""
SATURATED = 254
"""Grey level from which on a pixel is counted as burnt out; some cameras end at 254."""
BRIGHT_SHARE = 1e-3
"""Share of pixels by which a frame's brightest part is told: a lens cap lets hot pixels through, and they are fewer."""
LEAST_RANGE = 32
"""Grey levels between dark and bright below which nothing is said of blur: there may be nothing to be sharp."""
REACH = 4
"""Pixels over which brightness changes at a sharp edge, with some to spare for the lens and for Bayer colours."""
STEEP_SHARE = 1e-3
"""Share of the steepest places by which sharpness is told: one straight edge across a frame is as many."""
MID_GREY = 128
"""What JPEG decoders fill a picture with where its data end."""
FILLED_ROWS = 16
"""Rows that a torn picture's fill has at least: a block of JPEG."""
FADED = 16
"""Grey levels: what is as near as that to a fill, some rows above it, may fade into it; not into grey."""
SEAM_ROWS = 4
"""Of ROWS, how many in a row must come again for a frame to be torn."""
SEAM_RANGE = 8
"""Grey levels that a row must span: black or white rows have no noise, and come again by right."""
STREAM_S = 10.0
"""Seconds after which also a stream has sent a whole picture anew, which is then not the old one to the last bit."""

SETTLED = 3
"""Frames in a row that must have one size for a live camera to be held to it: its first may be from before its settings
counted, and would have all later ones refused."""


class Source(StrEnum):
    """Where frames come from, and so what a repeated picture means."""

    REPLAY = "replay"
    """Files: pictures come again by right."""
    STREAM = "stream"
    """Live, compressed with regard to the picture before (H.264, H.265): what stands still comes again."""
    SENSOR = "sensor"
    """Live, each picture whole by itself (raw, or MJPEG): none is ever equal to the one before."""
    LINES = "lines"
    """As a sensor's, but joined here of lines, and filled below the part with its last one."""


_Share = Annotated[float, Field(ge=0, le=1)]


class GateLimits(Table):
    """`[gate]`: beyond which limits a frame is refused; each is far from what a working camera gives."""

    size: Annotated[tuple[Extent, Extent], Field(strict=False)] | None = Field(
        default=None, description="[width, height] of every frame in pixels, as size = [1280, 1024]"
    )
    dark: Annotated[float, Field(ge=0, le=255)] = Field(
        default=16, description="a grey level from 0 to 255; a frame with nothing brighter is refused; 0: none is"
    )
    burnt_out: _Share = Field(
        default=0.98, description="a share from 0 to 1; a picture with more of its pixels saturated is refused"
    )
    blurred: _Share = Field(
        default=0.05,
        description="a share from 0 to 1 of a frame's contrast; without a steeper edge, refused; 0: none is",
    )
    frozen: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=3, description="how many equal pictures in a row from a live camera are refused, the last; 0: none is"
    )
    torn: bool = Field(default=True, description="true (torn frames are refused) or false")


class Gate:
    """Looks at the frames of one camera in order, and remembers the last. Not for several threads."""

    def __init__(self, limits: GateLimits, source: Source) -> None:
        self._limits, self._source = limits, source
        self._size = limits.size
        self._latest: tuple[int, int] | None = None  # size, as long as that is not settled
        self._alike, self._changes = 0, 0
        self._before: Rows | None = None
        self._equal, self._equal_since = 1, 0.0
        self._fill: tuple[int, tuple[int, ...]] | None = None
        self._seen_good = False

    def follow(self, before: "Gate") -> None:
        """Remember what `before` does, which looked at this camera's frames until now: a frozen one is so still.

        But not a size that it was told and never learnt: whoever takes that back says that it was wrong.
        """
        learnt = before._size if before._limits.size is None else None  # noqa: SLF001  # another of our own kind
        self._size = self._limits.size or learnt
        self._latest, self._alike, self._changes = before._latest, before._alike, before._changes  # noqa: SLF001
        self._before, self._fill, self._seen_good = before._before, before._fill, before._seen_good  # noqa: SLF001
        self._equal, self._equal_since = before._equal, before._equal_since  # noqa: SLF001

    def trouble(self, pixels: Image, taken: float) -> str | None:
        """What is wrong with a frame, uint8 [H, W, C], in words; None where it may be judged.

        `taken`: when, in seconds of a clock that nobody sets.
        """
        height, width = pixels.shape[:2]
        if trouble := self._of_another_size((width, height)):
            return trouble
        rows = _some_rows(pixels)
        fill = _fill(pixels)
        trouble = self._torn(rows, fill, height) or self._frozen(rows, taken) or self._unlit_or_blurred(rows)
        self._before = rows
        if trouble is None:
            self._fill, self._seen_good = fill, True
        return trouble

    def burnt_out(self, picture: Image) -> str | None:
        """The same of a region's picture, uint8 [H, W, C]: only whether it is burnt out; the rest, its part knows."""
        rows = _some_rows(picture)
        return self._burnt_out(np.count_nonzero(rows >= SATURATED) / rows.size)

    def _of_another_size(self, size: tuple[int, int]) -> str | None:
        expected = self._size
        if expected is None and self._source is not Source.REPLAY:
            expected = self._settle(size)
        if expected is None or size == expected:
            return None
        return f"{size[0]} x {size[1]} pixels, not {expected[0]} x {expected[1]} as before or as [gate] says"

    def _settle(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """Learn a live camera's size; the one it should have had, None while that may be any.

        It may change once until it is settled: a camera whose frames have two sizes by turns is not to be trusted.
        """
        before, self._latest = self._latest, size
        changed = before is not None and size != before
        self._alike = 1 if changed else self._alike + 1
        self._changes += changed
        if self._alike >= SETTLED:
            self._size = size
        return before if changed and self._changes > 1 else None

    def _torn(self, rows: Rows, fill: "tuple[int, tuple[int, ...]] | None", height: int) -> str | None:
        """Whether rows are missing: filled by who put the picture together, or still those of the picture before."""
        if not self._limits.torn:
            return None
        if fill is not None and self._is_a_tear(fill):
            return f"torn below row {fill[0]}: filled with grey level {max(fill[1])}"
        own_noise = self._source in (Source.SENSOR, Source.LINES)
        if not own_noise or self._before is None or self._before.shape != rows.shape:
            return None
        again = (rows == self._before).all(axis=1)
        if again.all() or np.count_nonzero(again) < SEAM_ROWS:
            return None  # all: frozen, or black
        first, length = _longest_run(again & (np.ptp(rows, axis=1) >= SEAM_RANGE))
        if length < SEAM_ROWS:
            return None
        begin, end = first * _step(height), (first + length - 1) * _step(height)
        return f"torn at row {begin}: rows {begin} to {end} are those of the picture before"

    def _is_a_tear(self, fill: tuple[int, tuple[int, ...]]) -> bool:
        values = set(fill[1])
        if values == {MID_GREY}:
            return True
        if self._source in (Source.REPLAY, Source.LINES):
            return False  # whoever drew, cut out or joined a picture may have filled it
        if self._source is Source.SENSOR and not values <= {0, 255}:
            return True  # no sensor is without noise but where it ends
        return self._seen_good and (self._fill is None or self._fill[1] != fill[1] or fill[0] < self._fill[0])

    def _frozen(self, rows: Rows, taken: float) -> str | None:
        if self._before is None or not np.array_equal(rows, self._before):
            self._equal, self._equal_since = 1, taken
            return None
        self._equal += 1
        limit = self._limits.frozen
        if self._source is Source.REPLAY or not limit or self._equal < limit:
            return None
        lasted_s = taken - self._equal_since
        if self._source is Source.STREAM and lasted_s < STREAM_S:
            return None
        return f"frozen: the camera has given the same picture {self._equal} times; start it again"

    def _unlit_or_blurred(self, rows: Rows) -> str | None:
        share = _histogram(rows)
        brightest = _level(share, 1 - BRIGHT_SHARE)
        if brightest < self._limits.dark:
            return f"dark: nothing is brighter than grey level {brightest}; check light, lens cap and exposure"
        if trouble := self._burnt_out(1 - float(share[SATURATED - 1])):
            return trouble
        contrast = _level(share, 0.99) - _level(share, 0.01)
        if contrast < LEAST_RANGE or rows.shape[1] < 4 * REACH:
            return None
        smooth = cv2.blur(rows, (REACH + 1, 1))  # noise is no edge
        steps: Rows = np.asarray(cv2.absdiff(smooth[:, REACH:], smooth[:, :-REACH]), np.uint8)
        steep = np.count_nonzero(steps >= math.ceil(self._limits.blurred * contrast))
        if steep <= STEEP_SHARE * steps.size:
            steepest = _level(_histogram(steps), 1 - STEEP_SHARE)
            return f"{BLURRED}: no edge is steeper than {steepest / contrast:.1%} of the contrast; check focus and lens"
        return None

    def _burnt_out(self, saturated: float) -> str | None:
        """`saturated`: share of the picture."""
        if saturated > self._limits.burnt_out:
            return f"burnt out: {saturated:.1%} of the picture is saturated; check light and exposure"
        return None


def _step(height: int) -> int:
    return max(1, height // ROWS)


def _some_rows(pixels: Image) -> Rows:
    """Rows of a frame in grey, a copy: the camera may fill the frame again."""
    some = pixels[:: _step(pixels.shape[0])]
    return np.asarray(cv2.cvtColor(some, cv2.COLOR_BGR2GRAY) if some.shape[2] == 3 else some[..., 0].copy(), np.uint8)


def _histogram(rows: Rows) -> npt.NDArray[np.float64]:
    """By grey level, the share of pixels that are not brighter, float64 [256]."""
    counts = cv2.calcHist([np.ascontiguousarray(rows)], [0], None, [256], [0, 256])
    return np.asarray(np.cumsum(counts, dtype=np.float64) / rows.size)


def _level(share: npt.NDArray[np.float64], wanted: float) -> int:
    """The grey level that `wanted` of the pixels do not exceed."""
    return int(share.searchsorted(wanted - 1e-9))


def _longest_run(flags: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Where the longest run of True begins, and how long it is."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    begins, ends = edges[::2], edges[1::2]
    if not begins.size:
        return 0, 0
    longest = int(np.argmax(ends - begins))
    return int(begins[longest]), int(ends[longest] - begins[longest])


def _fill(pixels: Image) -> tuple[int, tuple[int, ...]] | None:
    """From which row on a frame is all of one value, and which, a channel each; None where it is not cut off so.

    A bar that the picture has also on top, and a scene that fades out into black or white, are no such thing.
    """
    height = pixels.shape[0]
    value = pixels[-1, 0]

    def filled(row: int) -> bool:
        return bool((pixels[row] == value).all())

    first = height - FILLED_ROWS
    if first <= 0 or not filled(height - 1) or not all(filled(row) for row in range(first, height - 1)) or filled(0):
        return None
    while filled(first - 1):
        first -= 1
    above = pixels[max(0, first - FILLED_ROWS - 1)]  # over the block in which the data ended
    nearness = 0 if (value == MID_GREY).all() else FADED
    faded = np.abs(above.astype(np.int16) - value).max(axis=1) <= nearness
    return (first, tuple(value.tolist())) if faded.mean() < 0.5 else None
