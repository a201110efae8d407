"""A station's figures for Prometheus: what they are made of. `docs/operations.md` lists them.

What is counted anyway is read when Prometheus asks; only what happens to each verdict is counted as it happens.
"""

from dataclasses import dataclass
from typing import Protocol

from edge_runtime.messages import State
from edge_runtime.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Readings:
    """What a station's parts say of themselves, as of now.

    Counts are since the start, those of the chain (`verdicts` to `shed`) since its first verdict. `committing`:
    verdicts that wait for their commit. `oldest_s`: how old the oldest undelivered verdict is; None where none waits.
    `hung`: whether the watchdog is not fed.
    """

    state: State
    hung: bool
    version: str
    bundle: str
    engine: str
    camera_connected: bool
    frames: int
    dropped: int
    missed: int
    reconnects: int
    frames_waiting: int
    triggers: int
    committing: int
    verdicts: int
    acknowledged: int
    waiting: int
    shed: int
    balanced: bool
    oldest_s: float | None
    broker_connected: bool
    evidence_dropped: int


class Meters(Protocol):
    """What is told of each verdict. For any thread."""

    def judged(self, verdict: Verdict, committed_s: float) -> None:
        """A verdict is kept; its commit took `committed_s`."""

    def delivered(self, seconds: float) -> None:
        """The broker has acknowledged a verdict so long after it was sent."""


class NoMeters:
    """Where nobody asks for figures."""

    def judged(self, verdict: Verdict, committed_s: float) -> None:
        """Count nothing."""

    def delivered(self, seconds: float) -> None:
        """Count nothing."""
