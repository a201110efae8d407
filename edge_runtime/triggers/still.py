"""Parts that are put down, or stop: judged when they stand still, once until they are gone."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_runtime.cameras import Frame
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.scene import (
    WHOLE,
    Followed,
    Levels,
    Mask,
    Small,
    above,
    box_of,
    boxed,
    difference,
    edge_share,
    share,
)

MOVING = 0.5
"""Where this share of the smallest part changes, something moves."""
EDGE = 0.01
"""The share of the zone's edge that noise may cover."""
NEAR = np.ones((9, 9), np.uint8)
"""Pixels of the small zone within which pieces are one part."""
THICK = np.ones((3, 3), np.uint8)
"""Pixels of the small zone: what is thinner upon a judged part is its own outline, which trembles."""
REACHING = 10.0
"""How many times longer what reaches over the zone's edge must stand still: mostly it is a hand."""
IN_PLACE = 0.3
"""A judged part is gone when less of its pixels look as judged. A hand that adjusts it hides less of it than that."""
GONE_S = 0.1
"""For how long: a flash is shorter, and nobody swaps parts faster."""
BLIND_S, BLIND_TIMES = 0.5, 3.0
"""How long frames must be lost, in seconds and in usual distances of frames, for a part to be swapped meanwhile."""
RESTLESS_S = 10.0
"""What stays longer in the zone and never stands still was more than a hand that reached through."""


@dataclass(slots=True, eq=False)
class _Judged:
    """A part that has its verdict.

    `where`: its pixels. `seen`: when it last looked as judged; `missed`: not since. `unlike`: where the zone differs
    from how it looked with it.
    """

    look: Followed
    where: Mask
    pixels: int
    seen: float
    unlike: Mask
    missed: bool = False


@dataclass(slots=True)
class _Visit:
    """Something in the zone that has no verdict.

    `reached`: when it last reached over the zone's edge. `stood`: still for `still_s`, but over the edge. `blind`:
    frames were lost for so long.
    """

    since: float
    reached: float = -math.inf
    stood: bool = False
    blind: bool = False

    def trouble(self, now: float, still_s: float) -> str | None:
        """Why this was a part, now that it is gone; None where it was none."""
        if self.blind:
            return (
                f"frames were lost while something was in the zone: whether it stood still for {still_s:g} s is unknown"
            )
        if self.stood:
            return "it stood still, but reached over the zone's edge: make the zone larger than the part"
        if now - self.since >= RESTLESS_S:
            return f"it was in the zone for {now - self.since:.0f} s and never stood still for {still_s:g} s"
        return None


class Still:
    """One frame for each part that stands still."""

    def __init__(self, config: PresenceTrigger, empty: Followed | None) -> None:
        self._config, self.empty = config, empty
        self._last: float | None = None
        self._usual_s = 0.0
        self._anchor: Small | None = None
        self._still_since = 0.0
        self._judged: list[_Judged] = []
        self._visit: _Visit | None = None

    def see(self, frame: Frame, small: Small) -> list[Frame]:
        """The frame, if the part in it is to be judged now, else nothing; `small`: its zone."""
        if self.empty is None:
            self.empty = Followed(small)
        since_last, blind_s = self._since_last(frame)
        unlike_empty = difference(small, self.empty.picture)
        there = above(unlike_empty, self._config.contrast)
        moved = self._moved(frame, small)
        self._forget_the_gone(frame, small, unlike_empty, blind_s, 0.0 if moved else since_last)
        occupied = share(there) >= self._config.min_area
        self.empty.follow(small, boxed(there, [box_of(there)] if occupied else []), since_last)
        if self._visit is not None:
            self._visit.blind |= blind_s >= self._config.still_s
        new = self._unanswered(there)
        if share(new) < self._config.min_area:
            return self._left(frame)
        if self._visit is None:
            self._visit = _Visit(frame.taken)
        reaching = EDGE < edge_share(new) < WHOLE
        if reaching and self._judged and share(inside := _inside(new)) >= self._config.min_area:
            new, reaching = inside, False  # what rests over the edge for good must not make it a hand, too
        if not self._stands(self._visit, frame.taken, reaching=reaching):
            return []
        self._judged += [
            _Judged(Followed(small), where, cv2.countNonZero(where), frame.taken, np.zeros_like(there))
            for where in _parts(new)
        ]
        self._visit = None
        return [frame]

    def rest(self) -> list[Frame]:
        """Nothing: what does not stand still yet was not put down."""
        return []

    def _since_last(self, frame: Frame) -> tuple[float, float]:
        """Seconds since the last frame that was seen; and the same where frames were lost meanwhile, else 0."""
        last, self._last = self._last, frame.taken
        if last is None:
            return 0.0, 0.0
        seconds = max(0.0, frame.taken - last)
        longest = BLIND_TIMES * self._usual_s
        lost = 0 < longest < seconds
        self._usual_s += 0.1 * (min(seconds, longest) - self._usual_s) if longest else seconds
        return seconds, seconds if lost else 0.0

    def _moved(self, frame: Frame, small: Small) -> bool:
        """Whether the zone differs from when it began to stand still: slow movement adds up."""
        anchor = self._anchor
        if anchor is not None:
            changed = share(above(difference(small, anchor), self._config.contrast))
            if changed < MOVING * self._config.min_area:
                return False
        self._anchor, self._still_since = small, frame.taken
        return True

    def _stands(self, visit: _Visit, now: float, *, reaching: bool) -> bool:
        """Whether what is in the zone stands still and lies within it, for long enough."""
        if reaching:
            visit.reached = now
        still_since = max(self._still_since, visit.since)
        if now - max(still_since, visit.reached) >= self._config.still_s:
            return True
        visit.stood |= reaching and not self._judged and now - still_since >= self._config.still_s
        # Over a part that has its verdict, it is a hand, however long it rests there.
        return not self._judged and now - still_since >= REACHING * self._config.still_s

    def _unanswered(self, there: Mask) -> Mask:
        """Of what differs from the empty zone, what has no verdict: beside what was judged.

        Or upon it, where it is as large as the zone: the light or the camera may have changed, which was judged as if
        it were a part, and all later parts come upon that.
        """
        beside = there & ~boxed(there, [box_of(part.where) for part in self._judged])
        if not any(edge_share(part.where) > WHOLE for part in self._judged):
            return beside
        upon = there & ~beside
        for part in self._judged:
            upon &= part.unlike
        return beside | np.asarray(cv2.morphologyEx(upon, cv2.MORPH_OPEN, THICK), np.uint8)

    def _in_place(self, part: _Judged, small: Small, unlike_empty: Levels, still_s: float) -> bool:
        """Whether the judged part can be seen where it was judged. It is followed while it stands still."""
        unlike_part = difference(small, part.look.picture)
        part.unlike = above(unlike_part, self._config.contrast)
        # Nearer to the part than to the empty zone, too: some parts differ little from what they lie on.
        shown = (part.where > 0) & (part.unlike == 0) & (unlike_part < unlike_empty)
        if np.count_nonzero(shown) < IN_PLACE * part.pixels:
            return False
        part.look.follow(small, part.unlike, still_s)
        return True

    def _forget_the_gone(
        self, frame: Frame, small: Small, unlike_empty: Levels, blind_s: float, still_s: float
    ) -> None:
        """Judged parts that have left, or may have: what stands still in their place has no verdict yet."""
        for part in list(self._judged):
            in_place = self._in_place(part, small, unlike_empty, still_s)
            part.missed |= not in_place
            if (part.missed and frame.taken - part.seen >= GONE_S) or blind_s >= BLIND_S:
                self._judged.remove(part)
                self._visit = None  # who takes it away brings nothing yet
            elif in_place:
                part.seen, part.missed = frame.taken, False

    def _left(self, frame: Frame) -> list[Frame]:
        """Nothing is in the zone that has no verdict: a part that was, and had none, is answered now."""
        visit, self._visit = self._visit, None
        if visit is None or self._judged or (why := visit.trouble(frame.taken, self._config.still_s)) is None:
            return []
        return [replace(frame, pixels=None, trouble=f"a part left without a verdict: {why}")]


def _inside(new: Mask) -> Mask:
    """What is new in the zone, without the pieces that reach over its edge."""
    _, labels = cv2.connectedComponents(cv2.dilate(new, NEAR))
    over = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.asarray(np.where(np.isin(labels, over), 0, new), np.uint8)


def _parts(new: Mask) -> list[Mask]:
    """What is new in the zone, by parts; pieces near each other are one."""
    count, labels = cv2.connectedComponents(cv2.dilate(new, NEAR))
    return [new & np.where(labels == number, 255, 0).astype(np.uint8) for number in range(1, count)]
