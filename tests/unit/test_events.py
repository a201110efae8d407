"""Events: told in order, told again until the broker has them, bounded while it is away."""

from edge_runtime.events import WAITING, Events


class Wire:
    """Keeps what is published; message ids count from 1, as paho's do."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def publish(self, payload: bytes) -> int:
        self.sent.append(payload)
        return len(self.sent)


def test_an_event_is_told_at_once_where_the_broker_is_there() -> None:
    wire = Wire()
    events = Events(wire.publish)
    events.connected()
    events.tell(b"a")
    assert wire.sent == [b"a"]


def test_events_wait_for_the_broker_and_go_out_in_order() -> None:
    wire = Wire()
    events = Events(wire.publish)
    events.tell(b"a")
    events.tell(b"b")
    assert wire.sent == []
    events.connected()
    assert wire.sent == [b"a", b"b"]


def test_what_was_not_acknowledged_is_told_again_and_what_was_is_not() -> None:
    wire = Wire()
    events = Events(wire.publish)
    events.connected()
    events.tell(b"a")
    events.tell(b"b")
    events.acknowledged(1)
    events.disconnected()
    events.tell(b"c")
    events.connected()
    assert wire.sent == [b"a", b"b", b"b", b"c"]


def test_of_too_many_the_oldest_give_way() -> None:
    wire = Wire()
    events = Events(wire.publish)
    for number in range(WAITING + 5):
        events.tell(str(number).encode())
    events.connected()
    assert wire.sent == [str(number).encode() for number in range(5, WAITING + 5)]
