"""A robot asks for an inspection over a real Mosquitto, and is answered once, whatever ends in between."""

import os
import signal
import time
import uuid
from pathlib import Path

from edge_runtime.verdict import Call, Verdict
from tests.integration.parts import Line, Message, Mosquitto, Subscriber, wait_until

INSPECT = "kenpin/plant-a/L3/cam-2/cmd/inspect"
ON_REQUEST = '[trigger]\nkind = "request"\ntimeout_s = 1.5'


def watching(line: Line) -> Line:
    """A free-running camera that judges on request."""
    line.draw(4)
    line.repeat = True
    line.trigger = ON_REQUEST
    return line


def answers(subscriber: Subscriber) -> list[Message]:
    return [message for message in subscriber.messages if message.topic == "answers/test"]


def test_who_asks_is_answered_with_the_verdict_that_is_published(line: Line, subscriber: Subscriber) -> None:
    watching(line).start()
    wait_until(subscriber.states, "the station is there")
    asked = time.time()
    answer = subscriber.request(INSPECT, b"", b"robot-7")
    verdict = Verdict.from_json(answer.payload)
    assert answer.properties.CorrelationData == b"robot-7"
    assert (verdict.trigger, verdict.request) == ("mqtt", "robot-7")
    assert verdict.captured_at.timestamp() >= asked - 0.05, "the picture is older than the request"
    wait_until(subscriber.verdicts, "the verdict is published, too")
    assert [message.payload for message in subscriber.verdicts()] == [answer.payload]


def test_nobody_asks_and_nothing_is_judged(line: Line, subscriber: Subscriber) -> None:
    watching(line).start()
    wait_until(lambda: subscriber.states() == ["idle"], "the station is there and says that it has nothing to judge")
    first = subscriber.request(INSPECT, b"{}", b"1")
    assert Verdict.from_json(first.payload).seq == 1
    wait_until(lambda: subscriber.states() == ["idle", "inspecting"], "it says that it inspects")


def test_many_requests_at_once_are_each_answered_once_in_order(line: Line, subscriber: Subscriber) -> None:
    watching(line).start()
    wait_until(subscriber.states, "the station is there")
    for number in range(40):
        subscriber.ask(INSPECT, b"", str(number).encode())
    wait_until(lambda: len(answers(subscriber)) == 40, "40 requests are answered")
    assert [message.properties.CorrelationData for message in answers(subscriber)] == [
        str(number).encode() for number in range(40)
    ]
    wait_until(lambda: len(subscriber.verdicts()) == 40, "40 verdicts are published")
    verdicts = [Verdict.from_json(message.payload) for message in subscriber.verdicts()]
    assert [verdict.request for verdict in verdicts] == [str(number) for number in range(40)]


def test_who_asked_while_the_station_was_away_is_answered_though_the_broker_sends_all_at_once(
    tmp_path: Path, bundle_path: Path
) -> None:
    (tmp_path / "all").mkdir()
    broker = Mosquitto(tmp_path / "all", config="allow_anonymous true\nmax_inflight_messages 0\n")
    broker.start()
    subscriber, line = Subscriber(broker.port), Line(tmp_path, broker.port, bundle_path)
    try:
        watching(line).start()
        wait_until(subscriber.states, "the station is there")
        line.end()
        for number in range(300):  # more than wait for a picture; the others are told so
            subscriber.ask(INSPECT, b"", str(number).encode())
        line.start()
        wait_until(
            lambda: (
                {message.properties.CorrelationData for message in answers(subscriber)}
                == {str(number).encode() for number in range(300)}
            ),
            "all are answered",
        )
    finally:
        line.end()
        subscriber.close()
        broker.stop()


def test_a_replay_that_is_over_gives_no_picture_and_the_answer_is_error(line: Line, subscriber: Subscriber) -> None:
    watching(line).rate_hz = 0.05  # the next picture is due in 20 seconds: as a camera that hangs
    line.start()
    wait_until(subscriber.states, "the station is there")
    subscriber.request(INSPECT, b"", b"first")
    answer = subscriber.request(INSPECT, b"", b"second")
    verdict = Verdict.from_json(answer.payload)
    assert verdict.verdict is Call.ERROR
    assert "no picture within 1.5 s" in line.log()


def test_a_station_whose_camera_triggers_refuses_requests(line: Line, subscriber: Subscriber) -> None:
    line.draw(2)
    line.repeat = True
    line.start()
    wait_until(subscriber.states, "the station is there")
    answer = subscriber.request(INSPECT, b"", b"7").json()
    assert answer["ok"] is False
    assert "judges what it sees by itself" in answer["error"]


def test_a_request_with_a_payload_that_means_nothing_is_refused_and_judges_nothing(
    line: Line, subscriber: Subscriber
) -> None:
    watching(line).start()
    wait_until(subscriber.states, "the station is there")
    assert "expected an empty payload" in subscriber.request(INSPECT, b'{"lable": 1}', b"7").json()["error"]
    assert Verdict.from_json(subscriber.request(INSPECT, b"", b"8").payload).seq == 1


def test_a_request_is_answered_once_though_the_daemon_is_killed_again_and_again(
    line: Line, subscriber: Subscriber
) -> None:
    daemon = watching(line).start()
    wait_until(subscriber.states, "the station is there")
    asked: list[bytes] = []
    for _ in range(4):
        for _ in range(3):
            asked.append(uuid.uuid4().hex.encode())
            subscriber.ask(INSPECT, b"", asked[-1])
        time.sleep(0.03)
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()
        daemon = line.start()
    wait_until(
        lambda: {message.properties.CorrelationData for message in answers(subscriber)} == set(asked),
        "all requests are answered",
    )
    line.stop()
    by_request: dict[str | None, set[str]] = {}
    for message in [*subscriber.verdicts(), *answers(subscriber)]:
        verdict = Verdict.from_json(message.payload)
        by_request.setdefault(verdict.request, set()).add(verdict.id)
    assert set(by_request) == {name.decode() for name in asked}
    assert {len(ids) for ids in by_request.values()} == {1}, "a request got two verdicts"
