"""The daemon as a service: what its manager, Prometheus and its log are told, and what its signals do."""

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.outbox import Entry, Outbox
from edge_runtime.verdict import Call
from tests.evidence import verdict
from tests.integration.parts import Line, Mosquitto, Subscriber, free_port, wait_until
from tests.unit.conftest import write_readable_bundle

DONE, TRY_AGAIN, MEND_FIRST = 0, 75, 78


@pytest.fixture
def station(tmp_path: Path, broker: Mosquitto) -> Iterator[Line]:
    (tmp_path / "line").mkdir()
    bundle = write_readable_bundle(tmp_path / "line" / "part.onnx")
    line = Line(tmp_path / "line", broker.port, bundle, expected="A12", repeat=True)
    line.draw(20)
    yield line
    line.end()


class Manager:
    """systemd's end of the socket: all lines that came, in order."""

    def __init__(self, address: Path) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.setblocking(False)
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        while True:
            try:
                self._heard += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self._heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with closing(Manager(tmp_path / "notify")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.address))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        yield manager


def samples(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_the_service_manager_hears_ready_then_alive_then_stopping(station: Line, manager: Manager) -> None:
    daemon = station.start()
    wait_until(lambda: "READY=1" in manager.heard(), "it is ready")
    assert (station.folder / "state" / "outbox.db").exists()
    wait_until(lambda: manager.heard().count("WATCHDOG=1") > 2, "the watchdog is fed")
    wait_until(
        lambda: any(fact.startswith("STATUS=inspecting") for fact in manager.heard()), "it says that it inspects"
    )
    daemon.terminate()
    assert daemon.wait(30) == DONE
    heard = manager.heard()
    assert heard[0] == "READY=1"
    assert "STOPPING=1" in heard
    assert "WATCHDOG=1" not in heard[heard.index("STOPPING=1") :]


def test_a_station_that_cannot_start_is_never_ready(station: Line, manager: Manager) -> None:
    station.expected = "A13"
    assert station.start().wait(60) == MEND_FIRST
    assert manager.heard() == []


def with_a_backlog(station: Line) -> Path:
    """20,000 verdicts wait; the station's data folder."""
    state = station.folder / "state"
    state.mkdir()
    with Outbox(state) as outbox:
        for _ in range(20):
            outbox.append_all([Entry(verdict(Call.OK)) for _ in range(1000)])
    return state


def test_a_start_that_makes_a_large_outbox_anew_is_given_time_while_that_goes_on(
    station: Line, broker: Mosquitto, manager: Manager
) -> None:
    state = with_a_backlog(station)
    broker.stop()
    for file in state.glob("outbox.db*"):
        file.unlink()
    station.start()
    wait_until(lambda: "READY=1" in manager.heard(), "it is ready")
    before = manager.heard()[: manager.heard().index("READY=1")]
    assert before.count("EXTEND_TIMEOUT_USEC=30000000") >= 4, "20,000 verdicts, told of each 5000"
    assert "WATCHDOG=1" not in before


def test_an_outbox_that_is_made_anew_while_the_station_inspects_tells_that_it_goes_on(
    station: Line, broker: Mosquitto, manager: Manager
) -> None:
    state = with_a_backlog(station)
    broker.stop()
    station.start()
    wait_until(lambda: "WATCHDOG=1" in manager.heard(), "it inspects")
    station.freeze()
    with (state / "outbox.db").open("r+b") as file:
        file.write(os.urandom(10_000_000))
    station.thaw()
    broker.start()  # so that the oldest are read, which are in no memory any more
    wait_until(lambda: "made anew from the ledger up to seq" in station.log(), "it is made anew")
    told = "STATUS=kenpin/plant-a/L3/cam-2: the outbox is made anew: "
    wait_until(lambda: any(fact.startswith(told) for fact in manager.heard()), "systemctl status says so")
    assert station.process.poll() is None


def test_a_broker_that_is_away_is_no_hang(station: Line, broker: Mosquitto, manager: Manager) -> None:
    broker.stop()
    station.start()
    wait_until(lambda: "cannot be reached" in station.log(), "the broker is missed")
    before = manager.heard().count("WATCHDOG=1")
    wait_until(lambda: manager.heard().count("WATCHDOG=1") > before + 2, "the watchdog is fed on")
    wait_until(lambda: any("no broker" in fact for fact in manager.heard()), "the status says what is missing")


def test_a_line_that_stands_still_is_no_hang(station: Line, manager: Manager) -> None:
    station.trigger = '[trigger]\nkind = "request"\n'
    station.start()
    wait_until(lambda: manager.heard().count("WATCHDOG=1") > 2, "the watchdog is fed")
    assert not any(fact.startswith("STATUS=inspecting") for fact in manager.heard())


def test_a_hangup_changes_thresholds_between_two_frames_and_says_so(
    station: Line, manager: Manager, subscriber: Subscriber
) -> None:
    daemon = station.start()
    wait_until(subscriber.verdicts, "verdicts arrive")
    path = station.folder / "station.toml"
    path.write_text(path.read_text() + "[thresholds]\ndefect = 0.125\n")
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: "changed: thresholds.defect" in station.log(), "the file is read again")
    wait_until(
        lambda: subscriber.verdicts()[-1].json()["thresholds"]["defect"] == 0.125, "the new threshold is in a verdict"
    )
    events = [m.json() for m in subscriber.messages if m.topic.endswith("/event")]
    assert [(event["kind"], event["changed"]) for event in events] == [("station-reread", ["thresholds.defect"])]
    heard = manager.heard()
    assert "READY=1" in heard[heard.index("RELOADING=1") :]
    assert daemon.poll() is None

    path.write_text(path.read_text().replace("defect = 0.125", "defect = 2"))
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: "nothing of the station file counts anew" in station.log(), "the mistake is told")
    seen = len(subscriber.verdicts())
    wait_until(lambda: len(subscriber.verdicts()) > seen + 3, "inspection goes on")
    assert subscriber.verdicts()[-1].json()["thresholds"]["defect"] == 0.125
    assert [verdict.json()["seq"] for verdict in subscriber.verdicts()] == list(
        range(1, len(subscriber.verdicts()) + 1)
    )


def test_triggers_verdicts_and_acknowledgements_are_reconciled(station: Line, broker: Mosquitto) -> None:
    port = free_port()
    station.rate_hz = 10
    station.trigger = f"[metrics]\nport = {port}\n"
    station.start()
    wait_until(lambda: "connected" in station.log(), "the station runs")
    wait_until(lambda: samples(port)["kenpin_ledger_acknowledged"] > 3, "verdicts are acknowledged")
    broker.stop()
    wait_until(lambda: samples(port)["kenpin_ledger_waiting"] > 3, "verdicts wait")
    found = samples(port)
    assert found["kenpin_ledger_balanced"] == 1
    assert found["kenpin_broker_connected"] == 0
    assert found["kenpin_ledger_verdicts"] == found["kenpin_ledger_acknowledged"] + found["kenpin_ledger_waiting"]
    assert abs(found["kenpin_triggers_total"] - found["kenpin_verdicts_total"]) <= 1, "but for the one in hand"
    assert found["kenpin_outbox_oldest_seconds"] > 0
    broker.start()
    wait_until(lambda: samples(port)["kenpin_ledger_waiting"] < 3, "they are delivered")


def test_a_port_that_is_taken_does_not_keep_a_line_from_inspecting(station: Line, subscriber: Subscriber) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        station.trigger = f"[metrics]\nport = {other.getsockname()[1]}\n"
        station.start()
        wait_until(subscriber.verdicts, "verdicts arrive")
    assert "the station inspects without" in station.log()
    wait_until(
        lambda: any(m.topic.endswith("/event") and m.json()["kind"] == "metrics-refused" for m in subscriber.messages),
        "an event tells it",
    )


def test_a_clean_stop_leaves_nothing_behind(station: Line, subscriber: Subscriber) -> None:
    station.trigger = f"[metrics]\nport = {free_port()}\n"
    daemon = station.start()
    wait_until(lambda: len(subscriber.verdicts()) > 3, "verdicts arrive")
    daemon.terminate()
    assert daemon.wait(30) == DONE
    assert {path.name for path in (station.folder / "state").iterdir()} <= {
        "lock",
        "outbox.db",
        "ledger",
        "reserve",
        "evidence",
    }
    station.repeat = False
    assert station.start().wait(60) == DONE, "the lock is free"


def test_a_log_for_machines_has_one_object_a_line_from_start_to_end(station: Line) -> None:
    station.repeat = False
    station.options = ["--log", "json"]
    assert station.start().wait(60) == DONE
    said = [json.loads(line) for line in station.log().splitlines()]
    assert {each["station"] for each in said} == {"plant-a/L3/cam-2"}
    assert {each["level"] for each in said} == {"info"}
    assert said[-1]["message"].startswith("cam-2 stopped after 20 verdicts")


def test_an_abort_by_the_watchdog_tells_where_each_thread_was(station: Line) -> None:
    daemon = station.start()
    wait_until(lambda: "connected" in station.log(), "the station runs")
    daemon.send_signal(signal.SIGABRT)
    assert daemon.wait(30) == -signal.SIGABRT
    assert "Current thread" in station.log()
    assert "capture.py" in station.log()


def test_the_units_exit_statuses_are_those_of_the_code() -> None:
    unit = Path(__file__).parents[2] / "deploy" / "systemd" / "kenpin-edge@.service"
    (line,) = [line for line in unit.read_text().splitlines() if line.startswith("RestartPreventExitStatus=")]
    statuses = {int(status) for status in line.partition("=")[2].split()}
    assert MEND_FIRST in statuses
    assert TRY_AGAIN not in statuses
    assert os.EX_TEMPFAIL == TRY_AGAIN
    assert os.EX_CONFIG == MEND_FIRST
