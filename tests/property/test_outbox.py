"""The outbox against the simplest model of itself, through any order of what a line does to it."""

import hashlib
import os
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_runtime.chain import GENESIS
from edge_runtime.outbox import Balance, Bounds, Entry, Outbox
from edge_runtime.segment import read_lines
from edge_runtime.verdict import Call, Verdict
from tests.property.strategies import verdicts


class OutboxMachine(RuleBasedStateMachine):
    """`kept`: seq → JSON of what must wait. `seq`, `prev`: where the chain stands. `log`: all that ever was."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.kept: dict[int, bytes] = {}
        self.log: dict[int, bytes] = {}
        self.seq, self.prev = 0, GENESIS
        self.shed: set[int] = set()
        self.acknowledged = self.told = 0
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(Path(self.folder.name), bounds=Bounds(reserve_bytes=4096), on_shed=self.on_shed)

    def on_shed(self, count: int, _first: int, _last: int) -> None:
        self.told += count

    @rule(several=st.lists(verdicts, min_size=1, max_size=5))
    def append(self, several: list[Verdict]) -> None:
        for verdict, placed in zip(several, self.outbox.append_all([Entry(each) for each in several]), strict=True):
            assert (placed.seq, placed.prev) == (self.seq + 1, self.prev)
            given = {"seq": placed.seq, "prev": placed.prev, "shed": placed.shed}
            assert placed == verdict.model_copy(update=given)
            self.seq, self.prev = placed.seq, hashlib.sha256(placed.to_json()).hexdigest()
            self.kept[placed.seq] = self.log[placed.seq] = placed.to_json()

    @rule(share=st.floats(0, 1))
    def done(self, share: float) -> None:
        up_to = int(share * self.seq)
        self.outbox.done(up_to)
        self.acknowledged += sum(seq <= up_to for seq in self.kept)
        self.kept = {seq: json for seq, json in self.kept.items() if seq > up_to}

    @rule()
    def give_some_up(self) -> None:
        before = {seq: Verdict.from_json(json).verdict for seq, json in self.kept.items()}
        if self.outbox._shed_some():
            self.outbox._tell_alarms()
            waiting = {row.seq for row in self.outbox.waiting(limit=1000)}
            gone = set(self.kept) - waiting
            self.shed |= gone
            self.kept = {seq: json for seq, json in self.kept.items() if seq in waiting}
            calls = {before[seq] is Call.OK for seq in gone}
            assert len(calls) == 1
            assert calls == {Call.OK in before.values()}, "OK ones go first"
        else:
            assert not self.kept

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.open()

    @rule(deleted=st.booleans())
    def damage(self, *, deleted: bool) -> None:
        self.outbox.close()
        path = Path(self.folder.name) / "outbox.db"
        path.unlink()
        if not deleted:
            path.write_bytes(os.urandom(5000))
        self.open()

    @invariant()
    def what_waits_is_what_was_kept_in_order(self) -> None:
        waiting = self.outbox.waiting(limit=1000)
        assert [(row.seq, row.json) for row in waiting] == sorted(self.kept.items())
        assert self.outbox.count() == len(self.kept)

    @invariant()
    def every_verdict_is_accounted_for(self) -> None:
        balance = self.outbox.balance()
        assert balance == Balance(self.seq, self.acknowledged, len(self.shed), len(self.kept))
        assert balance.balanced
        assert self.outbox.head() == (self.seq, self.prev)
        assert self.told == len(self.shed)

    @invariant()
    def the_ledger_has_them_all(self) -> None:
        segments = sorted((Path(self.folder.name) / "ledger").glob("*.jsonl"))
        assert [line.json for path in segments for line in read_lines(path)] == list(self.log.values())

    @invariant()
    def the_chain_says_of_each_that_was_shed(self) -> None:
        """To who has all that was not shed itself, and the next verdict."""
        left = [json for seq, json in self.log.items() if seq not in self.shed]
        marks = [*self.outbox._state.marks, *(mark for json in left for mark in Verdict.from_json(json).shed or ())]
        assert {seq for mark in marks for seq in range(mark.first, mark.last + 1)} == self.shed

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)  # each commit waits for the disk
