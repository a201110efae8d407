"""Line-scan: blocks of lines, as a camera over a moving belt sends them, become one picture of each part.

`PresenceCutter` and `TriggerCutter` do the joining and know of nothing but lines; `LineScan` is a camera around the
camera that sends the blocks. Whatever the height of the blocks, the same lines give the same pictures.
"""

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras import Camera, Clock, Frame, SourceEnded
from edge_runtime.cameras.capture import MISSED
from edge_runtime.cameras.config import Lines
from edge_runtime.cameras.darkness import Darkness
from edge_runtime.errors import CameraLost
from edge_runtime.picture import Image

PRESENT_SHARE = 0.01
"""Of a line's pixels, this share on the part's side of `threshold` makes it a line of a part; a hot pixel does not."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a block came, as in `Frame`."""

    captured_ns: int
    taken: float


@dataclass(frozen=True, slots=True)
class Part:
    """A part as its lines were joined. `pixels`: uint8 [lines, W, C]; None where they cannot be used: see `trouble`.

    `begin`: of the block with its first line.
    """

    pixels: Image | None
    begin: Moment
    trouble: str | None = None


class Cutter(Protocol):
    """Cuts a stream of lines into parts. Each part, and each loss, comes out once."""

    def add(self, block: Image, moment: Moment) -> list[Part]:
        """The parts that end in `block`, uint8 [h, W, C]."""

    def lose(self, blocks: int, moment: Moment) -> list[Part]:
        """That `blocks` blocks did not come, or came damaged: what can now not be told."""

    def give_up(self, why: str) -> list[Part]:
        """The part that was begun, if any: its other lines do not come. Should they, they are not told of again."""


class PresenceCutter:
    """A part begins with the first line that is not background, and ends before `gap` background lines in a row.

    Its picture has `lines` lines; below the part its last line, which is background, is repeated. A part that is longer
    gives a Part without pixels each time `lines` are full: what is not in the picture was not inspected.
    """

    def __init__(self, height: int, threshold: int, gap: int, *, dark: bool) -> None:
        self._height, self._threshold, self._gap, self._dark = height, threshold, gap, dark
        self._pieces: list[Image] = []
        self._kept = self._quiet = 0
        self._begin: Moment | None = None  # of the part that passes
        self._trouble, self._told = "", False

    def add(self, block: Image, moment: Moment) -> list[Part]:
        """See `Cutter`."""
        parts: list[Part] = []
        present = self._present(block)
        at = 0
        while at < len(block):
            if self._begin is None:
                ahead = np.flatnonzero(present[at:])
                if not len(ahead):
                    break
                at += int(ahead[0])
                self._begin = moment
            at = self._go_on(block, present, at, self._begin, parts)
        return parts

    def lose(self, blocks: int, moment: Moment) -> list[Part]:
        """See `Cutter`."""
        if self._begin is None:
            return [Part(None, moment, f"may have passed unseen: {_blocks(blocks)} of lines lost")]
        self._trouble = self._trouble or f"lacks {_blocks(blocks)} of its lines, which were lost"
        return []

    def give_up(self, why: str) -> list[Part]:
        """See `Cutter`."""
        if self._begin is None or self._told:
            return []
        part = Part(None, self._begin, self._trouble or why)
        self._pieces, self._kept, self._trouble, self._told = [], 0, "", True
        return [part]

    def _present(self, block: Image) -> npt.NDArray[np.bool_]:
        """Which lines are not background: bool [h]."""
        hit = block > self._threshold if self._dark else block < self._threshold
        return np.asarray(hit.any(axis=2).mean(axis=1) >= PRESENT_SHARE)

    def _go_on(self, block: Image, present: npt.NDArray[np.bool_], at: int, begin: Moment, parts: list[Part]) -> int:
        """Take lines of the part from `at` until it ends, is longer than its picture, or the block ends; where."""
        room = self._height - self._kept
        end, ended, too_long = at, False, False
        while end < len(block) and not ended:
            if present[end] and end - at >= room:
                too_long = True
                break
            self._quiet = 0 if present[end] else self._quiet + 1
            end += 1
            ended = self._quiet == self._gap
        kept = block[at : min(end, at + room)].copy()
        self._pieces.append(kept)
        self._kept += len(kept)
        if ended:
            if not self._told or self._trouble:
                parts.append(self._finished(begin))
            self._pieces, self._kept, self._quiet = [], 0, 0
            self._begin, self._trouble, self._told = None, "", False
        elif too_long:
            why = f"is longer than lines = {self._height}, and was not seen whole; set lines under [camera.lines]"
            parts.append(Part(None, begin, self._trouble or why))
            self._pieces, self._kept, self._trouble, self._told = [], 0, "", True
        return end

    def _finished(self, begin: Moment) -> Part:
        if self._trouble:
            return Part(None, begin, self._trouble)
        joined = np.concatenate(self._pieces)
        below = np.repeat(joined[-1:], self._height - len(joined), axis=0)
        return Part(np.concatenate([joined, below]), begin)


class TriggerCutter:
    """Each trigger of the camera gives `lines` lines, however many blocks that is: the n-th part is the n-th of these.

    A part that lacks a block is a Part without pixels, and the next one begins where its trigger was.
    """

    def __init__(self, height: int) -> None:
        self._height = height
        self._pieces: list[Image] = []
        self._count, self._block = 0, 0
        self._begin = Moment(0, 0.0)
        self._trouble, self._told = "", False

    def add(self, block: Image, moment: Moment) -> list[Part]:
        """See `Cutter`."""
        self._block = len(block)
        parts: list[Part] = []
        at = 0
        while at < len(block):
            end = min(len(block), at + self._height - self._count)
            self._pieces.append(block[at:end].copy())
            parts += self._advance(end - at, moment)
            at = end
        return parts

    def lose(self, blocks: int, moment: Moment) -> list[Part]:
        """See `Cutter`. They count as if they had come, so that the next part begins where it should.

        Of more than MISSED parts that were lost the last one that is told says how many follow.
        """
        if not self._block:
            return [
                Part(
                    None,
                    moment,
                    "may have passed unseen: the first block of lines was lost, and with it where parts begin",
                )
            ]
        parts: list[Part] = []
        left = blocks * self._block
        more = max(0, (self._count + left) // self._height - MISSED)
        left -= more * self._height
        while left:
            step = min(left, self._height - self._count)
            self._trouble = "lacks lines that were lost"
            parts += self._advance(step, moment)
            left -= step
        if more and parts:
            parts[-1] = replace(parts[-1], trouble=f"{parts[-1].trouble}, and so do {more} more after it")
        return parts

    def give_up(self, why: str) -> list[Part]:
        """See `Cutter`."""
        if not self._count or self._told:
            return []
        self._told = True
        return [Part(None, self._begin, why)]

    def _advance(self, lines: int, moment: Moment) -> list[Part]:
        """Count `lines` more, which do not go past the end of the part; the part where they complete it."""
        if not self._count:
            self._begin = moment
        self._count += lines
        if self._count < self._height:
            return []
        pixels = None if self._trouble else np.concatenate(self._pieces)
        parts = [] if self._told else [Part(pixels, self._begin, self._trouble or None)]
        self._pieces, self._count, self._trouble, self._told = [], 0, "", False
        return parts


class LineScan:
    """A camera whose frames are the parts that `camera`'s blocks of lines are cut into.

    `timeout_s`: a part whose other lines do not come for so long is told as trouble. `sequence` counts the parts.
    """

    def __init__(self, camera: Camera, lines: Lines, timeout_s: float, clock: Clock = time.monotonic) -> None:
        self.live, self.delay_s = camera.live, camera.delay_s
        self._camera, self._timeout_s, self._clock = camera, timeout_s, clock
        self._cutter, self._darkness = cutter(lines), Darkness(lines)
        self._waiting: deque[Part] = deque()  # at most what one block and the loss before it gave: MISSED and a few
        self._over: CameraLost | SourceEnded | None = None
        self._shape: tuple[int, ...] = ()
        self._last: Frame | None = None
        self._last_at = self._opened_at = clock()
        self._count = 0

    def grab(self, timeout_s: float) -> Frame | None:
        """The next part; None where none was complete in time. Raises CameraLost and SourceEnded as the camera does."""
        deadline = self._clock() + timeout_s
        while not self._waiting:
            if self._over is not None:
                raise self._over
            left = deadline - self._clock()
            try:
                block = self._camera.grab(max(left, 0.0))
            except (CameraLost, SourceEnded) as over:
                self._over = over
                self._waiting += self._cutter.give_up("was not seen whole: the camera ended while it passed")
                continue
            if block is not None:
                self._last_at = self._clock()
                self._take(block)
            elif self._clock() - self._last_at > self._timeout_s:
                silent = f"was not seen whole: no more lines for {self._timeout_s:g} s"
                self._waiting += self._cutter.give_up(silent)
            if not self._waiting and self._clock() >= deadline:
                return None
        part = self._waiting.popleft()
        self._count += 1
        grab_ms = (self._clock() - self._last_at) * 1000
        trouble = part.trouble and f"a part {part.trouble}"
        return Frame(part.pixels, part.begin.captured_ns, self._count, grab_ms, None, trouble, part.begin.taken)

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()

    def _take(self, block: Frame) -> None:
        """Cut one more block, and say what was lost before it."""
        # Its first line was exposed as soon as the block before was whole.
        moment = Moment(block.captured_ns, self._last.taken if self._last is not None else self._opened_at)
        lost = block.sequence - self._last.sequence - 1 if self._last is not None else 0
        if lost > 0:
            self._waiting += self._cutter.lose(lost, moment)
        self._last = block
        if block.pixels is None or (self._shape and block.pixels.shape[1:] != self._shape):
            self._waiting += self._cutter.lose(1, moment)
            return
        self._shape = block.pixels.shape[1:]
        self._waiting += self._cutter.add(block.pixels, moment)
        if trouble := self._darkness.see(block.pixels, moment.taken):
            self._waiting.append(Part(None, moment, trouble))


def _blocks(count: int) -> str:
    return f"{count} block{'' if count == 1 else 's'}"


def cutter(lines: Lines) -> Cutter:
    """What cuts as `lines` says."""
    if lines.cut == "trigger" or lines.threshold is None or lines.gap is None:
        return TriggerCutter(lines.lines)
    return PresenceCutter(lines.lines, lines.threshold, lines.gap, dark=lines.background == "dark")
