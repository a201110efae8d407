"""One file of the ledger: its lines, and what is done with it where it is damaged."""

import errno
import json
import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_runtime.chain import Head

log = logging.getLogger(__name__)

LINE_BYTES = 1024 * 1024
"""No verdict is longer: what is, is none."""
ASIDE = ".damaged-"

# What is wrong then is not the file: it may be read once that is mended.
_PASSES = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)


class Line(NamedTuple):
    """One line of a segment. `json`: without its line break. `number` counts from 1."""

    path: Path
    number: int
    json: bytes


@dataclass(slots=True)
class Segment:
    """One file of the ledger. `first`: the first number in it. `size` in bytes."""

    path: Path
    first: int
    size: int

    @property
    def day(self) -> str:
        """The UTC day on which it was begun, as YYYYMMDD."""
        return self.path.stem.rpartition("-")[2]


def listed(folder: Path, pattern: str) -> list[Segment]:
    """The segments in a folder whose names are like that, in order of the chain; also those that lie aside."""
    found = sorted((first, path) for path in folder.glob(pattern) if (first := first_of(path)) is not None)
    return [Segment(path, first, _size(path)) for first, path in found]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # what is wrong with it shows as it is read
        return 0


def cut(segment: Segment, end: int) -> Segment | None:
    """Cut off what a segment has after `end`; what was kept aside of it, where it is more than a torn line.

    Raises OSError.
    """
    aside = None
    with segment.path.open("r+b") as file:
        file.seek(end)
        rest = file.read()
        torn = len(rest) < LINE_BYTES and b"\n" not in rest
        if not torn:
            aside = Segment(_name_aside(segment.path), segment.first, len(rest))
            aside.path.write_bytes(rest)
        file.truncate(end)
        os.fsync(file.fileno())
    segment.size = end
    say = log.warning if torn else log.error
    what = "the last line is torn" if torn else "the end is damaged, a copy of it lies beside"
    say("%s: %s; %d bytes cut off, and written again as far as the outbox has them", segment.path, what, len(rest))
    return aside


def no_room(error: OSError) -> bool:
    """Whether it is room that is wanting, rather than anything being wrong with disk, file or rights."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_lost(error: OSError) -> bool:
    """Whether the disk does not give a file back, rather than that rights, memory or open files are wanting."""
    return error.errno not in _PASSES


def first_of(path: Path) -> int | None:
    """The first number in a segment, also one that lies aside, from its name; None where it is no segment's name."""
    number, _, day = path.stem.partition("-")
    named = path.suffix == ".jsonl" or path.suffix.startswith(ASIDE)
    return int(number) if named and number.isdigit() and day.isdigit() else None


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a segment or a log, without a last one that is not ended. Raises OSError."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES):
            number += 1
            if not line.endswith(b"\n") and len(line) < LINE_BYTES:
                return
            yield Line(path, number, line.rstrip(b"\n"))


def head_of(line: bytes) -> Head | None:
    """Number and hash of a line; None where it is no verdict."""
    try:
        seq = json.loads(line)["seq"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return Head.of(seq, line) if type(seq) is int and seq > 0 else None


def links(line: bytes, head: Head) -> bool:
    """Whether a line is the verdict that comes next after `head`."""
    try:
        values = json.loads(line)
        return (values["seq"], values["prev"]) == (head.seq + 1, head.hash)
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


def whole_end(path: Path, up_to: float = math.inf) -> tuple[int, Head | None]:
    """Where the last line ends that is a verdict, with a number not above `up_to`, and its head. Raises OSError."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    while end > 0:
        begin = data.rfind(b"\n", 0, end - 1) + 1
        head = head_of(data[begin : end - 1])
        if head and head.seq <= up_to:
            return end, head
        end = begin
    return 0, None


def moved_aside(segment: Segment, why: str) -> Segment | None:
    """Keep a damaged segment beside the others, out of their order; what it is now, None where it cannot be moved."""
    aside = Segment(_name_aside(segment.path), segment.first, segment.size)
    try:
        segment.path.replace(aside.path)
    except OSError as error:
        log.error("%s: %s, nor moved (%s); passed over", segment.path, why, error.strerror)  # noqa: TRY400  # no traceback
        return None
    log.error("%s: %s; moved to %s", segment.path, why, aside.path.name)
    return aside


def saved(aside: Segment, segment: Segment) -> bool:
    """Write what can be read of a segment that lies aside, up to where it cannot, in its old place; whether any was."""
    segment.size = 0
    try:
        with segment.path.open("wb") as file:
            with suppress(OSError):
                for line in read_lines(aside.path):
                    segment.size += file.write(line.json + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        segment.size = 0
    if not segment.size:
        deleted(segment.path)
    return segment.size > 0


def _name_aside(path: Path) -> Path:
    return path.with_suffix(f"{ASIDE}{time.time_ns()}")


def deleted(path: Path) -> bool:
    """Delete a segment; whether that could be. One that cannot counts no longer: those after it must make the room."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.error("%s: cannot be deleted (%s); left where it is", path, error.strerror)  # noqa: TRY400  # no traceback
        return False
    return True
