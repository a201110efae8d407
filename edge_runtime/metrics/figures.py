"""The figures themselves: names, help, buckets, and their text."""

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_runtime.messages import State
from edge_runtime.metrics import Readings
from edge_runtime.verdict import Verdict

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""From a bundle of a small view to a request's patience, in steps that a person reads."""


class Metrics:
    """What is counted of each verdict, and all of a station's figures as text."""

    def __init__(self, readings: Callable[[], Readings]) -> None:
        """`readings` is asked each time Prometheus asks, in the thread that answers it."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series each; the library leaves it untyped
        self._registry = CollectorRegistry()
        self._verdicts = Counter("kenpin_verdicts", "Verdicts.", ["verdict"], registry=self._registry)
        self._regions = Counter(
            "kenpin_regions", "Regions judged.", ["region", "verdict", "reason"], registry=self._registry
        )
        stages = Histogram(
            "kenpin_stage_seconds",
            "How long a stage took: grab (trigger to frame), inspect (frame to decision), commit (decision to disk), "
            "total (trigger to disk), deliver (sent to acknowledged).",
            ["stage"],
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._grab, self._inspect, self._commit, self._total, self._deliver = (
            stages.labels(stage) for stage in ("grab", "inspect", "commit", "total", "deliver")
        )
        self._registry.register(_Read(readings))
        ProcessCollector(registry=self._registry)

    def judged(self, verdict: Verdict, committed_s: float) -> None:
        """As of Meters."""
        self._verdicts.labels(verdict.verdict.value).inc()
        for region in verdict.regions:
            self._regions.labels(region.name, region.verdict.value, region.reason.value).inc()
        took = verdict.latency_ms
        self._grab.observe(took.grab / 1000)
        self._inspect.observe(took.inspect / 1000)
        self._commit.observe(committed_s)
        self._total.observe(took.total / 1000 + committed_s)

    def delivered(self, seconds: float) -> None:
        """As of Meters."""
        self._deliver.observe(seconds)

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        return generate_latest(self._registry)


class _Read(Collector):
    """Figures that are read when they are asked for."""

    def __init__(self, readings: Callable[[], Readings]) -> None:
        self._readings = readings

    def describe(self) -> Iterator[Metric]:
        """Nothing: else the parts would be asked before they are there."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        now = self._readings()
        for name, help_, count in (
            ("frames", "Frames from the camera.", now.frames),
            ("frames_dropped", "Frames that came while too many others waited.", now.dropped),
            ("frames_missed", "Triggers whose frame was lost; each got its ERROR.", now.missed),
            ("camera_reconnects", "Times the camera came back.", now.reconnects),
            ("triggers", "Triggers; each gets one verdict.", now.triggers),
            ("evidence_dropped", "Pictures that were not kept as evidence.", now.evidence_dropped),
        ):
            yield CounterMetricFamily(f"kenpin_{name}", help_, value=count)
        for name, help_, value in (
            ("up_and_judging", "1 while the watchdog is fed, 0 while a thread hangs.", not now.hung),
            ("camera_connected", "1 while there is a camera.", now.camera_connected),
            ("broker_connected", "1 while there is a connection to the broker.", now.broker_connected),
            ("frames_waiting", "Frames that wait to be judged.", now.frames_waiting),
            ("commits_waiting", "Verdicts that wait for their commit.", now.committing),
            ("ledger_verdicts", "Verdicts since the chain began.", now.verdicts),
            ("ledger_acknowledged", "Of those, acknowledged by the broker.", now.acknowledged),
            ("ledger_waiting", "Of those, waiting for the broker's acknowledgement.", now.waiting),
            ("ledger_shed", "Of those, given up undelivered.", now.shed),
            ("ledger_balanced", "1 while verdicts = acknowledged + waiting + shed.", now.balanced),
            ("outbox_oldest_seconds", "Age of the oldest undelivered verdict, 0 where none waits.", now.oldest_s or 0),
        ):
            yield GaugeMetricFamily(f"kenpin_{name}", help_, value=float(value))
        states = GaugeMetricFamily("kenpin_state", "1 for the state that counts now.", labels=["state"])
        for state in (State.INSPECTING, State.IDLE, State.BLIND):  # the others are said by nobody who runs
            states.add_metric([state.value], float(state is now.state))
        yield states
        about = {"version": now.version, "bundle": now.bundle, "engine": now.engine}
        yield InfoMetricFamily("kenpin_station", "What inspects.", value=about)
