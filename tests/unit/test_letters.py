"""Letters: sent in order, one in flight, sent again until the broker has them, bounded while it is away."""

import threading
from functools import partial

import pytest

from edge_runtime.letters import AVOIDED_S, TRIES, WAITING, Letter, Letters


class Wire:
    """Keeps what is published; message ids count from 1, as paho's do. `at_once`: acknowledges within `publish`."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.sent: list[bytes] = []
        self.letters = Letters(self.publish)
        self._at_once = at_once

    def publish(self, letter: Letter) -> int:
        self.sent.append(letter.payload)
        if self._at_once:
            self.letters.acknowledged(len(self.sent))
        return len(self.sent)

    def acknowledge(self) -> None:
        """Acknowledge what was published last."""
        self.letters.acknowledged(len(self.sent))


def test_an_event_is_told_at_once_where_the_broker_is_there() -> None:
    wire = Wire()
    wire.letters.connected()
    wire.letters.send(Letter("event", b"a"))
    assert wire.sent == [b"a"]


def test_events_wait_for_the_broker_and_go_out_in_order() -> None:
    wire = Wire(at_once=True)
    wire.letters.send(Letter("event", b"a"))
    wire.letters.send(Letter("event", b"b"))
    assert wire.sent == []
    wire.letters.connected()
    assert wire.sent == [b"a", b"b"]


def test_one_is_in_flight_and_the_next_follows_when_it_is_acknowledged() -> None:
    wire = Wire()
    for payload in (b"a", b"b", b"c"):
        wire.letters.send(Letter("event", payload))
    wire.letters.connected()
    assert wire.sent == [b"a"]
    wire.letters.acknowledged(7)  # a verdict's
    assert wire.sent == [b"a"]
    wire.acknowledge()
    assert wire.sent == [b"a", b"b"]
    wire.acknowledge()
    wire.acknowledge()
    wire.letters.send(Letter("event", b"d"))
    assert wire.sent == [b"a", b"b", b"c", b"d"]


def test_an_acknowledgement_that_comes_before_the_message_id_counts() -> None:
    wire = Wire(at_once=True)
    wire.letters.connected()
    for number in range(3):
        wire.letters.send(Letter("event", str(number).encode()))
    wire.letters.disconnected()
    wire.letters.connected()
    assert wire.sent == [b"0", b"1", b"2"], "told again although it was acknowledged, or never told"


def test_what_was_not_acknowledged_is_told_again_and_what_was_is_not() -> None:
    wire = Wire()
    wire.letters.connected()
    wire.letters.send(Letter("event", b"a"))
    wire.acknowledge()
    wire.letters.send(Letter("event", b"b"))
    wire.letters.disconnected()
    wire.letters.send(Letter("event", b"c"))
    assert wire.sent == [b"a", b"b"]
    wire.letters.connected()
    wire.acknowledge()
    assert wire.sent == [b"a", b"b", b"b", b"c"]


def test_of_too_many_the_oldest_give_way() -> None:
    wire = Wire(at_once=True)
    for number in range(WAITING + 5):
        wire.letters.send(Letter("event", str(number).encode()))
    wire.letters.connected()
    assert wire.sent == [str(number).encode() for number in range(5, WAITING + 5)]


def test_an_answer_that_gives_way_is_settled_so_that_nobody_waits_for_ever_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire()
    settled: list[int] = []
    letters = Letters(wire.publish, most=2)
    for number in range(4):
        letters.send(Letter("answer", str(number).encode(), settled=partial(settled.append, number)))
    assert settled == [0, 1]
    assert caplog.text.count("more than 2 answers wait for the broker; the oldest are given up") == 1


def test_the_letter_in_flight_is_known_by_its_id() -> None:
    wire = Wire()
    wire.letters.connected()
    wire.letters.send(Letter("event", b"a"))
    assert (wire.letters.topic_of(1), wire.letters.topic_of(2)) == ("event", None)
    wire.acknowledge()
    assert wire.letters.topic_of(1) is None


@pytest.mark.parametrize("news", ["disconnected", "acknowledged"])
def test_a_callback_with_pahos_lock_does_not_wait_for_a_thread_that_wants_it(news: str) -> None:
    pahos, publishing = threading.RLock(), threading.Event()
    sent: list[bytes] = []

    def publish(letter: Letter) -> int:
        publishing.set()
        with pahos:
            sent.append(letter.payload)
        return len(sent)

    letters = Letters(publish)
    letters.connected()
    teller = threading.Thread(target=letters.send, args=(Letter("event", b"a"),), daemon=True)

    def callback() -> None:
        with pahos:
            teller.start()
            assert publishing.wait(30)
            letters.disconnected() if news == "disconnected" else letters.acknowledged(9)

    pahos_thread = threading.Thread(target=callback, daemon=True)
    pahos_thread.start()
    for thread in (pahos_thread, teller):
        thread.join(10)
        assert not thread.is_alive(), "both wait for each other"
    assert sent == [b"a"]
    letters.connected()
    assert sent == [b"a"] * 2, "what was not acknowledged is told again"


def test_no_event_is_lost_or_told_twice_whichever_thread_comes_first() -> None:
    acknowledger_has = threading.Semaphore(0)
    sent: list[bytes] = []

    def publish(letter: Letter) -> int:
        sent.append(letter.payload)
        acknowledger_has.release()
        return len(sent)

    letters = Letters(publish)
    letters.connected()
    payloads = [str(number).encode() for number in range(WAITING)]

    def acknowledge() -> None:
        for message in range(1, len(payloads) + 1):
            assert acknowledger_has.acquire(timeout=10)
            letters.acknowledged(message)

    acknowledger = threading.Thread(target=acknowledge, daemon=True)
    acknowledger.start()
    for payload in payloads:
        letters.send(Letter("event", payload))
    acknowledger.join(30)
    assert not acknowledger.is_alive(), f"{len(sent)} of {len(payloads)} were sent"
    assert sent == payloads


def test_the_end_waits_for_what_is_still_to_be_said_but_not_for_ever() -> None:
    wire = Wire()
    wire.letters.connected()
    wire.letters.send(Letter("answer", b"a"))
    wire.letters.send(Letter("answer", b"b"))
    wire.letters.drain(0.05)  # the broker acknowledges nothing
    assert wire.sent == [b"a"]

    draining = threading.Thread(target=wire.letters.drain, args=(60,))
    draining.start()
    wire.acknowledge()
    draining.join(0.1)
    assert wire.sent == [b"a", b"b"]
    assert draining.is_alive(), "it does not wait for the one in flight"
    wire.acknowledge()
    draining.join(30)
    assert not draining.is_alive()


class Picky:
    """A broker that ends the connection where something is sent to `disliked`, and takes all else."""

    def __init__(self, disliked: str) -> None:
        self.now = 0.0
        self.took: list[bytes] = []
        self.settled: list[bytes] = []
        self._disliked = disliked
        self._sent = 0
        self.letters = Letters(self.publish, clock=lambda: self.now)

    def publish(self, letter: Letter) -> int:
        self._sent += 1
        if letter.topic == self._disliked:
            self.letters.disconnected()
        else:
            self.took.append(letter.payload)
            self.letters.acknowledged(self._sent)
        return self._sent

    def answer(self, topic: str, payload: bytes) -> None:
        self.letters.send(Letter(topic, payload, settled=partial(self.settled.append, payload)))


def test_an_answer_that_ends_each_connection_is_given_up_and_what_waits_behind_it_goes_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = Picky("odd")
    broker.answer("odd", b"a")
    broker.answer("robot", b"b")
    for _ in range(TRIES):
        broker.letters.connected()
        assert broker.took == []
    broker.letters.connected()
    assert broker.took == [b"b"]
    assert broker.settled == [b"a", b"b"], "a command that is never settled comes again with each connection"
    assert [record.getMessage() for record in caplog.records] == [
        f"odd: the connection ended {TRIES} times while this was sent there; given up"
    ]


def test_a_command_that_comes_again_with_each_connection_is_settled_where_its_answer_was_given_up() -> None:
    broker = Picky("odd")
    for number in range(TRIES + 1):  # the broker sends the command again, so each connection has one answer more
        broker.letters.connected()
        broker.answer("odd", str(number).encode())
    assert broker.settled == [str(number).encode() for number in range(TRIES + 1)]


def test_another_question_is_answered_where_the_answer_of_one_was_given_up() -> None:
    broker = Picky("odd")
    broker.answer("odd", b"a")
    for _ in range(TRIES + 1):
        broker.letters.connected()
    broker._disliked = ""
    broker.letters.send(Letter("odd", b"b", correlation=b"another"))
    assert broker.took == [b"b"]


def test_who_was_given_up_is_answered_again_later(caplog: pytest.LogCaptureFixture) -> None:
    broker = Picky("odd")
    broker.answer("odd", b"a")
    for _ in range(TRIES + 1):
        broker.letters.connected()
    broker._disliked = ""  # it was the network's fault
    broker.answer("odd", b"b")
    broker.now += AVOIDED_S
    broker.answer("odd", b"c")
    assert broker.took == [b"c"]
    assert len(caplog.records) == 1


def test_an_event_that_was_given_up_keeps_back_no_other() -> None:
    broker = Picky("event")
    broker.letters.send(Letter("event", b"a"))
    for _ in range(TRIES):
        broker.letters.connected()
    broker._disliked = ""
    broker.letters.send(Letter("event", b"b"))
    broker.letters.connected()
    assert broker.took == [b"b"]


def test_connections_that_end_between_two_letters_are_counted_for_none() -> None:
    wire = Wire()
    for number in range(2 * TRIES):
        wire.letters.connected()
        wire.letters.send(Letter("event", str(number).encode()))
        wire.letters.disconnected()
        wire.letters.connected()
        wire.acknowledge()
        wire.letters.disconnected()
    assert wire.sent == [str(number).encode() for number in range(2 * TRIES) for _ in range(2)]
