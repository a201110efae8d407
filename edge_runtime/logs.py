"""The log of a command: lines for people, or a JSON object a line for machines. It goes to stderr alone.

Where stderr is systemd's journal, which has its own times and bounds what it keeps, a line begins with a priority.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from typing import TextIO

PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
"""From which level on a record has which of syslog's priorities."""

_station: ContextVar[str | None] = ContextVar("station", default=None)
"""Which station a thread works for."""

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
"""What every record has: the rest are the facts that `extra=` gave it."""


class Human(logging.Formatter):
    """Time, level and message; no time in a journal, which has its own. `several`: also which station says it."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(levelname)s %(message)s" if journal else "%(asctime)s %(levelname)s %(message)s")
        self.several = False

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The line of a record."""
        station = _station.get() if self.several else None
        if station is not None:
            record.message = f"{station}: {record.message}"
        return super().formatMessage(record)


class Json(logging.Formatter):
    """One object: `time` (UTC, ISO 8601, ms), `level`, `logger`, `thread`, `message`; `station` once it is known,
    `exception` where there was one, and the record's own facts.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The object of a record, on one line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {
            "time": at,
            "level": record.levelname.lower(),
            "station": _station.get(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        facts = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return json.dumps({k: v for k, v in (facts | said).items() if v is not None}, default=str)


class Handler(logging.StreamHandler[TextIO]):
    """Writes records to `stream`. `journal`: each line with its priority in front, as sd-daemon(3) has it."""

    def __init__(self, stream: TextIO, form: str, *, journal: bool) -> None:
        """`form`: "json" or "human"."""
        super().__init__(stream)
        self._journal = journal
        self.setFormatter(Json() if form == "json" else Human(journal=journal))

    def format(self, record: logging.LogRecord) -> str:
        """As the formatter has it, with priorities."""
        text = super().format(record)
        if not self._journal:
            return text
        priority = next(number for level, number in PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))


def begin(form: str, environment: Mapping[str, str]) -> None:
    """Log what is worth a line to stderr, as `form` says; what nobody caught, too."""
    logging.basicConfig(level=logging.INFO, handlers=[Handler(sys.stderr, form, journal=is_journal(environment))])
    if form == "json":
        log = logging.getLogger("kenpin")
        sys.excepthook = lambda kind, fault, trace: log.critical("fault", exc_info=(kind, fault, trace))
        threading.excepthook = lambda args: log.critical(
            "fault", exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
        )


def say(line: str) -> None:
    """The last line of a command that fails, in the log's own form where that is for machines; else bare."""
    handler = next(iter(logging.getLogger().handlers), None)
    if isinstance(handler, Handler) and isinstance(handler.formatter, Json):
        logging.getLogger("kenpin").error(line)
    else:
        print(line, file=sys.stderr)


def of_station(name: str) -> None:
    """Say from now on which station this thread works for, and those that begin `here`."""
    _station.set(name)


def of_several() -> None:
    """Have lines for people name their station, too."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, Human):
            handler.formatter.several = True


def here(work: Callable[[], None]) -> Callable[[], None]:
    """`work`, for a thread that works for the station of this one."""
    context = copy_context()
    return lambda: context.run(work)


def is_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr is the journal's: JOURNAL_STREAM tells its device and inode."""
    try:
        there = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return environment.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
