"""The outbox: verdicts on disk until the broker has acknowledged them.

One SQLite file, `outbox.db`, in the station's data folder, with a lock file beside it so that two daemons never share
one. WAL with synchronous FULL: a commit that returned is on the disk. AUTOINCREMENT and the `chain` table remember the
last number and the last hash when the last verdict is long delivered and gone.
"""

import fcntl
import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from edge_runtime.errors import OutboxError
from edge_runtime.verdict import Verdict

log = logging.getLogger(__name__)

GENESIS = "0" * 64
"""`prev` of the first verdict of a chain."""

MAX_BYTES = 256 * 1024 * 1024
"""About 200,000 verdicts of one region: nearly three hours at 20 a second, two weeks at 10 a minute."""

_PAGE_BYTES = 4096
_SCHEMA = """
CREATE TABLE IF NOT EXISTS verdicts (seq INTEGER PRIMARY KEY AUTOINCREMENT, json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chain (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), hash TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A verdict that the broker has not acknowledged yet. `json`: its bytes, as they are published."""

    seq: int
    json: bytes


class Outbox:
    """Verdicts in order, from decided to acknowledged. One object for all threads: the lock is inside.

    The outbox gives each verdict its place: `seq` counts from 1 without gaps, and `prev` is the SHA-256 (hex) of the
    JSON bytes of the verdict before, so that an altered, removed or inserted one shows.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        """Open or make the outbox in `folder`. Raises OutboxError where that cannot be, or another process has it.

        A damaged file is moved aside, never deleted, and a new chain begins.
        """
        self.path = folder / "outbox.db"
        self._max_pages = max(max_bytes // _PAGE_BYTES, 16)
        self._mutex = threading.Lock()
        self._last: tuple[int, str] | None = None  # seq and hash of the last verdict kept by this process
        self._lock_file = _lock(folder)
        try:
            self._db = self._open()
        except BaseException:
            self._lock_file.close()
            raise

    def append(self, verdict: Verdict) -> Verdict:
        """Keep a verdict, and return it with its `seq` and `prev`.

        When `append()` returns, the verdict survives a power cut and will be delivered at least once, in order. Raises
        OutboxError where the disk or the outbox is full: then nothing was kept.
        """
        with self._mutex:
            try:
                return self._append(verdict)
            except OutboxError as error:
                if not isinstance(error.__cause__, sqlite3.DatabaseError) or not _is_damage(error.__cause__):
                    raise
                self._db.close()
                self._move_aside(str(error.__cause__))
                self._db = self._open()
                return self._append(verdict)

    def waiting(self, *, after: int = 0, limit: int = 100) -> list[Waiting]:
        """The first `limit` verdicts with a `seq` above `after` that are not done, in order."""
        with self._mutex, self._explained():
            rows = self._db.execute("SELECT seq, json FROM verdicts WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
            return [Waiting(seq, bytes(json)) for seq, json in rows]

    def done(self, up_to: int) -> None:
        """Forget the verdicts up to and with `up_to`: the broker has them. Doing it twice is fine."""
        with self._mutex, self._explained(), self._transaction():
            self._db.execute("DELETE FROM verdicts WHERE seq <= ?", (up_to,))

    def count(self) -> int:
        """How many verdicts wait."""
        with self._mutex, self._explained():
            return int(self._db.execute("SELECT count(*) FROM verdicts").fetchone()[0])

    def close(self) -> None:
        """Close the file and let the next process in."""
        with self._mutex:
            self._db.close()
            self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, verdict: Verdict) -> Verdict:
        with self._explained(), self._transaction():
            last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'verdicts'").fetchone()
            head = self._db.execute("SELECT hash FROM chain").fetchone()
            # A file that was damaged and replaced while we ran is empty, but the chain goes on where it was.
            before, hash_before = (last[0], head[0]) if last and head else self._last or (0, GENESIS)
            seq = before + 1
            placed = verdict.model_copy(update={"seq": seq, "prev": hash_before})
            json = placed.to_json()
            self._db.execute("INSERT INTO verdicts (seq, json) VALUES (?, ?)", (seq, json))
            digest = hashlib.sha256(json).hexdigest()
            self._db.execute("INSERT OR REPLACE INTO chain (only_row, hash) VALUES (1, ?)", (digest,))
        self._last = (seq, digest)
        return placed

    def _open(self) -> sqlite3.Connection:
        """Connect, and prove the file sound; a damaged one is moved aside once."""
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise OutboxError(self.path, f"cannot be opened ({error}); check the disk and the rights") from error
            self._move_aside(str(error))
        with self._explained():
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA max_page_count = {self._max_pages}")
            db.execute(f"PRAGMA journal_size_limit = {16 * 1024 * 1024}")
            _check_sound(db)
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _move_aside(self, why: str) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        aside = self.path.with_name(f"outbox.damaged-{stamp}-{time.time_ns() % 10**9:09}.db")
        for ending in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + ending)
            if part.exists():
                part.replace(aside.with_name(aside.name + ending))
        next_seq = self._last[0] + 1 if self._last else 1
        log.error("%s: is damaged (%s); moved to %s, goes on at seq %d", self.path, why, aside.name, next_seq)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's error as ours, with what to do."""
        try:
            yield
        except sqlite3.Error as error:
            if "full" in str(error):
                bound = self._max_pages * _PAGE_BYTES // 1_000_000
                why = f"is full ({bound} MB, or the disk is); bring the broker back or free space, then start again"
            else:
                why = f"cannot keep verdicts ({error}); check the disk and the folder's rights"
            raise OutboxError(self.path, why) from error


_DAMAGE = "damaged"


def _check_sound(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(f"{_DAMAGE}: {found}")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is broken, rather than the disk full or the folder closed to us."""
    code = getattr(error, "sqlite_errorcode", None)
    broken = code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return broken or str(error).startswith(_DAMAGE)


def _lock(folder: Path) -> IO[str]:
    """Take the folder for this process. The lock ends with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise OutboxError(folder, f"cannot be written ({error.strerror}); set data to a folder that can") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read(20).strip() or "unknown"
        file.close()
        why = f"is in use by another kenpin-edge (process {owner}); stop it, or set data to a folder of its own"
        raise OutboxError(folder, why) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
