"""The outbox keeps its promise: verdicts survive, in order, chained, bounded."""

import hashlib
import logging
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_runtime.chain import GENESIS
from edge_runtime.errors import OutboxError
from edge_runtime.outbox import Outbox
from edge_runtime.verdict import BundleRef, Call, Latency, Reason, RegionVerdict, Thresholds, Verdict

VERDICT = Verdict(
    id="0",
    site="s",
    line="l",
    station="c",
    seq=0,
    captured_at=datetime(2026, 11, 24, tzinfo=UTC),
    trigger="camera",
    verdict=Call.OK,
    bundle=BundleRef(name="b", version="1", sha256="0"),
    thresholds=Thresholds(defect=0.5, mismatch=0.5),
    regions=(RegionVerdict(name="r", expected="A", verdict=Call.OK, reason=Reason.MATCH, box=(0, 0, 1, 1)),),
    latency_ms=Latency(grab=0, inspect=0, total=0),
    prev="",
)


def digest(json: bytes) -> str:
    return hashlib.sha256(json).hexdigest()


def test_what_waits_is_what_was_appended_in_order(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT.model_copy(update={"id": str(n)})) for n in range(5)]
        waiting = outbox.waiting()
    assert [row.json for row in waiting] == [verdict.to_json() for verdict in placed]
    assert [row.seq for row in waiting] == [verdict.seq for verdict in placed] == [1, 2, 3, 4, 5]


def test_each_verdict_carries_the_hash_of_the_one_before(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        first, second, third = (outbox.append(VERDICT) for _ in range(3))
    assert first.prev == GENESIS
    assert second.prev == digest(first.to_json())
    assert third.prev == digest(second.to_json())


def test_numbers_and_chain_go_on_after_everything_was_delivered_and_a_restart(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        last = [outbox.append(VERDICT) for _ in range(3)][-1]
        outbox.done(3)
        assert outbox.count() == 0
    with Outbox(tmp_path) as outbox:
        following = outbox.append(VERDICT)
    assert following.seq == 4
    assert following.prev == digest(last.to_json())


def test_done_forgets_up_to_and_with_that_one_and_twice_is_fine(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        for _ in range(4):
            outbox.append(VERDICT)
        outbox.done(2)
        outbox.done(2)
        assert [row.seq for row in outbox.waiting()] == [3, 4]
        assert [row.seq for row in outbox.waiting(after=3)] == [4]
        assert [row.seq for row in outbox.waiting(limit=1)] == [3]


def test_the_disk_is_told_to_keep_every_commit(tmp_path: Path) -> None:
    """A kill says nothing of fsync, so the setting itself is looked at: 2 is FULL."""
    with Outbox(tmp_path) as outbox:
        assert outbox._file.db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert outbox._file.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_verdict_survives_kill_nine(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from edge_runtime.outbox import Outbox\n"
        "from edge_runtime.verdict import Verdict\n"
        f"verdict = Verdict.from_json({VERDICT.to_json()!r})\n"
        "outbox = Outbox(Path(sys.argv[1]))\n"
        "while True: print(outbox.append(verdict).to_json().decode(), flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    promised = [process.stdout.readline().strip() for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    promised += process.communicate()[0].splitlines(keepends=False)
    with Outbox(tmp_path) as outbox:
        kept = [row.json for row in outbox.waiting(limit=1_000_000)]
    whole = [line for line in promised if line.endswith(b"}")]
    assert kept[: len(whole)] == whole
    assert len(kept) <= len(whole) + 1, "at most the one that was committed but not yet promised"


def fill(outbox: Outbox) -> None:
    for _ in range(10_000):
        outbox.append(VERDICT)


def test_a_full_outbox_says_so_keeps_what_it_has_and_takes_more_once_drained(tmp_path: Path) -> None:
    with Outbox(tmp_path, max_bytes=100_000) as outbox:
        with pytest.raises(OutboxError, match=r"is full .*bring the broker back or free space"):
            fill(outbox)
        count = outbox.count()
        kept = outbox.waiting(limit=10_000)
        assert [row.seq for row in kept] == list(range(1, count + 1))
        outbox.done(count)
        assert outbox.append(VERDICT).seq == count + 1, "a verdict that was refused takes no number"
    assert (tmp_path / "outbox.db").stat().st_size <= 100_000


def test_a_second_process_on_the_same_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with Outbox(tmp_path):
        with pytest.raises(
            OutboxError, match=f"is in use by another kenpin-edge \\(process {os.getpid()}\\)"
        ) as caught:
            Outbox(tmp_path)
        assert "\n" not in str(caught.value)
    Outbox(tmp_path).close()


@pytest.mark.parametrize("damage", [b"this is no database, but it is long enough to be looked at" * 100, b"\0" * 5000])
def test_a_damaged_file_is_moved_aside_reported_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    (tmp_path / "outbox.db").write_bytes(damage)
    with caplog.at_level(logging.ERROR), Outbox(tmp_path) as outbox:
        assert outbox.append(VERDICT).seq == 1
    (aside,) = tmp_path.glob("outbox.damaged-*.db")
    assert aside.read_bytes() == damage
    assert aside.name in caplog.text


def test_damage_in_the_middle_of_a_file_is_found_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Outbox(tmp_path) as outbox:
        for _ in range(200):
            outbox.append(VERDICT)
    path = tmp_path / "outbox.db"
    data = bytearray(path.read_bytes())
    data[8192:20000] = os.urandom(20000 - 8192)
    path.write_bytes(data)
    with caplog.at_level(logging.ERROR), Outbox(tmp_path) as outbox:
        assert outbox.append(VERDICT).seq == 1
    assert "is damaged" in caplog.text


def test_a_file_damaged_while_running_is_moved_aside_and_inspection_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Outbox(tmp_path) as outbox:
        for _ in range(200):
            outbox.append(VERDICT)
        outbox._file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with (tmp_path / "outbox.db").open("r+b") as file:
            file.write(os.urandom(40_000))
        outbox._file.db.execute("PRAGMA shrink_memory")
        with caplog.at_level(logging.ERROR):
            assert outbox.append(VERDICT).seq == 201
            assert outbox.append(VERDICT).seq == 202
        assert [row.seq for row in outbox.waiting(after=200)] == [201, 202]  # where the publisher goes on


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match=r"cannot be written .*; set data to a folder"):
        Outbox(Path(tmp_path / "file" / "state"))
