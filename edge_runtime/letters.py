"""What a station says beside its verdicts: events, and answers to who has asked.

Verdicts are the record and wait on the disk. What is said here is for people, logs and robots that wait: so it waits in
memory, a bounded number of it, and a restart forgets what was not sent. (An answer that was not sent is asked for
again: see `requests.py`.)
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edge_runtime.cameras import Clock

log = logging.getLogger(__name__)

WAITING = 100
"""Events that wait: more than a person would read through."""
TRIES = 10
"""Connections in a row that ended with the same letter in flight: it is not the network, and a broker that ends them
for it would do so for ever."""
AVOIDED_S = 60.0
"""How long a question is not answered whose answer was such a letter: the command comes again with the next connection,
and only when it is settled there the broker is rid of it."""
LOOKED_S = 0.01
"""How often it is looked whether the last ones are sent, at the end."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is said, and where. `correlation`: whose question it answers.

    `settled`: called once the broker has it, or it was given up.
    """

    topic: str
    payload: bytes
    correlation: bytes | None = None
    settled: Callable[[], None] | None = None


class Letters:
    """Sends letters in order, one in flight, again where a connection ended before the broker acknowledged them.

    One in flight, because the broker bounds what may be, and the publisher leaves little of it to others.

    `publish` sends a letter at QoS 1 and tells paho's message id. One object for all threads: each leaves what it has
    to say in `_news`, and the one that finds nobody at it does what follows. So no method but `drain` ever waits for
    another thread, and all others may be called with paho's locks held, also from within `publish`.

    Of more than `most` that wait the oldest give way; where somebody waits for one, the log says so, once a connection.
    A letter that was in flight when a connection ended, TRIES times running, is given up; where it was an answer, so
    are others to the same question, for AVOIDED_S.
    """

    def __init__(self, publish: Callable[[Letter], int], most: int = WAITING, clock: Clock = time.monotonic) -> None:
        self._publish, self._most, self._clock = publish, most, clock
        self._news: deque[Callable[[], None]] = deque()
        self._busy = threading.Lock()
        # What follows belongs to the thread that holds `_busy`.
        self._connected = self._complained = False
        self._waiting: deque[Letter] = deque()
        self._next: Letter | None = None  # in flight, or to be sent as soon as that is possible
        self._message: int | None = None  # paho's id while it is in flight
        self._ended = 0  # connections that ended while it was
        self._avoided: dict[tuple[str, bytes | None], float] = {}  # topic and question → until when

    def send(self, letter: Letter) -> None:
        """Send it now, or as soon as the broker is there and has those before it."""
        self._news.append(partial(self._take_in, letter))
        self._go_on()

    def connected(self) -> None:
        """A connection has begun, with nothing of the last one's: what is unacknowledged goes out again."""
        self._news.append(partial(self._begin, connected=True))
        self._go_on()

    def disconnected(self) -> None:
        """The connection has ended. Nothing is sent here."""
        self._news.append(partial(self._begin, connected=False))

    def acknowledged(self, message: int) -> None:
        """The broker has answered a publish; a letter that it refuses would be refused again."""
        self._news.append(partial(self._forget, message))
        self._go_on()

    def drain(self, within_s: float) -> None:
        """Wait until none waits and none is in flight, for so long at most."""
        deadline = time.monotonic() + within_s
        while not self._is_done() and time.monotonic() < deadline:
            time.sleep(LOOKED_S)

    def topic_of(self, message: int) -> str | None:
        """Where the letter goes that is in flight under this id of paho's; None where another or none is."""
        letter = self._next
        return letter.topic if letter is not None and message == self._message else None

    def _is_done(self) -> bool:
        with self._busy:
            done = not (self._news or self._waiting or self._next is not None)
        self._go_on()  # what came in between was left to us
        return done

    def _go_on(self) -> None:
        # Asked again after each release: what came in between found the lock held, and was left to us.
        while self._news and self._busy.acquire(blocking=False):
            try:
                while self._news:
                    self._news.popleft()()
                self._send()
            finally:
                self._busy.release()

    def _take_in(self, letter: Letter) -> None:
        self._waiting.append(letter)
        if len(self._waiting) > self._most:
            self._give_way(self._waiting.popleft())

    def _give_way(self, letter: Letter) -> None:
        if letter.settled is not None and not self._complained:
            self._complained = True
            log.error("%s: more than %d answers wait for the broker; the oldest are given up", letter.topic, self._most)
        _settle(letter)

    def _begin(self, *, connected: bool) -> None:
        if self._message is not None:
            self._ended += 1
        self._connected, self._message, self._complained = connected, None, False
        if self._next is not None and self._ended >= TRIES:
            self._avoid(self._next)

    def _avoid(self, letter: Letter) -> None:
        log.warning("%s: the connection ended %d times while this was sent there; given up", letter.topic, TRIES)
        if letter.settled is not None:
            now = self._clock()
            self._avoided = {asked: until for asked, until in self._avoided.items() if until > now}
            self._avoided[letter.topic, letter.correlation] = now + AVOIDED_S
        self._done_with(letter)

    def _forget(self, message: int) -> None:
        if message == self._message and self._next is not None:
            self._done_with(self._next)

    def _done_with(self, letter: Letter) -> None:
        self._next, self._message, self._ended = None, None, 0
        _settle(letter)

    def _send(self) -> None:
        if not self._connected or self._message is not None:
            return
        while self._next is None and self._waiting:
            letter = self._waiting.popleft()
            if self._avoided.get((letter.topic, letter.correlation), -math.inf) > self._clock():
                _settle(letter)
            else:
                self._next = letter
        if self._next is not None:
            self._message = self._publish(self._next)  # where its answer is here already, it waits in `_news`


def _settle(letter: Letter) -> None:
    if letter.settled is not None:
        letter.settled()
