"""The thread that takes verdicts from the outbox to the broker, in order.

A row is done only when the broker has acknowledged it with a reason code below 0x80, and every row before it. paho
keeps nothing on disk, sends again by itself what was unacknowledged, and its message ids start over: so a connection
starts with nothing of paho's and everything of the outbox's, and what the last one left unacknowledged is sent again.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.errors import BrokerError, OutboxError
from edge_runtime.logs import here
from edge_runtime.outbox import Outbox
from edge_runtime.outbox_file import Waiting

log = logging.getLogger(__name__)

WINDOW = 16
"""Verdicts in flight: below the 20 that brokers and paho allow by default, with room for status and answers."""
PAUSE_S = 5.0
"""After the broker or the disk refused: long enough not to storm them, short enough for a person who waits."""
RATE = 1000.0
"""Verdicts a second while catching up: above what a camera brings, so that the backlog shrinks, and below what would
take a processor from the inspection that goes on meanwhile."""
DONE_AT_ONCE = 100
DONE_S = 0.25
"""So many acknowledged verdicts, or after so long, leave the outbox together: each time costs two syncs of the disk. A
kill in between sends them again, with the same `id`."""

Publish = Callable[[bytes], int]
"""Send a payload at QoS 1, and tell paho's message id."""


@dataclass(slots=True)
class _Sent:
    seq: int
    message: int
    at: float
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class _Ack:
    connection: int
    message: int
    refusal: str | None


class Publisher:
    """Sends what waits in the outbox, a bounded window at a time and at a bounded rate.

    `publish` is only called while connected.

    `connected`, `disconnected` and `acknowledged` are for paho's callbacks. While it calls the last two, paho may hold
    locks that `publish` waits for, so these take none; during `connected` it holds none.
    """

    def __init__(self, outbox: Outbox, publish: Publish, clock: Callable[[], float] = time.monotonic) -> None:
        self._outbox, self._publish, self._clock = outbox, publish, clock
        self._wake = threading.Event()
        self._thread = threading.Thread(target=here(self._work), name="publisher", daemon=True)
        self._stopping = False
        self._acks: deque[_Ack] = deque()  # at most a window of them
        self._gate = threading.Lock()  # nothing is published across the start of a connection
        self._connection = 0
        self._window = 0  # 0: not connected
        self._progress = threading.Condition()
        self._delivered = 0
        self.delivered: Callable[[float], None] = lambda _seconds: None
        """Told how long after it was sent a verdict was acknowledged."""
        # What follows is the thread's own.
        self._seen = 0
        self._sent: deque[_Sent] = deque()
        self._last = 0
        self._pause_until = 0.0
        self._acknowledged = 0  # all up to this number are
        self._undone = 0  # so many of them are in the outbox still
        self._undone_since = 0.0
        self._doubtful = False  # the broker refused, and has taken none since: one at a time, so that none overtakes
        self._budget = float(WINDOW)  # verdicts that may be sent now
        self._budget_at = clock()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. What is unacknowledged stays in the outbox, what is acknowledged leaves it."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Say that there is something to do."""
        self._wake.set()

    def connected(self, receive_maximum: int, drop: Callable[[], object]) -> None:
        """A connection has begun; `drop` makes paho forget what the last one left. In paho's on_connect."""
        with self._gate:
            drop()
            self._connection += 1
            self._window = max(1, min(WINDOW, receive_maximum - 4))
        self._wake.set()

    def disconnected(self) -> None:
        """The connection has ended. In paho's on_disconnect. What is just being published goes out once more."""
        self._window = 0

    def acknowledged(self, message: int, refusal: str | None) -> None:
        """The broker has answered a publish; `refusal` is its reason where it did not take it. In paho's on_publish."""
        self._acks.append(_Ack(self._connection, message, refusal))
        self._wake.set()

    def drain(self, patience_s: float, enough: Callable[[], bool] = lambda: False, within_s: float = math.inf) -> int:
        """Wait until nothing waits; how many still do.

        Ends earlier when nothing was delivered for `patience_s`, or `enough`, or after `within_s` in all.
        """
        seen, since = -1, self._clock()
        deadline = since + within_s
        while waiting := self._outbox.count():
            with self._progress:
                if self._delivered != seen:
                    seen, since = self._delivered, self._clock()
                elif self._clock() - since > patience_s or enough():
                    break
                if self._clock() > deadline:
                    break
                self._progress.wait(0.1)
        return waiting

    def _work(self) -> None:
        while not self._stopping:
            self._wake.wait(timeout=self._idle_s())
            self._wake.clear()
            try:
                self._begin_again_on_a_new_connection()
                self._take_acknowledgements()
                if self._clock() >= self._pause_until:
                    self._forget_delivered()
                    self._fill_window()
            except OutboxError as error:
                log.error("%s; trying again in %.0f s", error, PAUSE_S)  # noqa: TRY400  # a person's line, no traceback
                self._pause_until = self._clock() + PAUSE_S
            except BrokerError:  # which has said so: the verdict is larger than it takes
                self._pause_until = self._clock() + PAUSE_S
            except Exception:  # if this thread died, verdicts would wait for ever and nobody would know
                log.exception("publishing failed; trying again in %.0f s", PAUSE_S)
                self._go_back()
        try:
            self._take_acknowledgements()
            self._forget_delivered(at_once=True)
        except OutboxError as error:
            log.error("%s; they are sent again", error)  # noqa: TRY400  # the same

    def _idle_s(self) -> float:
        """How long nothing has to be done, if nobody wakes us."""
        if (pause := self._pause_until - self._clock()) > 0:
            return min(pause, 1.0)
        if self._budget < 1:
            return (1 - self._budget) / RATE
        return DONE_S / 2 if self._undone else 1.0

    def _begin_again_on_a_new_connection(self) -> None:
        if self._seen != self._connection:
            self._seen = self._connection
            self._sent.clear()
            self._last = self._acknowledged
            self._pause_until = 0.0

    def _take_acknowledgements(self) -> None:
        while self._acks:
            ack = self._acks.popleft()
            sent = next((s for s in self._sent if s.message == ack.message), None)
            if sent is None or ack.connection != self._seen:
                continue  # a status, an answer, or of a connection that is gone
            if ack.refusal is not None:
                kept = f"it waits in {self._outbox.path}, trying again in {PAUSE_S:.0f} s"
                log.error("the broker refused verdict %d (%s); %s", sent.seq, ack.refusal, kept)
                self._forget_delivered(at_once=True)
                self._go_back()
                return
            sent.acknowledged, self._doubtful = True, False
            self.delivered(self._clock() - sent.at)

    def _go_back(self) -> None:
        """After a pause, send again from the first verdict that is not done: twice is allowed, out of order is not."""
        self._sent.clear()
        self._last = self._acknowledged
        self._doubtful = True
        self._pause_until = self._clock() + PAUSE_S

    def _forget_delivered(self, *, at_once: bool = False) -> None:
        while self._sent and self._sent[0].acknowledged:
            if not self._undone:
                self._undone_since = self._clock()
            self._undone += 1
            self._acknowledged = self._sent.popleft().seq
        if not self._undone:
            return
        if not at_once and self._undone < DONE_AT_ONCE and self._clock() < self._undone_since + DONE_S:
            return
        self._outbox.done(self._acknowledged)
        with self._progress:
            self._delivered += self._undone
            self._progress.notify_all()
        self._undone = 0

    def _fill_window(self) -> None:
        at = self._clock()
        self._budget = min(self._budget + (at - self._budget_at) * RATE, WINDOW)
        self._budget_at = at
        window = min(self._window, 1) if self._doubtful else self._window
        room = min(window - len(self._sent), int(self._budget))
        if room <= 0:
            return
        for row in self._outbox.waiting(after=self._last, limit=room):
            if not self._send(row):
                return
            self._budget -= 1

    def _send(self, row: Waiting) -> bool:
        with self._gate:
            if self._window == 0 or self._connection != self._seen:
                return False
            message = self._publish(row.json)
        self._sent.append(_Sent(row.seq, message, self._clock()))
        self._last = row.seq
        return True
