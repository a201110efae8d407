"""A robot asks while the station ends: it is answered, by this start or by the next."""

import json
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_runtime.outbox import Entry, Outbox
from edge_runtime.verdict import Call, Verdict
from tests.evidence import verdict
from tests.integration.parts import Line, Mosquitto, Subscriber, wait_until
from tests.integration.quick import TOPIC, of, quick_line, wait_for_station

BACKLOG = 4000
"""Verdicts that wait when the station is told to stop: at 1000 a second it takes its two seconds to end."""
DONE = 0


@pytest.fixture
def older(tmp_path: Path, broker: Mosquitto) -> Iterator[Line]:
    line = quick_line(tmp_path / "line", broker.port, 'version = "3.1.1"\n')
    yield line
    line.end()


def behind(line: Line) -> Line:
    """A station whose outbox is full of what an outage left."""
    state = line.folder / "state"
    state.mkdir()
    with Outbox(state) as outbox:
        outbox.append_all([Entry(verdict(Call.OK)) for _ in range(BACKLOG)])
    return line


def begin_to_end(line: Line, subscriber: Subscriber) -> None:
    """Start it, and tell it to stop while it still catches up."""
    daemon = line.start()
    wait_for_station(subscriber)
    wait_until(subscriber.verdicts, "it catches up")
    daemon.terminate()


def test_over_mqtt_3_1_1_it_is_told_that_the_station_ends(older: Line, subscriber: Subscriber) -> None:
    plc = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    plc.connect("127.0.0.1", older.port)
    plc.loop_start()

    def answers() -> list[Any]:
        return of(subscriber, "answer")

    begin_to_end(behind(older), subscriber)
    numbers = count()

    def refused() -> bool:
        plc.publish(f"{TOPIC}cmd/inspect", json.dumps({"request": str(next(numbers))}), 1).wait_for_publish(10)
        return any("the station ends" in answer.get("error", "") for answer in answers())

    wait_until(refused, "who asks is told that the station ends")
    assert older.process.wait(30) == DONE
    told = [answer["request"] for answer in answers()]
    assert told == [str(n) for n in range(len(told))], "one was left out, or answered twice"
    plc.disconnect()
    plc.loop_stop()


def answered(subscriber: Subscriber) -> list[tuple[bytes, Any]]:
    """Who was answered what, over MQTT 5."""
    return [(m.properties.CorrelationData, m.json()) for m in subscriber.messages if m.topic == "answers/test"]


def ask_until_it_has_ended(station: Line, subscriber: Subscriber, most: int) -> set[bytes]:
    """Ask a station that is ending, more often than it answers; by which names."""
    asked: set[bytes] = set()

    def ended() -> bool:
        if len(asked) < most:
            asked.add(name := uuid.uuid4().hex.encode())
            subscriber.ask(f"{TOPIC}cmd/inspect", b"", name)
        return station.process.poll() is not None

    wait_until(ended, "it ends")
    assert station.process.returncode == DONE, station.log()
    assert len(answered(subscriber)) < len(asked), "nobody asked while it ended; the test shows nothing"
    return asked


def test_over_mqtt_5_the_next_start_answers(station: Line, subscriber: Subscriber) -> None:
    """Whether it is asked while the station ends or has ended: what is not answered is not acknowledged."""
    begin_to_end(behind(station), subscriber)
    asked = ask_until_it_has_ended(station, subscriber, most=50)
    station.start()
    wait_until(lambda: {name for name, _ in answered(subscriber)} == asked, "all are answered")
    given = [Verdict.model_validate(answer) for _, answer in answered(subscriber)]
    assert len({verdict.id for verdict in given}) == len(asked), "one was judged twice"


def test_nobody_who_asked_meanwhile_is_passed_over_however_many_they_are(station: Line, subscriber: Subscriber) -> None:
    """A broker that sends all that waited at once, whatever our receive maximum, as Mosquitto 2.0.11 does."""
    begin_to_end(behind(station), subscriber)
    asked = ask_until_it_has_ended(station, subscriber, most=300)
    while len(asked) < 300:
        asked.add(name := uuid.uuid4().hex.encode())
        subscriber.ask(f"{TOPIC}cmd/inspect", b"", name)
    station.start()
    wait_until(lambda: {name for name, _ in answered(subscriber)} == asked, "all are answered, some with a refusal")
