"""A process that keeps and delivers verdicts is killed at random moments, many times: nothing is lost or reordered.

`KENPIN_KILLS=200 pytest tests/integration/test_outbox_kills.py` is the long version.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_runtime.audit_files import Question, run_audit
from edge_runtime.chain import GENESIS, digest
from edge_runtime.outbox import Outbox
from edge_runtime.segment import read_lines

KILLS = int(os.environ.get("KENPIN_KILLS", "12"))

PROGRAM = """
import itertools, os, sys, threading
from pathlib import Path
from edge_runtime.committer import Committer
from edge_runtime.outbox import Outbox
from edge_runtime.publisher import Publisher
from tests.unit.test_outbox import NG, VERDICT

folder, begin = Path(sys.argv[1]), int(sys.argv[2])
log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
say = lambda kind, text: os.write(log, f"{kind} {text}\\n".encode())

with Outbox(folder / "data") as outbox:
    ids = itertools.count()
    def publish(json):
        say("sent", json.decode())
        message = next(ids)
        publisher.acknowledged(message, None)
        return message
    publisher = Publisher(outbox, publish)
    publisher.start()
    publisher.connected(20, lambda: None)
    def then(verdict):
        say("kept", verdict.to_json().decode())
        publisher.wake()
    with Committer(outbox) as committer:
        for n in itertools.count(begin):
            committer.keep((NG if n % 7 == 0 else VERDICT).model_copy(update={"id": str(n)}), then)
"""


@pytest.mark.timeout(60 + 5 * KILLS)
def test_random_kills_while_keeping_and_delivering_lose_nothing_and_reorder_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(5)  # noqa: S311  # no secret
    log = tmp_path / "log"
    log.touch()
    for attempt in range(KILLS):
        before = log.stat().st_size
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(attempt * 1_000_000)]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        deadline = time.monotonic() + 30
        while log.stat().st_size == before:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
        threading.Event().wait(chance.uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    lines = [line.partition(" ") for line in log.read_text().splitlines() if line.endswith("}")]
    kept = {json.loads(text)["seq"]: text.encode() for kind, _, text in lines if kind == "kept"}
    sent = [(json.loads(text)["seq"], text.encode()) for kind, _, text in lines if kind == "sent"]
    with Outbox(tmp_path / "data") as outbox:
        balance, head = outbox.balance(), outbox.head()
        waiting = {row.seq: row.json for row in outbox.waiting(limit=10_000_000)}
    assert balance.balanced
    assert balance.shed == 0

    ledger = [line.json for path in sorted((tmp_path / "data/ledger").glob("*.jsonl")) for line in read_lines(path)]
    assert [json.loads(line)["seq"] for line in ledger] == list(range(1, head.seq + 1)), "no gap, no number twice"
    prev = GENESIS
    for line in ledger:
        assert json.loads(line)["prev"] == prev
        prev = digest(line)
    for seq, text in [*kept.items(), *sent, *waiting.items()]:
        assert ledger[seq - 1] == text, f"verdict {seq} is another than was promised"

    reached = 0
    for seq, _ in sent:
        assert seq <= reached + 1, f"{seq} was sent before {reached + 1}"
        reached = max(reached, seq)
    assert set(range(reached + 1, head.seq + 1)) <= set(waiting), "what was not sent waits"
    log.write_text("".join(text.decode() + "\n" for _, text in sent))
    assert run_audit(Question([log])) == 0, capsys.readouterr().out
