"""What happened at a station, told once the broker is there.

Events are for people and logs, verdicts are the record: so events wait in memory, a bounded number of them, and a
restart forgets those not sent; the station's own log has them, too.
"""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

WAITING = 100
"""More than a person would read through; the oldest give way."""


class Events:
    """Sends events in order, one in flight, again where a connection ended before the broker acknowledged them.

    One in flight, because the broker bounds what may be, and the publisher leaves little of it to others.

    `publish` sends a payload at QoS 1 and tells paho's message id. One object for all threads: each leaves what it has
    to say in `_news`, and the one that finds nobody at it does what follows. So no method ever waits for another
    thread, and all may be called with paho's locks held, also from within `publish`.
    """

    def __init__(self, publish: Callable[[bytes], int]) -> None:
        self._publish = publish
        self._news: deque[Callable[[], None]] = deque()
        self._busy = threading.Lock()
        # What follows belongs to the thread that holds `_busy`.
        self._connected = False
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self._next: bytes | None = None  # in flight, or to be sent as soon as that is possible
        self._message: int | None = None  # paho's id while it is in flight

    def tell(self, payload: bytes) -> None:
        """Send an event now, or as soon as the broker is there and has those before it."""
        self._news.append(partial(self._waiting.append, payload))
        self._go_on()

    def connected(self) -> None:
        """A connection has begun, with nothing of the last one's: what is unacknowledged goes out again."""
        self._news.append(partial(self._begin, connected=True))
        self._go_on()

    def disconnected(self) -> None:
        """The connection has ended. Nothing is sent here."""
        self._news.append(partial(self._begin, connected=False))

    def acknowledged(self, message: int) -> None:
        """The broker has answered a publish; an event that it refuses would be refused again."""
        self._news.append(partial(self._forget, message))
        self._go_on()

    def _go_on(self) -> None:
        # Asked again after each release: what came in between found the lock held, and was left to us.
        while self._news and self._busy.acquire(blocking=False):
            try:
                while self._news:
                    self._news.popleft()()
                self._send()
            finally:
                self._busy.release()

    def _begin(self, *, connected: bool) -> None:
        self._connected, self._message = connected, None

    def _forget(self, message: int) -> None:
        if message == self._message:
            self._next = self._message = None

    def _send(self) -> None:
        if not self._connected or self._message is not None:
            return
        if self._next is None and self._waiting:
            self._next = self._waiting.popleft()
        if self._next is not None:
            self._message = self._publish(self._next)  # where its answer is here already, it waits in `_news`
