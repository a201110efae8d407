"""What gives way on a full disk before a verdict does. The order, with what goes last, stands in `docs/ledger.md`."""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge_runtime import damaged
from edge_runtime.ledger import Ledger
from edge_runtime.outbox_file import LOG_BYTES
from edge_runtime.reserve import Reserve, free_bytes

log = logging.getLogger(__name__)

PICTURES_AT_ONCE = 16 * 1024 * 1024
"""Bytes of pictures that go where verdicts have no room: enough for thousands of these."""

GiveUp = Callable[[int], int]
"""Deletes so many bytes of pictures, and returns how many those were."""


class Room:
    """Makes room for the outbox in `folder`. Asked with the outbox's lock. Raises OSError where the disk fails."""

    def __init__(self, folder: Path, ledger: Ledger, reserve: Reserve, give_up: GiveUp) -> None:
        self._folder, self._ledger, self._reserve, self._give_up = folder, ledger, reserve, give_up

    def make(self, waiting: int) -> bool:
        """Free some of it, without touching a copy of a verdict from number `waiting` on; whether there was any."""
        with suppress(OSError):  # it stays, and something else goes
            if name := damaged.drop_oldest(self._folder):
                log.error("%s: the disk is full; the damaged %s goes", self._folder, name)
                return True
        if freed := self._give_up(PICTURES_AT_ONCE):
            log.error("%s: the disk is full; %.1f MB of evidence pictures go", self._folder, freed / 1e6)
            return True
        return self._ledger.drop_oldest(waiting) or self._reserve.give_up()

    def make_for_copies(self, waiting: int) -> bool:
        """Whether what was delivered can get its second copy; what is worth less than that goes for it."""
        while self._reserve.given_up and free_bytes(self._folder) <= LOG_BYTES:
            if not self.make(waiting):
                return False
        return True

    def take_copies(self) -> bool:
        """Free some of the second copies of what waits in the outbox; whether there were any."""
        if self._ledger.drop_oldest() or self._ledger.drop_all():
            log.error("%s: the disk is full; second copies of waiting verdicts go", self._ledger.folder)
            return True
        return False
