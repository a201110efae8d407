"""Several stations in one process: one engine for a bundle they share, and what fails one fails no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.verdict import Verdict
from tests.integration.parts import Line, Mosquitto, Subscriber, wait_until
from tests.integration.test_line import DONE, MEND_FIRST, assert_chained


@pytest.fixture
def lines(tmp_path: Path, broker: Mosquitto, bundle_path: Path) -> Iterator[list[Line]]:
    """Three stations with a folder each; the first one's process is the process of all."""
    lines = []
    for number in range(3):
        folder = tmp_path / f"line{number}"
        folder.mkdir()
        lines.append(Line(folder, broker.port, bundle_path, station=f"cam-{number}"))
    yield lines
    lines[0].end()


def of(subscriber: Subscriber, line: Line) -> list[bytes]:
    """The verdicts of one station."""
    return [message.payload for message in subscriber.verdicts() if f"/{line.station}/" in message.topic]


def start(lines: list[Line]) -> None:
    lines[0].start(*(line.write() for line in lines[1:]))


def test_each_station_gives_its_own_verdicts_in_order_and_the_process_ends_with_the_last(
    lines: list[Line], subscriber: Subscriber
) -> None:
    for line in lines:
        line.draw(30)
    assert lines[0].start(*(line.write() for line in lines[1:])).wait(60) == DONE, lines[0].log()
    wait_until(lambda: len(subscriber.verdicts()) == 90, "90 verdicts arrive")
    for line in lines:
        assert_chained(of(subscriber, line))
        assert [Verdict.from_json(payload).picture for payload in of(subscriber, line)] == [
            f"{n:04d}.png" for n in range(30)
        ]


def test_a_station_that_cannot_see_fails_no_other_and_goes_on_when_it_can(
    lines: list[Line], subscriber: Subscriber
) -> None:
    for line in lines:
        line.draw(4)
        line.repeat = True
    pictures = lines[1].pictures.rename(lines[1].folder / "elsewhere")
    start(lines)
    wait_until(lambda: of(subscriber, lines[0]) and of(subscriber, lines[2]), "the others inspect")
    wait_until(lambda: "cannot be read as a folder of pictures" in lines[0].log(), "it is said")
    assert not of(subscriber, lines[1])
    seen = len(of(subscriber, lines[2]))
    pictures.rename(lines[1].pictures)
    wait_until(lambda: of(subscriber, lines[1]), "it inspects, too")
    assert len(of(subscriber, lines[2])) > seen
    lines[0].stop()
    said = [
        text for text in lines[0].log().splitlines() if " connected" in text or "cannot be read as a folder" in text
    ]
    for line in lines:
        assert any(f" plant-a/L3/{line.station}: " in text for text in said), "the log does not say whose line it is"
        assert_chained(of(subscriber, line))


def test_two_files_of_the_same_station_are_refused(lines: list[Line]) -> None:
    lines[1].station = lines[0].station
    lines[0].draw(1)
    lines[1].draw(1)
    assert lines[0].start(lines[1].write()).wait(60) == MEND_FIRST
    assert "has the site, line and station of" in lines[0].log()
