"""`kenpin-edge watch` as its own process."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.parts import Line, Mosquitto, Subscriber, free_port, wait_until


def watch(port: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge_runtime", "watch", "--port", str(port), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def published(line: Line, subscriber: Subscriber) -> list[bytes]:
    """Three real verdicts, the second an ERROR."""
    line.draw(3)
    (line.pictures / "0001.png").write_bytes(b"\x89PNG")
    assert line.start().wait(60) == 0, line.log()
    wait_until(lambda: len(subscriber.verdicts()) == 3, "three verdicts arrive")
    return [message.payload for message in subscriber.verdicts()]


def send(subscriber: Subscriber, broker: Mosquitto, payloads: list[bytes]) -> None:
    """Publish once the watcher has subscribed; the broker's log says when."""
    log = broker.folder / "mosquitto.log"
    wait_until(lambda: "kenpin/+/+/+/verdict" in log.read_text(), "the watcher subscribes")
    for payload in payloads:
        subscriber.client.publish("kenpin/plant-a/L3/cam-2/verdict", payload, 1)


def test_it_shows_a_line_for_each_region_without_a_terminal(
    published: list[bytes], subscriber: Subscriber, broker: Mosquitto
) -> None:
    process = watch(broker.port, "--count", "3")
    send(subscriber, broker, published)
    out, err = process.communicate(timeout=30)
    header, first, second, third = out.splitlines()
    assert process.returncode == 0, err
    assert "expected → found" in header
    assert "ERROR    bad_image" in second
    assert "cam-2/J4" in first
    assert third.endswith("0002.png")
    assert "\x1b" not in out


def test_it_saves_every_verdict_as_it_came(
    published: list[bytes], subscriber: Subscriber, broker: Mosquitto, tmp_path: Path
) -> None:
    saved = tmp_path / "verdicts.jsonl"
    saved.write_bytes(b"{}\n")
    process = watch(broker.port, "--count", "4", "--json", "--save", str(saved))
    send(subscriber, broker, [*published, published[0]])
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert saved.read_bytes().splitlines() == [b"{}", *published, published[0]], "nothing is de-duplicated"
    assert out.encode().splitlines() == [*published, published[0]]


def test_a_malformed_message_is_one_line_and_not_counted(
    published: list[bytes], subscriber: Subscriber, broker: Mosquitto
) -> None:
    newer = json.dumps({**json.loads(published[0]), "field_of_a_newer_station": 1}).encode()
    process = watch(broker.port, "--count", "1", "--json")
    send(subscriber, broker, [b"\xff\xfe", b"{}", newer])
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.encode().splitlines() == [newer]
    assert [text.split(":")[1] for text in err.splitlines()] == [" kenpin/plant-a/L3/cam-2/verdict"] * 2


def test_a_broker_that_is_not_there_is_one_line_at_once() -> None:
    port = free_port()
    process = watch(port)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert err.startswith(f"kenpin-edge: broker 127.0.0.1:{port}: cannot be reached (")
    assert err.count("\n") == 1


def test_a_port_that_answers_nothing_is_one_line() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        process = watch(mute.getsockname()[1])
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "does not answer as an MQTT 5 broker does" in err
    assert err.count("\n") == 1


def test_a_file_that_cannot_be_saved_to_is_one_line(broker: Mosquitto, tmp_path: Path) -> None:
    process = watch(broker.port, "--save", str(tmp_path / "no" / "file"))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "cannot be written (No such file or directory); name another file" in err


def test_a_reader_that_leaves_is_no_fault(published: list[bytes], subscriber: Subscriber, broker: Mosquitto) -> None:
    process = watch(broker.port, "--json")
    assert process.stdout is not None
    process.stdout.close()
    send(subscriber, broker, published)
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 0
    assert err == ""
