"""Whether a log of verdicts is the chain that the station made: pure, from records to findings.

A record's hash is of its exact bytes, and the next one carries it. So whoever changes, takes out or puts in a record
breaks the link to the next, unless the rest is made anew as well: that is seen only by who noted a head before.
"""

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from edge_runtime.chain import GENESIS, Head, digest, outermost
from edge_runtime.verdict import Shed

LIMIT = 20
"""Findings of one station that are told: the first is the one that counts."""


class Record(NamedTuple):
    """One verdict of a log. `place`: where it stands, as `file:line`. `at`: its position among all that was read."""

    seq: int
    hash: str
    prev: str
    id: str
    place: tuple[str, int]
    at: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong. `kind`: altered, removed, inserted, reordered, unreadable, rewritten or missing.

    `seq`, `id`, `place`: of the verdict, as far as they are known; of a removed one, `place` is of the one after it.
    """

    kind: str
    why: str
    seq: int | None = None
    id: str | None = None
    place: str | None = None
    at: int = 0


@dataclass(slots=True)
class Log:
    """The verdicts of one station, in the order in which they were found."""

    station: str
    records: list[Record] = field(default_factory=list)
    marks: list[tuple[Shed, Record | None]] = field(default_factory=list)  # with the verdict that carries it
    anchors: list[Head] = field(default_factory=list)  # where the station itself says that its chain stands


@dataclass(frozen=True, slots=True)
class Audited:
    """What was found of one station. `first`, `head`: what was looked at; None where there was nothing."""

    station: str
    verdicts: int
    shed: int
    first: int | None
    head: Head | None
    findings: tuple[Finding, ...]


def parse(line: bytes, place: tuple[str, int], at: int) -> tuple[str, Record, tuple[Shed, ...]] | None:
    """The station, the record and the marks that a line holds; None where it is no verdict."""
    try:
        values = json.loads(line)
        if not str(values["schema"]).startswith("kenpin.verdict/"):
            return None
        seq, prev, id_ = values["seq"], values["prev"], values["id"]
        who = "/".join([values["site"], values["line"], values["station"]])
        marks = tuple(Shed.model_validate(mark) for mark in values.get("shed", ()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if type(seq) is not int or seq < 1 or not isinstance(prev, str) or not isinstance(id_, str):
        return None
    return who, Record(seq, digest(line), prev, id_, place, at), marks


def audit(log: Log, *, first: int | None = None, last: int | None = None, anchor: Head | None = None) -> Audited:
    """Verify the verdicts from `first` to `last`, all where None. `anchor`: a head that was noted before."""
    begin, end = first or 0, last if last is not None else math.inf
    records = [record for record in log.records if begin <= record.seq <= end]
    firsts: dict[int, Record] = {}
    for record in records:
        firsts.setdefault(record.seq, record)
    chain, findings = _one_each(records, firsts)
    findings += _broken_links(chain)
    marks = _Marks(log.marks, {finding.at for finding in findings})
    findings += _gaps(chain, marks)
    findings += _out_of_order(records, firsts, marks)
    findings += _range_missing(chain, first, last, marks)
    for noted in [*([anchor] if anchor else []), *(own for own in log.anchors if begin <= own.seq <= end)]:
        findings += _against(chain, noted, marks)
    findings.sort(key=lambda finding: finding.at)
    head = Head(chain[-1].seq, chain[-1].hash) if chain else None
    begins = chain[0].seq if chain else None
    return Audited(log.station, len(chain), marks.count(begin, end), begins, head, tuple(findings[:LIMIT]))


class _Marks:
    """What the chain says was shed, from verdicts that are themselves in order."""

    def __init__(self, marks: Iterable[tuple[Shed, Record | None]], doubtful: set[int]) -> None:
        """`doubtful`: positions of records whose word counts for nothing; a mark of none is the station's own word."""
        self._marks = outermost(
            mark
            for mark, carrier in marks
            if mark.first <= mark.last and (carrier is None or (carrier.at not in doubtful and mark.last < carrier.seq))
        )
        self._firsts = [mark.first for mark in self._marks]

    def of(self, seq: int) -> Shed | None:
        """The mark that says `seq` was shed."""
        index = bisect_right(self._firsts, seq) - 1
        return self._marks[index] if index >= 0 and seq <= self._marks[index].last else None

    def cover(self, first: int, last: int) -> bool:
        """Whether all from `first` to `last` were shed; there must be at least one."""
        if first > last:
            return False
        while first <= last and (mark := self.of(first)):
            first = mark.last + 1
        return first > last

    def bridge(self, before: Record, after: Record) -> bool:
        """Whether all between two verdicts was shed, and the hashes fit."""
        need, left = before.seq + 1, before.hash
        while need < after.seq:
            mark = self.of(need)
            if mark is None or (mark.first == need and mark.prev != left):
                return False
            need, left = mark.last + 1, mark.hash
        return need > after.seq or left == after.prev  # beyond: a part of what was shed had been received all the same

    def count(self, begin: float, end: float) -> int:
        """How many numbers in the range were shed."""
        return sum(max(0, int(min(mark.last, end) - max(mark.first, begin)) + 1) for mark in self._marks)


def _one_each(records: Sequence[Record], firsts: Mapping[int, Record]) -> tuple[list[Record], list[Finding]]:
    """One record a number, in order of numbers. Of two that differ the one counts that its neighbours vouch for."""
    rivals: dict[int, dict[str, Record]] = {}
    for record in records:
        first = firsts[record.seq]
        if record.hash != first.hash:
            rivals.setdefault(record.seq, {first.hash: first}).setdefault(record.hash, record)

    def all_of(seq: int) -> list[Record]:
        return list(rivals[seq].values()) if seq in rivals else [firsts[seq]] if seq in firsts else []

    findings = []
    true: dict[int, Record] = {}
    for seq in rivals:
        after = {record.prev for record in all_of(seq + 1)}
        before = {record.hash for record in all_of(seq - 1)}
        vouched = [(record.hash in after, record.prev in before, -record.at, record) for record in all_of(seq)]
        ranked = [record for *_, record in sorted(vouched, reverse=True)]
        true[seq] = ranked[0]
        findings += [_rival(record, ranked[0]) for record in ranked[1:]]
    return [true.get(seq, firsts[seq]) for seq in sorted(firsts)], findings


def _rival(record: Record, true: Record) -> Finding:
    if record.seq == 1 and record.prev == true.prev == GENESIS:
        return _finding("inserted", record, f"begins a chain of its own, beside the one at {_at(true)}")
    if record.id == true.id:
        return _finding("altered", record, f"is not the same bytes as at {_at(true)}")
    return _finding("inserted", record, f"is a second verdict {record.seq}, beside the one at {_at(true)}")


def _out_of_order(records: Sequence[Record], firsts: Mapping[int, Record], marks: _Marks) -> Iterator[Finding]:
    """Verdicts that stand after later ones. A station sends again in order, and some of it has then come before."""
    highest = 0
    run: list[Record] = []

    def judged() -> Iterator[Finding]:
        if run and run[0].seq < highest and all(firsts[record.seq].at >= run[0].at for record in run):
            yield _finding("reordered", run[0], f"stands after verdict {highest}")

    for record in records:
        if run and record.seq != run[-1].seq + 1 and not marks.cover(run[-1].seq + 1, record.seq - 1):
            yield from judged()
            highest = max(highest, run[-1].seq)
            run = []
        run.append(record)
    yield from judged()


def _broken_links(chain: Sequence[Record]) -> Iterator[Finding]:
    """Neighbours that do not fit. Which of the two was altered, the one after them tells, where there is one."""
    for index, (before, record) in enumerate(pairwise(chain)):
        if record.seq != before.seq + 1 or record.prev == before.hash:
            continue
        following = chain[index + 2] if index + 2 < len(chain) else None
        if following is None or following.seq != record.seq + 1:
            why = f"does not fit verdict {before.seq} at {_at(before)}: this one or that one was altered"
            yield _finding("altered", record, why)
        elif following.prev == record.hash:
            yield _finding("altered", before, f"is not what verdict {record.seq} at {_at(record)} was chained to")
        else:
            why = f"fits neither verdict {before.seq} before nor verdict {following.seq} after it"
            yield _finding("altered", record, why)


def _gaps(chain: Sequence[Record], marks: _Marks) -> Iterator[Finding]:
    for before, after in pairwise(chain):
        first, last = before.seq + 1, after.seq - 1
        if first <= last and not marks.bridge(before, after):
            what = f"verdict {first}" if first == last else f"verdicts {first} to {last}"
            why = f"{what} removed, or never received, between {_at(before)} and {_at(after)}"
            yield Finding("removed", why, first, None, _at(after), after.at)


def _range_missing(chain: Sequence[Record], first: int | None, last: int | None, marks: _Marks) -> Iterator[Finding]:
    """What was asked for and is not there, at either end."""
    begins = chain[0].seq if chain else (last or first or 1) + 1
    if first is not None and begins > first and not marks.cover(first, begins - 1):
        at = chain[0].at if chain else 0
        yield Finding("missing", f"verdicts {first} to {begins - 1} are not here", first, at=at)
    if last is not None and chain and chain[-1].seq < last and not marks.cover(chain[-1].seq + 1, last):
        why = f"verdicts {chain[-1].seq + 1} to {last} are not here"
        yield Finding("missing", why, chain[-1].seq + 1, at=chain[-1].at + 1)


def _against(chain: Sequence[Record], anchor: Head, marks: _Marks) -> Iterator[Finding]:
    found = next((record for record in chain if record.seq == anchor.seq), None)
    if found and found.hash != anchor.hash:
        yield _finding("rewritten", found, "is not what was noted as head: this one, or all from an earlier one on")
    mark = marks.of(anchor.seq)
    if found is None and not (mark and mark.last == anchor.seq and mark.hash == anchor.hash):
        if not chain or anchor.seq > chain[-1].seq:
            ends = chain[-1].seq if chain else 0
            why = f"the log ends with verdict {ends}, before the head that was noted: the end was removed"
            yield Finding("removed", why, ends + 1, at=chain[-1].at + 1 if chain else 0)
        else:
            yield Finding("missing", "the head that was noted is not here", anchor.seq, at=chain[0].at)


def _finding(kind: str, record: Record, why: str) -> Finding:
    return Finding(kind, f"verdict {record.seq} {why}", record.seq, record.id, _at(record), record.at)


def _at(record: Record) -> str:
    return f"{record.place[0]}:{record.place[1]}"


def collect(
    lines: Iterable[tuple[tuple[str, int], bytes]], only: str | None = None
) -> tuple[dict[str, Log], list[Finding]]:
    """Sort lines, in the order in which they were found, by station; what is no verdict is a finding.

    `only`: all are of this station's chain, whatever names they bear; it may have been renamed.
    """
    logs: dict[str, Log] = {}
    findings: list[Finding] = []
    for at, (place, line) in enumerate(lines):
        found = parse(line, place, at)
        if found is None:
            where = f"{place[0]}:{place[1]}"
            findings.append(Finding("unreadable", "a line that is no verdict", place=where, at=at))
            continue
        who, record, marks = found
        log = logs.setdefault(only or who, Log(only or who))
        if log.records and log.records[-1].hash == record.prev:
            record = record._replace(prev=log.records[-1].hash)  # one text for both: a long log must fit
        log.records.append(record)
        log.marks += [(mark, record) for mark in marks]
    return logs, findings
