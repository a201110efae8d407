"""The outbox against the simplest model of itself, through any order of appending, delivering and restarting."""

import hashlib
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_runtime.chain import GENESIS
from edge_runtime.outbox import Outbox
from edge_runtime.verdict import Verdict
from tests.property.strategies import verdicts


class OutboxMachine(RuleBasedStateMachine):
    """`kept`: seq → JSON of what must wait. `seq`, `prev`: where the chain stands."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.outbox = Outbox(Path(self.folder.name))
        self.kept: dict[int, bytes] = {}
        self.seq, self.prev = 0, GENESIS

    @rule(verdict=verdicts)
    def append(self, verdict: Verdict) -> None:
        placed = self.outbox.append(verdict)
        assert (placed.seq, placed.prev) == (self.seq + 1, self.prev)
        assert placed == verdict.model_copy(update={"seq": placed.seq, "prev": placed.prev})
        self.seq, self.prev = placed.seq, hashlib.sha256(placed.to_json()).hexdigest()
        self.kept[placed.seq] = placed.to_json()

    @rule(share=st.floats(0, 1))
    def done(self, share: float) -> None:
        up_to = int(share * self.seq)
        self.outbox.done(up_to)
        self.kept = {seq: json for seq, json in self.kept.items() if seq > up_to}

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = Outbox(Path(self.folder.name))

    @invariant()
    def what_waits_is_what_was_kept_in_order(self) -> None:
        waiting = self.outbox.waiting(limit=1000)
        assert [(row.seq, row.json) for row in waiting] == sorted(self.kept.items())
        assert self.outbox.count() == len(self.kept)

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)  # each commit waits for the disk
