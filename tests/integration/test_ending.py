"""A robot asks while the station ends: it is answered, by this start or by the next."""

import json
import threading
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_runtime.errors import OutboxError
from edge_runtime.life import Life, inspect
from edge_runtime.notify import ServiceManager
from edge_runtime.outbox import Entry, Outbox
from edge_runtime.service import Service
from edge_runtime.station import Station
from edge_runtime.triggers import Shot
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


def after_the_last(subscriber: Subscriber, state: str) -> int:
    """How many verdicts came after the last status that says this."""
    said = [
        at for at, m in enumerate(subscriber.messages) if m.topic == f"{TOPIC}status" and m.json()["state"] == state
    ]
    return sum(m.topic == f"{TOPIC}verdict" for m in subscriber.messages[said[-1] :]) if said else 0


def test_a_replay_that_is_over_does_not_say_that_it_inspects_while_it_still_sends(
    station: Line, subscriber: Subscriber
) -> None:
    station.trigger, station.repeat, station.rate_hz = '[region.J5]\nexpected = "B7"\n', False, 10.0
    for number in range(1, 12):
        (station.pictures / f"{number}.png").write_bytes((station.pictures / "0.png").read_bytes())
    assert behind(station).start().wait(60) == DONE, station.log()
    wait_until(lambda: subscriber.states()[-1] == "stopped", "it says that it has ended")
    assert subscriber.states()[-3:] == ["inspecting", "idle", "stopped"]
    assert after_the_last(subscriber, "idle") > 100
    assert after_the_last(subscriber, "stopped") == 0
    assert station.waiting() == 0


def test_after_a_fault_what_waits_is_left_to_the_next_start_and_nobody_is_told_that_it_inspects(
    station: Line, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts pass uninspected meanwhile: on a slow link a backlog takes hours."""

    def fail(_life: Life, _shot: Shot) -> None:
        wait_until(subscriber.verdicts, "it catches up")
        raise OutboxError("outbox.db", "cannot keep verdicts (disk I/O error)")

    monkeypatch.setattr(Life, "judge", fail)
    station.trigger = '[region.J5]\nexpected = "B7"\n'
    path = behind(station).write()
    stop = threading.Event()
    with (
        Service(ServiceManager(), 1, stop, threading.Event()) as service,
        pytest.raises(OutboxError, match="disk I/O error"),
    ):
        inspect(path, Station.read(path), stop, lambda bundle: bundle, service)
    left = station.waiting()
    assert 0 < left < BACKLOG
    wait_until(lambda: len(subscriber.verdicts()) >= BACKLOG - left, "what left has come")
    assert subscriber.states()[-1] == "offline"
    assert after_the_last(subscriber, "offline") == 0
    first = next(at for at, m in enumerate(subscriber.messages) if m.json().get("state") == "offline")
    assert any(m.topic.endswith("/verdict") for m in subscriber.messages[first:]), "it was said only at the end"
