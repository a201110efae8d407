"""How verdicts are chained: each carries the number and the hash that bind it to the one before."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from edge_runtime.verdict import Shed, Verdict

GENESIS = "0" * 64
"""`prev` of the first verdict of a chain."""


class Head(NamedTuple):
    """Where a chain stands: number of its last verdict, and SHA-256 (hex) of that one's JSON bytes."""

    seq: int
    hash: str

    @classmethod
    def of(cls, seq: int, json: bytes) -> "Head":
        """The head that a chain has after these bytes."""
        return cls(seq, digest(json))


def digest(json: bytes) -> str:
    """SHA-256 of a verdict's bytes, in hex, as the next one's `prev` has it."""
    return hashlib.sha256(json).hexdigest()


def place(verdict: Verdict, head: Head, shed: tuple[Shed, ...]) -> tuple[Verdict, bytes, Head]:
    """Give a verdict the place after `head`: the verdict, its bytes, and the new head. `shed`: the marks it carries."""
    placed = verdict.model_copy(update={"seq": head.seq + 1, "prev": head.hash, "shed": shed or None})
    json = placed.to_json()
    return placed, json, Head.of(head.seq + 1, json)


def outermost(marks: Iterable[Shed]) -> list[Shed]:
    """The marks in order of their numbers, without those that lie within another."""
    kept: list[Shed] = []
    for mark in sorted(marks, key=lambda mark: (mark.first, -mark.last)):
        if not kept or mark.last > kept[-1].last:
            kept.append(mark)
    return kept


def merged(marks: Iterable[Shed]) -> list[Shed]:
    """The outermost marks, those that touch joined into one."""
    joined: list[Shed] = []
    for mark in outermost(marks):
        if joined and joined[-1].last + 1 == mark.first:
            joined[-1] = joined[-1].model_copy(update={"last": mark.last, "hash": mark.hash})
        else:
            joined.append(mark)
    return joined
