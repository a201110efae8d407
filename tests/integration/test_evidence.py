"""Pictures of the daemon as its own process: named in the verdict, there, and the frame as it came."""

from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.picture import read_picture
from edge_runtime.verdict import Verdict
from tests.faults.world import small_disk
from tests.integration.parts import Line, Subscriber, wait_until

EVERYTHING = "[evidence]\nok_share = 1.0\n"


def verdicts(subscriber: Subscriber, count: int) -> list[Verdict]:
    wait_until(lambda: len(subscriber.verdicts()) >= count, f"{count} verdicts arrive")
    return [Verdict.from_json(message.payload) for message in subscriber.verdicts()]


def events(subscriber: Subscriber, kind: str) -> list[Any]:
    told = [message.json() for message in subscriber.messages if message.topic.endswith("/event")]
    return [event for event in told if event["kind"] == kind]


def test_an_ng_names_a_picture_that_is_there_with_the_frame_as_it_came(line: Line, subscriber: Subscriber) -> None:
    line.draw(3)
    line.expected = "solid-rectangle"  # so that each is a wrong part
    assert line.start().wait(60) == 0, line.log()
    for verdict in verdicts(subscriber, 3):
        assert verdict.verdict == "NG"
        assert verdict.evidence is not None
        kept = line.folder / "state" / "evidence" / verdict.evidence
        assert np.array_equal(read_picture(kept), read_picture(line.pictures / str(verdict.picture)))
        assert read_picture(kept.with_suffix(".jpg")).shape[2] == 3
        assert Verdict.from_json(kept.with_suffix(".json").read_bytes()) == verdict


def test_of_what_is_ok_a_share_is_kept_and_the_rest_names_nothing(line: Line, subscriber: Subscriber) -> None:
    line.draw(20)
    assert line.start().wait(60) == 0, line.log()
    good = [verdict for verdict in verdicts(subscriber, 20) if verdict.verdict == "OK"]
    assert len(good) > 5
    assert sum(verdict.evidence is not None for verdict in good) < 5


def test_a_damaged_picture_is_an_error_that_names_none(line: Line, subscriber: Subscriber) -> None:
    line.draw(1)
    (line.pictures / "0000.png").write_bytes(b"\x89PNG")
    assert line.start().wait(60) == 0, line.log()
    (verdict,) = verdicts(subscriber, 1)
    assert (verdict.verdict, verdict.evidence) == ("ERROR", None)


def test_a_dark_picture_is_an_error_whose_picture_is_kept(line: Line, subscriber: Subscriber) -> None:
    line.draw(1)
    cv2.imwrite(str(line.pictures / "0000.png"), np.full((27, 27), 3, np.uint8))
    assert line.start().wait(60) == 0, line.log()
    (verdict,) = verdicts(subscriber, 1)
    assert verdict.verdict == "ERROR"
    assert read_picture(line.folder / "state" / "evidence" / str(verdict.evidence)).max() == 3


def test_a_full_disk_stops_pictures_and_no_verdict(line: Line, subscriber: Subscriber) -> None:
    line.draw(5)
    line.repeat = True
    line.trigger = EVERYTHING + "min_free_bytes = 6_000_000\n"
    disk = line.folder / "state"
    with small_disk(disk, 32):
        line.start()
        wait_until(lambda: any(disk.rglob("*.png")), "pictures are kept")
        (disk / "ballast").write_bytes(bytes(9_000_000))
        wait_until(lambda: events(subscriber, "evidence-stopped"), "an event tells that pictures are no longer kept")
        before = len(subscriber.verdicts())
        later = verdicts(subscriber, before + 30)[before + 10 :]
        assert {verdict.evidence for verdict in later} == {None}
        (disk / "ballast").unlink()
        wait_until(lambda: events(subscriber, "evidence-resumed"), "an event tells that pictures are kept again")
        wait_until(lambda: verdicts(subscriber, 1)[-1].evidence is not None, "verdicts name pictures again")
        line.stop()
    got = [verdict.seq for verdict in verdicts(subscriber, 1)]
    assert got == list(range(1, len(got) + 1))
    assert len(events(subscriber, "evidence-stopped")) == 1
    assert line.log().count("pictures are no longer kept") == 1


def test_what_is_named_when_it_is_told_to_stop_is_written(line: Line, subscriber: Subscriber) -> None:
    line.draw(10)
    line.repeat = True
    line.trigger = EVERYTHING
    line.start()
    wait_until(lambda: len(subscriber.verdicts()) > 20, "verdicts arrive")
    line.stop()
    named = [verdict.evidence for verdict in verdicts(subscriber, 20) if verdict.evidence]
    missing = [name for name in named if not (line.folder / "state" / "evidence" / name).is_file()]
    assert named
    assert missing == []


@pytest.mark.parametrize("table", ["ok_share = 2", "max_age_days = 0", "share = 0.1"])
def test_a_mistake_in_the_table_is_told_with_its_line(line: Line, table: str) -> None:
    line.draw(1)
    line.trigger = f"[evidence]\n{table}\n"
    assert line.start().wait(60) == 78
    assert "[evidence]" in line.log()
    assert line.log().count("station.toml:") == 1
