"""Requests: what is sent again is one request, and holds up nothing that comes after it."""

from types import SimpleNamespace

import paho.mqtt.client as mqtt

from edge_runtime.commands import Asker
from edge_runtime.inbox import Inbox
from edge_runtime.letters import Letter
from edge_runtime.requests import Requests

STATION = "kenpin/plant-a/L3/cam-2/"
VERDICT = b'{"verdict":"NG"}'


class Robot:
    """Asks a station that judges when it is told to, and sees what the broker gets of it."""

    def __init__(self) -> None:
        self.asked: list[Asker] = []
        self.answers: list[bytes | None] = []
        self.acknowledged: list[int] = []
        self.kept: dict[str, bytes] = {}
        self.requests = Requests(self.asked.append, self.kept.get, self.kept.__delitem__)
        self.inbox = Inbox(STATION, self._send, lambda message, _qos: self.acknowledged.append(message), lambda: None)
        self.inbox.obey({"inspect": self.requests.inspect}, lambda _payload, _correlation, _retained: None)

    def _send(self, letter: Letter) -> None:
        self.answers.append(letter.correlation)
        assert letter.settled is not None
        letter.settled()  # the broker has it

    def ask(self, message: int, correlation: bytes, *, again: bool = False) -> None:
        """Message `message` over this connection. `again`: the broker has sent it before."""
        arrived = mqtt.MQTTMessage(message, f"{STATION}cmd/inspect".encode())
        arrived.qos = 1
        arrived.dup = again
        arrived.properties = SimpleNamespace(CorrelationData=correlation, ResponseTopic="robot/7")  # type: ignore[assignment]
        self.inbox.take(arrived)

    def garble(self, message: int) -> None:
        """A topic that is no UTF-8, which some brokers let through."""
        arrived = mqtt.MQTTMessage(message, f"{STATION}cmd/".encode() + b"\xff")
        arrived.qos = 1
        self.inbox.take(arrived)

    def judge(self) -> None:
        """The oldest request gets its verdict."""
        key = self.asked.pop(0).key
        self.kept[key] = VERDICT
        self.requests.answer(key, VERDICT)


def test_a_request_sent_again_while_it_waits_is_one_request_and_both_messages_are_acknowledged() -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.ask(2, b"part-1")  # the robot's own connection was lost, and its client published once more
    assert len(robot.asked) == 1
    robot.judge()
    robot.ask(3, b"part-2")
    robot.judge()
    assert robot.answers == [b"part-1", b"part-2"]
    assert robot.acknowledged == [1, 2, 3], "a message that is never acknowledged holds up all that come after it"


def test_a_request_is_not_done_with_before_it_is_answered() -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.ask(2, b"part-1")
    assert 2 not in robot.acknowledged, "else a station that ends now would never answer"


def test_a_question_by_a_name_that_was_used_before_is_a_new_question() -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.judge()
    robot.ask(2, b"part-1")  # a PLC that counts from 1 again
    assert len(robot.asked) == 1, "it was answered with the verdict of another part"
    assert robot.kept == {}, "and would be, if the daemon were killed now"


def test_a_request_that_the_broker_sends_again_gets_the_verdict_that_it_has() -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.judge()
    robot.ask(2, b"part-1", again=True)
    assert robot.asked == []
    assert robot.answers == [b"part-1", b"part-1"]
    assert robot.acknowledged == [1, 2]


def test_a_topic_that_is_no_utf_8_is_done_with_and_holds_up_nothing() -> None:
    robot = Robot()
    robot.garble(1)
    robot.ask(2, b"part-1")
    robot.judge()
    assert robot.acknowledged == [1, 2]
