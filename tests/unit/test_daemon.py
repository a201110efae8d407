"""Several stations of one process: what one of them was told counts for it, and for no other."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime import daemon
from edge_runtime.errors import CameraLost
from edge_runtime.notify import ServiceManager
from edge_runtime.service import Service, Ward
from edge_runtime.station import Station

FILE = """site = "s"
line = "{line}"
station = "cam-1"
bundle = "part.onnx"
data = "state-{line}"
[camera]
kind = "folder"
path = "pictures"
[region.J4]
expected = "A12"
[mqtt]
host = "127.0.0.1"
[thresholds]
defect = 0.5
"""

Inspect = Callable[[Path, Station, threading.Event, object, Service], None]


def write(folder: Path, line: str) -> Path:
    path = folder / f"{line}.toml"
    path.write_text(FILE.format(line=line))
    return path


def run(monkeypatch: pytest.MonkeyPatch, paths: list[Path], inspect: Inspect) -> list[str]:
    """Run the stations of `paths` with this in the place of inspecting; what the service manager is told."""
    told: list[str] = []
    manager = ServiceManager()
    monkeypatch.setattr(manager, "tell", lambda *facts: told.extend(facts))
    monkeypatch.setattr(daemon, "inspect", inspect)
    monkeypatch.setattr(daemon, "AGAIN_S", 0.01)
    monkeypatch.setattr(daemon, "_stop_on_signals", threading.Event)
    monkeypatch.setattr(daemon, "_on_hup", threading.Event)
    daemon.run(paths, manager)
    return told


def test_a_station_that_is_tried_again_is_as_its_file_has_it_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what SIGHUP had changed, or a person mended, would be undone by the next failure: a wrong OK is near."""
    paths = [write(tmp_path, "L3"), write(tmp_path, "L4")]
    limits: list[float | None] = []

    def inspect(path: Path, station: Station, _stop: threading.Event, _share: object, _service: Service) -> None:
        if station.line == "L4":
            return
        limits.append(station.thresholds.defect)
        if len(limits) == 1:
            path.write_text(path.read_text().replace("defect = 0.5", "defect = 0.1"))
            raise CameraLost("camera", "no longer answers")

    run(monkeypatch, paths, inspect)
    assert limits == [0.5, 0.1]


def test_a_station_that_is_tried_again_does_not_become_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path, "L3"), write(tmp_path, "L4")]
    lines: list[str] = []

    def inspect(path: Path, station: Station, stop: threading.Event, _share: object, _service: Service) -> None:
        if station.line == "L4":
            stop.wait(0.2)
            stop.set()
            return
        lines.append(station.line)
        path.write_text(path.read_text().replace('line = "L3"', 'line = "L4"'))
        raise CameraLost("camera", "no longer answers")

    run(monkeypatch, paths, inspect)
    assert lines == ["L3"], "two stations would publish as one"


def test_a_failure_that_comes_again_after_a_good_time_is_in_the_log_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[bool] = []  # whether it inspected before it failed

    def inspect(_path: Path, station: Station, _stop: threading.Event, _share: object, service: Service) -> None:
        if station.line == "L4" or len(tries) == 5:
            return
        tries.append(len(tries) in (2, 4))
        if tries[-1]:
            with service.looking_after(
                Ward(
                    station.address,
                    lambda: None,
                    lambda: False,
                    lambda: "inspecting",
                    lambda: "",
                    lambda: None,
                    lambda: None,
                )
            ):
                pass
        raise CameraLost("camera", "no longer answers")

    run(monkeypatch, [write(tmp_path, "L3"), write(tmp_path, "L4")], inspect)
    assert caplog.text.count("camera: no longer answers; trying again") == 3


def test_stations_of_two_lines_may_be_called_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts: the process is ready once both have said why they do not inspect."""
    failed: set[str] = set()

    def inspect(_path: Path, station: Station, _stop: threading.Event, _share: object, _service: Service) -> None:
        if station.line not in failed:
            failed.add(station.line)
            raise CameraLost("camera", "no longer answers")

    told = run(monkeypatch, [write(tmp_path, "L3"), write(tmp_path, "L4")], inspect)
    assert "READY=1" in told
