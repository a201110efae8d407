"""Parts that move through the zone: each is followed, and judged where it was nearest the middle."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.cameras import Frame
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.scene import WHOLE, Followed, Mask, Small, above, boxed, difference, edge_share, share
from edge_runtime.triggers.unrest import Unrest

CLOSE = np.ones((5, 5), np.uint8)
"""Pixels of the small zone within which pieces are one part: a glint does not cut it in two."""
MOST = 16
"""Parts followed at a time, the largest: each keeps a frame."""
SLACK = 0.1
"""How far from where it is looked for a part may be, as a share of the zone's length."""
UNKNOWN = 0.5
"""The same as long as no part has shown how fast the belt is."""
FASTEST = 1.6
"""How many times its usual speed a belt may have, at most; it may also stand."""
LEAST_STEP = 2.0
"""Pixels of the small zone that a part moves before it tells the belt's speed."""
PAST = 0.02
"""How much farther from the middle, as a share of the zone's length, a part must be to have passed it."""
LOST_S = 0.5
"""How long a part that is not seen inside the zone is still looked for."""
SHORT = 0.25
"""Where the belt moves less than this share of the zone's length between two frames, a part is seen more than once."""
RESTS, CROSSES = 0.03, 0.3
"""What moves less, while another part moves more (shares of the zone's length), does not lie on the belt."""
RELEARN_S = 1.0
"""How long the whole zone must look different for that to be its new look."""

Point = npt.NDArray[np.float64]
"""float64 [2]: x, y in pixels of the small zone."""


@dataclass(slots=True, eq=False)
class _Blob:
    """Something that differs from the empty zone. `start`, `end`: corners of its box."""

    centre: Point
    start: Point
    end: Point
    number: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height."""
        (x, y), (right, bottom) = self.start.astype(int).tolist(), self.end.astype(int).tolist()
        return x, y, right - x, bottom - y


@dataclass(slots=True, eq=False)
class _Part:
    """A part on its way. `best`: the frame with the whole part nearest the middle, at the distance `off`.

    `way`: how far it came since it was first seen; `mark`: the way that the belt's speed was last taken at, and when.
    """

    blob: _Blob
    place: Point
    last: Frame
    first_taken: float
    way: Point
    mark: tuple[Point, float]
    times: int = 1
    best: Frame | None = None
    off: float = np.inf
    answered: bool = False


class Passing:
    """One frame for each part that passes."""

    def __init__(self, config: PresenceTrigger, empty: Followed | None) -> None:
        self._config, self.empty = config, empty
        self._parts: list[_Part] = []
        self._due: list[Frame] = []
        self._belt: Point | None = None
        self._last: float | None = None
        self._strange_since: float | None = None
        self._unrest = Unrest(config)

    def see(self, frame: Frame, small: Small) -> list[Frame]:
        """The frames to be judged, one for each part that this one shows to have passed; `small`: the zone in it."""
        if self.empty is None:
            self.empty = Followed(small)
        seconds = 0.0 if self._last is None else max(0.0, frame.taken - self._last)
        self._last = frame.taken
        there = above(difference(small, self.empty.picture), self._config.contrast)
        there = np.asarray(cv2.morphologyEx(there, cv2.MORPH_CLOSE, CLOSE), np.uint8)
        if self._is_strange(frame, small, there):
            return self._all_due()
        labels, blobs = self._blobs(there)
        size = np.array([there.shape[1], there.shape[0]], np.float64)
        self._match(frame, blobs, size)
        self._answer(frame, size)
        self._absorb(frame, small, labels, size)
        if any(self._has_crossed(part, size) for part in self._parts):
            self._unrest.forget()
        elif self._unrest.see(frame.taken, small, there, seconds, self._crossing_s(size)):
            self._learn_anew(frame, small, "something moves over what has long looked different in the zone")
            return self._all_due()
        self.empty.follow(small, boxed(there, [blob.box for blob in blobs]), seconds)
        return self._all_due()

    def rest(self) -> list[Frame]:
        """The parts that have not passed the middle at the end of the frames."""
        for part in self._parts:
            self._close(part, part.last)
        self._parts = []
        return self._all_due()

    def _all_due(self) -> list[Frame]:
        due, self._due = self._due, []
        return due

    def _is_strange(self, frame: Frame, small: Small, there: Mask) -> bool:
        """Whether the zone as a whole looks different; if for long, that is how it looks now."""
        assert self.empty is not None  # noqa: S101  # see() made it
        if edge_share(there) < WHOLE or share(there) < WHOLE:
            self._strange_since = None
            return False
        if self._strange_since is None:
            self._strange_since = frame.taken
        elif frame.taken - self._strange_since >= RELEARN_S:
            self._learn_anew(frame, small, "the whole zone looks different")
        return True

    def _learn_anew(self, frame: Frame, small: Small, what: str) -> None:
        """Take what is seen for the empty zone, and say so: nobody knows what has passed meanwhile."""
        assert self.empty is not None  # noqa: S101  # see() made it
        for part in self._parts:
            self._close(part, frame)
        self._parts, self._strange_since = [], None
        self._unrest.forget()
        self.empty.take(small, np.full(small.shape[:2], 255, np.uint8))
        why = f"{what}: the light or the camera changed; parts may have passed unseen"
        self._due.append(replace(frame, pixels=None, trouble=why))

    def _crossing_s(self, size: Point) -> float | None:
        """How long a part takes through the zone, as far as the belt's speed is known."""
        speed = 0.0 if self._belt is None else float(np.hypot(*self._belt))
        return float(size.max()) / speed if speed > 0 else None

    @staticmethod
    def _has_crossed(part: _Part, size: Point) -> bool:
        return bool(np.hypot(*part.way) > CROSSES * size.max())

    def _blobs(self, there: Mask) -> tuple[npt.NDArray[np.int32], list[_Blob]]:
        """The connected pieces that are large enough for a part; largest first."""
        count, labels, stats, centres = cv2.connectedComponentsWithStats(there)
        areas = stats[:, cv2.CC_STAT_AREA]
        found = []
        for number in sorted(range(1, count), key=lambda i: -areas[i])[:MOST]:
            if areas[number] < self._config.min_area * there.size:
                break
            x, y, width, height, _ = stats[number].tolist()
            start, end = np.array([x, y], np.float64), np.array([x + width, y + height], np.float64)
            found.append(_Blob(centres[number], start, end, number))
        return np.asarray(labels, np.int32), found

    def _match(self, frame: Frame, blobs: list[_Blob], size: Point) -> None:
        """Find each part again, the nearest to where it should be first. What is left over is new, or gone."""
        pairs = []
        for i, part in enumerate(self._parts):
            for j, blob in enumerate(blobs):
                off, beyond = self._off(part, blob, frame.taken - part.last.taken)
                if beyond <= (SLACK if self._belt is not None else UNKNOWN) * size.max():
                    pairs.append((off, i, j))
        parts, taken = set(), set()
        for _, i, j in sorted(pairs):
            if i in parts or j in taken:
                continue
            parts.add(i)
            taken.add(j)
            self._move(self._parts[i], frame, blobs[j], size)
        unseen = [part for i, part in enumerate(self._parts) if i not in parts]
        for part in unseen:
            self._ride_or_drop(part, frame, blobs, size)
        for j, blob in enumerate(blobs):
            if j not in taken and len(self._parts) < MOST:
                part = _Part(blob, blob.centre, frame, frame.taken, np.zeros(2), (np.zeros(2), frame.taken))
                self._parts.append(part)
                self._look_at(part, frame, size)

    def _off(self, part: _Part, blob: _Blob, seconds: float) -> tuple[float, float]:
        """How far a blob is from where the part should be by now, and from the nearest place where it may be."""
        way = blob.centre - part.place
        if self._belt is None:
            return float(np.hypot(*way)), float(np.hypot(*way))
        step = self._belt * seconds
        longest = float(step @ step) * FASTEST**2
        along = min(max(float(way @ step) * FASTEST / longest, 0.0), 1.0) if longest else 0.0
        return float(np.hypot(*(way - step))), float(np.hypot(*(way - along * FASTEST * step)))

    def _move(self, part: _Part, frame: Frame, blob: _Blob, size: Point) -> None:
        """The part is seen again, as `blob`."""
        start, end = blob.start - part.blob.start, blob.end - part.blob.end
        # What comes in over the edge grows at one side only: that is no movement of the part.
        slid = np.where(start * end > 0, np.where(np.abs(start) < np.abs(end), start, end), 0.0)
        part.way = part.way + slid
        if not slid.any() and (start.any() or end.any()):
            part.mark = part.way, frame.taken
        since, way = frame.taken - part.mark[1], part.way - part.mark[0]
        if since > 0 and np.hypot(*way) >= LEAST_STEP:
            self._belt = way / since if self._belt is None else 0.7 * self._belt + 0.3 * way / since
            part.mark = part.way, frame.taken
        part.times += 1
        part.place, part.blob, part.last = blob.centre, blob, frame
        self._look_at(part, frame, size)

    def _look_at(self, part: _Part, frame: Frame, size: Point) -> None:
        """Keep the frame if the part is whole in it and nearer the middle."""
        direction = self._direction(part)
        cut = (part.blob.start <= 0) | (part.blob.end >= size)
        # A part may be wider than the zone across the belt; along it, it must be whole.
        if (cut if direction is None else cut[[int(np.argmax(np.abs(direction)))]]).any():
            return
        off = self._from_middle(part, size)
        if off < part.off:
            part.best, part.off = frame, off

    def _direction(self, part: _Part) -> Point | None:
        """Where parts move: the belt's way, or the part's own as long as that is unknown."""
        way = part.way if self._belt is None else self._belt
        return way / np.hypot(*way) if np.hypot(*way) > 0 else None

    def _from_middle(self, part: _Part, size: Point) -> float:
        direction = self._direction(part)
        way = part.place - size / 2
        return float(np.hypot(*way)) if direction is None else abs(float(way @ direction))

    def _ride_or_drop(self, part: _Part, frame: Frame, blobs: list[_Blob], size: Point) -> None:
        """A part that is not seen: hidden by another that it touches, unseen for a moment, or gone."""
        step = np.zeros(2) if self._belt is None else self._belt * (frame.taken - part.last.taken)
        place = part.place + step
        inside = bool(((place > 0) & (place < size)).all())
        flickered = self._belt is not None and part.times == 1 and np.hypot(*step) < SHORT * size.max()
        if flickered:
            self._parts.remove(part)
        elif inside and any(bool(((place >= blob.start) & (place <= blob.end)).all()) for blob in blobs):
            part.place, part.last = place, frame
        elif not inside or self._leaving(part, size) or frame.taken - part.last.taken >= LOST_S:
            self._close(part, frame)
            self._parts.remove(part)

    def _leaving(self, part: _Part, size: Point) -> bool:
        """Whether the part was last seen at the edge towards which it moves."""
        direction = self._direction(part)
        if direction is None:
            return False
        axis = int(np.argmax(np.abs(direction)))
        return bool(part.blob.end[axis] >= size[axis] if direction[axis] > 0 else part.blob.start[axis] <= 0)

    def _answer(self, frame: Frame, size: Point) -> None:
        """Parts that have passed the middle are due."""
        for part in self._parts:
            if part.best is not None and self._from_middle(part, size) > part.off + PAST * size.max():
                self._close(part, frame)

    def _close(self, part: _Part, frame: Frame) -> None:
        """Answer a part once: with its best frame, or the trouble that there is none."""
        if not part.answered:
            why = f"a part passed, seen {part.times} times, but never whole within the zone"
            self._due.append(part.best or replace(frame, pixels=None, trouble=why))
        part.answered, part.best = True, None

    def _absorb(self, frame: Frame, small: Small, labels: npt.NDArray[np.int32], size: Point) -> None:
        """What rests while another part passes does not lie on the belt: dirt, or where a part was when all began."""
        assert self.empty is not None  # noqa: S101  # see() made it
        far = [part for part in self._parts if self._has_crossed(part, size)]
        for part in list(self._parts):
            rests = part.last is frame and np.hypot(*part.way) < RESTS * size.max()
            if rests and any(other.first_taken >= part.first_taken for other in far):
                self._close(part, part.last)
                self._parts.remove(part)
                where = (labels == part.blob.number).astype(np.uint8) * 255
                self.empty.take(small, np.asarray(cv2.dilate(where, CLOSE), np.uint8))
