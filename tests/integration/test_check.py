"""`kenpin-edge check`, with real folders, pictures, outboxes and a real Mosquitto."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.outbox import Outbox
from edge_runtime.verdict import BundleRef, Call, Latency, Thresholds, Verdict, utc
from tests.integration.parts import Line, Mosquitto, wait_until
from tests.integration.test_access import DAY, Authority
from tests.unit.conftest import write_readable_bundle

Found = dict[str, list[tuple[str, str]]]


@pytest.fixture
def station(tmp_path: Path, broker: Mosquitto) -> Iterator[Line]:
    (tmp_path / "line").mkdir()
    bundle = write_readable_bundle(tmp_path / "line" / "part.onnx")
    line = Line(tmp_path / "line", broker.port, bundle, expected="A12")
    line.draw(20)
    line.write()
    yield line
    line.end()


def checked(station: Line) -> tuple[int, Found]:
    """The exit status, and by check what was found: level and text with remedy."""
    command = [sys.executable, "-m", "edge_runtime", "check", str(station.folder / "station.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    found: Found = {}
    for line in done.stdout.splitlines():
        said = json.loads(line)
        found.setdefault(said["check"], []).append((said["level"], f"{said['text']}; {said.get('remedy', '')}"))
    return done.returncode, found


def levels(found: Found, check: str) -> list[str]:
    return [level for level, _ in found[check]]


def texts(found: Found, check: str) -> str:
    return "\n".join(text for _, text in found[check])


def test_a_station_as_it_must_be_ends_with_0_and_is_left_as_it_was(station: Line) -> None:
    before = sorted(station.folder.rglob("*"))
    status, found = checked(station)
    assert status == 0, found
    assert set(found) >= {"station", "bundle", "engine", "recipe", "camera", "picture", "broker", "disk", "outbox"}
    assert "fail" not in [level for each in found.values() for level, _ in each]
    assert "10 frames" in texts(found, "camera")
    assert "may publish to kenpin/plant-a/L3/cam-2/event" in texts(found, "broker")
    assert "a sync takes" in texts(found, "disk")
    assert sorted(station.folder.rglob("*")) == before


def test_each_line_for_people_says_level_and_what(station: Line) -> None:
    command = [sys.executable, "-m", "edge_runtime", "check", str(station.folder / "station.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert all(line[:6] in ("ok    ", "warn  ", "fail  ") for line in done.stdout.splitlines()), done.stdout


def test_a_station_file_with_mistakes_is_all_that_is_said(station: Line) -> None:
    path = station.folder / "station.toml"
    path.write_text(path.read_text().replace("rate_hz", "rate"))
    status, found = checked(station)
    assert status == 1
    assert list(found) == ["station"]
    assert 'did you mean "rate_hz"?' in texts(found, "station")


def test_a_bundle_that_is_none_fails_and_the_rest_is_looked_at(station: Line) -> None:
    station.bundle.write_bytes(b"none")
    status, found = checked(station)
    assert status == 1
    assert levels(found, "bundle") == ["fail"]
    assert levels(found, "camera") == ["ok"]
    assert "fail" not in levels(found, "broker")


def test_a_camera_that_is_not_there_fails_with_its_remedy(station: Line) -> None:
    for picture in station.pictures.iterdir():
        picture.unlink()
    status, found = checked(station)
    assert status == 1
    assert levels(found, "camera") == ["fail"]
    assert "has no pictures" in texts(found, "camera")


def test_a_region_outside_of_the_frame_fails_with_the_sizes(station: Line) -> None:
    path = station.folder / "station.toml"
    path.write_text(path.read_text().replace('"A12"\n', '"A12"\nbox = [0, 0, 4000, 4000]\n'))
    status, found = checked(station)
    assert status == 1
    assert levels(found, "picture") == ["fail"]
    assert "box" in texts(found, "picture")


def test_the_empty_zone_is_looked_at_as_a_start_does(station: Line) -> None:
    path = station.folder / "station.toml"
    trigger = '[trigger]\nkind = "presence"\nwhen = "still"\nempty = "empty.png"\n'
    path.write_text(path.read_text() + trigger)
    status, found = checked(station)
    assert status == 1
    assert levels(found, "trigger") == ["fail"]
    assert "empty.png: cannot be read" in texts(found, "trigger")
    cv2.imwrite(str(station.folder / "empty.png"), np.zeros((16, 16), np.uint8))
    status, found = checked(station)
    assert status == 1
    assert levels(found, "trigger") == ["ok", "fail"]
    assert "take empty anew" in texts(found, "trigger")


def test_an_even_place_without_a_part_is_a_warning(station: Line) -> None:
    for picture in station.pictures.iterdir():
        cv2.imwrite(str(picture), np.pad(np.full((40, 40), 90, np.uint8), 40, constant_values=30))
    path = station.folder / "station.toml"
    path.write_text(path.read_text().replace('"A12"\n', '"A12"\nbox = [0, 0, 30, 30]\n'))
    status, found = checked(station)
    assert levels(found, "picture") == ["warn"], found
    assert "right where no part is there" in texts(found, "picture")
    assert status == 0


def test_a_broker_that_is_away_fails_and_the_rest_is_looked_at(station: Line, broker: Mosquitto) -> None:
    broker.stop()
    status, found = checked(station)
    assert status == 1
    assert levels(found, "broker") == ["fail"]
    assert "cannot be reached" in texts(found, "broker")
    assert "fail" not in levels(found, "disk")


def test_what_the_brokers_acl_forbids_is_named(station: Line, broker: Mosquitto) -> None:
    broker.stop()
    broker.acl = "topic read #\ntopic write kenpin/+/+/+/status\n"
    broker.start()
    status, found = checked(station)
    assert status == 1
    assert "may not publish to kenpin/plant-a/L3/cam-2/event (Not authorized)" in texts(found, "broker")


def test_a_wrong_password_is_said(station: Line, broker: Mosquitto) -> None:
    broker.stop()
    (broker.folder / "passwords").write_text("")
    broker.config = f"allow_anonymous false\npassword_file {broker.folder / 'passwords'}\n"
    broker.start()
    status, found = checked(station)
    assert status == 1
    assert "refuses the station (Not authorized)" in texts(found, "broker")


@pytest.mark.parametrize(
    ("valid", "level", "said"),
    [(90 * DAY, "ok", "holds until"), (10 * DAY, "warn", "renew it in time"), (-DAY, "fail", "ended on")],
)
def test_a_certificate_is_told_by_its_end(
    tmp_path: Path, station: Line, valid: timedelta, level: str, said: str
) -> None:
    plant = Authority(tmp_path / "plant")
    certificate, key = plant.issue("broker", valid)
    (tmp_path / "tls").mkdir()
    broker = Mosquitto(tmp_path / "tls", config=f"certfile {certificate}\nkeyfile {key}\nallow_anonymous true\n")
    broker.start()
    station.port, station.access = broker.port, f'tls = true\nca = "{plant.ca}"\n'
    station.write()
    try:
        status, found = checked(station)
    finally:
        broker.stop()
    assert levels(found, "certificate") == [level]
    assert said in texts(found, "certificate")
    assert status == (1 if level == "fail" else 0)


def test_a_station_that_runs_is_not_disturbed(station: Line) -> None:
    station.repeat = True
    daemon = station.start()
    wait_until(lambda: "connected" in station.log(), "the station runs")
    wait_until((station.folder / "state" / "outbox.db").exists, "it has an outbox")
    status, found = checked(station)
    assert status == 0, found
    assert f"runs as process {daemon.pid}" in texts(found, "daemon")
    assert "camera" not in found
    assert daemon.poll() is None
    assert "another client has this station's names" not in station.log()
    station.stop()


def test_a_lock_file_of_a_station_that_was_killed_is_no_station_that_runs(station: Line) -> None:
    daemon = station.start()
    wait_until((station.folder / "state" / "lock").exists, "it has its lock")
    daemon.kill()
    daemon.wait()
    _, found = checked(station)
    assert "daemon" not in found


def test_verdicts_that_wait_for_long_and_what_was_moved_aside_are_warned_of(station: Line) -> None:
    with Outbox(station.folder / "state") as outbox:
        outbox.append(
            Verdict(
                id="1",
                site="plant-a",
                line="L3",
                station="cam-2",
                seq=0,
                captured_at=utc(1_700_000_000 * 10**9),
                trigger="camera",
                verdict=Call.OK,
                bundle=BundleRef(name="readable", version="1", sha256="0"),
                thresholds=Thresholds(defect=0.5),
                regions=(),
                latency_ms=Latency(grab=1, inspect=1, total=1),
                prev="",
            )
        )
    (station.folder / "state" / "outbox.damaged-20260101T000000-1.db").touch()
    status, found = checked(station)
    assert status == 0
    assert levels(found, "outbox") == ["ok", "warn", "warn"]
    assert "1 verdicts = 0 acknowledged + 1 waiting + 0 shed" in texts(found, "outbox")
    assert "1 verdicts wait, the oldest since 2023-11-14" in texts(found, "outbox")
    assert "outbox.damaged-20260101T000000-1.db" in texts(found, "outbox")


def test_a_damaged_outbox_fails_and_is_left_where_it_is(station: Line) -> None:
    state = station.folder / "state"
    state.mkdir()
    (state / "outbox.db").write_bytes(os.urandom(8192))
    before = (state / "outbox.db").read_bytes()
    status, found = checked(station)
    assert status == 1
    assert levels(found, "outbox") == ["fail"]
    assert (state / "outbox.db").read_bytes() == before
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(state / "outbox.db").execute("SELECT 1 FROM verdicts")
