"""Requests: what is sent again is one request, and holds up nothing that comes after it."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import paho.mqtt.client as mqtt
import pytest

from edge_runtime.broker import KEEPALIVE_S, SESSION_S
from edge_runtime.commands import Asker
from edge_runtime.inbox import MAX_PACKET_BYTES, Inbox
from edge_runtime.letters import Letter
from edge_runtime.outbox_file import Answer
from edge_runtime.requests import REPEATED_S, Requests

STATION = "kenpin/plant-a/L3/cam-2/"
NOW = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
VERDICT = b'{"captured_at":"2026-03-01T06:00:00.000000Z","verdict":"NG"}'


class Robot:
    """Asks a station that judges when it is told to, and sees what the broker gets of it."""

    def __init__(self, *, session: bool = True) -> None:
        self.asked: list[Asker] = []
        self.answers: list[bytes | None] = []
        self.acknowledged: list[int] = []
        self.kept: dict[str, Answer] = {}
        self.now = NOW
        self.age_s: float | None = None  # by the clock that nobody sets
        self.requests = Requests(self.asked.append, self.kept.get, self.kept.__delitem__, lambda: self.now)
        self.said: list[bytes] = []
        self.cannot_be_told: set[bytes] = set()
        acknowledge = self.acknowledged.append
        self.inbox = Inbox(
            STATION, self._send, lambda message, _qos: acknowledge(message), lambda: None, session=session
        )
        self.inbox.obey({"inspect": self.requests.inspect}, lambda _payload, _correlation, _retained: None)

    def killed(self) -> "Robot":
        """The same, with a station that was killed and is back: it knows what it had kept."""
        after = Robot()
        after.kept.update(self.kept)
        after.now = self.now
        return after

    def _send(self, letter: Letter) -> None:
        if letter.correlation in self.cannot_be_told:
            raise ValueError("invalid topic")
        self.answers.append(letter.correlation)
        self.said.append(letter.payload)
        assert letter.settled is not None
        letter.settled()  # the broker has it

    def ask(
        self,
        message: int,
        correlation: bytes,
        *,
        again: bool = False,
        qos: int = 1,
        reply_to: str = "robot/7",
        payload: bytes = b"",
    ) -> None:
        """Message `message` over this connection. `again`: the broker has sent it before."""
        arrived = mqtt.MQTTMessage(message, f"{STATION}cmd/inspect".encode())
        arrived.qos = qos
        arrived.dup = again
        arrived.payload = payload
        arrived.properties = SimpleNamespace(CorrelationData=correlation, ResponseTopic=reply_to)  # type: ignore[assignment]
        self.inbox.take(arrived)

    def garble(self, message: int) -> None:
        """A topic that is no UTF-8, which some brokers let through."""
        arrived = mqtt.MQTTMessage(message, f"{STATION}cmd/".encode() + b"\xff")
        arrived.qos = 1
        self.inbox.take(arrived)

    def judge(self) -> None:
        """The oldest request gets its verdict."""
        asker = self.asked.pop(0)
        self.kept[asker.delivery] = Answer(VERDICT, self.age_s)
        self.requests.answer(asker.key, VERDICT)


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
    killed = robot.killed()
    killed.ask(2, b"part-1", again=True)
    assert len(killed.asked) == 1, "and was, where the daemon was killed before it had judged"


@pytest.mark.parametrize("damaged", [False, True])
def test_what_the_broker_had_sent_and_the_station_had_not_read_is_a_new_question(damaged: bool) -> None:
    """The mark says that the broker has sent it, not that the station has seen it.

    `damaged`: the outbox was made anew.
    """
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.judge()
    if damaged:
        robot.kept = {key.partition("/")[0]: verdict for key, verdict in robot.kept.items()}
        robot.now += timedelta(seconds=REPEATED_S + 1)
    killed = robot.killed()
    killed.ask(2, b"part-1", again=True)
    assert len(killed.asked) == 1, "an old OK was the answer of a new part"


def test_after_a_damage_what_the_broker_sends_again_gets_the_verdict_that_it_has() -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.judge()
    robot.kept = {key.partition("/")[0]: verdict for key, verdict in robot.kept.items()}
    killed = robot.killed()
    killed.ask(1, b"part-1", again=True)
    assert (killed.asked, killed.said) == ([], [VERDICT])


def test_a_request_that_the_broker_sends_again_gets_the_verdict_that_it_has() -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.judge()
    robot.ask(1, b"part-1", again=True)
    assert robot.asked == []
    assert robot.answers == [b"part-1", b"part-1"]
    assert robot.acknowledged == [1, 1]


@pytest.mark.parametrize("later_s", [REPEATED_S + 1, 86_400, -1, -86_400])
def test_what_the_broker_marks_as_sent_again_after_it_could_hold_it_is_a_new_question(later_s: float) -> None:
    """It has sent it, and the station was killed before it read it; by this name another part was asked for long ago.

    Also where the clock was set back since: how old the verdict is, nobody knows then.
    """
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.judge()
    robot.now += timedelta(seconds=later_s)
    robot.ask(1, b"part-1", again=True)
    assert len(robot.asked) == 1, "an old OK would be the answer of a new part"
    assert robot.kept == {}, "and would be, if the daemon were killed now"
    robot.judge()
    assert robot.acknowledged == [1, 1]


@pytest.mark.parametrize("set_by_s", [3600, -86_400, 0])
def test_a_clock_that_is_set_meanwhile_gives_no_request_a_second_verdict(set_by_s: float) -> None:
    robot = Robot()
    robot.age_s = SESSION_S
    robot.ask(1, b"part-1")
    robot.judge()
    robot.now += timedelta(seconds=set_by_s)
    robot.ask(1, b"part-1", again=True)
    assert (robot.asked, robot.said) == ([], [VERDICT, VERDICT])


def test_nor_does_it_make_an_old_verdict_a_new_one() -> None:
    robot = Robot()
    robot.age_s = REPEATED_S + 1
    robot.ask(1, b"part-1")
    robot.judge()
    robot.ask(1, b"part-1", again=True)
    assert len(robot.asked) == 1, "an old OK would be the answer of a new part"


def test_what_the_broker_sends_again_while_it_holds_it_is_answered_with_the_same_verdict() -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.judge()
    robot.now += timedelta(seconds=SESSION_S + 1.5 * KEEPALIVE_S)
    robot.ask(1, b"part-1", again=True)
    assert (robot.asked, robot.said) == ([], [VERDICT, VERDICT])


@pytest.mark.parametrize(
    "verdict", [b'{"verdict":"OK"}', b'{"captured_at":"2026-03-01T06:00:00","verdict":"OK"}', b"?"]
)
def test_a_verdict_that_does_not_say_when_answers_no_question_twice(verdict: bytes) -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    asker = robot.asked.pop()
    robot.kept[asker.delivery] = Answer(verdict, None)
    robot.requests.answer(asker.key, verdict)
    robot.ask(1, b"part-1", again=True)
    assert len(robot.asked) == 1


def test_a_command_that_is_too_large_is_not_obeyed_and_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    robot = Robot(session=False)
    robot.ask(1, b"part-1", payload=b" " * MAX_PACKET_BYTES + b"{}")
    robot.ask(2, b"part-2")
    robot.judge()
    assert (robot.answers, robot.acknowledged) == ([b"part-2"], [1, 2])
    assert "cmd/inspect: refused: 65538 bytes" in caplog.text


def test_a_topic_that_is_no_utf_8_is_done_with_and_holds_up_nothing() -> None:
    robot = Robot()
    robot.garble(1)
    robot.ask(2, b"part-1")
    robot.judge()
    assert robot.acknowledged == [1, 2]


@pytest.mark.parametrize(
    ("reply_to", "why"),
    [
        ("", "empty"),
        ("a/" * 128, "more than 128 levels"),
        ("a" * 4097, "longer than 4096 bytes"),
        ("检" * 1366, "longer than 4096 bytes"),
        ("robot\0/7", "control characters"),
        ("robot/+/7", "wildcards"),
        (f"{STATION}verdict", "a topic of the station's own"),
    ],
)
def test_who_cannot_be_answered_is_not_obeyed_and_the_command_is_done_with(
    reply_to: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    robot = Robot()
    robot.ask(1, b"part-1", reply_to=reply_to)
    assert (robot.asked, robot.answers) == ([], []), "a broker would end the connection for it, again and again"
    assert robot.acknowledged == [1]
    assert why in caplog.text
    assert len(caplog.text) < 500


@pytest.mark.parametrize("reply_to", ["/", "a/" * 127, "a" * 4096, "机器人　7/应答", "$answers/7"])
def test_who_can_be_answered_is(reply_to: str) -> None:
    robot = Robot()
    robot.ask(1, b"part-1", reply_to=reply_to)
    robot.judge()
    assert robot.answers == [b"part-1"]


def test_who_asks_a_station_that_ends_is_refused_where_the_broker_does_not_keep_the_question() -> None:
    robot = Robot(session=False)
    robot.ask(1, b"part-1")
    robot.requests.end()
    robot.ask(2, b"part-2")
    assert [json.loads(said)["ok"] for said in robot.said] == [False, False]
    assert "the station ends" in json.loads(robot.said[1])["error"]
    assert (robot.answers, robot.acknowledged) == ([b"part-1", b"part-2"], [1, 2])
    assert len(robot.asked) == 1, "nobody would judge the second"


def test_who_asks_a_station_that_ends_is_left_to_its_next_start_where_the_broker_keeps_the_question() -> None:
    robot = Robot()
    robot.ask(1, b"part-1")
    robot.requests.end()
    robot.ask(2, b"part-2")
    assert (robot.answers, robot.acknowledged) == ([], []), "what is acknowledged is never sent again"


def test_a_question_that_no_broker_keeps_is_refused_over_mqtt_5_too() -> None:
    robot = Robot()
    robot.requests.end()
    robot.ask(1, b"part-1", qos=0)
    assert robot.answers == [b"part-1"]


def test_a_verdict_that_is_there_is_the_answer_also_while_the_station_ends() -> None:
    robot = Robot(session=False)
    robot.ask(1, b"part-1")
    robot.judge()
    robot.requests.end()
    robot.ask(1, b"part-1", again=True)
    assert robot.said == [VERDICT, VERDICT]


def test_one_who_cannot_be_told_that_the_station_ends_keeps_it_from_nobody_else() -> None:
    robot = Robot(session=False)
    robot.ask(1, b"part-1")
    robot.ask(2, b"part-2")
    robot.cannot_be_told.add(b"part-1")
    robot.requests.end()
    assert robot.answers == [b"part-2"]
