"""A full disk, a real one: a small file system that is filled up under the outbox."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_runtime.audit_files import Question, run_audit
from edge_runtime.errors import OutboxError
from edge_runtime.outbox import Balance, Bounds, Entry, Outbox
from edge_runtime.verdict import Call, Verdict
from tests.unit.test_ledger import ledger_of
from tests.unit.test_outbox import NG, VERDICT, break_while_open, lose

DISK_BYTES = 16_000_000
BOUNDS = Bounds(outbox_bytes=100_000_000, ledger_bytes=100_000_000, reserve_bytes=3_000_000)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "kenpin-test", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.fail(f"a full disk is tested on a small one, which takes the right to mount: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path, leave: int = 0) -> None:
    """Write until nothing more goes, and then free `leave` bytes of it."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65_536)
        except OSError:
            pass
        size = file.tell()
        file.truncate(size - leave)


def big(verdict: Verdict) -> Verdict:
    return verdict.model_copy(update={"picture": "x" * 2000})


def test_on_a_full_disk_delivered_segments_go_first_then_the_reserve_and_no_verdict(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bounds = Bounds(outbox_bytes=100_000_000, ledger_bytes=2_000_000, reserve_bytes=3_000_000)
    with Outbox(disk / "data", bounds=bounds) as outbox:
        for _ in range(500):
            outbox.done(outbox.append(big(VERDICT)).seq)
        before = ledger_of(disk / "data")
        fill(disk / "somebody's", leave=200_000)
        placed = []
        while not outbox._reserve.given_up:
            placed.append(outbox.append(big(VERDICT)))
        placed += [outbox.append(big(VERDICT)) for _ in range(20)]
        assert outbox.balance().shed == 0
        assert ledger_of(disk / "data")[0] != before[0], "the oldest went"
        assert [row.json for row in outbox.waiting(limit=10_000)] == [verdict.to_json() for verdict in placed]
        assert outbox.balance().balanced
        assert "bytes set aside are given up, free space now" in caplog.text

        (disk / "somebody's").unlink()
        placed.append(outbox.append(VERDICT))
        assert (disk / "data" / "reserve").stat().st_size == 3_000_000, "there is room again"
    assert ledger_of(disk / "data")[-len(placed) :] == [verdict.to_json() for verdict in placed], "and it has caught up"


def test_where_nothing_else_is_left_ok_verdicts_are_given_up_and_ng_last_until_none_can_be_kept(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[int, int, int]] = []
    with Outbox(disk / "data", bounds=BOUNDS, on_shed=lambda *what: told.append(what)) as outbox:
        for n in range(6000):
            outbox.append(big(NG if n % 20 == 0 else VERDICT))
            assert outbox.balance().balanced
        kept = [Verdict.from_json(row.json) for row in outbox.waiting(limit=10_000)]
        assert sum(verdict.verdict is Call.NG for verdict in kept) == 300, "not one of them was given up"
        assert outbox.balance().shed == sum(count for count, _, _ in told) > 0
        assert "second copies of waiting verdicts go" in caplog.text, "before any verdict went"


@pytest.mark.parametrize(("count", "one_ng_in"), [(6000, 20), (14_000, 20), (20_000, 20_000)])
def test_the_chain_with_what_was_shed_still_proves_itself(
    disk: Path, count: int, one_ng_in: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the verdicts that said what was shed have been shed themselves."""
    with Outbox(disk / "data", bounds=BOUNDS) as outbox:
        for n in range(count):
            outbox.append(big(NG if n % one_ng_in == 0 else VERDICT))
        for _ in range(100):
            outbox.append(VERDICT)
        assert max(len(row.json) for row in outbox.waiting(limit=10_000)) < 8000
        log = disk.parent / "subscriber.jsonl"
        log.write_bytes(b"".join(row.json + b"\n" for row in outbox.waiting(limit=10_000)))
        assert run_audit(Question([log])) == 0, capsys.readouterr().out
        assert "marked as shed" in capsys.readouterr().out


def test_delivery_goes_on_on_a_full_disk(disk: Path) -> None:
    with Outbox(disk / "data", bounds=BOUNDS) as outbox:
        fill(disk / "somebody's", leave=300_000)
        for _ in range(400):
            outbox.append(big(VERDICT))
        while waiting := outbox.waiting(limit=50):
            outbox.done(waiting[-1].seq)
        balance = outbox.balance()
        assert balance.balanced
        assert balance.waiting == 0
        assert balance.acknowledged > 0


def test_a_disk_with_no_room_at_all_is_one_error_and_it_goes_on_as_soon_as_there_is(disk: Path) -> None:
    with Outbox(disk / "data", bounds=BOUNDS) as outbox:
        for _ in range(50):
            outbox.append(big(VERDICT))

        def crowd() -> None:
            for n in range(10_000):
                fill(disk / f"somebody's-{n}")  # whatever is freed is taken at once
                outbox.append(big(VERDICT))

        with pytest.raises(OutboxError, match=r"is full .*free space, then start again"):
            crowd()
        balance = outbox.balance()
        assert balance.balanced
        for path in disk.glob("somebody's-*"):
            path.unlink()
        assert outbox.append(VERDICT).seq == balance.verdicts + 1, "what was refused takes no number"
        assert outbox.balance().balanced


def test_the_ledger_is_not_emptied_for_want_of_room_that_its_oldest_segments_make(disk: Path) -> None:
    bounds = Bounds(outbox_bytes=100_000_000, ledger_bytes=8_000_000, reserve_bytes=3_000_000)
    with Outbox(disk / "data", bounds=bounds) as outbox:
        for _ in range(6):
            outbox.done(outbox.append_all([Entry(big(VERDICT))] * 500)[-1].seq)
    (disk / "data" / "reserve").unlink()
    before = ledger_of(disk / "data")
    fill(disk / "somebody's", leave=6_000_000)
    with Outbox(disk / "data", bounds=bounds) as outbox:
        assert outbox._reserve.given_up, "too little is free to set so much aside"
        placed = outbox.append(VERDICT).to_json()
        fill(disk / "somebody else's", leave=1_500_000)
        outbox.done(outbox.head().seq)
        assert outbox.count() == 0
    kept = ledger_of(disk / "data")
    assert kept == [*before, placed][-len(kept) :]
    assert len(kept) > 2000, "one segment of six went"


def test_once_somebody_has_made_room_no_more_pictures_go(disk: Path) -> None:
    went: list[int] = []

    def one_goes(_wanted: int) -> int:
        pictures = sorted(disk.glob("*.png"))
        went.append(len(pictures))
        for path in pictures[:1]:
            path.unlink()
        return 3_000_000 if pictures else 0

    for name in "ab":
        (disk / f"{name}.png").write_bytes(bytes(3_000_000))
    bounds = Bounds(outbox_bytes=100_000_000, ledger_bytes=100_000, reserve_bytes=1_000_000)
    with Outbox(disk / "data", bounds=bounds, give_up=one_goes) as outbox:
        fill(disk / "somebody's", leave=100_000)
        while not went:
            outbox.append(big(VERDICT))
        (disk / "somebody's").unlink()
        for _ in range(1000):
            outbox.append(big(VERDICT))
        assert outbox.balance().shed == 0
    assert went == [2], "the room of the first was used up, with as much free beside it"


def test_who_asks_by_a_name_that_was_used_before_is_not_refused_for_a_full_disk(disk: Path) -> None:
    with Outbox(disk / "data", bounds=BOUNDS) as outbox:
        outbox.append(VERDICT, request="robot")
        fill(disk / "somebody's")
        outbox.forget_answer("robot")
        assert outbox.answered("robot") is None


def test_a_station_starts_on_a_full_disk_with_what_was_set_aside(disk: Path) -> None:
    with Outbox(disk / "data", bounds=BOUNDS) as outbox:
        for _ in range(50):
            outbox.append(big(VERDICT))
    fill(disk / "somebody's")
    with Outbox(disk / "data", bounds=BOUNDS) as outbox:
        assert outbox.append(VERDICT).seq == 51
        assert outbox.balance() == Balance(verdicts=51, acknowledged=0, shed=0, waiting=51)


def test_an_outbox_damaged_on_a_full_disk_is_made_anew_and_no_verdict_goes_for_its_room(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bounds = Bounds(outbox_bytes=100_000_000, ledger_bytes=4_000_000, reserve_bytes=3_000_000)
    with Outbox(disk / "data", bounds=bounds) as outbox:
        placed = outbox.append_all([Entry(big(VERDICT))] * 1000)
        break_while_open(outbox)
        fill(disk / "somebody's", leave=200_000)
        for tries in range(2):
            with suppress(OutboxError):  # who only reads frees nothing
                outbox.waiting()
            placed.append(outbox.append(VERDICT))
            assert outbox.balance() == Balance(verdicts=1001 + tries, acknowledged=0, shed=0, waiting=1001 + tries)
        assert [row.json for row in outbox.waiting(limit=2000)] == [verdict.to_json() for verdict in placed]
    assert "the disk is full; the damaged outbox.damaged-" in caplog.text
    assert list((disk / "data").glob("outbox.damaged-*")) == []


def test_an_outbox_lost_on_a_full_disk_is_made_anew_at_the_start_as_far_as_there_is_room_and_else_nothing_goes(
    disk: Path,
) -> None:
    bounds = Bounds(outbox_bytes=100_000_000, ledger_bytes=4_000_000, reserve_bytes=3_000_000)
    with Outbox(disk / "data", bounds=bounds) as outbox:
        placed = [verdict.to_json() for verdict in outbox.append_all([Entry(big(VERDICT))] * 1000)]
    lose(disk / "data")
    fill(disk / "somebody's", leave=100_000)
    with pytest.raises(OutboxError, match="is full"):
        Outbox(disk / "data", bounds=bounds)
    assert ledger_of(disk / "data") == placed
    (disk / "somebody's").unlink()
    with Outbox(disk / "data", bounds=bounds) as outbox:
        assert [row.json for row in outbox.waiting(limit=2000)] == placed
