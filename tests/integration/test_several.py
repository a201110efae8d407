"""Several stations in one process, one of which a person must mend: the others go on, and whoever looks sees it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.parts import Line, Message, Mosquitto, Subscriber, wait_until
from tests.integration.quick import J5, quick_line
from tests.integration.test_operations import Manager

MEND_FIRST, DONE = 78, 0
OTHER = "kenpin/plant-a/L3/cam-1"
"""The one that fails."""


@pytest.fixture
def lines(tmp_path: Path, broker: Mosquitto) -> Iterator[list[Line]]:
    """Two stations, cam-0 and cam-1; the first one's process is that of both."""
    lines = []
    for number in range(2):
        line = quick_line(tmp_path / f"line{number}", broker.port, trigger=J5)
        line.station = f"cam-{number}"
        lines.append(line)
    yield lines
    for line in lines:
        line.end()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with closing(Manager(tmp_path / "notify")) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", str(manager.address))
        yield manager


def statuses(subscriber: Subscriber) -> list[Any]:
    """What the one that fails has said."""
    return [message.json() for message in subscriber.messages if message.topic == f"{OTHER}/status"]


def verdicts(subscriber: Subscriber, line: Line) -> list[Message]:
    return [message for message in subscriber.verdicts() if f"/{line.station}/" in message.topic]


def test_who_looks_at_the_service_or_at_the_broker_sees_which_station_must_be_mended_and_when_it_is(
    lines: list[Line], subscriber: Subscriber, manager: Manager
) -> None:
    bundle = lines[1].bundle.read_bytes()
    lines[1].bundle.write_bytes(bundle[:100])
    lines[0].start(lines[1].write())
    wait_until(lambda: verdicts(subscriber, lines[0]), "the other inspects")
    wait_until(lambda: statuses(subscriber), "the broker is told")
    (status,) = statuses(subscriber)
    assert status["state"] == "offline"
    assert "part.onnx" in status["why"]
    wait_until(lambda: "READY=1" in manager.heard(), "the service is ready with those that can inspect")
    shown = [fact for fact in manager.heard() if fact.startswith("STATUS=")][-1]
    assert f"{OTHER} DOES NOT INSPECT: " in shown

    seen = len(verdicts(subscriber, lines[0]))
    lines[1].bundle.write_bytes(bundle)
    wait_until(lambda: verdicts(subscriber, lines[1]), "it inspects once it is mended")
    wait_until(lambda: "why" not in statuses(subscriber)[-1], "the broker is told that it does")
    wait_until(lambda: f"{OTHER}: inspecting" in manager.heard()[-1], "and the service")
    assert len(verdicts(subscriber, lines[0])) > seen
    assert lines[0].log().count("until somebody has mended it") == 1
    lines[0].stop()


def test_a_file_with_mistakes_keeps_no_other_station_from_inspecting(
    lines: list[Line], subscriber: Subscriber, manager: Manager
) -> None:
    path = lines[1].write()
    text = path.read_text()
    path.write_text(text.replace('site = "plant-a"', 'site = "plant-a'))
    lines[0].start(path)
    wait_until(lambda: verdicts(subscriber, lines[0]), "the other inspects")
    wait_until(lambda: any(f"{path} DOES NOT INSPECT" in fact for fact in manager.heard()), "the service is told")
    path.write_text(text)
    wait_until(lambda: verdicts(subscriber, lines[1]), "it inspects once it is mended")
    wait_until(lambda: f"{OTHER}: inspecting" in manager.heard()[-1], "the service knows it by its name")
    assert "DOES NOT INSPECT" not in manager.heard()[-1]
    lines[0].stop()


def test_a_process_of_which_all_stations_must_be_mended_ends_as_a_single_one_would(
    lines: list[Line], subscriber: Subscriber
) -> None:
    for line in lines:
        line.bundle.write_bytes(b"no bundle")
    assert lines[0].start(lines[1].write()).wait(60) == MEND_FIRST
    for line in lines:
        assert f"kenpin-edge: kenpin/plant-a/L3/{line.station}: " in lines[0].log()
    assert statuses(subscriber)[-1]["why"]


def test_a_process_whose_last_station_that_could_has_ended_says_that_another_must_be_mended(
    lines: list[Line], subscriber: Subscriber
) -> None:
    lines[0].repeat = False
    lines[1].bundle.write_bytes(b"no bundle")
    assert lines[0].start(lines[1].write()).wait(60) == MEND_FIRST
    assert verdicts(subscriber, lines[0])


def test_who_tells_it_to_stop_while_a_station_waits_to_be_mended_is_obeyed(
    lines: list[Line], subscriber: Subscriber
) -> None:
    lines[1].bundle.write_bytes(b"no bundle")
    lines[0].start(lines[1].write())
    wait_until(lambda: verdicts(subscriber, lines[0]) and statuses(subscriber), "one inspects, one is told of")
    lines[0].process.terminate()
    assert lines[0].process.wait(30) == DONE


def test_a_station_that_another_process_inspects_for_is_not_called_offline(
    lines: list[Line], subscriber: Subscriber
) -> None:
    lines[1].start()
    wait_until(lambda: verdicts(subscriber, lines[1]), "it inspects by itself")
    path = lines[1].write().with_name("also.toml")
    path.write_text(lines[1].write().read_text().replace("part.onnx", "gone.onnx"))
    lines[0].start(path)
    wait_until(lambda: "until somebody has mended it" in lines[0].log(), "it fails in the other's process")
    seen = len(verdicts(subscriber, lines[1]))
    wait_until(lambda: len(verdicts(subscriber, lines[1])) > seen + 20, "it goes on in its own")
    lines[0].stop()
    lines[1].stop()
    assert "why" not in str(statuses(subscriber))
    assert "offline" not in str(statuses(subscriber))


def test_a_broker_that_is_away_when_a_station_fails_is_told_when_it_is_back(
    lines: list[Line], broker: Mosquitto, subscriber: Subscriber
) -> None:
    subscriber.close()
    broker.stop()
    lines[1].bundle.write_bytes(b"no bundle")
    lines[0].start(lines[1].write())
    wait_until(lambda: "until somebody has mended it" in lines[0].log(), "it has failed")
    broker.start()
    late = Subscriber(broker.port)
    wait_until(lambda: any("why" in status for status in statuses(late)), "it is told")
    late.close()
    lines[0].stop()
