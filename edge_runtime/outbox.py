"""The outbox: verdicts on disk until the broker has acknowledged them, and in the ledger beside it for longer.

`outbox.db` holds what waits; the ledger holds every verdict's bytes, also of those delivered, until their age or size
is reached. A verdict is committed to the one, then written to the other; the ledger is on the disk before a row goes.
So each is at all times in one of them, nearly always in both, and either is made anew from the other. A lock file
beside them keeps a second daemon out. What goes first where there is no room: docs/ledger.md.
"""

import logging
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from edge_runtime import damaged, watermark
from edge_runtime.chain import Head, place
from edge_runtime.errors import OutboxError, remedy
from edge_runtime.ledger import Ledger
from edge_runtime.lock import lock_folder
from edge_runtime.outbox_file import (
    REQUESTS,
    Answer,
    OutboxFile,
    Row,
    State,
    Waiting,
    is_damage,
    is_full,
    refusal,
)
from edge_runtime.rebuild import GoesOn, answers, rebuilt
from edge_runtime.reserve import Reserve, free_bytes
from edge_runtime.room import GiveUp, Room
from edge_runtime.second_copy import SecondCopy
from edge_runtime.shedding import CARRIED, choose, pending
from edge_runtime.uptime import moment
from edge_runtime.verdict import Call, Verdict

log = logging.getLogger(__name__)

SHED_AT_ONCE = 100
"""Rows: enough that shedding is rare, few enough that little is lost for a burst."""
SHED_TRIES = 20
"""Batches for one commit. Where so many make no room, it is not verdicts that fill the disk, and none more are lost."""
OK_TRIES = 5
"""Batches of OK verdicts for one commit: where NG ones lie between them in so many, these make no room."""
NOTED_S = 10.0
"""How stale the watermark beside the ledger may be: it costs two syncs, and its loss duplicates, nothing more."""
_T = TypeVar("_T")
AT_ONCE = 500
"""Rows of a file that is made anew in one commit: on a full disk the log must not take what the rows need."""
OnShed = Callable[[int, int, int], None]
"""How many verdicts were given up, and the first and the last of their numbers."""
OnDamage = Callable[[str, str], None]
"""What is wrong with the file, and the name under which it now lies beside."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept. `age_s`: of the ledger's days by the clock; of waiting verdicts in seconds of operation."""

    outbox_bytes: int = 256 * 1024 * 1024  # 200,000 verdicts of one region: 3 hours at 20 a second, 2 weeks at 10/min
    ledger_bytes: int = 512 * 1024 * 1024
    age_s: float = 90 * 86_400.0
    reserve_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of every verdict. `waiting` is counted, the others are kept with each commit."""

    verdicts: int
    acknowledged: int
    shed: int
    waiting: int

    @property
    def balanced(self) -> bool:
        """Whether none is missing and none is too many."""
        return self.verdicts == self.acknowledged + self.waiting + self.shed


@dataclass(frozen=True, slots=True)
class Entry:
    """A verdict to keep. `request`: the key of the request that it answers: its answer until another."""

    verdict: Verdict
    request: str | None = None


class Outbox:
    """Verdicts in order, from decided to acknowledged. One object for all threads: the lock is inside.

    The outbox gives each verdict its place: `seq` counts from 1 without gaps, and `prev` is the SHA-256 (hex) of the
    JSON bytes of the verdict before, so that an altered, removed or inserted one shows.

    `on_shed` and `on_damage` are called without the lock, in the thread that found no room or the damage.

    `went_on`: when (`clock`) a part of making it anew was done last, which others wait for.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bounds: Bounds = Bounds(),
        on_shed: OnShed = lambda _count, _first, _last: None,
        on_damage: OnDamage = lambda _why, _moved_to: None,
        give_up: GiveUp = lambda _count: 0,
        goes_on: GoesOn = lambda _what: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open or make the outbox in `folder`. Raises OutboxError where that cannot be, or another process has it.

        A damaged file is moved aside, and made anew from the ledger. `on_shed` and `on_damage`: told
        without the lock, and not before the first call. `give_up`: deletes so many bytes of what is worth less than any
        verdict from the same disk, and returns how many those were; called with the lock. `goes_on`: told as the file
        is made anew, which may take a minute in which all others wait; called with the lock. `clock` counts seconds,
        `now` is Unix time.
        """
        self.path = folder / "outbox.db"
        self._bounds, self._clock = bounds, clock
        self._on_shed, self._on_damage, self._goes_on = on_shed, on_damage, goes_on
        self.went_on = -math.inf
        self._mutex = threading.Lock()
        self._alarms: deque[Callable[[], None]] = deque()
        self._delivered = 0  # up to this number the broker has them; some may wait for their second copy
        self._unfinished = False  # a file that is being made anew and is not whole yet
        self._known: State | None = None  # where it stood, as far as is known, while that is so
        self._lock_file = lock_folder(folder)
        with ExitStack() as opened:
            opened.callback(self._lock_file.close)
            with self._explained():
                self._reserve = Reserve(folder / "reserve", bounds.reserve_bytes)
                ledger = Ledger(folder / "ledger", max_bytes=bounds.ledger_bytes, max_age_s=bounds.age_s, now=now)
                opened.callback(ledger.close)
                self._copy = SecondCopy(ledger, self._rows)
                self._room = Room(folder, ledger, self._reserve, give_up)
                self._file, was_damaged = self._open()
                opened.callback(lambda: self._file.close())  # noqa: PLW0108  # the one that there is then
                self._state = self._file.state()
                self._opened = clock() - self._state.service_s
                self._agree(was_damaged=was_damaged)
                self._note()
            opened.pop_all()

    def append(self, verdict: Verdict, *, request: str | None = None) -> Verdict:
        """Keep a verdict, and return it with its `seq` and `prev`.

        When `append()` returns, the verdict survives a power cut and will be delivered at least once, in order. Raises
        OutboxError where the disk is full and nothing more may go to make room: then nothing was kept.
        """
        return self.append_all([Entry(verdict, request)])[0]

    def append_all(self, entries: Sequence[Entry]) -> list[Verdict]:
        """Keep several in one commit: all of them or none. Otherwise as `append`."""
        with self._held():
            return self._with_room(lambda: self._append(entries), shed=True)

    def answered(self, request: str) -> Answer | None:
        """The verdict that this request was given, if it is among the last thousand."""
        with self._held():
            return self._healed(lambda: self._file.answered(request))

    def forget_answer(self, request: str) -> None:
        """Forget what this request was answered: it is asked anew. On the disk when this returns."""
        with self._held():
            self._with_room(lambda: self._file.forget(request), shed=False)

    def waiting(self, *, after: int = 0, limit: int = 100) -> list[Waiting]:
        """The first `limit` verdicts with a `seq` above `after` that are not done, in order."""
        with self._held():
            return self._healed(lambda: self._file.rows(after, self._state.seq, limit))

    def done(self, up_to: int) -> None:
        """Forget the verdicts up to and with `up_to`: the broker has them. Doing it twice is fine.

        Where the ledger cannot be written, and not for want of room, the last of them wait until it can.
        """
        with self._held():
            up_to = min(up_to, self._state.seq)
            if up_to <= self._state.done:
                return
            self._delivered = max(self._delivered, up_to)
            room = self._room.make_for_copies(self._state.done + 1)
            sure = self._healed(lambda: self._copy.secure(up_to, self._state.done, room=room))
            if sure > self._state.done:
                self._with_room(lambda: self._forget(sure), shed=False)
            if self._clock() - self._noted_at >= NOTED_S:
                self._note()

    def count(self) -> int:
        """How many verdicts wait."""
        with self._held():
            return self._healed(self._count)

    def balance(self) -> Balance:
        """What became of every verdict, as of one moment."""
        with self._held():
            waiting = self._healed(self._count)
            return Balance(self._state.seq, self._state.acknowledged, self._state.shed, waiting)

    def tidy(self) -> None:
        """Do what is due and no verdict should wait for: to be called after verdicts were kept."""
        with self._mutex:
            self._file.tidy()

    def head(self) -> Head:
        """The end of the chain: noted elsewhere, it proves later that nothing up to it was rewritten."""
        with self._mutex:
            return self._state.head

    def close(self) -> None:
        """Close the files and let the next process in."""
        with self._mutex:
            self._note()
            self._copy.ledger.close()
            self._file.close()
            self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Of the file that there is when they are asked: it may have been made anew.

    def _count(self) -> int:
        return self._file.count()

    def _rows(self, after: int, up_to: int, limit: int) -> list[Waiting]:
        return self._file.rows(after, up_to, limit)

    def _append(self, entries: Sequence[Entry]) -> list[Verdict]:
        service_s = int(self._clock() - self._opened)
        if service_s != self._state.service_s:  # a second has gone by
            self._shed_aged()
        head, marks = self._state.head, self._state.marks
        placed, rows = [], []
        with self._file.transaction():
            for entry in entries:
                verdict, json, head = place(entry.verdict, head, marks[:CARRIED])
                marks = marks[CARRIED:]
                placed.append(verdict)
                rows.append(Row(head.seq, json, head.hash, verdict.verdict is not Call.OK, service_s))
                if entry.request is not None:
                    self._file.remember(entry.request, head.seq, json, at=moment())
            self._file.insert(rows)
            state = replace(self._state, seq=head.seq, hash=head.hash, service_s=service_s, marks=marks)
            self._file.set_state(state)
        before, self._state = self._state.seq, state
        if self._reserve.given_up and self._reserve.make():
            self._file.grow_within(None)
        if rows and not self._reserve.given_up:  # else the room is for those that have no copy yet
            self._copy.follow(rows, before, head, state.done)
        return placed

    def _forget(self, up_to: int) -> None:
        with self._file.transaction():
            gone = self._file.delete_up_to(up_to)
            state = replace(self._state, done=up_to, acknowledged=self._state.acknowledged + gone)
            self._file.set_state(state)
        self._state = state

    def _agree(self, *, was_damaged: bool) -> None:
        """Bring outbox and ledger to the same end, at the start."""
        ledger, state = self._copy.ledger, self._state
        noted = watermark.read(ledger.folder)
        goes_on = ledger.last and ledger.last.seq > state.seq and (state.seq == 0 or ledger.goes_on_from(state.head))
        if goes_on or (ledger.last is None and noted and noted.seq > state.seq == 0):
            if not was_damaged:  # the ledger is written after the outbox: that one was lost
                log.error("%s: ends before its ledger does; it is made anew from that", self.path)
            self._unfinished, self._known = True, noted or (state if state.seq else None)
            self._with_room(lambda: None, shed=False)
            return
        if ledger.last is None and was_damaged:
            log.error("%s: a new chain begins at seq 1: the ledger has nothing to make it anew from", self.path)
        self._copy.fit(state)
        if self._copy.reached < self._state.done:
            lost = f"{self._copy.reached + 1} to {self._state.done}"
            log.error("%s: lacks verdicts %s, which were delivered", self._copy.ledger.folder, lost)
        self._file.delete_above(self._state.seq)
        if not self._reserve.given_up:
            self._copy.catch_up(self._state.seq, self._state.done)

    def _rebuild(self) -> None:
        """Fill an empty outbox from the ledger, and from what is known of where it stood.

        In parts, so that each is done soon; the state comes with the last. Where a kill comes before it, the file ends
        before its ledger does, and the next start begins anew.
        """
        new, rows, lost = rebuilt(self._copy.ledger, self._known, self._bounds.outbox_bytes, self._go_on)
        self._file.grow_freely()  # what fitted once must not be refused for a few pages more
        while self._file.clear(AT_ONCE):
            pass
        for begin in range(0, len(rows), AT_ONCE):
            with self._file.transaction():
                self._file.insert(rows[begin : begin + AT_ONCE])
            written = min(begin + AT_ONCE, len(rows))
            self._go_on(f"the outbox is made anew: {written} of {len(rows)} verdicts are written")
        with self._file.transaction():
            for key, seq, json in answers(self._copy.ledger, after=new.seq - REQUESTS):
                self._file.remember(key, seq, json)
            self._file.set_state(new)
        self._file.grow_within(None)
        self._state, self._unfinished = new, False
        self._copy.reached = new.seq
        self._opened = min(self._opened, self._clock() - new.service_s)
        log.error("%s: made anew from the ledger up to seq %d; %d verdicts wait", self.path, new.seq, len(rows))
        for first, last in lost:
            self._alarms.append(partial(self._on_shed, last - first + 1, first, last))

    def _go_on(self, what: str) -> None:
        self.went_on = self._clock()
        self._goes_on(what)

    def _note(self) -> None:
        self._noted_at = self._clock()
        self._copy.note(self._state)

    # Damage and want of room.

    def _open(self) -> tuple[OutboxFile, bool]:
        """Connect, and prove the file sound; a damaged one is moved aside once. The file, and whether that was so."""
        try:
            return self._connected(), False
        except sqlite3.NotSupportedError as error:
            raise OutboxError(self.path, f"{error}; install that one again") from error
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise  # to who explains it
            self._move_aside(str(error))
        with self._explained():
            return self._connected(), True

    def _connected(self) -> OutboxFile:
        """The file, which takes 32 KiB for SQLite's index of the log: on a full disk room is made for that."""
        while True:
            try:
                return OutboxFile(self.path, self._bounds.outbox_bytes)
            except sqlite3.DatabaseError as error:
                known = watermark.read(self._copy.ledger.folder)  # of what waits, no more is known yet
                if not is_full(error) or not self._room.make(known.done + 1 if known else 0):
                    raise

    def _move_aside(self, why: str) -> None:
        aside = damaged.move_aside(self.path)
        why = " ".join(why.split())
        log.error("%s: is damaged (%s); moved to %s", self.path, why, aside)
        self._alarms.append(partial(self._on_damage, why, aside))

    def _healed(self, work: Callable[[], _T]) -> _T:
        """Do `work`; where the file turns out damaged, make it anew and do it once more."""
        try:
            if self._unfinished:
                self._rebuild()
            return work()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._file.close()
            self._move_aside(str(error))
        if not self._unfinished:  # else what was known is known still, and the state is that of an empty file
            self._unfinished, self._known = True, self._state
        with self._explained():
            self._file, _ = self._open()
        self._rebuild()
        return work()

    def _with_room(self, work: Callable[[], _T], *, shed: bool) -> _T:
        """Do `work`, and make room while it finds none: by verdicts given up only if `shed`."""
        tries = 0
        while True:
            try:
                return self._healed(work)
            except sqlite3.DatabaseError as error:
                if not is_full(error):
                    raise
                if self._file.grow_within(free_bytes(self.path.parent)):
                    continue  # it was held back, and somebody has made room since
                if self._unfinished or not self._file.is_at_bound():
                    made = self._make_room()
                    self._file.reuse_log()
                    self._file.grow_within(free_bytes(self.path.parent))
                    if made:
                        continue
                tries += 1
                if not shed or self._unfinished or tries > SHED_TRIES or not self._shed_some(in_turn=tries > OK_TRIES):
                    raise

    def _make_room(self) -> bool:
        """Free some of the disk without losing a verdict that waits; whether there was anything to free."""
        if self._unfinished:  # what waits is in the ledger alone
            return self._room.make(self._known.done + 1 if self._known else 0)
        oldest = self._file.oldest()
        return self._room.make(oldest[0] if oldest else self._state.seq + 1) or self._room.take_copies()

    def _shed_some(self, *, in_turn: bool = False) -> bool:
        """Give up what was delivered and has no second copy, or a batch that waits; whether there was any.

        OK ones first; or `in_turn`, the oldest, also where OK ones make no room: SQLite gives a page back when all rows
        on it have gone.
        """
        if self._delivered > self._state.done:
            self._copy.skip(self._delivered)
            self._forget(self._delivered)
        elif in_turn or not self._shed_ok():
            if not (rows := choose(self._file.rows(0, self._state.seq, SHED_AT_ONCE))):
                return False
            self._shed(rows, "verdicts, the oldest, for want of room")
        self._file.reuse_log()
        return True

    def _shed_ok(self) -> bool:
        """Give up OK verdicts; whether there were any, and room for the marks that say so."""
        if not (rows := choose(self._file.first_to_go(SHED_AT_ONCE))):
            return False
        try:
            self._shed(rows, "OK verdicts, for want of room")
        except sqlite3.DatabaseError as error:
            if not is_full(error):
                raise
            return False
        return True

    def _shed_aged(self) -> None:
        limit = int(self._clock() - self._opened - self._bounds.age_s)
        if (oldest := self._file.oldest()) and oldest[1] < limit and oldest[0] > self._delivered:
            self._shed(choose(self._file.older_than(limit, SHED_AT_ONCE)), "verdicts, for their age")

    def _shed(self, rows: Sequence[Waiting], what: str) -> None:
        """Give up `rows`: counted, marked for the chain, told."""
        marks, all_said = pending(self._state.marks, rows)
        with self._file.transaction():
            self._file.delete(rows)
            state = replace(self._state, shed=self._state.shed + len(rows), marks=tuple(marks))
            self._file.set_state(state)
        self._state = state
        self._note()
        if not all_said:
            log.error("%s: what verdicts that are given up said of earlier ones is not said again", self.path)
        first, last = rows[0].seq, rows[-1].seq
        log.error("%s: %d undelivered %s are given up (seq %d to %d)", self.path, len(rows), what, first, last)
        self._alarms.append(partial(self._on_shed, len(rows), first, last))

    @contextmanager
    def _held(self) -> Iterator[None]:
        """With the lock; what was shed or damaged meanwhile is told without it."""
        try:
            with self._mutex, self._explained():
                yield
        finally:
            self._tell_alarms()

    def _tell_alarms(self) -> None:
        while True:
            try:
                alarm = self._alarms.popleft()
            except IndexError:  # also where another thread has just told the last one
                return
            alarm()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's error as ours, with what to do."""
        try:
            yield
        except sqlite3.Error as error:
            if is_full(error):
                bound = self._bounds.outbox_bytes // 1_000_000
                why = f"is full ({bound} MB, or the disk is); bring the broker back or free space, then start again"
            elif (refused := refusal(self.path)) is not None:
                why = f"cannot keep verdicts ({error}); {remedy(refused, 'correct its rights')}"
                raise OutboxError(self.path, why).due_to(refused) from error
            else:
                why = f"cannot keep verdicts ({error}); check the disk and the folder's rights"
            raise OutboxError(self.path, why) from error
        except OSError as error:
            where, how = error.filename or self.path, remedy(error, "check the disk and the rights")
            raise OutboxError(where, f"cannot be used ({error.strerror}); {how}").due_to(error) from error
