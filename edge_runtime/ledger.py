"""The ledger: every verdict's exact bytes, one a line, in files that are only ever appended to.

The second copy beside the outbox, and the record that `kenpin-edge audit` reads. Segments lie in `<data>/ledger/`,
named by the first number in them and the UTC day they were begun: `000000010482-20261125.jsonl`. The number comes
first, so that they sort in order of the chain even where the clock was set back. The oldest go first, whole, so what
is there is the end of the chain. What was found damaged lies aside among them, and goes as old as they are.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import IO

from edge_runtime.chain import Head
from edge_runtime.disk import sync_folder
from edge_runtime.segment import (
    ASIDE,
    Line,
    Segment,
    cut,
    deleted,
    head_of,
    is_lost,
    links,
    listed,
    moved_aside,
    read_lines,
    saved,
    whole_end,
)

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 * 1024 * 1024
"""Small enough that little is kept for long only because of its neighbours, large enough that a folder stays short."""
AGED_AT_ONCE = 2
"""Segments that go by age when a new one begins: enough to keep up, and a clock that jumps cannot empty the ledger."""
_DAY_S = 86_400


class Ledger:
    """Segments in order. Not for two threads at once: the outbox's lock guards it. Methods raise OSError.

    `last`: number and hash of the last line, None where there is none. `synced`: up to this number lines are on the
    disk.
    """

    def __init__(self, folder: Path, *, max_bytes: int, max_age_s: float, now: Callable[[], float] = time.time) -> None:
        """Open or make the ledger, and cut off what a power cut left of a last line. `now`: Unix time."""
        self.folder = folder
        self._max_bytes, self._max_age_s, self._now = max_bytes, max_age_s, now
        self._segment_bytes = min(SEGMENT_BYTES, max_bytes // 8)
        self._file: IO[bytes] | None = None
        self._segments: list[Segment] = []
        self._aside: list[Segment] = []
        self._broken_off = False
        self.last: Head | None = None
        self.synced = 0
        self.reopen()

    def reopen(self) -> None:
        """Look at the folder anew, and move aside what cannot be read at the end of it."""
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._segments = listed(self.folder, "*.jsonl")
        self._aside = listed(self.folder, f"*{ASIDE}*")
        self.last = self._find_last()
        self.synced = self._synced_again()

    def append(self, jsons: Sequence[bytes], first: int, head: Head) -> None:
        """Write verdicts from number `first` to `head`; with the operating system when this returns."""
        file = self._open_for(first)
        segment = self._segments[-1]
        data = b"\n".join(jsons) + b"\n"
        try:
            written = 0
            while written < len(data):  # unbuffered: a nearly full disk takes a part
                written += file.write(data[written:])
        except OSError:
            try:
                file.truncate(segment.size)  # no half line stays
            except OSError:
                self.break_off()  # or at least none is followed by another
            raise
        segment.size += len(data)
        self.last = head

    def sync(self) -> None:
        """Have on the disk what was appended. Raises FileNotFoundError where somebody deleted the segment."""
        if self._file is None:
            return
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(2, "was deleted while in use", str(self._segments[-1].path))
        if self.last and self.last.seq > self.synced:
            try:
                os.fsync(self._file.fileno())
            except OSError:
                self._abandon()
                raise
            self.synced = self.last.seq

    def break_off(self) -> None:
        """Write no more to the segment in use: something is wrong with it, and the next verdicts begin a new one.

        What was appended to it counts as being on the disk only where it can still be synced: see `synced`.
        """
        self._broken_off = True
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError), file:
                os.fsync(file.fileno())
                self.synced = self.last.seq if self.last else self.synced

    def _abandon(self) -> None:
        """Break off after a sync that failed. Linux tells of a loss once: a second sync would say that all is well."""
        self._broken_off = True
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def drop_oldest(self, below: int | None = None) -> bool:
        """Delete the oldest closed segment, if all its numbers are less than `below`; whether one was deleted.

        What lies aside counts as one, whatever is in it.
        """
        while oldest := self._oldest(below):
            (self._aside if oldest in self._aside else self._segments).remove(oldest)
            if deleted(oldest.path):
                return True
        return False

    def drop_all(self) -> bool:
        """Delete all segments, to begin anew further on; whether there were any."""
        self.close()
        dropped, self._segments, self._aside, self.last = [*self._segments, *self._aside], [], [], None
        return sum(deleted(segment.path) for segment in dropped) > 0

    def cut_above(self, up_to: int) -> None:
        """Move aside what stands at the end with numbers above `up_to`."""
        self.close()
        self.last = self._find_last(up_to)
        self.synced = self._synced_again()

    def goes_on_from(self, head: Head) -> bool:
        """Whether a verdict that is chained to `head` is here, or none of before that one. Raises OSError."""
        if not self._segments or self._segments[0].first > head.seq + 1:
            return True
        after = next(
            (line for line in self.lines(head.seq) if (found := head_of(line.json)) and found.seq > head.seq), None
        )
        return after is not None and links(after.json, head)

    def lines(self, after: int = 0) -> Iterator[Line]:
        """The lines of all segments that may hold numbers above `after`, in order; a damaged one is a line, too.

        A segment that the disk does not give back is moved aside, and is followed by the next.
        """
        for segment, following in zip_longest(tuple(self._segments), tuple(self._segments[1:])):
            if following is None or following.first > after + 1:
                try:
                    yield from read_lines(segment.path)
                except OSError as error:
                    self._set_aside(segment, error)

    def close(self) -> None:
        """Close the segment in use, synced where that can be."""
        if self._file is not None:
            try:
                self.sync()
            except OSError as error:
                log.error("%s: cannot be synced (%s)", self.folder, error.strerror)  # noqa: TRY400  # no traceback
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open_for(self, first: int) -> IO[bytes]:
        """The segment that takes a verdict numbered `first`; a new one where the last is full or of another day."""
        day = time.strftime("%Y%m%d", time.gmtime(self._now()))
        newest = self._segments[-1] if self._segments else None
        fits = newest is not None and newest.size < self._segment_bytes and newest.path.stem.endswith(day)
        if newest is not None and fits and not self._broken_off:
            if self._file is None:
                self._file = newest.path.open("ab", buffering=0)
            return self._file
        self.sync()
        self.close()
        path = self.folder / f"{first:012}-{day}.jsonl"
        path.unlink(missing_ok=True)  # broken off, and what it holds is all written again
        self._segments = [segment for segment in self._segments if segment.path != path]
        self._file = path.open("ab", buffering=0)
        self._segments.append(Segment(path, first, 0))
        self._broken_off = False
        sync_folder(self.folder)
        self._keep_bounds()
        return self._file

    def _keep_bounds(self) -> None:
        def size() -> int:
            return sum(segment.size for segment in (*self._segments, *self._aside))

        while size() + self._segment_bytes > self._max_bytes and self.drop_oldest():
            pass
        day = time.strftime("%Y%m%d", time.gmtime(max(self._now() - self._max_age_s - _DAY_S, 0)))
        for _ in range(AGED_AT_ONCE):
            if (oldest := self._oldest()) is None or oldest.day > day or not self.drop_oldest():
                break

    def _oldest(self, below: int | None = None) -> Segment | None:
        """What goes first: a closed segment with no number from `below` on, or what lies aside."""
        closed = len(self._segments) > 1 and (below is None or self._segments[1].first <= below)
        return min([*self._aside, *self._segments[: int(closed)]], key=lambda each: each.first, default=None)

    def _find_last(self, up_to: float = math.inf) -> Head | None:
        """The last whole line, not above `up_to`; what follows is cut off, a segment without any is moved aside."""
        while self._segments:
            segment = self._segments[-1]
            try:
                end, last = whole_end(segment.path, up_to)
            except OSError as error:
                self._set_aside(segment, error)
                continue
            if last is not None:
                if end < segment.size:
                    self._cut(segment, end)
                return last
            self._segments.pop()
            if not segment.size:  # killed before the first line
                deleted(segment.path)
            elif aside := moved_aside(
                segment, f"holds no verdict that {'can be read' if up_to == math.inf else 'fits the outbox'}"
            ):
                self._aside.append(aside)
        return None

    def _synced_again(self) -> int:
        """Sync the newest segment, whose end a kill may have left to the system; up to which number all is on the disk.

        Those before it were synced as the next one was begun.
        """
        if self.last is None:
            return 0
        newest = self._segments[-1]
        try:
            with newest.path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError as error:
            log.error("%s: cannot be synced (%s)", newest.path, error.strerror)  # noqa: TRY400  # no traceback
            self._broken_off = True
            return newest.first - 1
        return self.last.seq

    def _cut(self, segment: Segment, end: int) -> None:
        try:
            if aside := cut(segment, end):
                self._aside.append(aside)
        except OSError as error:
            log.error("%s: cannot be mended (%s); a new one is begun", segment.path, error.strerror)  # noqa: TRY400  # no traceback
            self._broken_off = True

    def _set_aside(self, segment: Segment, error: OSError) -> None:
        """Move aside a segment that the disk does not give back, but for what could be read of it.

        Raises the error itself where it is of another kind, and may pass.
        """
        if not is_lost(error):
            raise error
        if segment is self._segments[-1]:
            self.break_off()
        if isinstance(error, FileNotFoundError):  # somebody has just deleted it
            aside = None
        else:
            aside = moved_aside(segment, f"cannot be read ({error.strerror})")
        if aside:
            self._aside.append(aside)
        if not aside or not saved(aside, segment):
            self._segments.remove(segment)
