"""The thread that commits verdicts, so that inspection does not wait for the disk.

What came while one commit was under way goes into the next one together: the disk's own pace makes the groups.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Self

from edge_runtime.errors import OutboxError
from edge_runtime.logs import here
from edge_runtime.outbox import Entry, Outbox
from edge_runtime.verdict import Verdict

log = logging.getLogger(__name__)

DEPTH = 256
"""Verdicts that may wait for a commit: a second at the fastest, while a disk catches its breath."""

Then = Callable[[Verdict], None]


class _Kept(NamedTuple):
    entry: Entry
    then: Then | None


class Committer:
    """Takes verdicts for the outbox. A context manager: at its end all that was taken is committed.

    One object for all threads. After a commit that failed for good nothing more is taken: no verdict may be given that
    cannot be kept.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._turn = threading.Condition()
        self._queue: deque[_Kept] = deque()
        self._busy = False  # somebody commits
        self._stopping = False
        self._failure: OutboxError | None = None
        self._thread = threading.Thread(target=here(self._work), name="committer", daemon=True)

    def keep(
        self, verdict: Verdict, then: Then | None = None, *, request: str | None = None, at_once: bool = False
    ) -> None:
        """Have a verdict committed soon, in order. Waits where too many do.

        `then` gets the verdict with its `seq` and `prev` once it is on the disk; it must not wait. `request`: as in
        `Outbox.append`. `at_once`: the caller has nothing else to do and commits it itself, where none is before it,
        and `then` is called in its thread; it is on the disk sooner than what is handed over. Raises OutboxError where
        this or an earlier verdict could not be kept; then `then` is not called.
        """
        kept = _Kept(Entry(verdict, request), then)
        with self._turn:
            self._turn.wait_for(lambda: len(self._queue) < DEPTH or self._failure)
            self._raise_failure()
            if not at_once or self._busy or self._queue:
                self._queue.append(kept)
                self._turn.notify_all()
                return
            self._busy = True
        try:
            self._commit([kept])
        finally:  # also where a second Ctrl-C ends us: the thread must not wait for our turn to be over
            with self._turn:
                self._busy = False
                self._turn.notify_all()
        self._raise_failure()

    def check(self) -> None:
        """Raise OutboxError where a verdict could not be kept: who waits for the next trigger may wait for long."""
        self._raise_failure()

    def flush(self) -> None:
        """Wait until all that was taken so far is committed. Raises OutboxError where that could not be."""
        with self._turn:
            self._turn.wait_for(lambda: self._failure or not (self._queue or self._busy))
            self._raise_failure()

    def depth(self) -> int:
        """How many verdicts wait for their commit."""
        return len(self._queue)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Commit what was taken, and end the thread. Raises OutboxError where that fails and nothing else did."""
        with self._turn:
            self._stopping = True
            self._turn.notify_all()
        self._thread.join()
        if kind is None:
            with self._turn:
                self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure:
            raise OutboxError(self._failure.path, self._failure.why) from self._failure

    def _work(self) -> None:
        while batch := self._next():
            self._commit(batch)
            with self._turn:
                self._busy = False
                self._turn.notify_all()

    def _next(self) -> list[_Kept]:
        """All that waits, once something does and nobody else commits; nothing at the end."""
        with self._turn:
            self._turn.wait_for(lambda: not self._busy and (self._queue or self._stopping or self._failure))
            batch = [] if self._failure else list(self._queue)
            self._queue.clear()
            self._busy = bool(batch)
            self._turn.notify_all()
            return batch

    def _commit(self, batch: list[_Kept]) -> None:
        """Commit them together, and tell who waits for it. What fails for good is the end of the committer."""
        try:
            placed = self._outbox.append_all([kept.entry for kept in batch])
        except OutboxError as error:
            self._end(error)
            return
        except Exception as error:  # else `keep` would wait for ever for a thread that is gone
            log.exception("committing failed")
            self._end(OutboxError(self._outbox.path, f"cannot keep verdicts ({error}); see the log"))
            return
        for kept, verdict in zip(batch, placed, strict=True):
            if kept.then:
                self._tell(kept.then, verdict)
        self._outbox.tidy()

    def _tell(self, then: Then, verdict: Verdict) -> None:
        try:
            then(verdict)
        except Exception:  # whoever is told: the verdict is kept, and the next ones must be
            log.exception("verdict %d is kept, but what was to follow failed", verdict.seq)

    def _end(self, error: OutboxError) -> None:
        with self._turn:
            self._failure = error
            self._turn.notify_all()
