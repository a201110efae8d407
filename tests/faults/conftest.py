"""A plant for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.plant import Plant, folder
from tests.integration.parts import Line, Mosquitto


@pytest.fixture
def plant(tmp_path: Path, bundle_path: Path) -> Iterator[Plant]:
    """A plant that inspects, with a broker whose sessions outlive it."""
    broker = Mosquitto(folder(tmp_path / "broker"), keeps=True)
    broker.start()
    plant = Plant(Line(folder(tmp_path / "line"), broker.port, bundle_path), broker)
    plant.begin()
    yield plant
    plant.line.end()
    plant.broker.stop()
