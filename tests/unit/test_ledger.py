"""The ledger: every verdict's bytes, also after a torn write, a lost file and a full one."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_runtime import ledger, second_copy, segment
from edge_runtime.audit_files import Question, run_audit
from edge_runtime.errors import OutboxError
from edge_runtime.outbox import Balance, Bounds, Entry, Outbox
from edge_runtime.segment import Line, read_lines
from tests.unit.test_outbox import SMALL, VERDICT


def ledger_of(folder: Path) -> list[bytes]:
    return [line.json for path in sorted((folder / "ledger").glob("*.jsonl")) for line in read_lines(path)]


def test_the_ledger_keeps_the_exact_bytes_also_of_what_was_delivered(tmp_path: Path) -> None:
    with Outbox(tmp_path, now=lambda: 1_795_646_400.0) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(20)]
        outbox.done(15)
    assert ledger_of(tmp_path) == placed
    assert [path.name for path in (tmp_path / "ledger").glob("*.jsonl")] == ["000000000001-20261125.jsonl"]


@pytest.mark.parametrize("torn", [b'{"schema":"kenpin.verdict/1","id', b"\0" * 4096, b'{"half\n{"a":1}\n{"seq":'])
def test_a_torn_end_is_cut_off_and_what_it_lacks_comes_from_the_outbox(tmp_path: Path, torn: bytes) -> None:
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(20)]
        outbox.done(5)
    (segment,) = (tmp_path / "ledger").glob("*.jsonl")
    segment.write_bytes(b"\n".join(placed[:10]) + b"\n" + torn)
    with Outbox(tmp_path) as outbox:
        placed.append(outbox.append(VERDICT).to_json())
    assert ledger_of(tmp_path) == placed


def test_a_ledger_deleted_while_it_is_written_is_reported_and_begun_again_from_what_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(20)]
        for path in (tmp_path / "ledger").glob("*.jsonl"):
            path.unlink()
        outbox.done(3)
        placed.append(outbox.append(VERDICT).to_json())
        assert outbox.balance().balanced
    assert ledger_of(tmp_path) == placed
    assert "was deleted while in use" in caplog.text


def test_a_segment_that_cannot_be_read_is_moved_aside_reported_and_inspection_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Outbox(tmp_path) as outbox:
        for _ in range(20):
            outbox.append(VERDICT)
        outbox.done(10)
    (segment,) = (tmp_path / "ledger").glob("*.jsonl")
    segment.write_bytes(os.urandom(5000).replace(b"\n", b" ") + b"\n")
    with Outbox(tmp_path) as outbox:
        assert outbox.append(VERDICT).seq == 21
        assert outbox.balance().balanced
    assert "holds no verdict that can be read; moved to" in caplog.text
    assert "lacks verdicts 1 to 10, which were delivered" in caplog.text
    assert len(ledger_of(tmp_path)) == 11


def test_the_oldest_segments_go_by_size_and_the_rest_is_the_end_of_the_chain(tmp_path: Path) -> None:
    bounds = Bounds(ledger_bytes=80_000)
    with Outbox(tmp_path, bounds=bounds) as outbox:
        placed = []
        for seq in range(1, 1001):
            placed.append(outbox.append(VERDICT).to_json())
            outbox.done(seq)
    kept = ledger_of(tmp_path)
    assert 0 < sum(len(line) for line in kept) <= bounds.ledger_bytes
    assert kept == placed[-len(kept) :]


def test_old_days_go_when_a_new_one_begins_but_a_clock_that_jumps_does_not_empty_the_ledger(tmp_path: Path) -> None:
    day = [0]
    bounds = Bounds(age_s=10 * 86_400)
    with Outbox(tmp_path, bounds=bounds, now=lambda: 1.8e9 + day[0] * 86_400) as outbox:
        for day[0] in range(30):
            outbox.done(outbox.append(VERDICT).seq)
        assert 10 <= len(ledger_of(tmp_path)) <= 13
        before = len(ledger_of(tmp_path))
        day[0] = 20_000
        outbox.append(VERDICT)
    assert len(ledger_of(tmp_path)) >= before - 1


def test_a_kill_between_commit_and_ledger_is_made_good_at_the_next_start(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(20)]
    (segment,) = (tmp_path / "ledger").glob("*.jsonl")
    segment.write_bytes(b"\n".join(placed[:12]) + b"\n")
    Outbox(tmp_path).close()
    assert ledger_of(tmp_path) == placed


# What is no want of room

SHORT = Bounds(ledger_bytes=80_000, reserve_bytes=4096)
"""Segments of 10,000 bytes."""


def segments_of(folder: Path) -> list[Path]:
    return sorted((folder / "ledger").glob("*.jsonl"))


def delivered(folder: Path, count: int) -> list[bytes]:
    """What lies in the ledger, all of it delivered by a station that has ended."""
    with Outbox(folder, bounds=SHORT) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(count)]
        outbox.done(count)
    assert ledger_of(folder) == placed
    return placed


@contextmanager
def unwritable_ledger(folder: Path) -> Iterator[None]:
    """While no file of the ledger is open: a folder in which nothing can be opened or made, also by root."""
    (folder / "ledger").rename(folder / "away")
    (folder / "ledger").write_text("no folder")
    yield
    (folder / "ledger").unlink()
    (folder / "away").rename(folder / "ledger")


def test_after_an_error_of_the_newest_segment_a_new_one_is_begun_and_the_others_stay(tmp_path: Path) -> None:
    placed = delivered(tmp_path, 80)
    before = segments_of(tmp_path)
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        before[-1].rename(tmp_path / "newest")
        before[-1].mkdir()  # which cannot be opened to write
        placed += [outbox.append(VERDICT).to_json() for _ in range(3)]
        outbox.done(83)
        assert outbox.count() == 0
        before[-1].rmdir()
        (tmp_path / "newest").rename(before[-1])
    assert segments_of(tmp_path)[: len(before)] == before
    assert ledger_of(tmp_path) == placed


def test_while_the_ledger_cannot_be_written_what_was_delivered_waits_and_nothing_is_missing_afterwards(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    placed = delivered(tmp_path, 80)
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        with unwritable_ledger(tmp_path):
            for seq in range(81, 101):
                placed.append(outbox.append(VERDICT).to_json())
                outbox.done(seq)
            assert outbox.balance() == Balance(verdicts=100, acknowledged=80, shed=0, waiting=20)
            assert caplog.text.count("the ledger cannot be written") == 1
        placed.append(outbox.append(VERDICT).to_json())
        outbox.done(101)
        assert outbox.balance() == Balance(verdicts=101, acknowledged=101, shed=0, waiting=0)
    assert ledger_of(tmp_path) == placed


def test_where_it_cannot_be_written_for_days_only_the_last_that_were_delivered_wait_and_the_log_says_so(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(second_copy, "HELD", 10)
    placed = delivered(tmp_path, 80)
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        with unwritable_ledger(tmp_path):
            for seq in range(81, 121):
                placed.append(outbox.append(VERDICT).to_json())
                outbox.done(seq)
                assert outbox.count() <= 10
        placed.append(outbox.append(VERDICT).to_json())
        outbox.done(121)
        assert outbox.balance() == Balance(verdicts=121, acknowledged=121, shed=0, waiting=0)
    assert ledger_of(tmp_path) == placed[:80] + placed[110:], "a hole, and the segments before it"
    assert caplog.text.count("delivered verdicts go without a copy, from 81 on") == 1
    assert run_audit(Question(segments_of(tmp_path))) == 1
    assert "verdicts 81 to 110 removed, or never received" in capsys.readouterr().out


def test_where_the_outbox_is_full_what_was_delivered_goes_before_anything_is_shed(tmp_path: Path) -> None:
    with Outbox(tmp_path, bounds=SMALL) as outbox, unwritable_ledger(tmp_path):
        for _ in range(40):
            placed = outbox.append_all([Entry(VERDICT)] * 50)
            outbox.done(placed[-10].seq)
        balance = outbox.balance()
        assert balance.shed == 0
        assert balance.balanced
        assert balance.acknowledged > 1000


def test_what_a_failed_sync_leaves_in_doubt_is_written_again_before_its_rows_go(tmp_path: Path) -> None:
    read, write = os.pipe()  # which cannot be synced
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(5)]
        outbox.done(5)
        placed += [outbox.append(VERDICT).to_json() for _ in range(5)]
        used = outbox._copy.ledger
        assert used._file is not None
        used._file.close()
        used._file = os.fdopen(write, "wb", buffering=0)
        outbox.done(10)
        assert outbox.count() == 0
    os.close(read)
    first, second = segments_of(tmp_path)
    assert [line.json for line in read_lines(first)] == placed
    assert [line.json for line in read_lines(second)] == placed[5:]
    assert run_audit(Question(segments_of(tmp_path))) == 0, "the same bytes twice are no harm"
    for file in (tmp_path / "outbox.db", tmp_path / "ledger" / "watermark.json"):
        file.unlink()
    with Outbox(tmp_path) as outbox:
        assert outbox.balance() == Balance(verdicts=10, acknowledged=0, shed=0, waiting=10)
        assert outbox.append(VERDICT).seq == 11


class Syncs:
    """`os.fsync` as Linux has it: a loss is told once, and the next sync says that all is well. `of`: which files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: list[Path] = []
        self.failing = False
        self._really = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if self.failing and path.suffix == ".jsonl":
            self.failing = False
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        self._really(descriptor)
        self.of.append(path)


@pytest.mark.parametrize("when", ["rows are to go", "a segment is full"])
def test_a_sync_that_says_all_is_well_after_one_that_failed_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    syncs = Syncs(monkeypatch)
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(3)]
        outbox.done(1)
        placed += [outbox.append(VERDICT).to_json() for _ in range(2)]
        syncs.failing = True
        if when == "a segment is full":
            while syncs.failing:
                placed.append(outbox.append(VERDICT).to_json())
        outbox.done(len(placed))
        assert not syncs.failing
        assert outbox.count() == 0
    first, second = segments_of(tmp_path)
    assert first not in syncs.of[syncs.of.index(first) + 1 :], "it was synced once, and then it failed"
    assert [line.json for line in read_lines(second)] == placed[3:]
    assert second in syncs.of


def test_what_a_killed_station_left_to_the_system_is_on_the_disk_before_its_rows_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os; from pathlib import Path; from edge_runtime.outbox import Outbox\n"
        "from tests.unit.test_outbox import VERDICT\n"
        f"outbox = Outbox(Path({str(tmp_path)!r}))\n"
        "for _ in range(5): outbox.append(VERDICT)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
    syncs = Syncs(monkeypatch)
    with Outbox(tmp_path) as outbox:
        assert outbox.count() == 5
        assert segments_of(tmp_path)[0] in syncs.of


def test_a_segment_that_cannot_be_deleted_does_not_keep_the_ledger_from_its_bounds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    delivered(tmp_path, 80)
    oldest = segments_of(tmp_path)[0]
    oldest.unlink()
    oldest.mkdir()
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        for seq in range(81, 481):
            outbox.append(VERDICT)
            outbox.done(seq)
        assert outbox.count() == 0
    assert "cannot be deleted" in caplog.text
    assert sum(path.stat().st_size for path in segments_of(tmp_path)[1:]) <= SHORT.ledger_bytes


# What the disk does not give back


def make_unreadable(path: Path) -> None:
    """Reading it is an input/output error, a real one; moving it needs none."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def test_a_newest_segment_that_the_disk_does_not_give_back_stops_no_station_whose_outbox_is_sound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    placed = delivered(tmp_path, 80)
    before = segments_of(tmp_path)
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        placed += [outbox.append(VERDICT).to_json() for _ in range(3)]
    make_unreadable(before[-1])
    for _ in range(2):
        with Outbox(tmp_path, bounds=SHORT) as outbox:
            placed.append(outbox.append(VERDICT).to_json())
    assert segments_of(tmp_path)[: len(before) - 1] == before[:-1]
    assert ledger_of(tmp_path)[-5:] == placed[-5:], "what waited is there again"
    assert f"{before[-1]}: cannot be read (Input/output error); moved to" in caplog.text
    assert len(list((tmp_path / "ledger").glob("*.damaged-*"))) == 1


@pytest.mark.parametrize("which", [0, 1])
def test_where_both_copies_are_damaged_what_the_disk_does_not_give_back_is_lost_told_and_marked(
    tmp_path: Path, which: int
) -> None:
    told: list[tuple[int, int, int]] = []
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        for _ in range(80):
            outbox.append(VERDICT)
        head = outbox.head()
    damaged, following = segments_of(tmp_path)[which : which + 2]
    first, last = int(damaged.stem.split("-")[0]), int(following.stem.split("-")[0]) - 1
    make_unreadable(damaged)
    (tmp_path / "outbox.db").write_bytes(os.urandom(9000))
    with Outbox(tmp_path, bounds=SHORT, on_shed=lambda *what: told.append(what)) as outbox:
        lost = last - first + 1
        assert outbox.balance() == Balance(verdicts=80, acknowledged=0, shed=lost, waiting=80 - lost)
        assert told == [(lost, first, last)]
        placed = outbox.append(VERDICT)
    assert (placed.seq, placed.prev) == (81, head.hash)
    assert placed.shed is not None
    assert [(mark.first, mark.last) for mark in placed.shed] == [(first, last)]
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(line + b"\n" for line in ledger_of(tmp_path)))
    assert run_audit(Question([log])) == 0, "the chain bridges the gap"


@pytest.mark.parametrize("damaged", [1, 105])
def test_a_damaged_number_in_the_ledger_costs_that_verdict_and_not_those_behind_it(
    tmp_path: Path, damaged: int
) -> None:
    with Outbox(tmp_path) as outbox:
        for _ in range(200):
            outbox.append(VERDICT)
    (only,) = segments_of(tmp_path)
    only.write_bytes(only.read_bytes().replace(b'"seq":%d,' % damaged, b'"seq":905,'))
    (tmp_path / "outbox.db").unlink()
    with Outbox(tmp_path) as outbox:
        assert outbox.balance() == Balance(verdicts=200, acknowledged=0, shed=1, waiting=199)
        assert [row.seq for row in outbox.waiting(limit=1000)] == [seq for seq in range(1, 201) if seq != damaged]


def test_what_can_be_read_of_such_a_segment_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No disk at hand fails in the middle of a file."""
    placed = delivered(tmp_path, 80)
    broken = segments_of(tmp_path)[1]
    whole = [line.json for line in read_lines(broken)]

    def read_a_part(path: Path) -> Iterator[Line]:
        for line in read_lines(path):
            if path.stem == broken.stem and line.number > 7 and len(list(read_lines(path))) == len(whole):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            yield line

    for module in (ledger, segment):
        monkeypatch.setattr(module, "read_lines", read_a_part)
    (tmp_path / "outbox.db").write_bytes(os.urandom(9000))
    (tmp_path / "ledger" / "watermark.json").unlink()
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        assert outbox.balance().shed == len(whole) - 7
        assert outbox.balance().balanced
    first = placed.index(whole[0])
    assert ledger_of(tmp_path) == placed[: first + 7] + placed[first + len(whole) :]


@pytest.mark.parametrize("passing", [errno.EMFILE, errno.EACCES])
def test_where_files_or_rights_are_wanting_nothing_is_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passing: int
) -> None:
    placed = delivered(tmp_path, 80)

    def fails(_path: Path, _up_to: float) -> None:
        raise OSError(passing, os.strerror(passing))

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "whole_end", fails)
        with pytest.raises(OutboxError, match="cannot be used"):
            Outbox(tmp_path, bounds=SHORT)
    Outbox(tmp_path, bounds=SHORT).close()
    assert ledger_of(tmp_path) == placed


def test_what_lies_aside_is_within_the_bounds_of_the_ledger_and_goes_as_old_as_its_neighbours(tmp_path: Path) -> None:
    for _ in range(20):
        with Outbox(tmp_path, bounds=SHORT) as outbox:
            for _ in range(20):
                outbox.done(outbox.append(VERDICT).seq)
        newest = segments_of(tmp_path)[-1]
        newest.write_bytes(newest.read_bytes() + b"rubbish\n" * 1000)
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        for _ in range(20):
            outbox.done(outbox.append(VERDICT).seq)
    folder = tmp_path / "ledger"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= SHORT.ledger_bytes + 10_000
    aside, whole = sorted(folder.glob("*.damaged-*")), segments_of(tmp_path)
    assert 1 < len(aside) < 20
    assert aside[0].stem >= whole[0].stem


# An end that is not the outbox's


@pytest.mark.parametrize(
    ("was", "became"),
    [
        (b'"seq":20', b'"seq":60'),  # one bit
        (b'"seq":20', b'"seq":21'),
        (b'"seq":20', b'"seq":16'),
        (b'"verdict":"OK"', b'"verdict":"NG"'),
    ],
)
def test_a_damaged_last_line_does_not_take_the_place_of_a_sound_outbox(
    tmp_path: Path, was: bytes, became: bytes
) -> None:
    told: list[tuple[int, int, int]] = []
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(20)]
        outbox.done(10)
    (file,) = segments_of(tmp_path)
    damaged = placed[-1].replace(was, became)
    assert damaged != placed[-1]
    file.write_bytes(b"".join(line + b"\n" for line in [*placed[:-1], damaged]))
    with Outbox(tmp_path, on_shed=lambda *what: told.append(what)) as outbox:
        assert outbox.balance() == Balance(verdicts=20, acknowledged=10, shed=0, waiting=10)
        placed.append(outbox.append(VERDICT).to_json())
        assert [row.json for row in outbox.waiting()] == placed[10:]
    assert told == []
    assert ledger_of(tmp_path) == placed
    (aside,) = (tmp_path / "ledger").glob("*.damaged-*")
    assert aside.read_bytes().endswith(damaged + b"\n")


def test_an_outbox_of_an_older_day_is_made_anew_from_a_ledger_that_goes_on_from_it(tmp_path: Path) -> None:
    with Outbox(tmp_path, bounds=SHORT) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(20)]
    old = (tmp_path / "outbox.db").read_bytes()
    for count in (20, 400):  # then the ledger has nothing of before any more
        with Outbox(tmp_path, bounds=SHORT) as outbox:
            placed += [outbox.append(VERDICT).to_json() for _ in range(count)]
            outbox.done(len(placed) - 10)
        (tmp_path / "outbox.db").write_bytes(old)
        with Outbox(tmp_path, bounds=SHORT) as outbox:
            assert outbox.head().seq == len(placed)
            assert [row.json for row in outbox.waiting()] == placed[-10:]
    assert ledger_of(tmp_path)[0] != placed[0]
