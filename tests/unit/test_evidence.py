"""Which verdicts' pictures are kept, and that no verdict waits for one."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import Frame
from edge_runtime.evidence.config import EvidenceLimits
from edge_runtime.evidence.overview import overview
from edge_runtime.evidence.store import PictureStore, name_of
from edge_runtime.evidence.writer import KEPT, Evidence, is_sampled
from edge_runtime.inspector import Inspection
from edge_runtime.messages import EvidenceResumed
from edge_runtime.outbox import Entry, Outbox
from edge_runtime.picture import Image, read_picture
from edge_runtime.verdict import Call, Verdict
from tests.evidence import Heard, frame, inspection, keeper, verdict
from tests.faults.world import fill, small_disk
from tests.integration.parts import wait_until


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A writer that waits for this event before each picture."""
    go = threading.Event()

    def patient(*what: Any) -> Any:
        assert go.wait(30)
        return overview(*what)

    monkeypatch.setattr("edge_runtime.evidence.writer.overview", patient)
    yield go
    go.set()


def limits(**some: Any) -> EvidenceLimits:
    return EvidenceLimits(**{"min_free_bytes": 0, **some})


def pixels_of(shot: Frame) -> Image:
    assert shot.pixels is not None
    return shot.pixels


def judged(evidence: Evidence, seen: Inspection, shot: Frame) -> Verdict:
    """As `life.inspect` does, without an outbox."""
    named = evidence.name(shot, seen)
    evidence.keep(shot, named, seen.looks)
    return named


def test_an_ng_names_its_frame_which_is_the_one_that_came_to_the_last_bit(tmp_path: Path, heard: Heard) -> None:
    shot = frame()
    with keeper(tmp_path, limits(), heard) as evidence:
        named = judged(evidence, inspection(Call.NG), shot)
    assert named.evidence == f"{named.captured_at:%Y/%m/%d}/{named.id}-NG.png"
    assert np.array_equal(read_picture(tmp_path / named.evidence), pixels_of(shot))
    seen = cv2.imread(str((tmp_path / named.evidence).with_suffix(".jpg")))
    assert seen is not None
    assert seen.shape[1] > 1000
    assert json.loads((tmp_path / named.evidence).with_suffix(".json").read_text())["id"] == named.id
    assert (evidence.kept, evidence.dropped, evidence.failed) == (1, 0, 0)
    assert list(tmp_path.rglob("*.part")) == []


def test_a_grey_frame_stays_grey(tmp_path: Path, heard: Heard) -> None:
    shot = frame(channels=1)
    with keeper(tmp_path, limits(), heard) as evidence:
        named = judged(evidence, inspection(Call.ERROR), shot)
    assert np.array_equal(read_picture(tmp_path / str(named.evidence)), pixels_of(shot))


def test_a_fault_between_two_pictures_keeps_none_from_being_written_and_is_said_once(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked: list[None] = []

    def fail(_store: PictureStore) -> None:
        looked.append(None)
        raise ValueError("a folder of a strange name")

    monkeypatch.setattr(PictureStore, "forget_old", fail)
    with keeper(tmp_path, limits(), heard) as evidence:
        wait_until(lambda: looked, "it has looked")
        named = [judged(evidence, inspection(Call.NG), frame()) for _ in range(3)]
        wait_until(lambda: evidence.kept == 3, "all are written")
    assert all((tmp_path / str(verdict.evidence)).is_file() for verdict in named)
    assert len(looked) > 1
    assert caplog.text.count("looking after the pictures failed") == 1


def test_an_error_without_a_picture_names_none(tmp_path: Path, heard: Heard) -> None:
    with keeper(tmp_path, limits(), heard) as evidence:
        nothing = Frame(None, 0, 1, 0.0, trouble="lost")
        assert judged(evidence, inspection(Call.ERROR), nothing).evidence is None
    assert evidence.dropped == 0


def test_of_what_is_ok_the_stated_share_is_kept_the_same_for_the_same_ids() -> None:
    ids = [verdict(Call.OK).id for _ in range(20_000)]
    few = [is_sampled(name, 0.01) for name in ids]
    assert 120 < sum(few) < 280
    assert few == [is_sampled(name, 0.01) for name in ids]
    more = [is_sampled(name, 0.1) for name in ids]
    assert all(wide for narrow, wide in zip(few, more, strict=True) if narrow)
    assert not any(is_sampled(name, 0.0) for name in ids)
    assert all(is_sampled(name, 1.0) for name in ids)


def test_without_room_to_keep_any_nothing_is_named_or_made(tmp_path: Path, heard: Heard) -> None:
    with keeper(tmp_path / "evidence", limits(max_bytes=0), heard) as evidence:
        assert judged(evidence, inspection(Call.NG), frame()).evidence is None
    assert not (tmp_path / "evidence").exists()
    assert evidence.dropped == 0


def test_who_writes_too_slowly_drops_pictures_and_the_verdicts_do_not_name_them(
    tmp_path: Path, heard: Heard, slow: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    with keeper(tmp_path, limits(), heard) as evidence:
        named = [judged(evidence, inspection(Call.NG), frame()) for _ in range(KEPT + 10)]
        assert evidence.dropped >= 9
        slow.set()
        wait_until(lambda: evidence.kept + evidence.dropped == KEPT + 10, "all are written or dropped")
        assert judged(evidence, inspection(Call.NG), frame()).evidence is not None
    there = [each for each in named if each.evidence is not None]
    assert all((tmp_path / str(each.evidence)).is_file() for each in there)
    assert evidence.failed == 0
    assert caplog.text.count("pictures come faster than they can be written") == 1


def test_what_is_named_while_the_outbox_commits_has_its_room(tmp_path: Path, heard: Heard) -> None:
    shot = frame()
    with keeper(tmp_path, limits(), heard) as evidence:
        seen = [inspection(Call.NG) for _ in range(KEPT + 3)]
        named = [evidence.name(shot, each) for each in seen]
        assert [each.evidence is not None for each in named] == [True] * KEPT + [False] * 3
        for verdict_named, each in zip(named, seen, strict=True):
            evidence.keep(shot, verdict_named, each.looks)
    assert (evidence.kept, evidence.dropped) == (KEPT, 3)


def test_at_the_end_what_waits_is_written(tmp_path: Path, heard: Heard) -> None:
    with keeper(tmp_path, limits(), heard) as evidence:
        named = [judged(evidence, inspection(Call.NG), frame()) for _ in range(KEPT)]
    assert [each for each in named if not (tmp_path / str(each.evidence)).is_file()] == []


def test_an_end_does_not_wait_for_a_disk_that_hangs_and_says_what_is_missing(
    tmp_path: Path,
    heard: Heard,
    slow: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("edge_runtime.evidence.writer.DRAIN_S", 0.05)
    with keeper(tmp_path, limits(), heard) as evidence:
        judged(evidence, inspection(Call.NG), frame())
        wait_until(evidence._queue.empty, "the first is in the writer's hands")
        for _ in range(3):
            judged(evidence, inspection(Call.NG), frame())
    assert evidence.failed == 3
    assert "3 pictures that verdicts name were not written before the end" in caplog.text
    slow.set()
    wait_until(lambda: not evidence._thread.is_alive(), "the thread ends when the disk lets it go")


def test_a_picture_that_cannot_be_drawn_costs_that_picture_only(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [True]

    def once(*what: Any) -> Any:
        if broken.pop() if broken else False:
            raise cv2.error("no")
        return overview(*what)

    monkeypatch.setattr("edge_runtime.evidence.writer.overview", once)
    with keeper(tmp_path, limits(), heard) as evidence:
        judged(evidence, inspection(Call.NG), frame())
        named = judged(evidence, inspection(Call.NG), frame())
    assert (evidence.failed, evidence.kept) == (1, 1)
    assert (tmp_path / str(named.evidence)).is_file()


def test_a_full_disk_stops_pictures_once_and_they_go_on_by_themselves(tmp_path: Path, heard: Heard) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, 3):
        (disk / "ballast").write_bytes(bytes(2_900_000))
        with keeper(disk / "evidence", limits(), heard) as evidence:
            judged(evidence, inspection(Call.NG), frame(height=300, width=400))
            wait_until(lambda: evidence.stopped, "the full disk stops it")
            for _ in range(5):
                assert judged(evidence, inspection(Call.NG), frame()).evidence is None
            assert heard.kinds() == ["evidence-stopped"]
            (disk / "ballast").unlink()
            wait_until(lambda: evidence.stopped is None, "it resumes")
            named = judged(evidence, inspection(Call.NG), frame(height=300, width=400))
            wait_until(lambda: evidence.kept == 1, "a picture is kept")
            assert (disk / "evidence" / str(named.evidence)).is_file()
    assert heard.kinds() == ["evidence-stopped", "evidence-resumed"]
    assert heard[1] == EvidenceResumed(missed=6)
    assert evidence.failed == 1


def use_up(folder: Path) -> None:
    """Make files until the disk takes no more."""
    folder.mkdir()
    for number in range(1000):
        try:
            (folder / str(number)).touch()
        except OSError:
            return
    pytest.fail("the disk takes more and more")


def test_a_disk_that_fails_is_left_alone_and_tried_again_and_told_once(tmp_path: Path, heard: Heard) -> None:
    now = [0.0]
    disk = tmp_path / "disk"
    with small_disk(disk, 8, "nr_inodes=50"):
        (disk / "evidence").mkdir()
        use_up(disk / "others")  # bytes are free, but no more files can be made
        with keeper(disk / "evidence", limits(), heard, clock=lambda: now[0]) as evidence:
            judged(evidence, inspection(Call.NG), frame())
            wait_until(lambda: evidence.stopped, "it stops")
            assert "No space left" in str(evidence.stopped)
            for _ in range(3):
                now[0] += 100
                wait_until(lambda: evidence._again > now[0], "it has tried again")
            assert heard.kinds() == ["evidence-stopped"]
            assert [path for path in (disk / "evidence").rglob("*") if path.is_file()] == []
            for path in (disk / "others").iterdir():
                path.unlink()
            now[0] += 100
            wait_until(lambda: evidence.stopped is None, "it resumes")
            judged(evidence, inspection(Call.NG), frame())
        assert (evidence.kept, evidence.failed) == (1, 1)
        assert len([path for path in (disk / "evidence").rglob("*") if path.is_file()]) == 3
    assert heard.kinds() == ["evidence-stopped", "evidence-resumed"]


def test_verdicts_keep_the_free_bytes_that_are_theirs(tmp_path: Path, heard: Heard) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, 8):
        free = limits(min_free_bytes=6_000_000)
        with keeper(disk / "evidence", free, heard) as evidence:
            for number in range(40):
                judged(evidence, inspection(Call.NG), frame(number, height=300, width=400))
                wait_until(lambda: evidence._named == 0, "it is written or not")
            wait_until(lambda: evidence.stopped, "it stops")
            assert evidence._free() >= 6_000_000
            assert evidence.kept >= 2
            assert "less than 6 MB are free" in str(evidence.stopped)
            freed = evidence._store.give_up(10**9)
            assert freed > 1_000_000
            wait_until(lambda: evidence.stopped is None, "it resumes when room was made")
    assert heard.kinds() == ["evidence-stopped", "evidence-resumed"]


def test_a_folder_that_cannot_be_made_stops_pictures_and_nothing_else(tmp_path: Path, heard: Heard) -> None:
    (tmp_path / "evidence").write_text("a file in the way")
    with keeper(tmp_path / "evidence", limits(), heard) as evidence:
        judged(evidence, inspection(Call.NG), frame())
        wait_until(lambda: evidence.stopped, "it stops")
    assert heard.kinds() == ["evidence-stopped"]


def test_where_verdicts_find_no_room_pictures_go_before_anything_else_does(tmp_path: Path) -> None:
    disk, shed = tmp_path / "disk", []
    with small_disk(disk, 64):
        pictures = PictureStore(disk / "evidence", max_bytes=10**9)
        with Outbox(disk, give_up=pictures.give_up, on_shed=lambda *what: shed.append(what)) as outbox:
            for _ in range(24):
                assert pictures.put(name_of(verdict(Call.NG)), {".png": bytes(1_000_000)})
            fill(disk)
            for _ in range(40):
                outbox.append_all([Entry(verdict(Call.OK)) for _ in range(50)])
            assert outbox.balance().waiting == 2000
            assert 0 < pictures.count < 24
            assert (disk / "reserve").stat().st_size > 0
    assert shed == []
