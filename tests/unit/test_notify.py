"""What the service manager hears, on a real socket: ready, alive, and only alive while it is true."""

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_runtime.cameras import Camera, Frame
from edge_runtime.cameras.capture import Capture
from edge_runtime.errors import OutboxError
from edge_runtime.messages import Happening, State
from edge_runtime.notify import ServiceManager
from edge_runtime.pulse import GRABBING_S, JUDGING_S, Pulse
from edge_runtime.service import APART_S, Service, Ward
from edge_runtime.triggers import Triggers
from edge_runtime.triggers.config import CameraTrigger
from edge_runtime.vitals import Vitals

DEADLINE_S = 10.0


class Systemd:
    """Its end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(DEADLINE_S)
        self.heard: list[str] = []

    def close(self) -> None:
        self.socket.close()

    def drain(self) -> list[str]:
        """What has come meanwhile."""
        heard: list[str] = []
        self.socket.setblocking(False)
        try:
            while True:
                heard += self.socket.recv(4096).decode().split("\n")
        except BlockingIOError:
            self.socket.settimeout(DEADLINE_S)
            return heard

    def hears(self, fact: str) -> list[str]:
        """Wait for a datagram with `fact`; its lines."""
        while True:
            lines = self.socket.recv(4096).decode().split("\n")
            self.heard += lines
            if fact in lines:
                return lines


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with closing(Systemd(str(tmp_path / "notify"))) as systemd:
        yield systemd


@pytest.fixture
def manager(systemd: Systemd) -> ServiceManager:
    return ServiceManager(systemd.socket.getsockname(), watchdog_s=0.2)


def test_who_started_us_is_read_from_the_environment() -> None:
    given = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
    assert ServiceManager.of(given, process=7).watchdog_s == 30.0
    assert ServiceManager.of(given, process=8).watchdog_s is None, "meant for another process"
    assert ServiceManager.of({}, process=7).watchdog_s is None


def test_nobody_is_told_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager().tell("READY=1")
    assert not caplog.records


def test_a_socket_that_is_gone_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager(str(tmp_path / "gone"))
    manager.tell("WATCHDOG=1")
    manager.tell("WATCHDOG=1")
    assert len(caplog.records) == 1


def test_an_abstract_socket_is_reached() -> None:
    name = f"kenpin-test-{time.monotonic_ns()}"
    with closing(Systemd(f"\0{name}")) as systemd:
        ServiceManager(f"@{name}").tell("READY=1")
        assert systemd.hears("READY=1") == ["READY=1"]


class Station:
    """What a service looks after."""

    def __init__(self, name: str = "cam-2") -> None:
        self.name = name
        self.trouble: str | None = None
        self.state = "idle"
        self.said: list[str] = []
        self.read = threading.Event()
        self.fault: Exception | None = None

    def reread(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.read.set()

    @property
    def ward(self) -> Ward:
        return Ward(
            self.name,
            lambda: self.trouble,
            lambda: self.trouble == HUNG,
            lambda: self.state,
            lambda: f"{self.state}, 3 triggers",
            lambda: self.said.append(self.state),
            self.reread,
        )


class Process:
    """A process with some stations, and the signals that it may get."""

    def __init__(self, manager: ServiceManager, stations: int = 1) -> None:
        self.stop, self.hup = threading.Event(), threading.Event()
        self.later_s = 0.0
        self.service = Service(manager, stations, self.stop, self.hup, lambda: time.monotonic() + self.later_s)

    @contextmanager
    def looks_after(self, station: Station) -> Iterator[None]:
        with self.service, self.service.looking_after(station.ward):
            yield


@pytest.fixture
def process(manager: ServiceManager) -> Process:
    return Process(manager)


def test_ready_alive_and_stopping_are_told_in_this_order(systemd: Systemd, process: Process) -> None:
    station = Station()
    with process.looks_after(station):
        assert systemd.hears("READY=1") == ["READY=1", "STATUS=idle, 3 triggers"]
        systemd.hears("WATCHDOG=1")
    assert "WATCHDOG=1" not in systemd.hears("STOPPING=1")


def test_the_watchdog_is_fed_only_while_nothing_hangs(systemd: Systemd, process: Process) -> None:
    station = Station()
    with process.looks_after(station):
        systemd.hears("WATCHDOG=1")
        station.trouble = "the thread that judges has been at one picture for 16 s"
        station.state = "hung"  # so that a status is told at once
        systemd.hears(f"STATUS=cam-2: {station.trouble}")
        systemd.heard.clear()
        station.state = "hung still"
        systemd.hears(f"STATUS=cam-2: {station.trouble}")
        assert "WATCHDOG=1" not in systemd.heard
        station.trouble = None
        systemd.hears("WATCHDOG=1")


def test_a_state_that_changes_is_published(process: Process) -> None:
    station = Station()
    with process.looks_after(station):
        station.state = "inspecting"
        give_up = time.monotonic() + DEADLINE_S
        while not station.said and time.monotonic() < give_up:
            time.sleep(0.01)
    assert station.said == ["inspecting"]


def test_a_hangup_reads_the_file_again_between_reloading_and_ready(systemd: Systemd, process: Process) -> None:
    station = Station()
    with process.looks_after(station):
        systemd.hears("READY=1")
        process.hup.set()
        reloading = systemd.hears("RELOADING=1")
        assert reloading[1].startswith("MONOTONIC_USEC=")
        assert int(reloading[1].partition("=")[2]) <= time.monotonic_ns() // 1000
        systemd.hears("READY=1")
        assert station.read.is_set()
        assert not process.hup.is_set()


def test_what_fails_while_it_looks_does_not_end_the_feeding(systemd: Systemd, process: Process) -> None:
    station = Station()
    station.fault = ValueError("a bug")
    with process.looks_after(station):
        process.hup.set()
        systemd.hears("RELOADING=1")
        systemd.hears("READY=1")
        systemd.hears("WATCHDOG=1")


def test_it_is_ready_when_each_station_inspects_or_has_said_why_not(systemd: Systemd, manager: ServiceManager) -> None:
    process = Process(manager, stations=2)
    with process.service, process.service.looking_after(Station("cam-1").ward):
        systemd.socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            systemd.hears("READY=1")
        systemd.socket.settimeout(DEADLINE_S)
        process.service.fails("cam-2", "part.onnx: is no bundle")
        said = "STATUS=cam-2 DOES NOT INSPECT: part.onnx: is no bundle; cam-1: idle, 3 triggers"
        assert systemd.hears("READY=1") == ["READY=1", said]


def test_a_station_that_fails_later_is_told_at_once_and_one_that_is_mended_no_longer(
    systemd: Systemd, manager: ServiceManager
) -> None:
    process = Process(manager, stations=2)
    other = Station("cam-2")
    with process.service, process.service.looking_after(Station("cam-1").ward):
        with process.service.looking_after(other.ward):
            systemd.hears("READY=1")
        process.service.fails("cam-2", "the disk is full")
        systemd.hears("STATUS=cam-2 DOES NOT INSPECT: the disk is full; cam-1: idle, 3 triggers")
        with process.service.looking_after(other.ward):
            other.state = "inspecting"
            systemd.hears("STATUS=cam-1: idle, 3 triggers; cam-2: inspecting, 3 triggers")


HUNG = "the camera's driver has been in one call for 61 s"


def test_one_station_that_hangs_has_those_that_inspect_started_again_once_an_hour_at_most(
    systemd: Systemd, manager: ServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    process, well, hung = Process(manager, stations=2), Station("cam-1"), Station("cam-2")
    with process.service, process.service.looking_after(well.ward), process.service.looking_after(hung.ward):
        systemd.hears("WATCHDOG=1")
        hung.trouble, well.state = HUNG, "inspecting"
        systemd.hears(f"STATUS=cam-2: {HUNG}")
        systemd.hears("WATCHDOG=1")
        process.later_s = APART_S
        well.state = "idle"
        systemd.hears(f"STATUS=cam-2: {HUNG}")
        well.state = "inspecting"
        systemd.heard.clear()
        systemd.hears(f"STATUS=cam-2: {HUNG}")
        assert "WATCHDOG=1" not in systemd.heard
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said == [
        f"cam-2: {HUNG}; the others go on; all are started again for it 60 minutes after the start",
        f"cam-2: {HUNG}; the watchdog is not fed",
    ]


@pytest.mark.parametrize(
    ("trouble", "other"),
    [("the thread that judges has been at one picture for 16 s", "inspecting"), (HUNG, "blind")],
)
def test_what_is_no_drivers_hang_or_has_no_neighbour_that_inspects_starves_the_watchdog_at_once(
    systemd: Systemd, manager: ServiceManager, trouble: str, other: str
) -> None:
    process, one, two = Process(manager, stations=2), Station("cam-1"), Station("cam-2")
    with process.service, process.service.looking_after(one.ward), process.service.looking_after(two.ward):
        systemd.hears("WATCHDOG=1")
        two.trouble, one.state = trouble, other
        systemd.hears(f"STATUS=cam-2: {trouble}")
        systemd.heard.clear()
        two.state = "blind"
        systemd.hears(f"STATUS=cam-2: {trouble}")
        assert "WATCHDOG=1" not in systemd.heard


def test_where_all_stations_hang_the_watchdog_is_starved_at_once(systemd: Systemd, manager: ServiceManager) -> None:
    process, one, other = Process(manager, stations=2), Station("cam-1"), Station("cam-2")
    with process.service, process.service.looking_after(one.ward), process.service.looking_after(other.ward):
        systemd.hears("WATCHDOG=1")
        one.trouble = other.trouble = HUNG
        one.state = "blind"
        systemd.hears(f"STATUS=cam-1: {HUNG}; cam-2: {HUNG}")
        systemd.heard.clear()
        one.state = "idle"
        systemd.hears(f"STATUS=cam-1: {HUNG}; cam-2: {HUNG}")
        assert "WATCHDOG=1" not in systemd.heard


class Speechless(Station):
    """One whose outbox cannot be read when it is asked how many verdicts wait."""

    @property
    def ward(self) -> Ward:
        def line() -> str:
            raise OutboxError("state/outbox.db", "cannot be read (Input/output error)")

        return replace(super().ward, line=line)


def test_one_station_that_cannot_say_how_it_goes_starves_no_watchdog_and_stops_no_other(
    systemd: Systemd, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_runtime.service.STATUS_S", 0.0)  # asked each time
    process, bad, well = Process(manager, stations=2), Speechless("cam-1"), Station("cam-2")
    with process.service, process.service.looking_after(bad.ward), process.service.looking_after(well.ward):
        systemd.hears("WATCHDOG=1")
        well.state = "inspecting"
        systemd.hears("STATUS=cam-1: cannot say how it goes; see the log; cam-2: inspecting, 3 triggers")
        systemd.hears("WATCHDOG=1")
        bad.trouble = "the thread that judges has been at one picture for 16 s"
        process.later_s = APART_S
        systemd.hears(f"STATUS=cam-1: {bad.trouble}")
        systemd.heard.clear()
        well.state = "idle"
        systemd.hears(f"STATUS=cam-1: {bad.trouble}")
        assert "WATCHDOG=1" not in systemd.heard, "whether it hangs is still asked"
    assert "inspecting" in well.said
    said = [record.getMessage() for record in caplog.records if "cannot say" in record.getMessage()]
    assert said == ["cam-1 cannot say how it goes: state/outbox.db: cannot be read (Input/output error)"]


class Stuck(Station):
    """One whose status cannot be published: the outbox that it tells of is being made anew."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.go_on = threading.Event(), threading.Event()

    @property
    def ward(self) -> Ward:
        def changed() -> None:
            self.waits.set()
            self.go_on.wait(DEADLINE_S)

        return replace(super().ward, changed=changed)


def test_what_goes_on_part_by_part_feeds_the_watchdog_though_the_service_itself_waits_for_it(
    systemd: Systemd, process: Process
) -> None:
    station = Stuck()
    with process.looks_after(station):
        systemd.hears("WATCHDOG=1")
        station.state = "inspecting"
        assert station.waits.wait(DEADLINE_S)
        systemd.drain()
        time.sleep(0.1)  # half of what the watchdog allows
        process.service.goes_on("cam-2", "5000 verdicts are read")
        assert systemd.drain() == ["WATCHDOG=1", "STATUS=cam-2: 5000 verdicts are read"]
        station.go_on.set()


def test_what_goes_on_feeds_no_watchdog_while_another_station_hangs(systemd: Systemd, manager: ServiceManager) -> None:
    process, other, station = Process(manager, stations=2), Station("cam-1"), Stuck()
    with process.service, process.service.looking_after(other.ward), process.service.looking_after(station.ward):
        systemd.hears("WATCHDOG=1")
        station.state = "inspecting"
        assert station.waits.wait(DEADLINE_S)
        systemd.drain()
        other.trouble, process.later_s = HUNG, APART_S
        process.service.goes_on("cam-2", "5000 verdicts are read")
        assert systemd.drain() == ["STATUS=cam-2: 5000 verdicts are read"]
        station.go_on.set()


def test_nothing_that_goes_on_is_nothing_that_feeds(systemd: Systemd, process: Process) -> None:
    station = Stuck()
    with process.looks_after(station):
        systemd.hears("WATCHDOG=1")
        station.state = "inspecting"
        assert station.waits.wait(DEADLINE_S)
        systemd.drain()
        systemd.socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            systemd.hears("WATCHDOG=1")
        station.go_on.set()


def test_what_goes_on_before_it_is_ready_and_after_it_is_stopped_gives_it_more_time(
    systemd: Systemd, process: Process
) -> None:
    process.service.goes_on("cam-2", "5000 verdicts are read")
    assert systemd.drain() == ["EXTEND_TIMEOUT_USEC=30000000", "STATUS=cam-2: 5000 verdicts are read"]
    with process.looks_after(Station()):
        systemd.hears("READY=1")
        process.stop.set()
        systemd.hears("STOPPING=1")
        systemd.drain()
        process.service.goes_on("cam-2", "5000 verdicts are read")
        assert systemd.drain()[0] == "EXTEND_TIMEOUT_USEC=30000000"


def test_a_process_that_never_was_ready_does_not_say_that_it_stops(systemd: Systemd, process: Process) -> None:
    with process.service:
        pass
    systemd.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.socket.recv(1)


def test_a_process_that_is_told_to_stop_says_so_at_once(systemd: Systemd, process: Process) -> None:
    with process.looks_after(Station()):
        systemd.hears("READY=1")
        process.stop.set()
        systemd.hears("STOPPING=1")


class Time:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Silent:
    """A camera that is there and gives nothing. `hang`: while it is set, its driver does not come back."""

    live = True
    delay_s = 0.0

    def __init__(self) -> None:
        self.hang = threading.Event()
        self.go_on = threading.Event()
        self.hung = threading.Event()

    def grab(self, timeout_s: float) -> Frame | None:
        time.sleep(min(timeout_s, 0.01))
        if self.hang.is_set():
            self.hung.set()
            self.go_on.wait(DEADLINE_S)
        return None

    def close(self) -> None:
        self.go_on.set()


def silent(_what: Happening) -> None:
    """Nobody is told."""


def unseen(frame: Frame) -> Frame:
    """Nobody looks."""
    return frame


def watched(camera: Camera, clock: Time) -> tuple[Capture, Triggers, Pulse]:
    wake, stop = threading.Event(), threading.Event()
    capture = Capture(lambda: camera, wake, silent, each=True, clock=clock)
    triggers = Triggers(CameraTrigger(), capture, wake, stop, unseen, clock)
    return capture, triggers, Pulse(capture, clock)


def hung(pulse: Pulse, went_round: float) -> str | None:
    return pulse.judging_hung(went_round) or pulse.driver_hung()


def test_a_line_that_stands_still_does_not_hang() -> None:
    clock, camera = Time(), Silent()
    capture, triggers, pulse = watched(camera, clock)
    with capture:
        clock.now += 10 * JUDGING_S
        deadline = time.monotonic() + DEADLINE_S
        while capture.seen < clock.now and time.monotonic() < deadline:
            time.sleep(0.01)
        triggers.seen = clock.now  # it goes round every TICK_S
        assert hung(pulse, triggers.seen) is None
        assert pulse.state() is State.IDLE


def test_a_picture_that_is_never_done_with_is_a_hang() -> None:
    clock, camera = Time(), Silent()
    capture, triggers, pulse = watched(camera, clock)
    with capture:
        clock.now += JUDGING_S - 1
        assert hung(pulse, triggers.seen) is None
        clock.now += 2
        assert hung(pulse, triggers.seen) == "the thread that judges has been at one picture for 16 s"


def test_a_driver_that_does_not_come_back_is_a_hang() -> None:
    clock, camera = Time(), Silent()
    capture, triggers, pulse = watched(camera, clock)
    with capture:
        camera.hang.set()
        assert camera.hung.wait(DEADLINE_S)
        clock.now += GRABBING_S + 1
        triggers.seen = clock.now
        assert hung(pulse, triggers.seen) == "the camera's driver has been in one call for 61 s"
        camera.go_on.set()


def test_the_thread_that_judges_goes_round_while_nothing_comes() -> None:
    camera = Silent()
    wake, stop = threading.Event(), threading.Event()
    capture = Capture(lambda: camera, wake, silent, each=True)
    triggers = Triggers(CameraTrigger(), capture, wake, stop, unseen)
    with capture:
        thread = threading.Thread(target=lambda: list(triggers))
        begin = triggers.seen
        thread.start()
        deadline = time.monotonic() + DEADLINE_S
        while triggers.seen < begin + 0.3 and time.monotonic() < deadline:
            time.sleep(0.01)
        stop.set()
        thread.join(DEADLINE_S)
    assert triggers.seen >= begin + 0.3


def test_a_replay_that_is_over_does_not_hang() -> None:
    clock, camera = Time(), Silent()
    capture, triggers, pulse = watched(camera, clock)
    with capture:
        pass
    assert capture.over
    clock.now += GRABBING_S + 1
    triggers.seen = clock.now
    assert hung(pulse, triggers.seen) is None


def test_who_waits_for_an_outbox_that_is_made_anew_hangs_only_where_that_does_not_go_on() -> None:
    clock, camera = Time(), Silent()
    capture, triggers, pulse = watched(camera, clock)
    outbox: Any = SimpleNamespace(went_on=-math.inf)
    broker: Any = SimpleNamespace(hung=lambda: None)
    nothing: Any = None
    vitals = Vitals(capture, triggers, pulse, nothing, nothing, nothing, outbox, broker, nothing, 0)
    with capture:
        clock.now += 10 * JUDGING_S
        outbox.went_on = clock.now - 1
        deadline = time.monotonic() + DEADLINE_S
        while capture.seen < clock.now and time.monotonic() < deadline:
            time.sleep(0.01)
        assert vitals.hung() is None
        outbox.went_on = clock.now - JUDGING_S - 1
        assert vitals.hung() is not None
