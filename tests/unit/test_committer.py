"""The committer: whoever decides does not wait for the disk, and nothing taken is lost."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge_runtime.committer import DEPTH, Committer
from edge_runtime.errors import OutboxError
from edge_runtime.outbox import Entry, Outbox
from edge_runtime.verdict import Verdict
from tests.unit.test_outbox import VERDICT


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.001)


def test_what_is_kept_is_committed_in_order_and_told_once_it_is(tmp_path: Path) -> None:
    told: list[Verdict] = []
    with Outbox(tmp_path) as outbox:
        with Committer(outbox) as committer:
            for n in range(1000):
                committer.keep(VERDICT.model_copy(update={"id": str(n)}), told.append)
            committer.flush()
            assert outbox.head().seq == 1000
            assert len(told) == 1000
        waiting = outbox.waiting(limit=2000)
    assert [Verdict.from_json(row.json).id for row in waiting] == [str(n) for n in range(1000)]
    assert [verdict.to_json() for verdict in told] == [row.json for row in waiting]


def test_who_has_nothing_else_to_do_commits_by_itself_and_never_before_another(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    def tell(verdict: Verdict) -> None:
        told.append((verdict.id, threading.get_ident()))

    with Outbox(tmp_path) as outbox, Committer(outbox) as committer:
        committer.keep(VERDICT.model_copy(update={"id": "0"}), tell, at_once=True)
        assert told == [("0", threading.get_ident())]
        with outbox._mutex:  # the disk is slow
            committer.keep(VERDICT.model_copy(update={"id": "1"}), tell)
            until(lambda: committer.depth() == 0)  # the thread has it, and nothing else waits
            keep_elsewhere = threading.Thread(
                target=committer.keep, args=(VERDICT.model_copy(update={"id": "2"}), tell), kwargs={"at_once": True}
            )
            keep_elsewhere.start()
            keep_elsewhere.join(30)
            assert not keep_elsewhere.is_alive(), "it waits for the disk, though another commits"
            for n in range(3, 6):
                committer.keep(VERDICT.model_copy(update={"id": str(n)}), tell, at_once=n == 5)
        committer.flush()
    assert [name for name, _ in told] == [str(n) for n in range(6)]
    assert threading.get_ident() not in {thread for _, thread in told[1:]}


def test_a_thread_that_begins_amid_a_commit_of_ones_own_waits_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    later = threading.Event()

    def tell(verdict: Verdict) -> None:
        told.append(verdict.id)
        later.set()

    with Outbox(tmp_path) as outbox:
        committer = Committer(outbox)
        really = outbox.append_all

        def append_all(entries: Sequence[Entry]) -> list[Verdict]:
            if entries[0].verdict.id == "0":
                later.wait(0.5)  # the disk is slow: time for one that jumps the queue
            return really(entries)

        monkeypatch.setattr(outbox, "append_all", append_all)
        mine = threading.Thread(target=committer.keep, args=(VERDICT, tell), kwargs={"at_once": True})
        mine.start()
        until(lambda: committer._busy)
        with committer:
            committer.keep(VERDICT.model_copy(update={"id": "1"}), tell)
        mine.join(30)
    assert told == ["0", "1"]


def test_the_log_is_written_into_the_file_before_a_commit_has_to_do_it(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox, Committer(outbox) as committer:
        for _ in range(50):  # each leaves four pages in the log, and after 256 SQLite would do it by itself
            committer.keep(VERDICT, at_once=True)
        _, in_log, _ = outbox._file.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert 0 < in_log < 100


def test_a_second_interrupt_amid_a_commit_of_ones_own_lets_the_thread_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(tmp_path) as outbox:
        committer = Committer(outbox)
        committer.__enter__()

        def interrupted(_entries: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(outbox, "append_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            committer.keep(VERDICT, at_once=True)
        monkeypatch.undo()
        ending = threading.Thread(target=committer.__exit__, args=(None, None, None), daemon=True)
        ending.start()
        ending.join(30)
        assert not ending.is_alive()


def test_who_commits_by_itself_is_told_that_it_failed(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        committer = Committer(outbox)
        committer.__enter__()
        outbox._file.db.execute("PRAGMA query_only = 1")
        for _ in range(2):
            with pytest.raises(OutboxError, match="cannot keep verdicts"):
                committer.keep(VERDICT, at_once=True)
        with pytest.raises(OutboxError, match="cannot keep verdicts"):
            committer.__exit__(None, None, None)


def test_the_end_of_the_committer_commits_all_that_was_taken(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox:
        with Committer(outbox) as committer:
            for _ in range(300):
                committer.keep(VERDICT)
        assert outbox.head().seq == 300


def test_under_load_many_share_one_commit(tmp_path: Path) -> None:
    with Outbox(tmp_path) as outbox, Committer(outbox) as committer:
        commits = [0]

        def count(statement: str) -> None:
            commits[0] += statement.startswith("COMMIT")

        outbox._file.db.set_trace_callback(count)
        for _ in range(2000):
            committer.keep(VERDICT)
        committer.flush()
        assert 0 < commits[0] < 1000
        outbox._file.db.set_trace_callback(None)


def test_after_a_commit_that_failed_for_good_nothing_more_is_taken_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    told: list[Verdict] = []
    with Outbox(tmp_path) as outbox:
        committer = Committer(outbox)
        committer.__enter__()
        outbox._file.db.execute("PRAGMA query_only = 1")

        def keep_many() -> None:
            for _ in range(100 * DEPTH):
                committer.keep(VERDICT, told.append)

        for ask in (keep_many, committer.check, committer.flush, lambda: committer.__exit__(None, None, None)):
            with pytest.raises(OutboxError, match="cannot keep verdicts"):
                ask()
    assert told == []


def test_a_callback_that_fails_stops_nothing(tmp_path: Path) -> None:
    done = threading.Event()

    def fail(_verdict: Verdict) -> None:
        raise RuntimeError("the robot is gone")

    with Outbox(tmp_path) as outbox, Committer(outbox) as committer:
        committer.keep(VERDICT, fail)
        committer.keep(VERDICT, lambda _: done.set())
        assert done.wait(30)
        committer.flush()
