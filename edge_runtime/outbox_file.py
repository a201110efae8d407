"""`outbox.db`: what SQLite keeps of the outbox. WAL with synchronous FULL: a commit that returned is on the disk.

Knows rows and their bounds in pages; what they mean is `outbox.py`'s. All methods raise sqlite3's errors.
"""

import errno
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.chain import GENESIS, Head, digest
from edge_runtime.uptime import age_s
from edge_runtime.verdict import Shed

VERSION = 3
"""`PRAGMA user_version`; the first files have 0."""
REQUESTS = 1000
"""Answers to requests that are remembered: a broker delivers again what was in flight, a robot has one or a few."""
_PAGE_BYTES = 4096
_LOG_PAGES = 256
"""The write-ahead log goes into the file after so many pages: rarely enough, and on a full disk it is room that is
needed before any can be made."""
_TIDY_COMMITS = 40
"""After so many commits of about four pages each the log is written into the file before a commit has to do it."""
_BUSY_MS = 5000
"""How long somebody else may write to the file, which nobody should."""
LOG_BYTES = 2 * _LOG_PAGES * _PAGE_BYTES
"""Room for the log, with a large commit on top."""
_DAMAGE = "damaged"

# `hash`: of the JSON; SQLite sees that a page is damaged, not that its contents are. `bad`: NG or ERROR, which go last.
# `kept_s`: the station's own seconds (see State.service_s) when it was kept. The index finds what goes first, and lets
# SQLite count rows without reading them.
_SCHEMA = """
CREATE TABLE verdicts (
  seq INTEGER PRIMARY KEY, json BLOB NOT NULL, bad INTEGER NOT NULL DEFAULT 1, kept_s INTEGER NOT NULL DEFAULT 0,
  hash TEXT);
"""
_SCHEMA_OF_BOTH = """
CREATE INDEX verdicts_bad ON verdicts (bad);
CREATE TABLE state (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), json TEXT NOT NULL);
CREATE TABLE requests (key TEXT PRIMARY KEY, seq INTEGER NOT NULL, json BLOB NOT NULL, at TEXT NOT NULL DEFAULT '');
CREATE INDEX requests_seq ON requests (seq);
"""
# What an older kenpin kept counts as bad: it stays longest, and no row has to be rewritten.
_FROM_FIRST = """
ALTER TABLE verdicts ADD COLUMN bad INTEGER NOT NULL DEFAULT 1;
ALTER TABLE verdicts ADD COLUMN kept_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE verdicts ADD COLUMN hash TEXT;
"""
_FROM_SECOND = "ALTER TABLE requests ADD COLUMN at TEXT NOT NULL DEFAULT ''"


@dataclass(frozen=True, slots=True)
class State:
    """Where the outbox stands. `seq`, `hash`: the last verdict ever kept. `done`: all up to this number are done.

    `acknowledged`, `shed`: how many ever. `service_s`: seconds that this outbox has been open, in all its life: age is
    measured in these, because the clock of a line PC may be set. `marks`: what was shed and the chain does not say yet.
    """

    seq: int = 0
    hash: str = GENESIS
    done: int = 0
    acknowledged: int = 0
    shed: int = 0
    service_s: int = 0
    marks: tuple[Shed, ...] = ()

    @property
    def head(self) -> Head:
        """The end of the chain."""
        return Head(self.seq, self.hash)

    def to_json(self) -> str:
        """As it is kept in the file, and beside the ledger."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(values | {"marks": [mark.model_dump() for mark in self.marks]})

    @classmethod
    def from_json(cls, text: str) -> "State":
        """What `to_json` wrote. Raises ValueError or TypeError."""
        values = json.loads(text)
        marks = tuple(Shed.model_validate(mark) for mark in values.pop("marks"))
        state = cls(**values, marks=marks)
        numbers = (state.seq, state.done, state.acknowledged, state.shed, state.service_s)
        if not all(type(number) is int and number >= 0 for number in numbers) or not isinstance(state.hash, str):
            raise ValueError("is no state of an outbox")
        return state


@dataclass(frozen=True, slots=True)
class Waiting:
    """A verdict that the broker has not acknowledged yet. `json`: its bytes, as they are published."""

    seq: int
    json: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered. `age_s`: seconds since then; None where that is unknown."""

    json: bytes
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A verdict to be kept."""

    seq: int
    json: bytes
    hash: str
    bad: bool
    kept_s: int


class OutboxFile:
    """The open file. Not for two threads at once: the outbox's lock guards it."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open or make it, prove it sound and bring it up to date."""
        self.max_pages = max(max_bytes // _PAGE_BYTES, 32)
        self.db = sqlite3.connect(path, _BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        self._commits = 0  # since the log was tidied
        try:
            self.db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = FULL")
            self.db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")  # what is written over is not given back
            self.db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            _check_sound(self.db)
            self._migrate()
            self.grow_within(None)
        except BaseException:
            self.db.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; on the disk when it has ended well."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
            self._commits += 1
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def state(self) -> State:
        """What was set last."""
        found = self.db.execute("SELECT json FROM state").fetchone()
        try:
            return State.from_json(found[0])
        except (ValueError, TypeError, KeyError) as error:
            raise sqlite3.DatabaseError(f"{_DAMAGE}: state: {error}") from error

    def set_state(self, state: State) -> None:
        """Within a transaction."""
        self.db.execute("INSERT OR REPLACE INTO state (only_row, json) VALUES (1, ?)", (state.to_json(),))

    def insert(self, rows: Sequence[Row]) -> None:
        """Within a transaction."""
        values = [(row.seq, row.json, row.hash, row.bad, row.kept_s) for row in rows]
        self.db.executemany("INSERT INTO verdicts (seq, json, hash, bad, kept_s) VALUES (?, ?, ?, ?, ?)", values)

    def rows(self, after: int, up_to: int, limit: int) -> list[Waiting]:
        """In order, `after` < seq <= `up_to`."""
        return self._sound("WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", (after, up_to, limit))

    def delete_up_to(self, seq: int) -> int:
        """Within a transaction; how many there were."""
        return self.db.execute("DELETE FROM verdicts WHERE seq <= ?", (seq,)).rowcount

    def clear(self, at_once: int) -> bool:
        """Delete so many rows, the oldest; whether there were any."""
        with self.transaction():
            oldest = "seq IN (SELECT seq FROM verdicts ORDER BY seq LIMIT ?)"
            return self.db.execute(f"DELETE FROM verdicts WHERE {oldest}", (at_once,)).rowcount > 0  # noqa: S608  # our own text

    def delete_above(self, seq: int) -> None:
        """Delete rows with a number that was never given: those of a file that was not made anew to its end."""
        with self.transaction():
            self.db.execute("DELETE FROM verdicts WHERE seq > ?", (seq,))

    def delete(self, rows: Sequence[Waiting]) -> None:
        """Within a transaction."""
        self.db.executemany("DELETE FROM verdicts WHERE seq = ?", [(row.seq,) for row in rows])

    def count(self) -> int:
        """How many rows there are."""
        return int(self.db.execute("SELECT count(*) FROM verdicts").fetchone()[0])

    def first_to_go(self, limit: int) -> list[Waiting]:
        """The oldest of those that are not bad."""
        return self._sound("WHERE bad = 0 ORDER BY seq LIMIT ?", (limit,))

    def older_than(self, kept_s: int, limit: int) -> list[Waiting]:
        """Of the oldest rows those kept before that second."""
        oldest = "seq IN (SELECT seq FROM verdicts ORDER BY seq LIMIT ?)"
        return self._sound(f"WHERE {oldest} AND kept_s < ? ORDER BY seq", (limit, kept_s))

    def oldest(self) -> tuple[int, int] | None:
        """Number of the first row, and when it was kept."""
        found: tuple[int, int] | None = self.db.execute(
            "SELECT seq, kept_s FROM verdicts ORDER BY seq LIMIT 1"
        ).fetchone()
        return found

    def answered(self, key: str) -> Answer | None:
        """What a request was answered."""
        found = self.db.execute("SELECT json, at FROM requests WHERE key = ?", (key,)).fetchone()
        return Answer(bytes(found[0]), age_s(found[1])) if found else None

    def forget(self, key: str) -> None:
        """Forget what a request was answered."""
        with self.transaction():
            self.db.execute("DELETE FROM requests WHERE key = ?", (key,))

    def remember(self, key: str, seq: int, json: bytes, *, at: str = "") -> None:
        """Within a transaction; the oldest are forgotten. `at`: the moment (see `uptime`), where that is known."""
        answer = (key, seq, json, at)
        self.db.execute("INSERT OR REPLACE INTO requests (key, seq, json, at) VALUES (?, ?, ?, ?)", answer)
        oldest = "SELECT seq FROM requests ORDER BY seq DESC LIMIT 1 OFFSET ?"
        self.db.execute(f"DELETE FROM requests WHERE seq <= ({oldest})", (REQUESTS,))  # noqa: S608  # our own text

    def is_at_bound(self) -> bool:
        """Whether it is our bound that is reached, rather than the disk's."""
        return int(self.db.execute("PRAGMA page_count").fetchone()[0]) >= self.max_pages - 1

    def tidy(self) -> None:
        """Write the log into the file where a commit would soon do so: half a millisecond that no verdict waits for.

        What fails is tried again by that commit.
        """
        if self._commits < _TIDY_COMMITS:
            return
        self._commits = 0
        with suppress(sqlite3.Error):
            self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def reuse_log(self) -> None:
        """Have the write-ahead log begin anew within the room that it has, if there is room for its pages.

        Where an audit reads just then it goes on growing: nobody waits for that one.
        """
        self.db.execute("PRAGMA busy_timeout = 0")
        with suppress(sqlite3.OperationalError):  # full: then what follows meets that, too
            self.db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        self.db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def grow_within(self, free: int | None) -> bool:
        """Grow by no more than `free` bytes, less the log's room; None: up to the bound. Whether it was less before.

        Pages that lie in the log and find no room in the file would hold the log, and without it no row can go.
        """
        limit = self.max_pages
        if free is not None:
            pages = int(self.db.execute("PRAGMA page_count").fetchone()[0])
            limit = min(limit, pages + max(0, free - LOG_BYTES) // _PAGE_BYTES)
        before = int(self.db.execute("PRAGMA max_page_count").fetchone()[0])
        return int(self.db.execute(f"PRAGMA max_page_count = {limit}").fetchone()[0]) > before

    def grow_freely(self) -> None:
        """Grow up to twice the bound, until `grow_within`."""
        self.db.execute(f"PRAGMA max_page_count = {2 * self.max_pages}")

    def close(self) -> None:
        """Close it."""
        self.db.close()

    def _sound(self, which: str, values: tuple[int, ...]) -> list[Waiting]:
        """Rows whose bytes are what was kept. Raises DatabaseError, as of any damage, where they are not."""
        query = f"SELECT seq, CAST(json AS BLOB), hash FROM verdicts {which}"  # noqa: S608  # our own text
        rows = []
        for seq, data, kept in self.db.execute(query, values):
            if kept is not None and digest(data) != kept:
                raise sqlite3.DatabaseError(f"{_DAMAGE}: verdict {seq} is not what was kept")
            rows.append(Waiting(seq, data))
        return rows

    def _migrate(self) -> None:
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise sqlite3.NotSupportedError(
                f"was written by a newer kenpin (version {version}, this one has {VERSION})"
            )
        if version == VERSION:
            self.state()
            return
        with self.transaction():
            self.db.execute(f"PRAGMA user_version = {VERSION}")
            if version == 2:  # the one before
                self.db.execute(_FROM_SECOND)
                return
            state = State()
            tables = {name for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for statement in (_FROM_FIRST if "chain" in tables else _SCHEMA).split(";"):
                self.db.execute(statement)
            if "chain" in tables:
                state = self._state_of_first()
                self.db.execute("DROP TABLE chain")
            for statement in _SCHEMA_OF_BOTH.split(";"):
                self.db.execute(statement)
            self.set_state(state)

    def _state_of_first(self) -> State:
        last = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'verdicts'").fetchone()
        head = self.db.execute("SELECT hash FROM chain").fetchone()
        if not last or not head:
            return State()
        oldest = self.oldest()
        done = oldest[0] - 1 if oldest else last[0]
        return State(seq=last[0], hash=head[0], done=done, acknowledged=last[0] - self.count())


def _check_sound(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(f"{_DAMAGE}: {found}")


def is_damage(error: BaseException) -> bool:
    """Whether the file itself is broken, rather than the disk full or the folder closed to us."""
    code = getattr(error, "sqlite_errorcode", None)
    broken = code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return broken or str(error).startswith(_DAMAGE)


def is_full(error: BaseException) -> bool:
    """Whether there is no room, on the disk or within our bound."""
    code = getattr(error, "sqlite_errorcode", None)
    # Where the shared-memory file cannot grow, SQLite says so in words of its own.
    return code is not None and (code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE)


def refusal(path: Path) -> PermissionError | None:
    """What SQLite has not said of the outbox `path`: that this process may not write there. None where it may.

    Looks without opening it: to close a file takes from SQLite the locks that it has on it.
    """
    for part in (path.parent, *(path.with_name(path.name + ending) for ending in ("", "-wal", "-shm"))):
        try:
            read_only = os.statvfs(part).f_flag & os.ST_RDONLY  # which is no matter of rights, and may pass
        except FileNotFoundError:
            continue
        except OSError:  # not even to look
            read_only = 0
        if not read_only and not os.access(part, os.R_OK | os.W_OK, effective_ids=True):
            return PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(part))
    return None
