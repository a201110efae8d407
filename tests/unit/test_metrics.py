"""A station's figures, as Prometheus gets them: over HTTP, parsed by Prometheus' own client."""

import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.messages import Happening, State
from edge_runtime.metrics import Meters, Readings, server
from edge_runtime.metrics.config import MetricsConfig
from edge_runtime.metrics.server import serving
from edge_runtime.verdict import (
    BundleRef,
    Call,
    Latency,
    Reason,
    RegionVerdict,
    Thresholds,
    Verdict,
    utc,
)

READINGS = Readings(
    state=State.BLIND,
    hung=False,
    version="kenpin 0.1.0",
    bundle="harness-7",
    engine="onnxruntime CPU",
    camera_connected=False,
    frames=11,
    dropped=1,
    missed=2,
    reconnects=3,
    frames_waiting=4,
    triggers=13,
    committing=5,
    verdicts=100,
    acknowledged=90,
    waiting=8,
    shed=2,
    balanced=True,
    oldest_s=17.5,
    broker_connected=True,
    evidence_dropped=6,
)


def verdict(call: Call, reason: Reason) -> Verdict:
    return Verdict(
        id="1",
        site="s",
        line="l",
        station="c",
        seq=1,
        captured_at=utc(0),
        trigger="camera",
        verdict=call,
        bundle=BundleRef(name="harness", version="7", sha256="0"),
        thresholds=Thresholds(defect=0.5),
        regions=(RegionVerdict(name="J4", expected="A12", verdict=call, reason=reason, box=(0, 0, 1, 1)),),
        latency_ms=Latency(grab=1.0, inspect=4.0, total=8.0),
        prev="",
    )


class Figures:
    """A station that serves figures, and who asks for them. `hung`: what does not go on."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.hung: str | None = None
        self.told: list[str] = []

    @contextmanager
    def served(self) -> Iterator[Meters]:
        def tell(what: Happening) -> None:
            self.told.append(what.kind)

        with serving(MetricsConfig(port=self.port), lambda: READINGS, lambda: self.hung, tell) as meters:
            yield meters

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def samples(self) -> dict[str, float]:
        """Each sample by its name and labels, as Prometheus writes them."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            sample.name + "".join(f"{{{key}={value}}}" for key, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def test_what_the_parts_say_is_there() -> None:
    figures = Figures()
    with figures.served():
        found = figures.samples()
    expected = {
        "kenpin_frames_total": 11,
        "kenpin_frames_dropped_total": 1,
        "kenpin_frames_missed_total": 2,
        "kenpin_camera_reconnects_total": 3,
        "kenpin_frames_waiting": 4,
        "kenpin_triggers_total": 13,
        "kenpin_commits_waiting": 5,
        "kenpin_evidence_dropped_total": 6,
        "kenpin_ledger_verdicts": 100,
        "kenpin_ledger_acknowledged": 90,
        "kenpin_ledger_waiting": 8,
        "kenpin_ledger_shed": 2,
        "kenpin_ledger_balanced": 1,
        "kenpin_outbox_oldest_seconds": 17.5,
        "kenpin_up_and_judging": 1,
        "kenpin_camera_connected": 0,
        "kenpin_broker_connected": 1,
        "kenpin_state{state=blind}": 1,
        "kenpin_state{state=inspecting}": 0,
        "kenpin_station_info{bundle=harness-7}{engine=onnxruntime CPU}{version=kenpin 0.1.0}": 1,
    }
    assert expected.items() <= found.items()
    assert found["process_resident_memory_bytes"] > 0
    assert not [name for name in found if name.endswith("_created")]


def test_each_verdict_is_counted_by_call_and_reason_and_its_stages_are_timed() -> None:
    figures = Figures()
    with figures.served() as meters:
        meters.judged(verdict(Call.OK, Reason.MATCH), 0.003)
        meters.judged(verdict(Call.NG, Reason.DEFECT), 0.003)
        meters.judged(verdict(Call.NG, Reason.DEFECT), 0.003)
        meters.delivered(0.03)
        found = figures.samples()
    assert found["kenpin_verdicts_total{verdict=OK}"] == 1
    assert found["kenpin_verdicts_total{verdict=NG}"] == 2
    assert found["kenpin_regions_total{reason=defect}{region=J4}{verdict=NG}"] == 2
    assert found["kenpin_stage_seconds_sum{stage=total}"] == pytest.approx(3 * 0.011)
    assert found["kenpin_stage_seconds_bucket{le=0.002}{stage=commit}"] == 0
    assert found["kenpin_stage_seconds_bucket{le=0.005}{stage=commit}"] == 3
    assert found["kenpin_stage_seconds_count{stage=deliver}"] == 1


def test_health_is_200_while_it_goes_on_and_503_while_it_hangs() -> None:
    figures = Figures()
    with figures.served():
        assert figures.get("/healthz") == (200, "ok\n")
        figures.hung = "the camera's driver has been in one call for 61 s"
        assert figures.get("/healthz") == (503, f"{figures.hung}\n")
        assert figures.get("/")[0] == 404


def test_a_port_that_is_taken_is_a_warning_and_the_station_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    figures = Figures()
    with socket.socket() as other:
        other.bind(("127.0.0.1", figures.port))
        other.listen()
        with figures.served() as meters:
            meters.judged(verdict(Call.OK, Reason.MATCH), 0.003)
    assert figures.told == ["metrics-refused"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("(Address already in use); the station inspects without")


def test_who_connects_and_says_nothing_does_not_keep_others_from_asking() -> None:
    figures = Figures()
    with figures.served(), socket.create_connection(("127.0.0.1", figures.port)):
        assert figures.get("/healthz")[0] == 200


def test_who_asks_a_letter_at_a_time_keeps_nobody_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither others who ask, nor a station that is told to stop."""
    monkeypatch.setattr(server, "PATIENCE_S", 0.2)
    figures, over = Figures(), threading.Event()

    def dawdle(connection: socket.socket) -> None:
        with suppress(OSError):
            while not over.wait(0.05):
                connection.sendall(b"G")

    with figures.served(), socket.create_connection(("127.0.0.1", figures.port)) as connection:
        thread = threading.Thread(target=dawdle, args=(connection,))
        thread.start()
        try:
            assert figures.get("/healthz")[0] == 200
        finally:
            over.set()
            thread.join()


def test_the_port_is_free_again_afterwards() -> None:
    figures = Figures()
    with figures.served():
        pass
    with figures.served():
        assert figures.get("/healthz")[0] == 200
    assert figures.told == []
