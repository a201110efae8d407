"""An engine that fails at whatever it is asked: when to give it up, and be started anew."""

from edge_runtime.cameras import Clock
from edge_runtime.verdict import Call, Reason, Verdict

LASTING_S = 10.0
"""How long everything must have failed. A driver that recovers by itself does so within a second or two, and a start
takes some, in which nobody answers; until then each part has its ERROR at least."""
FEWEST = 3
"""So many shots must have failed: one part that the engine cannot bear, and one again, are no engine that is lost."""


class Faults:
    """Whether anything is still judged. `going_on` is for any thread, the rest for the one that judges."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._shots = 0
        self._last = ""

    @property
    def going_on(self) -> bool:
        """Whether the last that was asked of the engine failed."""
        return self._since is not None

    def count(self, verdict: Verdict) -> None:
        """Another verdict was given. One whose picture could not be judged says nothing of the engine."""
        faults = [region for region in verdict.regions if region.reason is Reason.FAULT]
        if is_judged(verdict):
            self._since, self._shots = None, 0
        elif faults:
            self._since = self._clock() if self._since is None else self._since
            self._shots += 1
            self._last = faults[0].detail or ""

    @property
    def lasting(self) -> str | None:
        """What fails for good, in words; None where nothing does."""
        if self._since is None or self._shots < FEWEST or (lasted_s := self._clock() - self._since) < LASTING_S:
            return None
        return f"has failed at all of {self._shots} shots for {lasted_s:.0f} s: {self._last}"


def is_judged(verdict: Verdict) -> bool:
    """Whether some region was judged: ERROR is what could not be."""
    return any(region.verdict is not Call.ERROR for region in verdict.regions)
