"""Which waiting verdicts are given up first, and how the chain says so."""

import json
from collections.abc import Sequence

from edge_runtime.chain import digest, merged
from edge_runtime.outbox_file import Waiting
from edge_runtime.verdict import Shed, Verdict

RANGES = 20
"""Of a batch, so that marks do not come faster than verdicts can carry them."""
PENDING = 100
"""Marks that wait to be carried stand in the outbox's state, which is written with each commit. Beyond so many, those
that were carried once, by verdicts that are given up now, are not carried anew."""
CARRIED = 20
"""Marks that one verdict carries, 4 kB: it must stay small enough for a broker. The next ones carry the rest."""


def choose(rows: Sequence[Waiting]) -> list[Waiting]:
    """The first of `rows`, as many as lie in a few ranges of numbers without gaps."""
    chosen: list[Waiting] = []
    ranges = 0
    for row in rows:
        if not chosen or chosen[-1].seq + 1 != row.seq:
            ranges += 1
            if ranges > RANGES:
                break
        chosen.append(row)
    return chosen


def pending(before: Sequence[Shed], rows: Sequence[Waiting]) -> tuple[list[Shed], bool]:
    """The marks to be carried once `rows` are given up, too; `before`: those until then. And whether these are all.

    One for each range of `rows`; and what these said themselves, which would go with them, where that is not too much.
    """
    marks = merged([*before, *_marks_of(rows)])
    carried = [mark for row in rows for mark in _carried_by(row)]
    if not carried:
        return marks, True
    with_carried = merged([*marks, *carried])
    return (with_carried, True) if len(with_carried) <= PENDING else (marks, False)


def _marks_of(rows: Sequence[Waiting]) -> list[Shed]:
    marks: list[Shed] = []
    for row in rows:
        if marks and marks[-1].last + 1 == row.seq:
            marks[-1] = marks[-1].model_copy(update={"last": row.seq, "hash": digest(row.json)})
        else:
            prev = json.loads(row.json)["prev"]
            marks.append(Shed(first=row.seq, last=row.seq, prev=prev, hash=digest(row.json)))
    return marks


def _carried_by(row: Waiting) -> tuple[Shed, ...]:
    return (Verdict.from_json(row.json).shed or ()) if b'"shed":[' in row.json else ()
