"""A running line and the engine that its tune file chose, with a real broker: no frame is lost, whatever it says."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bundle import load_bundle
from edge_runtime.engine import Setting
from edge_runtime.verdict import Verdict
from tests.integration.parts import Line, Subscriber, wait_until
from tests.unit.conftest import write_tune_file

OPENVINO = Setting(name="openvino", level=None)


@pytest.fixture
def own(line: Line) -> Line:
    """A line whose bundle is its own, so that a file can lie beside it."""
    line.bundle = Path(shutil.copy(line.bundle, line.folder / "part.onnx"))
    line.draw(20)
    line.repeat, line.rate_hz = True, 100.0
    return line


def engines(subscriber: Subscriber) -> list[dict[str, Any]]:
    """Which engine the statuses name, one after the other."""
    return [message.json()["engine"] for message in subscriber.messages if message.topic.endswith("/status")]


def kinds(subscriber: Subscriber) -> list[str]:
    return [message.json()["kind"] for message in subscriber.messages if message.topic.endswith("/event")]


def assert_no_frame_was_lost(subscriber: Subscriber) -> None:
    found = [Verdict.from_json(message.payload) for message in subscriber.verdicts()]
    assert [verdict.seq for verdict in found] == list(range(1, len(found) + 1))
    assert {verdict.verdict for verdict in found} <= {"OK", "NG"}


def test_the_line_inspects_at_once_and_the_chosen_engine_takes_over(own: Line, subscriber: Subscriber) -> None:
    write_tune_file(load_bundle(own.bundle), OPENVINO)
    own.start()
    wait_until(lambda: kinds(subscriber), "the engine takes over")
    at = len(subscriber.verdicts())
    assert at > 0, "the plain engine inspected meanwhile"
    wait_until(lambda: len(subscriber.verdicts()) > at + 50, "inspection goes on")
    own.stop()
    assert kinds(subscriber) == ["engine-switched"]
    named = [name for name, _ in itertools.groupby(engine["name"] for engine in engines(subscriber))]
    assert named == ["onnxruntime", "openvino"]
    assert engines(subscriber)[0]["provider"] == "CPU"
    assert "cam-2 runs its bundle with openvino CPU from now on" in own.log()
    assert_no_frame_was_lost(subscriber)


def test_an_engine_that_is_not_here_is_one_warning_and_the_plain_one_goes_on(own: Line, subscriber: Subscriber) -> None:
    write_tune_file(load_bundle(own.bundle), Setting(provider="TensorRT"))
    own.start()
    wait_until(lambda: kinds(subscriber), "an event tells of it")
    at = len(subscriber.verdicts())
    wait_until(lambda: len(subscriber.verdicts()) > at + 50, "inspection goes on")
    own.stop()
    assert kinds(subscriber) == ["engine-refused"]
    assert {engine["name"] for engine in engines(subscriber)} == {"onnxruntime"}
    (line,) = [text for text in own.log().splitlines() if " INFO " not in text]
    assert " WARNING cam-2 goes on with onnxruntime CPU, level all: " in line
    assert "onnxruntime TensorRT, level all: is not part of the ONNX Runtime" in line
    assert_no_frame_was_lost(subscriber)
