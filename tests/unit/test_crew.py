"""The stations of one process: which are left, and what the process says when none is."""

import threading
from pathlib import Path

import pytest

from edge_runtime.crew import Crew
from edge_runtime.errors import BrokerError, StationError
from edge_runtime.station import Station
from tests.unit.test_daemon import write


def test_the_process_ends_when_none_can_go_on_by_itself() -> None:
    stop = threading.Event()
    crew = Crew(stop, 3)
    crew.ends(0)
    crew.must_be_mended(1, "cam-1: is no bundle")
    assert not stop.is_set()
    crew.must_be_mended(2, "cam-2: is no key")
    assert stop.is_set()
    with pytest.raises(StationError, match="cam-1: is no bundle\ncam-2: is no key"):
        crew.check()


def test_one_that_is_just_tried_may_go_on() -> None:
    stop = threading.Event()
    crew = Crew(stop, 2)
    crew.must_be_mended(0, "is no bundle")
    crew.tries(0)
    crew.must_be_mended(1, "is no key")
    assert not stop.is_set(), "a person may just have mended the first"
    crew.must_be_mended(0, "is no bundle")
    assert stop.is_set()


def test_who_was_told_to_stop_complains_of_nothing() -> None:
    stop = threading.Event()
    crew = Crew(stop, 2)
    crew.must_be_mended(0, "is no bundle")
    stop.set()
    crew.ends(1)
    crew.check()


def test_verdicts_that_a_replay_could_not_deliver_are_told() -> None:
    crew = Crew(threading.Event(), 1)
    crew.ends(0, BrokerError("broker", 1883, "cannot be reached"))
    with pytest.raises(BrokerError):
        crew.check()


def test_a_station_that_is_mended_into_another_is_refused(tmp_path: Path) -> None:
    crew = Crew(threading.Event(), 2)
    first, again = write(tmp_path, "L3"), tmp_path / "again.toml"
    again.write_text(first.read_text())
    crew.join(first, Station.read(first))
    with pytest.raises(StationError, match="has the site, line and station of") as refused:
        crew.join(again, Station.read(again))
    assert len(refused.value.mistakes) == 2, "and the data folder"
