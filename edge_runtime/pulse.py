"""Whether the line inspects, now: what the status, the watchdog and the metrics tell."""

from enum import StrEnum

from edge_runtime.cameras import Clock
from edge_runtime.cameras.capture import Capture

FRESH_S = 10.0
"""How long after a picture was judged a station still inspects: longer than most lines pause between two parts."""


class State(StrEnum):
    """What a station does. `stopped` and `offline` are said when it is none of these any more."""

    INSPECTING = "inspecting"
    IDLE = "idle"
    BLIND = "blind"


class Pulse:
    """When the last fresh picture was judged. `beat` is for the thread that judges, the rest for any."""

    def __init__(self, capture: Capture, clock: Clock) -> None:
        self._capture, self._clock = capture, clock
        self._judged: float | None = None

    def beat(self) -> None:
        """A picture was judged."""
        self._judged = self._clock()

    def state(self) -> State:
        """Blind: no camera. Inspecting: a fresh picture was judged lately. Idle: there was nothing to judge."""
        if self._capture.lost_since is not None:
            return State.BLIND
        judged = self._judged
        return State.INSPECTING if judged is not None and self._clock() - judged < FRESH_S else State.IDLE
