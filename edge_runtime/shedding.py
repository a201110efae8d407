"""Which waiting verdicts are given up first, and how the chain says so."""

import json
from collections.abc import Sequence

from edge_runtime.chain import digest
from edge_runtime.outbox_file import Waiting
from edge_runtime.verdict import Shed, Verdict

RANGES = 10
"""Of a batch, so that marks do not come faster than verdicts can carry them."""
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


def marks_of(rows: Sequence[Waiting]) -> list[Shed]:
    """What the chain must say of rows that are given up, in order of their numbers: one mark a range.

    And what these rows said themselves, which would go with them.
    """
    marks: list[Shed] = []
    carried: list[Shed] = []
    for row in rows:
        if b'"shed":[' in row.json:
            carried += Verdict.from_json(row.json).shed or ()
        if marks and marks[-1].last + 1 == row.seq:
            marks[-1] = marks[-1].model_copy(update={"last": row.seq, "hash": digest(row.json)})
        else:
            prev = json.loads(row.json)["prev"]
            marks.append(Shed(first=row.seq, last=row.seq, prev=prev, hash=digest(row.json)))
    return marks + carried
