"""What happened at a station, told once the broker is there.

Events are for people and logs, verdicts are the record: so events wait in memory, a bounded number of them, and a
restart forgets those not sent; the station's own log has them, too.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WAITING = 100
"""More than a person would read through; the oldest give way."""


@dataclass(slots=True)
class _Event:
    payload: bytes
    message: int | None = None  # paho's id since it was sent
    acknowledged: bool = False


class Events:
    """Sends events in order, again where a connection ended before the broker acknowledged them.

    `publish` sends a payload at QoS 1 and tells paho's message id; it is only called while connected. One object for
    all threads. `acknowledged` is called with paho's locks held, so it takes none.
    """

    def __init__(self, publish: Callable[[bytes], int]) -> None:
        self._publish = publish
        self._mutex = threading.Lock()
        self._connected = False
        self._events: deque[_Event] = deque(maxlen=WAITING)

    def tell(self, payload: bytes) -> None:
        """Send an event now, or as soon as the broker is there."""
        with self._mutex:
            self._forget_acknowledged()
            event = _Event(payload)
            self._events.append(event)
            if self._connected:
                event.message = self._publish(payload)

    def connected(self) -> None:
        """A connection has begun, with nothing of the last one's: what is unacknowledged goes out again."""
        with self._mutex:
            self._connected = True
            self._forget_acknowledged()
            for event in self._events:
                event.message = self._publish(event.payload)

    def disconnected(self) -> None:
        """The connection has ended."""
        with self._mutex:
            self._connected = False

    def acknowledged(self, message: int) -> None:
        """The broker has answered a publish; an event that it refuses would be refused again."""
        for event in tuple(self._events):
            if event.message == message:
                event.acknowledged = True

    def _forget_acknowledged(self) -> None:
        for event in [event for event in self._events if event.acknowledged]:
            self._events.remove(event)
