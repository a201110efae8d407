"""One file of the ledger: its lines, and what is done with it where it is damaged."""

import errno
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_runtime.chain import Head

log = logging.getLogger(__name__)

LINE_BYTES = 1024 * 1024
"""No verdict is longer: what is, is none."""


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


def cut(segment: Segment, end: int) -> None:
    """Cut off what a segment has after `end`, and keep it beside where it is more than a torn line. Raises OSError."""
    with segment.path.open("r+b") as file:
        file.seek(end)
        rest = file.read()
        torn = len(rest) < LINE_BYTES and b"\n" not in rest
        if not torn:
            segment.path.with_suffix(f".damaged-{time.time_ns()}").write_bytes(rest)
        file.truncate(end)
        os.fsync(file.fileno())
    segment.size = end
    say = log.warning if torn else log.error
    what = "the last line is torn" if torn else "the end is damaged, a copy of it lies beside"
    say("%s: %s; %d bytes cut off, and written again as far as the outbox has them", segment.path, what, len(rest))


def no_room(error: OSError) -> bool:
    """Whether it is room that is wanting, rather than anything being wrong with disk, file or rights."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def first_of(path: Path) -> int | None:
    """The first number in a segment, from its name; None where it is no segment's name."""
    number, _, day = path.stem.partition("-")
    return int(number) if path.suffix == ".jsonl" and number.isdigit() and day.isdigit() else None


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


def whole_end(path: Path) -> tuple[int, Head | None]:
    """Where the last line that is a verdict ends, and its head."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    while end > 0:
        begin = data.rfind(b"\n", 0, end - 1) + 1
        if head := head_of(data[begin : end - 1]):
            return end, head
        end = begin
    return 0, None


def move_aside(path: Path) -> None:
    """Keep a segment beside the others, out of their order. Raises OSError."""
    aside = path.with_suffix(f".damaged-{time.time_ns()}")
    path.replace(aside)
    log.error("%s: holds no verdict that can be read; moved to %s", path, aside.name)


def deleted(path: Path) -> bool:
    """Delete a segment; whether that could be. One that cannot counts no longer: those after it must make the room."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.error("%s: cannot be deleted (%s); left where it is", path, error.strerror)  # noqa: TRY400  # no traceback
        return False
    return True
