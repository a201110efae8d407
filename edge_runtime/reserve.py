"""Room on the disk that is set aside, to be given up when verdicts need it."""

import errno
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

ROOM = 4
"""The reserve is made where this many times its size is free: it must not itself be what fills the disk."""


class Reserve:
    """A file of `size` bytes that says nothing. `given_up`: it is not there, so the disk is nearly full."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        self.given_up = False
        self.make()

    def make(self) -> bool:
        """Set the room aside, where it is free; whether it now is."""
        try:
            there = self._path.exists() and self._path.stat().st_size >= self._size
            if not there and free_bytes(self._path.parent) < ROOM * self._size:
                self.given_up = True
                return False
            if not there:
                with self._path.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError as error:
            log.warning("%s: cannot be set aside (%s)", self._path, error.strerror)
            self.given_up = error.errno == errno.ENOSPC
            return False
        if self.given_up:
            log.info("%s: there is room again", self._path)
        self.given_up = False
        return True

    def give_up(self) -> bool:
        """Give the room to whoever needs it; whether there was any to give."""
        self.given_up = True
        try:
            self._path.unlink()
        except OSError:
            return False
        log.error("%s: the disk is full; %d bytes set aside are given up, free space now", self._path, self._size)
        return True


def free_bytes(folder: Path) -> int:
    """How many bytes may still be written to the disk that `folder` is on. Raises OSError."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
