"""An outbox made anew from its ledger, where `outbox.db` was damaged or lost."""

import json
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError

from edge_runtime.chain import Head, digest, merged
from edge_runtime.ledger import Ledger, Line
from edge_runtime.outbox_file import Row, State
from edge_runtime.verdict import Call, Shed, Verdict

log = logging.getLogger(__name__)

FILL = 0.7
"""Share of the outbox's bound that is filled: SQLite's pages are not all full. More cannot have been waiting."""

Ranges = list[tuple[int, int]]


def rebuilt(ledger: Ledger, known: State | None, max_bytes: int) -> tuple[State, list[Row], Ranges]:
    """What the outbox must hold: its state, the rows that wait, and the ranges of numbers that are lost.

    `known`: where it stood, at least. What was not known to be acknowledged waits again. What is in neither copy is
    lost: counted as shed, and marked where the hashes around it are known. Raises OSError.
    """
    old = known or State()
    rows, marks, is_all = _read(ledger, old, max_bytes)
    head = ledger.last if ledger.last and ledger.last.seq > old.seq else old.head
    done = old.done
    if not known or not is_all:  # more than ever waits: those before were delivered
        done = rows[0].seq - 1 if rows else head.seq
    waiting = [row for row in rows if not any(mark.first <= row.seq <= mark.last for mark in marks)]
    lost = _missing(waiting, marks, done, head)
    gaps = [mark for first, last in lost if (mark := _mark(first, last, waiting, head))]
    pending = tuple(merged([*old.marks, *gaps]))
    shed = old.shed + sum(last - first + 1 for first, last in lost)
    shed = min(shed, head.seq - len(waiting))
    acknowledged = head.seq - len(waiting) - shed
    state = replace(old, seq=head.seq, hash=head.hash, done=done, acknowledged=acknowledged, shed=shed, marks=pending)
    for first, last in lost:
        log.error("%s: verdicts %d to %d are in neither copy: they are lost", ledger.folder, first, last)
    return state, waiting, lost


def _read(ledger: Ledger, old: State, max_bytes: int) -> tuple[list[Row], list[Shed], bool]:
    """The newest rows after what was done, as many as an outbox holds; all marks since; whether these are all rows."""
    rows: deque[Row] = deque()
    size, is_all = 0, True
    marks = list(old.marks)
    for line in ledger.lines(after=old.done):
        verdict = _verdict(line)
        if verdict is None or verdict.seq <= old.done or (rows and verdict.seq <= rows[-1].seq):
            continue
        rows.append(Row(verdict.seq, line.json, verdict.verdict is not Call.OK, old.service_s))
        marks += verdict.shed or ()
        size += len(line.json)
        while size > FILL * max_bytes:
            size -= len(rows.popleft().json)
            is_all = False
    return list(rows), marks, is_all


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


def _mark(first: int, last: int, waiting: Sequence[Row], head: Head) -> Shed | None:
    """The mark for lost verdicts; None where what stands around them is lost, too."""
    before = next((digest(row.json) for row in waiting if row.seq == first - 1), None)
    after = next((str(json.loads(row.json)["prev"]) for row in waiting if row.seq == last + 1), None)
    if last == head.seq:
        after = head.hash
    return Shed(first=first, last=last, prev=before, hash=after) if before and after else None
