"""The outbox's second copy, in the ledger: written after each commit, on the disk before a row goes.

Where the ledger cannot be written, inspection goes on with one copy, and it catches up from the rows. Segments are
deleted for want of room only: after any other error a new one is begun, and those that are there stay.
"""

import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress

from edge_runtime import watermark
from edge_runtime.chain import Head, digest
from edge_runtime.ledger import Ledger
from edge_runtime.outbox_file import Row, State, Waiting
from edge_runtime.segment import no_room

log = logging.getLogger(__name__)

COPIED_AT_ONCE = 500
HELD = 1000
"""Verdicts that stay in the outbox, acknowledged as they are, while the ledger cannot be written: enough that a fault
which somebody mends in a minute leaves no hole, and no more than may be sent twice after a restart."""

Rows = Callable[[int, int, int], list[Waiting]]
"""Waiting rows: after a number, up to a number, so many."""


class SecondCopy:
    """A ledger that follows the outbox. Not for two threads at once: the outbox's lock guards it.

    `reached`: up to this number all verdicts are in the ledger, unless they were shed before they were copied.
    """

    def __init__(self, ledger: Ledger, rows: Rows) -> None:
        self.ledger = ledger
        self.reached = ledger.last.seq if ledger.last else 0
        self._rows = rows
        self._complained = self._skips = False

    def fit(self, state: State) -> None:
        """At the start: cut off an end of the ledger that is not what the outbox has, to be copied anew.

        Raises OSError.
        """
        if self.ledger.last and self.ledger.last.seq > state.seq:
            self.ledger.cut_above(state.seq)
        if self.ledger.last and self._has_another(self.ledger.last):
            self.ledger.cut_above(self.ledger.last.seq - 1)
        last = self.ledger.last
        self.reached = min(last.seq, max(self.ledger.synced, state.done)) if last else 0
        if last and last.seq == state.seq and last.hash != state.hash:  # and it was delivered: nobody has it anew
            log.error("%s: verdict %d is not what was kept; see kenpin-edge audit", self.ledger.folder, last.seq)

    def follow(self, rows: Sequence[Row], before: int, head: Head, done: int) -> None:
        """Copy what was just committed, and what is still due.

        `rows` begin after number `before` and end at `head`; segments with nothing above `done` may go for them.
        """
        if self.reached == before:
            try:
                self.ledger.append([row.json for row in rows], rows[0].seq, head)
            except OSError as error:
                if not no_room(error):  # else tried again with room, below
                    self.complain(error)
                    self._turn_over(error)
            else:
                self.reached, self._complained = head.seq, False
                return
        self.catch_up(head.seq, done)

    def catch_up(self, up_to: int, done: int) -> None:
        """Copy the waiting verdicts up to a number that the ledger lacks, as far as it can be written."""
        try:
            if self._failed(lambda: self._catch_up(up_to, done)) is None:
                self._complained = False
        except sqlite3.Error as error:  # the outbox's own next step sees to a damage of it
            self.complain(error)

    def secure(self, up_to: int, done: int, *, room: bool) -> int:
        """Have all up to a number in the ledger and on the disk, as these rows are to go; `done` went before.

        Returns up to which number they may. Where there is no `room`, or none even after the oldest segments have gone,
        that is all, and the ledger begins anew after `up_to`: the broker has those. Where it cannot be written for any
        other reason, the newest `HELD` stay.
        """
        if self.reached < up_to and not room:
            self.complain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            self._begin_after(up_to)
            return up_to
        error = self._failed(lambda: self._secure(up_to, done))
        if error is None:
            return up_to
        if no_room(error):
            if self.reached < up_to:
                self._begin_after(up_to)
            return up_to
        self.skip(up_to - HELD)
        return min(self.reached, up_to)

    def skip(self, up_to: int) -> None:
        """Let verdicts up to a number go without a copy: a hole in the ledger, which `audit` names."""
        if self.reached < up_to:
            if not self._skips:
                log.error("%s: delivered verdicts go without a copy, from %d on", self.ledger.folder, self.reached + 1)
            self.reached, self._skips = up_to, True

    def note(self, state: State) -> None:
        """Put the outbox's state beside the ledger."""
        try:
            watermark.write(self.ledger.folder, state)
        except OSError as error:
            self.complain(error)

    def complain(self, error: Exception) -> None:
        """One line, until the ledger can be written again."""
        if not self._complained:
            self._complained = True
            why = (error.strerror if isinstance(error, OSError) else None) or error
            log.error("%s: the ledger cannot be written (%s); inspection goes on", self.ledger.folder, why)

    def _failed(self, work: Callable[[], None]) -> OSError | None:
        """Do `work`, and once more in a new segment where it fails for other reasons than room; why it failed then."""
        failed = None
        for _ in range(2):
            try:
                work()
            except OSError as error:
                self.complain(error)
                failed = error
                if no_room(error):
                    break
                self._turn_over(error)
            else:
                self._skips = False
                return None
        return failed

    def _turn_over(self, error: OSError) -> None:
        """After an error: the next verdicts go into a new segment, and before them those that may be lost with this."""
        if isinstance(error, FileNotFoundError):  # somebody deleted what we write to
            with suppress(OSError):  # it is met again
                self.ledger.reopen()
                self.reached = self.ledger.synced
                return
        self.ledger.break_off()
        self.reached = min(self.reached, self.ledger.synced)

    def _has_another(self, head: Head) -> bool:
        """Whether a verdict with that number waits, and is not that one."""
        try:
            kept = self._rows(head.seq - 1, head.seq, 1)
        except sqlite3.Error:  # the outbox's own next step sees to a damage of it
            return False
        return bool(kept) and digest(kept[0].json) != head.hash

    def _begin_after(self, up_to: int) -> None:
        self.ledger.drop_all()
        self.reached = up_to

    def _secure(self, up_to: int, done: int) -> None:
        self._catch_up(up_to, done)
        try:
            self.ledger.sync()
        except OSError:  # what that leaves in doubt is written once more, also where it was for want of room
            self.reached = min(self.reached, max(self.ledger.synced, done))
            raise

    def _catch_up(self, up_to: int, done: int) -> None:
        """Raises OSError; where there is no room, only after the segments with nothing above `done` have gone."""
        while self.reached < up_to and (rows := self._rows(self.reached, up_to, COPIED_AT_ONCE)):
            last = rows[-1]
            try:
                self.ledger.append([row.json for row in rows], rows[0].seq, Head.of(last.seq, last.json))
            except OSError as error:
                if not no_room(error) or not self.ledger.drop_oldest(done + 1):
                    raise
            else:
                self.reached = last.seq
        self.reached = max(self.reached, up_to)  # what lies between was shed
