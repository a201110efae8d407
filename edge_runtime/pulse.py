"""Whether the line inspects, now: what the status, the watchdog and the metrics tell."""

from datetime import UTC, datetime

from edge_runtime.cameras import Clock
from edge_runtime.cameras.capture import Capture
from edge_runtime.messages import State

FRESH_S = 10.0
"""How long after a picture was judged a station still inspects: longer than most lines pause between two parts. So long
pictures must be refused, and nothing else, for the station to be blind."""
JUDGING_S = 15.0
"""How long one shot may keep the thread that judges: a hundred times what a slow bundle needs for all of its regions,
with a disk that has to catch its breath."""
GRABBING_S = 60.0
"""How long one call of a camera's driver may take: opening one over the network takes until its own timeout."""


class Pulse:
    """When the last fresh picture was judged. `beat`, `refuse` and `sees` are for the thread that judges, the rest for
    any.
    """

    def __init__(self, capture: Capture, clock: Clock) -> None:
        self._capture, self._clock = capture, clock
        self._judged: float | None = None
        self._refused: tuple[float, float] | None = None  # since when there is nothing else, and when last
        self._since: tuple[State, datetime] | None = None

    def beat(self) -> None:
        """A picture was judged."""
        self._judged, self._refused = self._clock(), None

    def refuse(self) -> None:
        """A picture came, or should have, that cannot be judged."""
        now, refused = self._clock(), self._refused
        self._refused = (now if refused is None else refused[0]), now

    def sees(self) -> None:
        """A picture came that could have been judged."""
        self._refused = None

    def state(self) -> State:
        """Blind: no camera, or no picture that can be judged. Inspecting: a fresh one was lately. Idle: neither."""
        if self._capture.lost_since is not None:
            return State.BLIND
        now, judged, refused = self._clock(), self._judged, self._refused
        if judged is not None and now - judged < FRESH_S:
            return State.INSPECTING
        blind = refused is not None and now - refused[0] >= FRESH_S and now - refused[1] < FRESH_S
        return State.BLIND if blind else State.IDLE

    def since(self) -> tuple[State, datetime]:
        """The state, and since when it is this one (UTC), as far as anybody asked."""
        state, known = self.state(), self._since
        if known is None or known[0] is not state:
            known = self._since = state, datetime.now(UTC)
        return known

    def driver_hung(self) -> str | None:
        """In words, that the camera's driver does not come back; None where it does. Only another process frees it."""
        if not self._capture.over and (since := self._clock() - self._capture.seen) > GRABBING_S:
            return f"the camera's driver has been in one call for {since:.0f} s"
        return None

    def judging_hung(self, went_round: float) -> str | None:
        """The same of the thread that judges, also where there is nothing to judge; `went_round`: when it last did.

        The thread that judges goes round also while nothing comes, and the camera's also while the camera is lost. So
        a line that stands still, a camera that is tried again and a broker that is away are no hang; one picture, one
        commit or one call of a driver that does not end is.
        """
        if (since := self._clock() - went_round) > JUDGING_S:
            return f"the thread that judges has been at one picture for {since:.0f} s"
        return None
