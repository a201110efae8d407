"""Fixtures that start real parts, and end what they started."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.parts import Line, Mosquitto, Subscriber
from tests.integration.quick import assert_conforms, quick_line


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def subscriber(broker: Mosquitto) -> Iterator[Subscriber]:
    subscriber = Subscriber(broker.port)
    yield subscriber
    subscriber.close()
    assert_conforms(subscriber.messages)  # whatever a test is about


@pytest.fixture
def station(tmp_path: Path, broker: Mosquitto) -> Iterator[Line]:
    """A station that needs no training; see `quick.py`."""
    station = quick_line(tmp_path / "line", broker.port)
    yield station
    station.end()


@pytest.fixture
def line(tmp_path: Path, broker: Mosquitto, bundle_path: Path) -> Iterator[Line]:
    (tmp_path / "line").mkdir()
    line = Line(tmp_path / "line", broker.port, bundle_path)
    yield line
    line.end()
