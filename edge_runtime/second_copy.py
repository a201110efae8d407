"""The outbox's second copy, in the ledger: written after each commit, on the disk before a row goes.

Where the ledger cannot be written, inspection goes on with one copy, and it catches up from the waiting rows.
"""

import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence

from edge_runtime import watermark
from edge_runtime.chain import Head
from edge_runtime.ledger import Ledger
from edge_runtime.outbox_file import Row, State, Waiting

log = logging.getLogger(__name__)

COPIED_AT_ONCE = 500

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
        self._complained = False

    def follow(self, rows: Sequence[Row], before: int, head: Head, done: int) -> None:
        """Copy what was just committed, and what is still due.

        `rows` begin after number `before` and end at `head`; segments with nothing above `done` may go for them.
        """
        if self.reached == before:
            try:
                self.ledger.append([row.json for row in rows], rows[0].seq, head)
            except OSError as error:
                log.debug("%s: %s", self.ledger.folder, error)  # tried again with room, below
            else:
                self.reached, self._complained = head.seq, False
                return
        self.catch_up(head.seq, done)

    def catch_up(self, up_to: int, done: int) -> None:
        """Copy the waiting verdicts up to a number that the ledger lacks, as far as it can be written."""
        try:
            self._catch_up(up_to, done)
            self._complained = False
        except (OSError, sqlite3.Error) as error:  # the outbox's own next step sees to a damage of it
            self.complain(error)

    def secure(self, up_to: int, done: int, *, room: bool) -> None:
        """Have all up to a number in the ledger and on the disk, as these rows are about to go; `done` went before.

        Where there is no `room`, or none even after the oldest segments have gone, the ledger begins anew after
        `up_to`: the broker has those.
        """
        if self.reached < up_to and not room:
            self.complain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            self._begin_after(up_to)
            return
        try:
            for _ in range(2):
                try:
                    self._catch_up(up_to, done)
                    self.ledger.sync()
                except FileNotFoundError as error:  # somebody deleted what we write to
                    self.complain(error)
                    self.ledger.reopen()
                    self.reached = self.ledger.last.seq if self.ledger.last else 0
                else:
                    return
        except OSError as error:
            self.complain(error)
            if self.reached < up_to:
                self._begin_after(up_to)

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

    def _begin_after(self, up_to: int) -> None:
        self.ledger.drop_all()
        self.reached = up_to

    def _catch_up(self, up_to: int, done: int) -> None:
        """Raises OSError; where there is no room, only after the segments with nothing above `done` have gone."""
        if self.reached >= up_to:
            return
        while rows := self._rows(self.reached, up_to, COPIED_AT_ONCE):
            last = rows[-1]
            try:
                self.ledger.append([row.json for row in rows], rows[0].seq, Head.of(last.seq, last.json))
            except OSError:
                if not self.ledger.drop_oldest(done + 1):
                    raise
            else:
                self.reached = last.seq
        self.reached = up_to  # what lies between was shed
