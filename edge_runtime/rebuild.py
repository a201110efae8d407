"""An outbox made anew from its ledger, where `outbox.db` was damaged or lost."""

import json
import logging
import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from edge_runtime.chain import GENESIS, Head, digest, merged, outermost
from edge_runtime.ledger import Ledger
from edge_runtime.outbox_file import Row, State
from edge_runtime.segment import Line
from edge_runtime.verdict import Call, Shed, Verdict

log = logging.getLogger(__name__)

Ranges = list[tuple[int, int]]
GoesOn = Callable[[str], None]
"""Told what is being done, in words, each time that a part of it is done."""
AT_ONCE = 5000
"""Verdicts that are such a part: a tenth of a second here, a few seconds of a slow board with a slow card."""


def rebuilt(
    ledger: Ledger, known: State | None, max_bytes: int, goes_on: GoesOn = lambda _what: None
) -> tuple[State, list[Row], Ranges]:
    """What the outbox must hold: its state, the rows that wait, and the ranges of numbers that are lost.

    `known`: where it stood, at least. What was not known to be acknowledged waits again. What is in neither copy is
    lost: counted as shed, and marked where the hashes around it are known. Raises OSError.
    """
    old = known or State()
    # Where it is unknown what was delivered: more than the outbox has room for cannot wait.
    rows, carried = _read(ledger, old, math.inf if known else max_bytes, goes_on)
    head = ledger.last if ledger.last and ledger.last.seq > old.seq else old.head
    done = old.done if known else rows[0].seq - 1 if rows else head.seq
    marks = outermost([*old.marks, *(mark for mark, _ in carried)])
    waiting = [row for row in rows if not _is_shed(row.seq, marks)]
    lost = _missing(waiting, marks, done, head)
    around = {row.seq: row for row in waiting} if lost else {}
    gaps = [mark for first, last in lost if (mark := _mark(first, last, around, head))]
    said = [mark for mark, carrier in carried if not _is_shed(carrier, marks)]
    pending = tuple(merged([*(mark for mark in old.marks if mark not in said), *gaps]))
    shed = old.shed + sum(last - first + 1 for first, last in lost)
    shed = min(shed, head.seq - len(waiting))
    acknowledged = head.seq - len(waiting) - shed
    state = replace(old, seq=head.seq, hash=head.hash, done=done, acknowledged=acknowledged, shed=shed, marks=pending)
    for first, last in lost:
        log.error("%s: verdicts %d to %d are in neither copy: they are lost", ledger.folder, first, last)
    return state, waiting, lost


def answers(ledger: Ledger, *, after: int) -> Iterator[tuple[str, int, bytes]]:
    """Key, number and bytes of the verdicts after number `after` that answered a request. Raises OSError."""
    for line in ledger.lines(after=max(after, 0)):
        verdict = _verdict(line) if b'"reply_to"' in line.json else None
        if verdict is not None and (key := verdict.request_key):
            yield key, verdict.seq, line.json


def _read(ledger: Ledger, old: State, max_bytes: float, goes_on: GoesOn) -> tuple[list[Row], list[tuple[Shed, int]]]:
    """The newest rows after what was done, as many as `max_bytes` hold, and the marks that they carry, with which."""
    rows: deque[Row] = deque()
    marks: list[tuple[Shed, int]] = []
    size = 0
    for number, line in enumerate(ledger.lines(after=old.done), 1):
        if number % AT_ONCE == 0:
            goes_on(f"the outbox is made anew: {number} verdicts of the ledger are read")
        verdict = _verdict(line)
        if verdict is None:
            continue
        before = rows[-2].seq if len(rows) > 1 else old.done
        if rows and before < verdict.seq < rows[-1].seq:  # that one is ahead of what follows it: its number is damaged
            log.error("%s: verdict %d stands before %d; left out", line.path, rows[-1].seq, verdict.seq)
            size -= len(rows.pop().json)
        if verdict.seq <= (rows[-1].seq if rows else old.done):
            continue
        bad = verdict.verdict is not Call.OK
        rows.append(Row(verdict.seq, line.json, digest(line.json), bad, old.service_s))
        marks += [(mark, verdict.seq) for mark in verdict.shed or ()]
        size += len(line.json)
        while size > max_bytes:
            size -= len(rows.popleft().json)
    return list(rows), marks


def _is_shed(seq: int, marks: Sequence[Shed]) -> bool:
    index = bisect_right(marks, seq, key=lambda mark: mark.first) - 1
    return index >= 0 and seq <= marks[index].last


def _verdict(line: Line) -> Verdict | None:
    try:
        return Verdict.from_json(line.json)
    except ValidationError:
        log.error("%s:%d: is no verdict; left out", line.path, line.number)  # noqa: TRY400  # no traceback
        return None


def _missing(waiting: Sequence[Row], marks: Sequence[Shed], done: int, head: Head) -> Ranges:
    """The ranges of numbers after `done`, up to `head`, that neither wait nor were shed."""
    spans = sorted([(row.seq, row.seq) for row in waiting] + [(mark.first, mark.last) for mark in marks])
    missing: Ranges = []
    reached = done
    for first, last in [*spans, (head.seq + 1, head.seq + 1)]:
        if first > reached + 1:
            missing.append((reached + 1, first - 1))
        reached = max(reached, last)
    return missing


def _mark(first: int, last: int, around: Mapping[int, Row], head: Head) -> Shed | None:
    """The mark for lost verdicts; None where what stands around them is lost, too."""
    before, after = around.get(first - 1), around.get(last + 1)
    ends = head.hash if last == head.seq else str(json.loads(after.json)["prev"]) if after else None
    prev = digest(before.json) if before else GENESIS if first == 1 else None
    return Shed(first=first, last=last, prev=prev, hash=ends) if prev and ends else None
