"""How long a station stays away from a broker after a connection has ended."""

import random

from edge_runtime.cameras import Clock

RECONNECT_S = (1.0, 10.0)
"""First and longest pause between two attempts to reach the broker, before the jitter: it doubles in between."""
RIVAL_S = 20.0
"""The same after another client came in under this station's id: two that share one would throw each other out. Up to
twice that, and still within the session that the broker keeps, should it be none."""
BRIEF_S = 4.0
"""A connection that ended sooner: a rival's first pause is shorter."""
BRIEF_ONES = 10
"""So many of them in a row, with a broker that was there all the time, and a rival is likely. Only MQTT 5 can say that
it is one, and not every broker does: Mosquitto 2.0.11 does not."""

Pauses = tuple[float, float]
"""First and longest, in seconds."""


class Rejoin:
    """The pauses before the next attempts, drawn anew for each outage: a plant's stations shall not come all at once.

    `rng`: where chance comes from. For paho's thread.
    """

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock, self._rng = clock, rng
        self._since = clock()
        self._brief = 0

    def pauses(self) -> Pauses:
        """After an outage that was nobody's fault: each up to twice what it is without jitter."""
        jitter = 1 + self._rng.random()
        return RECONNECT_S[0] * jitter, RECONNECT_S[1] * jitter

    def connected(self) -> None:
        """A connection has begun."""
        self._since = self._clock()

    def refused(self) -> None:
        """The broker is not there, or does not let the station in."""
        self._brief = 0

    def ended(self, *, taken_over: bool) -> Pauses:
        """A connection has ended; `taken_over`: the broker says that another client has this one's id now."""
        self._brief = self._brief + 1 if self._clock() - self._since < BRIEF_S else 0
        if not taken_over and self._brief < BRIEF_ONES:
            return self.pauses()
        pause = RIVAL_S * (1 + self._rng.random())
        return pause, pause
