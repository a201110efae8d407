"""The publisher's thread and paho's: neither waits for the other for ever."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_runtime.outbox import Entry, Outbox
from edge_runtime.publisher import DONE_S, PAUSE_S, RATE, WINDOW, Publisher
from tests.unit.test_outbox import VERDICT


def test_a_connection_that_ends_during_a_publish_blocks_neither_and_the_verdict_goes_out_once_more(
    tmp_path: Path,
) -> None:
    pahos, go_on, publishing = threading.RLock(), threading.Event(), threading.Event()
    sent: list[bytes] = []

    def publish(payload: bytes) -> int:
        publishing.set()
        with pahos:
            sent.append(payload)
        return len(sent)

    with Outbox(tmp_path) as outbox:
        verdict = outbox.append(VERDICT).to_json()
        publisher = Publisher(outbox, publish)
        publisher.start()

        def on_disconnect() -> None:
            with pahos:
                go_on.set()
                assert publishing.wait(30)
                publisher.disconnected()

        pahos_thread = threading.Thread(target=on_disconnect, daemon=True)
        pahos_thread.start()
        assert go_on.wait(30)
        publisher.connected(20, lambda: None)
        pahos_thread.join(10)
        assert not pahos_thread.is_alive(), "both wait for each other"
        publisher.connected(20, publishing.clear)
        assert publishing.wait(30)
        publisher.stop()
        assert sent == [verdict] * 2


class Line:
    """A broker that answers at once, `refusing` or not, and a clock that stands still unless it is moved."""

    def __init__(self, outbox: Outbox) -> None:
        self.now, self.sent, self.acknowledging = 0.0, list[bytes](), True
        self.refusing, self.taken = False, list[bytes]()
        self.publisher = Publisher(outbox, self.publish, clock=lambda: self.now)

    def publish(self, payload: bytes) -> int:
        self.sent.append(payload)
        if self.acknowledging:
            self.answer(payload, len(self.sent))
        return len(self.sent)

    def answer(self, payload: bytes, message: int) -> None:
        if not self.refusing:
            self.taken.append(payload)
        self.publisher.acknowledged(message, "Not authorized" if self.refusing else None)

    def until(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not met():
            assert time.monotonic() < deadline, f"{len(self.sent)} sent"
            self.publisher.wake()
            time.sleep(0.001)


def test_a_backlog_goes_out_in_order_and_no_faster_than_the_rate(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        kept = [verdict.to_json() for verdict in outbox.append_all([Entry(VERDICT)] * 500)]
        line = Line(outbox)
        line.publisher.start()
        line.publisher.connected(20, lambda: None)
        line.until(lambda: len(line.sent) == WINDOW)
        for _ in range(20):
            before = len(line.sent)
            line.now += 0.010
            line.until(lambda: len(line.sent) >= before + 9)  # noqa: B023  # met within the round
            assert len(line.sent) <= before + 0.011 * RATE, "10 ms bring 10 at 1000 a second"
        line.publisher.stop()
        assert line.sent == kept[: len(line.sent)]


def test_acknowledged_verdicts_leave_the_outbox_in_batches_and_the_rest_at_the_end(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.append_all([Entry(VERDICT)] * 10)
        line = Line(outbox)
        line.publisher.start()
        line.publisher.connected(20, lambda: None)
        line.until(lambda: len(line.sent) == 10)
        assert outbox.count() == 10, "a few are not worth a sync of the disk each"
        line.now += DONE_S
        line.until(lambda: outbox.count() == 0)
        outbox.append_all([Entry(VERDICT)] * 3)
        line.until(lambda: len(line.sent) == 13)
        line.publisher.stop()
        assert outbox.count() == 0


def test_what_was_acknowledged_is_not_sent_again_on_a_new_connection(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        kept = [verdict.to_json() for verdict in outbox.append_all([Entry(VERDICT)] * 5)]
        line = Line(outbox)
        line.publisher.start()
        line.publisher.connected(20, lambda: None)
        line.until(lambda: len(line.sent) == 5)
        line.publisher.disconnected()
        line.acknowledging = False
        kept.append(outbox.append(VERDICT).to_json())
        line.publisher.connected(20, lambda: None)
        line.until(lambda: len(line.sent) == 6)
        line.publisher.connected(20, lambda: None)
        line.until(lambda: len(line.sent) == 7)
        line.publisher.stop()
        assert line.sent == [*kept, kept[-1]]
        assert outbox.count() == 1


def test_a_broker_that_comes_to_take_again_what_it_refused_takes_it_in_order(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        kept = [verdict.to_json() for verdict in outbox.append_all([Entry(VERDICT)] * 20)]
        line = Line(outbox)
        line.refusing = True
        line.publisher.start()
        line.publisher.connected(20, lambda: None)
        line.until(lambda: line.publisher._pause_until > 0)
        before, line.acknowledging = len(line.sent), False
        line.now += PAUSE_S
        line.until(lambda: len(line.sent) > before)
        line.until(lambda: not line.publisher._wake.is_set())  # it has sent what it would
        line.acknowledging = True
        for number, payload in enumerate(line.sent[before:], before + 1):
            line.answer(payload, number)
            line.refusing = False  # somebody has just corrected the rights

        def all_are_taken() -> bool:
            line.now += 0.1
            return kept[-1] in line.taken

        line.until(all_are_taken)
        line.publisher.stop()
    assert line.taken == kept, "none overtakes the first"
