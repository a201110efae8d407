"""The ledger: every verdict's bytes, also after a torn write, a lost file and a full one."""

import os
from pathlib import Path

import pytest

from edge_runtime.ledger import read_lines
from edge_runtime.outbox import Bounds, Outbox
from tests.unit.test_outbox import VERDICT


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
