"""The publisher's thread and paho's: neither waits for the other for ever."""

import threading
from pathlib import Path

from edge_runtime.outbox import Outbox
from edge_runtime.publisher import Publisher
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
