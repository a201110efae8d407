"""A station that speaks MQTT 3.1.1, because its broker speaks nothing newer; asked by a client of that age."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_runtime.verdict import Verdict
from tests.integration.parts import Line, Mosquitto, Subscriber, wait_until
from tests.integration.quick import TOPIC, assert_conforms, of, quick_line, wait_for_event, wait_for_station

VERSION = 'version = "3.1.1"\n'


@pytest.fixture
def older(tmp_path: Path, broker: Mosquitto, subscriber: Subscriber) -> Iterator[Line]:
    line = quick_line(tmp_path / "line", broker.port, VERSION)
    yield line
    line.end()
    assert_conforms([m for m in subscriber.messages if "/cmd/" not in m.topic], of_311=True)


@pytest.fixture
def plc(broker: Mosquitto) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def ask(plc: mqtt.Client, subscriber: Subscriber, leaf: str, request: str, **wish: str) -> Any:
    """The answer to a command."""
    plc.publish(f"{TOPIC}cmd/{leaf}", json.dumps({"request": request, **wish}), 1)

    def found() -> list[Any]:
        return [answer for answer in of(subscriber, "answer") if answer.get("request") == request]

    wait_until(found, f"{leaf} is answered")
    return found()[0]


def test_it_is_really_3_1_1_that_is_spoken(older: Line, subscriber: Subscriber, tmp_path: Path) -> None:
    older.start()
    wait_for_station(subscriber)
    assert "as kenpin-c00a2373b5bfc28c (p2, c1, k15)" in (tmp_path / "broker" / "mosquitto.log").read_text()


def test_who_asks_is_answered_by_request(older: Line, subscriber: Subscriber, plc: mqtt.Client) -> None:
    older.start()
    wait_for_station(subscriber)
    answer = ask(plc, subscriber, "set-label", "a", region="J4", label="B7")
    assert answer == {"ok": True, "region": "J4", "label": "B7", "was": "A12", "request": "a"}
    assert ask(plc, subscriber, "set-label", "b", region="J4", label="D4")["ok"] is False
    verdict = Verdict.model_validate(ask(plc, subscriber, "inspect", "c"))
    assert (verdict.request, verdict.regions[0].expected) == ("c", "B7")
    wait_until(subscriber.verdicts, "the verdict is published, too")


def test_watch_speaks_it_too(older: Line, subscriber: Subscriber, plc: mqtt.Client) -> None:
    older.start()
    wait_for_station(subscriber)
    command = [sys.executable, "-m", "edge_runtime", "watch", "--port", str(older.port), "--mqtt-version", "3.1.1"]
    watching = subprocess.Popen([*command, "--json", "--count", "1"], stdout=subprocess.PIPE, text=True)
    log = older.folder.parent / "broker" / "mosquitto.log"
    wait_until(lambda: "kenpin/+/+/+/verdict" in log.read_text(), "the watcher subscribes")
    answer = ask(plc, subscriber, "inspect", "a")
    assert json.loads(watching.communicate(timeout=30)[0]) == answer


def test_who_does_not_say_what_it_asks_by_is_obeyed_without_an_answer(
    older: Line, subscriber: Subscriber, plc: mqtt.Client
) -> None:
    older.start()
    wait_for_station(subscriber)
    plc.publish(f"{TOPIC}cmd/inspect", b"", 1)
    wait_until(subscriber.verdicts, "it is judged")
    assert of(subscriber, "answer") == []


def test_a_lost_process_is_offline_and_a_clean_end_is_stopped(older: Line, subscriber: Subscriber) -> None:
    daemon = older.start()
    wait_for_station(subscriber)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()
    wait_until(lambda: subscriber.states()[-1] == "offline", "the will speaks")
    older.start()
    wait_until(lambda: subscriber.states()[-1] == "idle", "it is back")
    older.stop()
    wait_until(lambda: subscriber.states()[-1] == "stopped", "it says so")


def test_verdicts_wait_for_a_broker_that_is_away(older: Line, subscriber: Subscriber, broker: Mosquitto) -> None:
    older.trigger = '[region.J5]\nexpected = "B7"\n[trigger]\nkind = "camera"\n'
    older.start()
    wait_until(lambda: len(subscriber.verdicts()) > 5, "verdicts come")
    broker.stop()
    wait_until(lambda: "verdicts wait in" in older.log(), "the station has seen it")
    broker.start()
    subscriber.client.reconnect()
    later = len(subscriber.verdicts()) + 50
    wait_until(lambda: len(subscriber.verdicts()) > later, "verdicts come again")
    older.stop()
    seqs = {Verdict.from_json(message.payload).seq for message in subscriber.verdicts()}
    missing = set(range(max(seqs))) - seqs - {0}
    assert not missing or max(missing) - min(missing) < 50, "only those while this subscriber was away may be missing"


def test_a_command_that_came_while_the_station_was_away_is_not_obeyed_later(
    older: Line, subscriber: Subscriber, plc: mqtt.Client
) -> None:
    older.start()
    wait_for_station(subscriber)
    older.stop()
    sent = plc.publish(f"{TOPIC}cmd/set-label", b'{"region": "J4", "label": "C3", "request": "late"}', 1)
    sent.wait_for_publish(10)
    wait_until(lambda: subscriber.states()[-1] == "stopped", "it is away")
    older.start()
    wait_until(lambda: subscriber.states()[-1] == "idle", "it is back")
    assert ask(plc, subscriber, "set-label", "now", region="J4", label="B7")["was"] == "A12"
    assert [answer["request"] for answer in of(subscriber, "answer")] == ["now"]


def test_a_command_that_somebody_retained_is_not_obeyed(older: Line, subscriber: Subscriber, plc: mqtt.Client) -> None:
    wish = b'{"region": "J4", "label": "C3"}'
    plc.publish(f"{TOPIC}cmd/set-label", wish, 1, retain=True).wait_for_publish(10)
    older.start()
    wait_until(lambda: "is retained, so it is not obeyed" in older.log(), "it says so")
    assert ask(plc, subscriber, "set-label", "now", region="J4", label="B7")["was"] == "A12"


def test_the_retained_recipe_is_followed(older: Line, subscriber: Subscriber, plc: mqtt.Client) -> None:
    plc.publish(f"{TOPIC}recipe", b'{"J4": "B7"}', 1, retain=True).wait_for_publish(10)
    older.start()
    assert wait_for_event(subscriber, "recipe-changed")["recipe"] == {"J4": "B7", "J5": "B7"}
    assert ask(plc, subscriber, "set-label", "now", region="J4", label="C3")["was"] == "B7"
