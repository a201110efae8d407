"""The connection to the broker: it says so where it cannot go on, since nobody else would see it."""

import socket
import threading
import time
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_runtime.broker import Broker
from edge_runtime.messages import Condition, State
from edge_runtime.outbox import Outbox
from edge_runtime.station import Station

FILE = """site = "s"
line = "l"
station = "c"
bundle = "part.onnx"
data = "state"
[camera]
kind = "folder"
path = "pictures"
[region.J4]
expected = "A12"
[mqtt]
host = "127.0.0.1"
port = {port}
"""
CONNACK = bytes([0x20, 3, 0, 0, 0])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_connection_whose_thread_has_died_is_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "station.toml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        path.write_text(FILE.format(port=server.getsockname()[1]))
        station = Station.read(path)
        go_on = threading.Event()

        def fail(*_: object) -> None:
            go_on.wait(10)
            raise RuntimeError("a fault of ours, or of paho's")

        with Outbox(station.data) as outbox:
            broker = Broker(station, outbox, lambda: Condition(state=State.IDLE))
            monkeypatch.setattr(broker._inbox, "connected", fail)
            assert broker.hung() is None, "it has not begun"
            with broker:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(CONNACK)
                    assert broker.hung() is None
                    go_on.set()
                    deadline = time.monotonic() + 10
                    while broker.hung() is None and time.monotonic() < deadline:
                        time.sleep(0.01)
                    assert broker.hung() == "the thread of the broker's connection has died"
            assert broker.hung() is None, "it has ended"


def test_a_robot_that_names_another_topic_for_each_answer_which_the_broker_refuses_fills_neither_memory_nor_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "station.toml"
    path.write_text(FILE.format(port=1883))
    station = Station.read(path)
    with Outbox(station.data) as outbox:
        broker = Broker(station, outbox, lambda: Condition(state=State.IDLE))
        monkeypatch.setattr(broker._answers, "topic_of", lambda message: f"robots/{message}")
        refusal = ReasonCode(PacketTypes.PUBACK, "Not authorized")
        for message in range(1, 1001):
            for _ in range(2):
                broker._on_publish(broker._client, None, message, refusal, None)
        assert len(broker._denied) <= 20
    assert caplog.text.count("refuses robots/") == 20
