"""The outbox keeps its promise: verdicts survive, in order, chained, bounded."""

import hashlib
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_runtime import outbox as outbox_module
from edge_runtime import rebuild
from edge_runtime.chain import GENESIS
from edge_runtime.errors import OutboxError
from edge_runtime.outbox import Balance, Bounds, Entry, Outbox
from edge_runtime.outbox_file import Answer
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


SMALL = Bounds(outbox_bytes=400_000, ledger_bytes=10_000_000, reserve_bytes=4096)
NG = VERDICT.model_copy(update={"verdict": Call.NG})


def test_a_full_outbox_gives_up_the_oldest_ok_verdicts_counts_tells_and_marks_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[int, int, int]] = []
    with Outbox(tmp_path, bounds=SMALL, on_shed=lambda *what: told.append(what)) as outbox:
        while not told:
            outbox.append(VERDICT)
        balance, head = outbox.balance(), outbox.head()
        waiting = outbox.waiting(limit=10_000)
    count, first, last = told[0]
    assert (first, last) == (1, count), "the oldest go"
    assert balance.shed == count
    assert balance.balanced
    assert [row.seq for row in waiting] == list(range(count + 1, head.seq + 1))
    assert f"{count} undelivered OK verdicts, for want of room are given up (seq 1 to {count})" in caplog.text
    newest = Verdict.from_json(waiting[-1].json)
    assert newest.shed is not None
    (mark,) = newest.shed
    assert (mark.first, mark.last, mark.prev) == (1, count, GENESIS)
    assert mark.hash == Verdict.from_json(waiting[0].json).prev, "the chain can be followed across the gap"
    assert (tmp_path / "outbox.db").stat().st_size <= SMALL.outbox_bytes


def test_a_full_outbox_waits_for_nobody_who_reads_it(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    with Outbox(tmp_path, bounds=SMALL, on_shed=lambda *what: told.append(what)) as outbox:
        outbox.append(VERDICT)
        with closing(sqlite3.connect(outbox.path, isolation_level=None)) as audit:
            audit.execute("BEGIN")
            audit.execute("SELECT * FROM verdicts").fetchall()
            begin = time.monotonic()
            while not told:
                outbox.append_all([Entry(VERDICT)] * 100)
            assert time.monotonic() - begin < 4, "each batch that goes takes the 5 s that SQLite waits for a reader"


def test_ng_and_error_verdicts_are_given_up_only_when_no_ok_one_is_left(tmp_path: Path) -> None:
    with Outbox(tmp_path, bounds=SMALL) as outbox:
        for n in range(3000):
            outbox.append(NG if n % 50 == 0 else VERDICT)
        kept = [row.seq for row in outbox.waiting(limit=10_000)]
        assert [seq for seq in range(1, 3001, 50) if seq not in kept] == []
        while outbox.append(NG).seq < 6000:
            pass
        calls = [Verdict.from_json(row.json).verdict for row in outbox.waiting(limit=10_000)]
        assert set(calls) == {Call.NG}
        assert outbox.balance().balanced


def test_a_mark_survives_a_kill_between_the_shed_and_the_next_verdict(tmp_path: Path) -> None:
    with Outbox(tmp_path, bounds=SMALL) as outbox:
        for _ in range(5):
            outbox.append(VERDICT)
        assert outbox._shed_some()
    with Outbox(tmp_path, bounds=SMALL) as outbox:
        placed = outbox.append(VERDICT)
        assert placed.shed is not None
        assert [(mark.first, mark.last) for mark in placed.shed] == [(1, 5)]
        assert outbox.append(VERDICT).shed is None
        assert outbox.balance() == Balance(verdicts=7, acknowledged=0, shed=5, waiting=2)


def test_waiting_verdicts_go_by_age_in_the_stations_own_seconds_whatever_the_clock_says(tmp_path: Path) -> None:
    seconds, unix = [0.0], [1.8e9]
    told: list[tuple[int, int, int]] = []

    def opened() -> Outbox:
        return Outbox(
            tmp_path,
            bounds=Bounds(age_s=100),
            on_shed=lambda *what: told.append(what),
            clock=lambda: seconds[0],
            now=lambda: unix[0],
        )

    with opened() as outbox:
        outbox.append(VERDICT)
        seconds[0], unix[0] = 90, 4e9  # 70 years on, says a clock that somebody set
        outbox.append(VERDICT)
        assert told == []
    seconds[0] = 7  # another process' clock begins anywhere
    with opened() as outbox:
        seconds[0] += 20
        outbox.append(VERDICT)
        assert told == [(1, 1, 1)]
        assert [row.seq for row in outbox.waiting()] == [2, 3]


def given(outbox: Outbox, request: str) -> bytes:
    answer = outbox.answered(request)
    assert answer is not None
    return answer.json


def test_how_long_ago_a_request_was_answered_is_known_after_a_restart_whatever_the_clock_is_set_to(
    tmp_path: Path,
) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.append(VERDICT, request="robot-1")
        outbox.done(1)
    with Outbox(tmp_path, now=lambda: 4e9) as outbox:
        answer = outbox.answered("robot-1")
    assert answer is not None
    assert answer.age_s is not None
    assert 0 <= answer.age_s < 60


def test_how_long_ago_a_request_was_answered_before_the_machine_was_started_is_unknown(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.append(VERDICT, request="robot-1")
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db, db:
        db.execute("UPDATE requests SET at = '0193b2f4-6a10-7c31-9d53-0242ac120002 7.000'")
    with Outbox(tmp_path) as outbox:
        assert outbox.answered("robot-1") == Answer(given(outbox, "robot-1"), None)


def test_an_outbox_of_the_version_before_is_opened_with_what_it_holds(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        kept = outbox.append(VERDICT, request="robot-1")
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db, db:
        db.execute("ALTER TABLE requests DROP COLUMN at")
        db.execute("PRAGMA user_version = 2")
    with Outbox(tmp_path) as outbox:
        assert [row.json for row in outbox.waiting()] == [kept.to_json()]
        assert outbox.answered("robot-1") == Answer(kept.to_json(), None)
        outbox.append(VERDICT, request="robot-2")


def test_what_a_request_was_answered_is_known_after_a_restart_until_it_is_answered_anew_or_forgotten(
    tmp_path: Path,
) -> None:
    with Outbox(tmp_path) as outbox:
        first = outbox.append(VERDICT, request="robot-1")
        outbox.done(1)
    with Outbox(tmp_path) as outbox:
        assert given(outbox, "robot-1") == first.to_json()
        second = outbox.append(NG, request="robot-1")
        assert given(outbox, "robot-1") == second.to_json()
        outbox.forget_answer("robot-1")
    with Outbox(tmp_path) as outbox:
        assert outbox.answered("robot-1") is None


def test_what_a_request_was_answered_is_known_when_the_outbox_is_made_anew(tmp_path: Path) -> None:
    asked = VERDICT.model_copy(update={"request": "robot-1", "reply_to": "answers/robot"})
    key = asked.request_key
    assert key is not None
    with Outbox(tmp_path) as outbox:
        first = outbox.append(asked, request=key)
        outbox.append(VERDICT)
        outbox.done(2)
    (tmp_path / "outbox.db").write_bytes(os.urandom(9000))
    with Outbox(tmp_path) as outbox:
        assert given(outbox, key) == first.to_json()


@pytest.mark.parametrize("one_ng_in", [2, 4, 10])
def test_an_outage_of_any_length_ends_no_inspection_whatever_is_shed(tmp_path: Path, one_ng_in: int) -> None:
    with Outbox(tmp_path, bounds=Bounds(outbox_bytes=400_000, reserve_bytes=4096, ledger_bytes=400_000)) as outbox:
        for begin in range(0, 15_000, 10):
            outbox.append_all([Entry(NG if n % one_ng_in == 0 else VERDICT) for n in range(begin, begin + 10)])
        waiting = outbox.waiting(limit=10_000)
        assert len(outbox._state.to_json()) < 40_000, "it is written with each commit"
        assert outbox.balance().balanced
    assert max(len(row.json) for row in waiting) < 8000


def test_a_second_damage_while_the_file_is_made_anew_forgets_nothing_that_was_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(tmp_path) as outbox:
        for _ in range(20):
            outbox.append(VERDICT)
        outbox.done(15)
    (tmp_path / "outbox.db").unlink()
    damages = [sqlite3.DatabaseError("damaged: as a disk that changes bits leaves it")]

    def rebuilt(*arguments: Any) -> Any:
        if damages:
            raise damages.pop()
        return rebuild.rebuilt(*arguments)

    monkeypatch.setattr(outbox_module, "rebuilt", rebuilt)
    with Outbox(tmp_path) as outbox:
        assert outbox.balance() == Balance(20, 15, 0, 5)


def test_made_anew_it_still_has_to_say_what_was_said_by_a_verdict_that_was_given_up(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.append(VERDICT)
        outbox._shed_some()
        outbox.append(NG)  # says that 1 was given up
        outbox.append(VERDICT)
        outbox.append(VERDICT)
        outbox._shed_some()
        outbox._shed_some(in_turn=True)
        assert [(mark.first, mark.last) for mark in outbox._state.marks] == [(1, 4)]
    (tmp_path / "outbox.db").unlink()
    with Outbox(tmp_path) as outbox:
        assert [(mark.first, mark.last) for mark in outbox._state.marks] == [(1, 4)]


def test_made_anew_it_says_again_only_what_nobody_left_says(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.append(VERDICT)
        outbox._shed_some()
        outbox.append(VERDICT)  # says that 1 was given up
        outbox.append(NG)
        outbox._shed(outbox._file.first_to_go(1), "verdicts, for the test")
        outbox.append(NG)
    (tmp_path / "outbox.db").unlink()
    with Outbox(tmp_path) as outbox:
        said = [mark for row in outbox.waiting() for mark in Verdict.from_json(row.json).shed or ()]
        assert [(mark.first, mark.last) for mark in [*said, *outbox._state.marks]] == [(1, 2)]


def test_of_damaged_files_the_newest_three_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        with Outbox(tmp_path) as outbox:
            outbox.append(VERDICT)
        outbox.path.write_bytes(bytes([number]) * 9000)
    with Outbox(tmp_path) as outbox:
        assert outbox.head().seq == 5
    kept = sorted(tmp_path.glob("outbox.damaged-*.db"))
    assert [path.read_bytes()[0] for path in kept] == [2, 3, 4]


def test_where_nothing_of_the_ledger_is_left_either_numbers_and_counts_go_on_from_what_was_noted_beside_it(
    tmp_path: Path,
) -> None:
    with Outbox(tmp_path) as outbox:
        for _ in range(5):
            outbox.append(VERDICT)
        outbox.done(3)
        head = outbox.head()
    for path in (tmp_path / "ledger").glob("*.jsonl"):  # as on a full disk
        path.unlink()
    (tmp_path / "outbox.db").write_bytes(os.urandom(9000))
    told: list[tuple[int, int, int]] = []
    with Outbox(tmp_path, on_shed=lambda *what: told.append(what)) as outbox:
        assert outbox.balance() == Balance(verdicts=5, acknowledged=3, shed=2, waiting=0)
        assert told == [(2, 4, 5)]
        placed = outbox.append(VERDICT)
    assert (placed.seq, placed.prev) == (6, head.hash)


def test_a_clock_that_was_set_back_deletes_not_the_file_that_was_just_found_damaged(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"outbox.damaged-20991231T00000{number}-000000000.db").write_bytes(b"old")
    Outbox(tmp_path).close()
    (tmp_path / "outbox.db").write_bytes(b"new" * 3000)
    Outbox(tmp_path).close()
    kept = [path.read_bytes()[:3] for path in sorted(tmp_path.glob("outbox.damaged-*.db"))]
    assert kept == [b"new", b"old", b"old"]


def test_only_the_newest_thousand_requests_are_remembered(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        outbox.append_all([Entry(VERDICT, f"request-{n}") for n in range(1010)])
        assert outbox.answered("request-9") is None
        assert outbox.answered("request-10") is not None


def test_a_file_of_the_first_kenpin_opens_and_its_chain_goes_on(tmp_path: Path) -> None:
    jsons, prev = [], GENESIS
    for seq in range(1, 6):
        jsons.append(VERDICT.model_copy(update={"seq": seq, "prev": prev}).to_json())
        prev = digest(jsons[-1])
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db:
        db.executescript("""
            CREATE TABLE verdicts (seq INTEGER PRIMARY KEY AUTOINCREMENT, json BLOB NOT NULL);
            CREATE TABLE chain (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), hash TEXT NOT NULL);
        """)
        db.executemany("INSERT INTO verdicts (seq, json) VALUES (?, ?)", enumerate(jsons, 1))
        db.execute("INSERT INTO chain VALUES (1, ?)", (prev,))
        db.execute("DELETE FROM verdicts WHERE seq <= 2")
        db.commit()
    with Outbox(tmp_path) as outbox:
        assert outbox.balance() == Balance(verdicts=5, acknowledged=2, shed=0, waiting=3)
        assert [row.json for row in outbox.waiting()] == jsons[2:]
        following = outbox.append(VERDICT)
        assert (following.seq, following.prev) == (6, prev)


def test_a_file_of_a_newer_kenpin_is_left_alone(tmp_path: Path) -> None:
    Outbox(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(OutboxError, match="was written by a newer kenpin"):
        Outbox(tmp_path)


def test_a_second_process_on_the_same_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with Outbox(tmp_path):
        with pytest.raises(
            OutboxError, match=f"is in use by another kenpin-edge \\(process {os.getpid()}\\)"
        ) as caught:
            Outbox(tmp_path)
        assert "\n" not in str(caught.value)
    Outbox(tmp_path).close()


@pytest.mark.parametrize("damage", [b"this is no database, but it is long enough to be looked at" * 100, b"\0" * 5000])
def test_a_damaged_file_without_a_ledger_is_moved_aside_and_a_new_chain_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    (tmp_path / "outbox.db").write_bytes(damage)
    with caplog.at_level(logging.ERROR), Outbox(tmp_path) as outbox:
        assert outbox.append(VERDICT).seq == 1
    (aside,) = tmp_path.glob("outbox.damaged-*.db")
    assert aside.read_bytes() == damage
    assert aside.name in caplog.text
    assert "a new chain begins at seq 1" in caplog.text


@pytest.mark.parametrize("damage", ["garbage", "middle", "deleted", "empty"])
@pytest.mark.parametrize("watermark", [True, False])
def test_an_outbox_lost_or_damaged_at_the_start_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, *, watermark: bool
) -> None:
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT) for _ in range(200)]
        outbox.done(50)
    path = tmp_path / "outbox.db"
    data = bytearray(path.read_bytes())
    match damage:
        case "garbage":
            path.write_bytes(os.urandom(50_000))
        case "middle":
            data[8192:20000] = os.urandom(20000 - 8192)
            path.write_bytes(data)
        case "deleted":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
    if not watermark:
        (tmp_path / "ledger" / "watermark.json").unlink()
    with Outbox(tmp_path) as outbox:
        done = 50 if watermark else 0
        assert [row.json for row in outbox.waiting(limit=1000)] == [verdict.to_json() for verdict in placed[done:]]
        assert outbox.balance() == Balance(verdicts=200, acknowledged=done, shed=0, waiting=200 - done)
        following = outbox.append(VERDICT)
        assert (following.seq, following.prev) == (201, digest(placed[-1].to_json()))
    assert "made anew from the ledger up to seq 200" in caplog.text


@pytest.mark.parametrize("watermark", [True, False])
def test_an_outbox_that_is_nearly_full_is_made_anew_without_a_loss_and_stays_bounded(
    tmp_path: Path, *, watermark: bool
) -> None:
    with Outbox(tmp_path, bounds=SMALL) as outbox:
        while not outbox.balance().shed:
            outbox.append(VERDICT)
        while not outbox._file.is_at_bound() or outbox.waiting()[0].seq == 101:
            outbox.append(VERDICT)
        balance, waiting = outbox.balance(), outbox.waiting(limit=10_000)
        assert not outbox._state.marks
    (tmp_path / "outbox.db").unlink()
    if not watermark:
        (tmp_path / "ledger" / "watermark.json").unlink()
    with Outbox(tmp_path, bounds=SMALL) as outbox:
        found = outbox.balance()
        assert found.balanced
        assert found.verdicts == balance.verdicts
        assert outbox.waiting(limit=10_000)[-len(waiting) :] == waiting
        if watermark:
            assert found == balance
        for _ in range(500):
            outbox.append(VERDICT)
        assert outbox.balance().balanced
        assert (tmp_path / "outbox.db").stat().st_size <= 1.2 * SMALL.outbox_bytes


def break_while_open(outbox: Outbox) -> None:
    outbox._file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with outbox.path.open("r+b") as file:
        file.write(os.urandom(40_000))
    outbox._file.db.execute("PRAGMA shrink_memory")


@pytest.mark.parametrize("noticed_by", ["append", "waiting", "done", "count", "balance"])
def test_a_file_damaged_while_running_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, noticed_by: str
) -> None:
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT) for _ in range(200)]
        outbox.done(20)
        break_while_open(outbox)
        match noticed_by:
            case "append":
                placed.append(outbox.append(VERDICT))
            case "waiting":
                outbox.waiting()
            case "done":
                outbox.done(30)
            case "count":
                outbox.count()
            case "balance":
                outbox.balance()
        placed.append(outbox.append(VERDICT))
        done = 30 if noticed_by == "done" else 20
        assert [row.json for row in outbox.waiting(limit=1000)] == [verdict.to_json() for verdict in placed[done:]]
        assert outbox.balance() == Balance(len(placed), done, 0, len(placed) - done)
    assert "made anew from the ledger up to seq 200; 180 verdicts wait" in caplog.text


def test_a_verdict_whose_bytes_were_damaged_is_never_delivered_but_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite itself does not see it: its pages are in order."""
    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT).to_json() for _ in range(20)]
        outbox._file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = outbox.path.read_bytes()
        outbox.path.write_bytes(data.replace(placed[7], placed[7].replace(b'"OK"', b'"NG"')))
        outbox._file.db.execute("PRAGMA shrink_memory")
        assert [row.json for row in outbox.waiting()] == placed
        assert outbox.balance() == Balance(20, 0, 0, 20)
    assert "verdict 8 is not what was kept" in caplog.text


def test_what_is_in_neither_copy_is_counted_told_and_marked(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    with Outbox(tmp_path, on_shed=lambda *what: told.append(what)) as outbox:
        for _ in range(10):
            outbox.append(VERDICT)
        head = outbox.head()
    (segment,) = (tmp_path / "ledger").glob("*.jsonl")
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:7]))
    (tmp_path / "outbox.db").write_bytes(os.urandom(9000))
    with Outbox(tmp_path, on_shed=lambda *what: told.append(what)) as outbox:
        assert outbox.head() == head, "the watermark beside the ledger still knows it"
        assert outbox.balance() == Balance(verdicts=10, acknowledged=0, shed=3, waiting=7)
        assert told == [(3, 8, 10)]
        placed = outbox.append(VERDICT)
        assert placed.shed is not None
        assert [(mark.first, mark.last) for mark in placed.shed] == [(8, 10)]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match=r"cannot be written .*; set data to a folder"):
        Outbox(Path(tmp_path / "file" / "state"))


def test_damage_is_told_whether_it_is_found_at_the_start_or_later(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    with Outbox(tmp_path) as outbox:
        outbox.append(VERDICT)
    (tmp_path / "outbox.db").write_bytes(os.urandom(9000))
    with Outbox(tmp_path, on_damage=lambda *what: told.append(what)) as outbox:
        assert told == [], "nobody is there to be told yet"
        outbox.append(VERDICT)
        assert len(told) == 1
        outbox._file.db.execute("UPDATE verdicts SET json = 'another' WHERE seq = 1")
        assert [row.seq for row in outbox.waiting()] == [1, 2]
    assert "verdict 1 is not what was kept" in told[1][0]
    assert {moved_to for _, moved_to in told} == {path.name for path in tmp_path.glob("outbox.damaged-*.db")}


class AsJustSeen(deque[Callable[[], None]]):
    """Seems to hold an alarm to whoever looks first: so it did, before another thread told it."""

    def __bool__(self) -> bool:
        return True


def test_an_alarm_that_another_thread_has_just_told_fails_no_commit(tmp_path: Path) -> None:
    told: list[int] = []
    with Outbox(tmp_path) as outbox:
        outbox._alarms = AsJustSeen([partial(told.append, 1), partial(told.append, 2)])
        assert outbox.append(VERDICT).seq == 1
        assert outbox.append(VERDICT).seq == 2
    assert told == [1, 2]


# Made anew, part by part


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (outbox_module, rebuild):
        monkeypatch.setattr(module, "AT_ONCE", 50)


class Killed(BaseException):
    """What a kill in the middle of it is to the files."""


def lose(folder: Path) -> None:
    for file in folder.glob("outbox.db*"):
        file.unlink()


@pytest.mark.usefixtures("small_parts")
def test_a_long_making_anew_is_told_part_by_part_at_the_start_and_while_running(tmp_path: Path) -> None:
    said: list[str] = []
    with Outbox(tmp_path) as outbox:
        for _ in range(200):
            outbox.append(VERDICT)
    lose(tmp_path)
    with Outbox(tmp_path, goes_on=said.append) as outbox:
        assert said[0] == "the outbox is made anew: 50 verdicts of the ledger are read"
        assert said[-1] == "the outbox is made anew: 200 of 200 verdicts are written"
        assert len(said) == 8
        before, said[:] = outbox.went_on, []
        break_while_open(outbox)
        assert outbox.count() == 200
        assert len(said) == 8
        assert outbox.went_on > before


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("part", range(8))
def test_a_kill_while_it_is_made_anew_loses_nothing(tmp_path: Path, part: int) -> None:
    parts = iter(range(8))

    def kill(_what: str) -> None:
        if next(parts) == part:
            raise Killed

    with Outbox(tmp_path) as outbox:
        placed = [outbox.append(VERDICT) for _ in range(200)]
        outbox.done(10)
    lose(tmp_path)
    with pytest.raises(Killed):
        Outbox(tmp_path, goes_on=kill)
    with Outbox(tmp_path) as outbox:
        assert [row.json for row in outbox.waiting(limit=1000)] == [verdict.to_json() for verdict in placed[10:]]
        assert outbox.balance() == Balance(verdicts=200, acknowledged=10, shed=0, waiting=190)
        assert outbox.append(VERDICT).seq == 201


@pytest.mark.usefixtures("small_parts")
def test_a_file_that_was_not_made_anew_to_its_end_takes_verdicts_also_where_its_ledger_is_gone(tmp_path: Path) -> None:
    def kill(what: str) -> None:
        if "written" in what:
            raise Killed

    with Outbox(tmp_path) as outbox:
        for _ in range(200):
            outbox.append(VERDICT)
    lose(tmp_path)
    with pytest.raises(Killed):
        Outbox(tmp_path, goes_on=kill)
    shutil.rmtree(tmp_path / "ledger")
    with Outbox(tmp_path) as outbox:
        assert [outbox.append(VERDICT).seq for _ in range(60)] == list(range(1, 61))
        assert outbox.balance().balanced
