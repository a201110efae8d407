"""What a station says of itself: to the retained status, to Prometheus, and to `systemctl status`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from edge_runtime.broker import Broker
from edge_runtime.cameras.capture import Capture
from edge_runtime.changeover import Changeover
from edge_runtime.committer import Committer
from edge_runtime.console import version
from edge_runtime.engine import about
from edge_runtime.errors import OutboxError
from edge_runtime.evidence.writer import Evidence
from edge_runtime.messages import CameraCount, Condition, EngineRef, Head, Ledger
from edge_runtime.metrics import Readings
from edge_runtime.outbox import Outbox
from edge_runtime.pulse import Pulse
from edge_runtime.recipe import Recipe
from edge_runtime.triggers import Triggers
from edge_runtime.verdict import Verdict


@dataclass(frozen=True)
class Vitals:
    """The parts of a running station that have something to say. For any thread.

    `verdicts_before`: how many there were ever when it began.
    """

    capture: Capture
    triggers: Triggers
    pulse: Pulse
    changeover: Changeover
    recipe: Recipe
    committer: Committer
    outbox: Outbox
    broker: Broker
    evidence: Evidence
    verdicts_before: int

    def facts(self) -> Condition:
        """What the retained status says."""
        judges, (state, since) = self.changeover.inspector.bundle, self.pulse.since()
        seen = self.capture
        return Condition(
            state=state,
            since=since,
            bundle=judges.ref,
            engine=EngineRef(**about(judges.engine)),
            recipe=dict(self.recipe.labels()),
            camera=CameraCount(
                frames=seen.frames, dropped=seen.dropped, missed=seen.missed, reconnects=seen.reconnects
            ),
            ledger=self._ledger(),
        )

    def _ledger(self) -> Ledger | None:
        """That no verdict is lost, as numbers; None where the outbox cannot be read just now."""
        try:
            balance, head = self.outbox.balance(), self.outbox.head()
        except OutboxError:  # said by who keeps verdicts
            return None
        return Ledger(
            triggers=self.verdicts_before + self.triggers.count,
            verdicts=balance.verdicts,
            acknowledged=balance.acknowledged,
            waiting=balance.waiting,
            shed=balance.shed,
            balanced=balance.balanced,
            head=Head(seq=head.seq, hash=head.hash),
        )

    def hung(self) -> str | None:
        """What does not go on, in words; None where all does."""
        return self._thread_hung() or self.pulse.driver_hung()

    def only_driver_hung(self) -> bool:
        """Whether it is the camera's driver, and nothing else."""
        return self._thread_hung() is None and self.pulse.driver_hung() is not None

    def _thread_hung(self) -> str | None:
        # Who judges waits for an outbox that is made anew; while that goes on, it is no hang.
        return self.pulse.judging_hung(max(self.triggers.seen, self.outbox.went_on)) or self.broker.hung()

    def line(self) -> str:
        """The same for a person, in a few words."""
        away = "" if self.broker.connected else ", no broker"
        return f"{self.pulse.state()}{away}, {self.triggers.count} triggers, {self.outbox.count()} verdicts wait"

    def readings(self) -> Readings:
        """What Prometheus reads. Raises OutboxError where the outbox cannot be read."""
        judges, balance = self.changeover.inspector.bundle, self.outbox.balance()
        return Readings(
            state=self.pulse.state(),
            hung=self.hung() is not None,
            version=version(),
            bundle=f"{judges.ref.name}-{judges.ref.version}",
            engine=str(judges.engine.setting),
            camera_connected=self.capture.lost_since is None,
            frames=self.capture.frames,
            dropped=self.capture.dropped,
            missed=self.capture.missed,
            reconnects=self.capture.reconnects,
            frames_waiting=self.capture.waiting,
            triggers=self.triggers.count,
            committing=self.committer.depth(),
            verdicts=balance.verdicts,
            acknowledged=balance.acknowledged,
            waiting=balance.waiting,
            shed=balance.shed,
            balanced=balance.balanced,
            oldest_s=self._oldest_s(),
            broker_connected=self.broker.connected,
            evidence_dropped=self.evidence.dropped + self.evidence.failed,
        )

    def _oldest_s(self) -> float | None:
        """How old the oldest undelivered verdict is, by the clock, which may have been set since."""
        for oldest in self.outbox.waiting(limit=1):
            return max(0.0, (datetime.now(UTC) - Verdict.from_json(oldest.json).captured_at).total_seconds())
        return None
