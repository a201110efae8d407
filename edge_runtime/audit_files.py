"""`kenpin-edge audit`: reads a station's ledger and outbox, or logs, and says whether the chain in them is whole.

Nothing is written and the station's lock is not taken: a daemon may be at work meanwhile.
"""

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_runtime.audit import Audited, Finding, Log, audit, collect
from edge_runtime.chain import Head
from edge_runtime.damaged import ASIDE
from edge_runtime.errors import UsageError, remedy
from edge_runtime.outbox_file import State, Waiting
from edge_runtime.segment import LINE_BYTES, first_of
from edge_runtime.station import Station

BROKEN = 1
"""Exit status where something was found; 2 is a mistake of who asks."""
PROGRESS_S = 2.0
MOST_NAMED = 20
"""Lines that cannot be read are named one by one up to here: a file may be no log at all."""

Numbered = tuple[tuple[str, int], bytes]
"""A line, with its file and its number there."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line asks. `paths`: one STATION.toml, or logs. `head`: noted before."""

    paths: Sequence[Path]
    first: int | None = None
    last: int | None = None
    head: Head | None = None
    as_json: bool = False


def run_audit(question: Question) -> int:
    """Print what was found; the exit status: 0 where the chain is whole, 1 where it is not.

    Raises UsageError where there is nothing to read or the question does not fit, and StationError.
    """
    if question.first is not None and question.last is not None and question.first > question.last:
        raise UsageError(f"--first {question.first} comes after --last {question.last}; name the lower number first")
    stations = [path for path in question.paths if path.suffix == ".toml"]
    if stations and len(question.paths) > 1:
        raise UsageError(f"{stations[0]}: a station is audited alone; name it, or logs")
    notes: list[Finding] = []
    if stations:
        logs, findings, notes = _station(stations[0], question)
    else:
        logs, findings = collect(_counted(_files(question.paths)))
    if not logs and not findings:
        raise UsageError(f"{question.paths[0]}: holds no verdicts")
    if len(logs) != 1 and (question.head or question.first or question.last):
        raise UsageError("--first, --last and --head are of one station, and the log has several: " + ", ".join(logs))
    found = [
        audit(log, first=question.first, last=question.last, anchor=question.head) for _, log in sorted(logs.items())
    ]
    (_print_json if question.as_json else _print)(found, findings, notes)
    return BROKEN if findings or any(each.findings for each in found) else 0


def _station(path: Path, question: Question) -> tuple[dict[str, Log], list[Finding], list[Finding]]:
    """A station's verdicts from both copies, held against where its outbox says that the chain stands.

    Beside these, what was found, and what was once damaged and lies aside.
    """
    station = Station.read(path)
    _check_rights(station.data)
    # The outbox first: what leaves it while we read is in the ledger by then.
    rows, state, trouble = _outbox(station.data / "outbox.db")
    found = [(first, file) for file in (station.data / "ledger").glob("*.jsonl") if (first := first_of(file))]
    segments = sorted(found)
    begin = segments[0][0] if segments else 1
    needed = [
        file
        for index, (_, file) in enumerate(segments)
        if index + 1 == len(segments) or segments[index + 1][0] > (question.first or 0)
    ]
    name = str(station.data / "outbox.db")

    def lines() -> Iterator[Numbered]:
        yield from (((name, row.seq), row.json) for row in rows if row.seq < begin)
        yield from _files(needed, may_go=True)
        yield from (((name, row.seq), row.json) for row in rows if row.seq >= begin)

    who = f"{station.site}/{station.line}/{station.station}"
    logs, findings = collect(_counted(lines()), only=who)
    if trouble:
        findings.append(Finding("unreadable", f"the outbox cannot be read: {trouble}", place=name))
    if state and state.seq:
        log = logs.setdefault(who, Log(who))
        log.marks += [(mark, None) for mark in state.marks]
        log.anchors.append(state.head)
    notes = list(_set_aside(station.data))
    begins = min((record.seq for log in logs.values() for record in log.records), default=None)
    findings += [lost for note in notes if (lost := _gone_with(note, begins, question.first or 0))]
    return logs, findings, notes


def _check_rights(data: Path) -> None:
    """Raise UsageError where we may not look: SQLite does not say why it cannot, and a folder would seem empty."""
    try:
        for part in (data / "ledger", data / "outbox.db"):
            with suppress(FileNotFoundError):
                os.close(os.open(part, os.O_RDONLY))
    except PermissionError as error:
        how = remedy(error, "correct its rights")
        raise UsageError(f"{error.filename}: cannot be read ({error.strerror}); {how}") from error


def _set_aside(data: Path) -> Iterator[Finding]:
    """What was found damaged and is kept beside what was made anew. `seq`: of a whole segment, its first number."""
    for path in sorted((data / "ledger").glob("*.damaged-*")):
        segment = path.with_suffix(".jsonl")
        if segment.exists():
            why = f"was damaged in {segment.name}, cut out and kept; what the outbox still had of it is there again"
            yield Finding("damaged", why, place=str(path))
        else:
            why = "is a segment in which no verdict could be read; what the outbox still had of it is in the next one"
            yield Finding("damaged", why, first_of(segment), place=str(path))
    for path in sorted(data.glob(f"{ASIDE}*.db")):
        why = "is an outbox that was damaged; it was made anew from the ledger"
        yield Finding("damaged", why, place=str(path))


def _gone_with(note: Finding, begins: int | None, first: int) -> Finding | None:
    """The verdicts that a segment held which was set aside, where the log begins after them: no gap tells of those."""
    if note.seq is None or (begins is not None and begins <= max(note.seq, first)):
        return None
    span = f"verdicts from {note.seq} on" if begins is None else f"verdicts from {note.seq} on, before {begins},"
    why = f"{span} are not here: their segment was damaged; delete this file once that is settled"
    return Finding("missing", why, note.seq, place=note.place)


def _outbox(path: Path) -> tuple[list[Waiting], State | None, str]:
    """What waits, where the chain stands, and why that cannot be read, with what to do."""
    if not path.exists():
        return [], None, ""
    # Without a write-ahead log nobody is at work, and SQLite would make one only to look at it.
    log = path.with_name(path.name + "-wal")
    how = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as db:
            db.execute("BEGIN")  # rows and state of one moment
            state = State.from_json(db.execute("SELECT json FROM state").fetchone()[0])
            rows = db.execute("SELECT seq, CAST(json AS BLOB) FROM verdicts ORDER BY seq")
            return [Waiting(seq, bytes(json)) for seq, json in rows], state, ""
    except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
        return [], None, f"{error}; where it is damaged, the next start makes it anew from the ledger"


def _files(paths: Iterable[Path], *, may_go: bool = False) -> Iterator[Numbered]:
    """The lines of logs. A last one that is not ended is being written, unless it is whole. Raises UsageError."""
    for path in paths:
        try:
            with path.open("rb") as file:
                number = 0
                while line := file.readline(LINE_BYTES):
                    number += 1
                    if not line.endswith(b"\n") and len(line) < LINE_BYTES and not line.rstrip().endswith(b"}"):
                        break
                    if line.strip():
                        yield (str(path), number), line.removesuffix(b"\n")
        except FileNotFoundError as error:
            if not may_go:  # else: the daemon has just removed its oldest segment
                raise UsageError(f"{path}: is not there") from error
        except OSError as error:
            how = remedy(error, "name logs")
            raise UsageError(f"{path}: cannot be read ({error.strerror}); {how}") from error


def _counted(lines: Iterable[Numbered]) -> Iterator[Numbered]:
    """The same, with a word now and then to a person who waits."""
    said = time.monotonic()
    for count, line in enumerate(lines):
        if count % 1000 == 0 and time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            sys.stderr.write(f"kenpin-edge: {count} verdicts read, at {line[0][0]}\n")
        yield line


def _print(found: Sequence[Audited], findings: Sequence[Finding], notes: Sequence[Finding]) -> None:
    out = sys.stdout
    for note in notes:
        out.write(f"note: {note.place}: {note.why}\n")
    for finding in findings[:MOST_NAMED]:
        out.write(f"{finding.kind}: {finding.place}: {finding.why}\n")
    if len(findings) > MOST_NAMED:
        out.write(f"and {len(findings) - MOST_NAMED} more of that kind; --json names all\n")
    for each in found:
        shed = f", {each.shed} marked as shed" if each.shed else ""
        span = f"seq {each.first} to {each.head.seq}" if each.head else "none"
        state = "BROKEN" if each.findings else "IN DOUBT" if findings else "whole"  # it may have been one of its own
        out.write(f"{each.station}: {state}: {each.verdicts} verdicts, {span}{shed}\n")
        for index, finding in enumerate(each.findings):
            where = f"{finding.place}: " if finding.place else ""
            who = f" (id {finding.id})" if finding.id else ""
            out.write(f"  {'first: ' if index == 0 else ''}{finding.kind}: {where}{finding.why}{who}\n")
        if each.head:
            out.write(f"  head {each.head.seq}:{each.head.hash}\n")


def _print_json(found: Sequence[Audited], findings: Sequence[Finding], notes: Sequence[Finding]) -> None:
    def told(finding: Finding) -> dict[str, object]:
        return {name: fact for name, fact in asdict(finding).items() if fact is not None and name != "at"}

    stations = [
        {
            "station": each.station,
            "whole": not each.findings and not findings,
            "verdicts": each.verdicts,
            "shed": each.shed,
            "first": each.first,
            "head": each.head and {"seq": each.head.seq, "hash": each.head.hash},
            "findings": [told(finding) for finding in each.findings],
        }
        for each in found
    ]
    others = {"findings": [told(finding) for finding in findings], "notes": [told(note) for note in notes]}
    json.dump({"stations": stations} | others, sys.stdout)
    sys.stdout.write("\n")
