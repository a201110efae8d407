"""A station at a real Mosquitto: it sends what docs/asyncapi.yaml says, and keeps to what brokers bound."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_runtime.verdict import Verdict
from tests.integration.parts import Line, Mosquitto, Subscriber, wait_until
from tests.integration.quick import J5, TOPIC, assert_conforms, of, quick_line, wait_for_event, wait_for_station

ASYNCAPI = yaml.safe_load((Path(__file__).parents[2] / "docs" / "asyncapi.yaml").read_text())
EACH_PICTURE = f'{J5}[trigger]\nkind = "camera"\n'

At = Callable[..., tuple[Line, Subscriber]]


def examples(message: str) -> list[dict[str, Any]]:
    return [example["payload"] for example in ASYNCAPI["components"]["messages"][message]["examples"]]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[At]:
    """A started station at a broker with further lines of configuration, and who listens there."""
    stack: list[Callable[[], None]] = []

    def start(config: str, topic: str = "#") -> tuple[Line, Subscriber]:
        (tmp_path / "broker").mkdir()
        broker = Mosquitto(tmp_path / "broker", config=f"allow_anonymous true\n{config}")
        broker.start()
        stack.append(broker.stop)
        subscriber = Subscriber(broker.port, topic)
        stack.append(subscriber.close)
        line = quick_line(tmp_path / "line", broker.port, trigger=EACH_PICTURE)
        stack.append(line.end)
        line.start()
        return line, subscriber

    yield start
    for end in reversed(stack):
        end()


# The document


def test_the_documents_commands_are_answered_as_it_says(station: Line, subscriber: Subscriber) -> None:
    station.start()
    wait_for_station(subscriber)
    for wish, answer in zip(examples("setLabel"), [*examples("labelSet"), *examples("refusal")], strict=True):
        assert subscriber.request(f"{TOPIC}cmd/set-label", json.dumps(wish).encode(), b"7").json() == answer
    for wish in examples("inspect"):
        Verdict.from_json(subscriber.request(f"{TOPIC}cmd/inspect", json.dumps(wish).encode(), b"8").payload)
    (recipe,) = examples("recipe")
    subscriber.client.publish(f"{TOPIC}recipe", json.dumps(recipe), 1, retain=True)
    assert wait_for_event(subscriber, "recipe-changed", 2)["recipe"] == recipe
    wait_until(lambda: of(subscriber, "status")[-1]["recipe"] == recipe, "the status says so")


def test_each_message_says_what_it_is_and_who_wrote_it(station: Line, subscriber: Subscriber) -> None:
    station.start()
    wait_for_station(subscriber)
    subscriber.request(f"{TOPIC}cmd/set-label", b'{"region": "J4", "label": "C3"}', b"7")
    subscriber.request(f"{TOPIC}cmd/inspect", b"", b"8")
    wait_until(subscriber.verdicts, "the verdict is published")
    wait_for_event(subscriber, "recipe-changed")
    sent = [message for message in subscriber.messages if not message.topic.startswith(f"{TOPIC}cmd/")]
    for message in sent:
        found = message.properties
        assert (found.ContentType, found.PayloadFormatIndicator) == ("application/json", 1), message.topic
        assert [name for name, _ in found.UserProperty] == ["kenpin-version"]
    expiring = {message.topic for message in sent if hasattr(message.properties, "MessageExpiryInterval")}
    assert expiring == {"answers/test"}


# Commands


def test_a_client_without_response_topics_is_answered_on_the_stations_own(
    station: Line, subscriber: Subscriber
) -> None:
    station.start()
    wait_for_station(subscriber)
    robot = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    robot.connect("127.0.0.1", station.port)
    robot.loop_start()
    robot.publish(f"{TOPIC}cmd/inspect", b'{"request": "plc-4711"}', 1)
    robot.publish(f"{TOPIC}cmd/set-label", b'{"label": "B7", "request": "plc-4712"}', 1)
    wait_until(lambda: len(of(subscriber, "answer")) == 2, "both are answered")
    robot.disconnect()
    robot.loop_stop()
    by_request = {answer["request"]: answer for answer in of(subscriber, "answer")}
    assert by_request["plc-4711"]["schema"] == "kenpin.verdict/1"
    assert by_request["plc-4712"]["error"] == "name the region; this station has: J4, J5"


def test_answers_do_not_wait_for_verdicts_to_carry_what_acknowledges_the_ones_before(at: At) -> None:
    """Nagle's algorithm at the broker and delayed acknowledgements here: each waits for the other to say something."""
    _, subscriber = at("", f"{TOPIC}+")
    wait_for_station(subscriber)
    wait_until(lambda: len(subscriber.verdicts()) > 5, "it inspects")
    for number in range(100):
        subscriber.client.publish(f"{TOPIC}cmd/inspect", json.dumps({"request": str(number)}))
    wait_until(lambda: len(of(subscriber, "answer")) == 100, "all are answered")
    said = [message.topic.removeprefix(TOPIC) for message in subscriber.messages]
    first, last = said.index("answer"), len(said) - said[::-1].index("answer")
    assert said[first:last].count("verdict") < 50, "one answer between two verdicts, no more"


@pytest.mark.parametrize("leaf", ["verdict", "cmd/set-label"])
def test_a_command_whose_answer_would_look_like_another_message_is_not_obeyed(
    station: Line, subscriber: Subscriber, leaf: str
) -> None:
    station.start()
    wait_for_station(subscriber)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic = TOPIC + leaf
    subscriber.client.publish(f"{TOPIC}cmd/set-label", b'{"region":"J4","label":"C3"}', 1, properties=properties)
    wait_until(lambda: "cannot be answered" in station.log(), "it says so")
    assert subscriber.request(f"{TOPIC}cmd/set-label", b'{"region":"J4","label":"B7"}', b"7").json()["was"] == "A12"


def test_a_flood_of_commands_neither_stops_inspection_nor_grows_without_end(at: At) -> None:
    # Not the flood itself, and as deploy/mosquitto has it: what is too much for a subscriber the broker drops.
    line, subscriber = at("max_queued_messages 100000\n", f"{TOPIC}+")
    wait_for_station(subscriber)
    wait_until(lambda: len(subscriber.verdicts()) > 20, "it inspects")
    assert line._process is not None
    memory = Path(f"/proc/{line._process.pid}/statm")
    before, seen = int(memory.read_text().split()[1]), len(subscriber.verdicts())
    flooder = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    flooder.max_inflight_messages = 1000
    flooder.connect("127.0.0.1", line.port)
    flooder.loop_start()
    for number in range(3000):
        label = ("A12", "B7", "C3", "X")[number % 4]
        wish = json.dumps({"region": "J4", "label": label, "request": str(number)})
        flooder.publish(f"{TOPIC}cmd/set-label", wish, number % 2)
    wait_until(lambda: len(subscriber.verdicts()) >= seen + 100, "a hundred more pictures are judged")
    judged = [Verdict.from_json(message.payload).seq for message in subscriber.verdicts()]
    assert judged == list(range(1, len(judged) + 1))
    flooder.publish(f"{TOPIC}cmd/inspect", b'{"request": "after"}', 1)
    wait_until(lambda: of(subscriber, "answer")[-1]["request"] == "after", "it still answers")
    grown = (int(memory.read_text().split()[1]) - before) * 4096
    assert grown < 30e6, f"{grown / 1e6:.0f} MB for 3000 commands"
    flooder.disconnect()
    flooder.loop_stop()
    assert_conforms(subscriber.messages)


# The recipe from MES


def test_a_retained_recipe_is_obeyed_at_the_start_and_gives_way_to_a_later_command(
    station: Line, subscriber: Subscriber
) -> None:
    subscriber.client.publish(f"{TOPIC}recipe", b'{"J4": "B7", "J5": "C3"}', 1, retain=True)
    station.start()
    wait_for_event(subscriber, "recipe-changed")
    verdict = Verdict.from_json(subscriber.request(f"{TOPIC}cmd/inspect", b"", b"1").payload)
    assert [region.expected for region in verdict.regions] == ["B7", "C3"]
    subscriber.request(f"{TOPIC}cmd/set-label", b'{"region": "J4", "label": "A12"}', b"2")
    station.stop()
    station.start()
    verdict = Verdict.from_json(subscriber.request(f"{TOPIC}cmd/inspect", b"", b"3").payload)
    assert [region.expected for region in verdict.regions] == ["A12", "C3"]
    station.stop()
    subscriber.client.publish(f"{TOPIC}recipe", b'{"J4": "C3"}', 1, retain=True)
    station.start()
    wait_for_event(subscriber, "recipe-changed", 3)
    verdict = Verdict.from_json(subscriber.request(f"{TOPIC}cmd/inspect", b"", b"4").payload)
    assert [region.expected for region in verdict.regions] == ["C3", "C3"]


def test_a_recipe_with_one_unknown_label_is_refused_whole_and_inspection_goes_on(
    station: Line, subscriber: Subscriber
) -> None:
    station.start()
    wait_for_station(subscriber)
    subscriber.client.publish(f"{TOPIC}recipe", b'{"J4": "B7", "J5": "D4"}', 1, retain=True)
    refused = wait_for_event(subscriber, "recipe-refused")
    assert (refused["recipe"], refused["labels"]) == ({"J4": "A12", "J5": "B7"}, ["A12", "B7", "C3"])
    verdict = Verdict.from_json(subscriber.request(f"{TOPIC}cmd/inspect", b"", b"1").payload)
    assert [region.expected for region in verdict.regions] == ["A12", "B7"]


# What brokers bound


@pytest.mark.parametrize("most", [1, 2, 10])
def test_a_broker_that_takes_few_at_once_gets_everything(at: At, most: int) -> None:
    line, subscriber = at(f"max_inflight_messages {most}\n")
    wait_for_station(subscriber)
    for number in range(10):
        subscriber.request(f"{TOPIC}cmd/set-label", b'{"region": "J4", "label": "X"}', str(number).encode())
    wait_until(lambda: len(subscriber.verdicts()) >= 100, "verdicts come")
    seqs = [Verdict.from_json(message.payload).seq for message in subscriber.verdicts()]
    assert seqs == list(range(1, len(seqs) + 1))
    assert line.log().count("connected") == 1, line.log()


def test_a_verdict_larger_than_the_broker_takes_waits_and_ends_no_connection(at: At, tmp_path: Path) -> None:
    line, subscriber = at("max_packet_size 700\n")
    subscriber.client.loop_stop()
    wait_until(lambda: "the broker takes 700 at most; raise its limit" in line.log(), "it says so")
    wait_until(lambda: line.log().count("raise its limit") == 1, "once")
    assert line.log().count("closed the connection") == 0, line.log()
    line.stop()
    log = (tmp_path / "broker" / "mosquitto.log").read_text()
    assert "packet too large" not in log.lower()
    assert "Client kenpin" not in log or "protocol error" not in log.lower()


@pytest.mark.parametrize(
    ("config", "why"),
    [("max_qos 0\n", "it must offer QoS 1"), ("retain_available false\n", "it must keep retained messages")],
)
def test_a_broker_that_cannot_keep_a_promise_is_told_of_once(at: At, config: str, why: str) -> None:
    line, _ = at(config)
    wait_until(lambda: why in line.log(), "it says what is missing")
    assert line.log().count(why) == 1, line.log()


def test_two_stations_with_the_same_names_do_not_fight(station: Line, subscriber: Subscriber, tmp_path: Path) -> None:
    station.start()
    wait_for_station(subscriber)
    second = quick_line(tmp_path / "second", station.port)
    second.start()
    try:
        rival = "another client has this station's names: each station needs its own); trying again in"
        wait_until(lambda: rival in station.log() + second.log(), "one says why it is out, and stays out", 120)
        for number in range(20):  # the other one stays, and is not thrown out in turn
            subscriber.request(f"{TOPIC}cmd/inspect", b"", f"{number}".encode())
        assert (station.log() + second.log()).count(rival) == 1
    finally:
        second.end()


@pytest.mark.parametrize("odd", ["", "a/" * 201, "$share/a/b"])
def test_a_command_that_cannot_be_answered_throws_no_station_off_the_broker(
    station: Line, subscriber: Subscriber, odd: str
) -> None:
    station.start()
    wait_for_station(subscriber)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it so
    properties.ResponseTopic = odd
    subscriber.client.publish(f"{TOPIC}cmd/inspect", b"", 1, properties=properties)
    subscriber.request(f"{TOPIC}cmd/inspect", b"", b"1")
    wait_until(subscriber.verdicts, "the verdict comes, too")
    station.stop()
    assert station.log().count("connected") == 1, station.log()
