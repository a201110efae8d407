"""`kenpin-edge audit`: words and exit status for a station, an export and a subscriber's log."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from edge_runtime.chain import Head, place
from edge_runtime.cli import main
from edge_runtime.outbox import Outbox
from edge_runtime.verdict import Verdict
from tests.unit.test_outbox import VERDICT

Captured = pytest.CaptureFixture[str]

STATION = """
site = "s"
line = "l"
station = "c"
bundle = "part.onnx"
data = "data"
[camera]
kind = "folder"
path = "pictures"
rate_hz = 5.0
[region.r]
expected = "A"
[mqtt]
host = "127.0.0.1"
"""


@pytest.fixture
def station(tmp_path: Path) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(STATION)
    return path


def log_of(path: Path, lines: list[bytes]) -> str:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def segment_of(station: Path) -> Path:
    (segment,) = (station.parent / "data" / "ledger").glob("*.jsonl")
    return segment


def snapshot(folder: Path) -> dict[str, str]:
    """All files with their contents; but of the memory that SQLite's processes share, that it is there."""
    return {
        str(path): "" if path.suffix == ".db-shm" else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("running", [True, False])
def test_a_whole_station_ends_with_0_and_its_head_and_nothing_is_written(
    station: Path, capsys: Captured, *, running: bool
) -> None:
    outbox = Outbox(station.parent / "data")
    for _ in range(20):
        outbox.append(VERDICT)
    outbox.done(12)
    head = outbox.head()
    if not running:
        outbox.close()
    before = snapshot(station.parent)
    assert main(["audit", str(station)]) == 0
    assert snapshot(station.parent) == before
    out = capsys.readouterr().out.splitlines()
    assert out == ["s/l/c: whole: 20 verdicts, seq 1 to 20", f"  head 20:{head.hash}"]
    outbox.close()


def test_an_altered_line_of_a_station_is_named_first(station: Path, capsys: Captured) -> None:
    with Outbox(station.parent / "data") as outbox:
        for n in range(20):
            outbox.append(VERDICT.model_copy(update={"id": f"id-{n + 1}"}))
        outbox.done(20)
    segment = segment_of(station)
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[6] = lines[6].replace(b'"verdict":"OK"', b'"verdict":"NG"', 1)
    segment.write_bytes(b"".join(lines))
    assert main(["audit", str(station)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("s/l/c: BROKEN: 20 verdicts, seq 1 to 20\n")
    assert f"  first: altered: {segment}:7: verdict 7 is not what verdict 8 at {segment}:8" in out
    assert "(id id-7)" in out


def test_an_altered_row_of_the_outbox_is_held_against_the_ledger(station: Path, capsys: Captured) -> None:
    with Outbox(station.parent / "data") as outbox:
        for _ in range(5):
            outbox.append(VERDICT)
        outbox._file.db.execute("UPDATE verdicts SET json = replace(json, 'OK', 'NG') WHERE seq = 3")
        assert main(["audit", str(station), "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["stations"][0]["findings"]
    assert (finding["kind"], finding["seq"]) == ("altered", 3)
    assert finding["place"].endswith("outbox.db:3")


def test_a_ledger_without_its_end_is_found_because_the_outbox_knows_the_head(station: Path, capsys: Captured) -> None:
    with Outbox(station.parent / "data") as outbox:
        for _ in range(20):
            outbox.append(VERDICT)
        outbox.done(20)
    segment = segment_of(station)
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:-3]))
    assert main(["audit", str(station)]) == 1
    assert "removed: the log ends with verdict 17, before the head that was noted" in capsys.readouterr().out


def test_a_station_whose_outbox_cannot_be_read_says_so(station: Path, capsys: Captured) -> None:
    with Outbox(station.parent / "data") as outbox:
        outbox.append(VERDICT)
    (station.parent / "data" / "outbox.db").write_bytes(os.urandom(5000))
    assert main(["audit", str(station)]) == 1
    assert "the outbox cannot be read" in capsys.readouterr().out


def damaged(station: Path, kept: int) -> list[str]:
    """A station of 20 verdicts, 15 delivered, whose outbox and segment were damaged: the names that lie aside.

    `kept`: so many lines of the segment can still be read.
    """
    data = station.parent / "data"
    with Outbox(data) as outbox:
        for _ in range(20):
            outbox.append(VERDICT)
        outbox.done(15)
    segment = segment_of(station)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:kept]) + b"".join(b"x" * len(line) + b"\n" for line in lines[kept:]))
    with Outbox(data) as outbox:  # the ledger is mended from the outbox
        outbox.append(VERDICT)
    (data / "outbox.db").write_bytes(os.urandom(5000))
    with Outbox(data) as outbox:  # and the other way round
        outbox.append(VERDICT)
    aside = [path.name for path in data.rglob("*.damaged-*") if path.suffix not in {".db-wal", ".db-shm"}]
    assert len(aside) == 2
    return aside


def test_what_lies_aside_is_named_and_is_no_reason_to_fail(station: Path, capsys: Captured) -> None:
    aside = damaged(station, kept=18)
    assert main(["audit", str(station)]) == 0
    *notes, state, _ = capsys.readouterr().out.splitlines()
    assert state == "s/l/c: whole: 22 verdicts, seq 1 to 22"
    ledger, outbox = sorted(notes)
    assert ledger.startswith(f"note: {station.parent / 'data' / 'ledger'}{os.sep}")
    assert "was damaged in" in ledger
    assert "is an outbox that was damaged; it was made anew from the ledger" in outbox
    assert all(any(name in note for note in notes) for name in aside)
    assert main(["audit", str(station), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [note["kind"] for note in told["notes"]] == ["damaged", "damaged"]
    assert told["stations"][0]["whole"]


def test_verdicts_that_went_with_a_damaged_segment_are_missing(station: Path, capsys: Captured) -> None:
    damaged(station, kept=0)
    assert main(["audit", str(station)]) == 1
    out = capsys.readouterr().out
    assert "is a segment in which no verdict could be read" in out
    assert "verdicts from 1 on, before 16, are not here: their segment was damaged" in out
    assert ": whole:" not in out
    assert main(["audit", str(station), "--first", "16"]) == 0, "what is asked for is there"
    capsys.readouterr()


def test_nothing_is_whole_beside_a_line_that_cannot_be_read(tmp_path: Path, capsys: Captured) -> None:
    with Outbox(tmp_path / "data") as outbox:
        lines = [outbox.append(VERDICT).to_json() for _ in range(3)]
    log = log_of(tmp_path / "log", [*lines, b"no verdict"])
    assert main(["audit", log]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"unreadable: {log}:4: a line that is no verdict"
    assert said[1] == "s/l/c: IN DOUBT: 3 verdicts, seq 1 to 3"
    assert main(["audit", log, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["stations"][0]["whole"] is False


def test_what_was_shed_is_bridged_only_by_a_mark_that_fits(tmp_path: Path, capsys: Captured) -> None:
    with Outbox(tmp_path / "data") as outbox:
        lines = [outbox.append(VERDICT).to_json() for _ in range(3)]
        outbox.done(3)
        for _ in range(5):
            outbox.append(VERDICT)
        outbox._shed_some()
        lines += [outbox.append(VERDICT).to_json() for _ in range(2)]
    assert main(["audit", log_of(tmp_path / "log", lines)]) == 0
    assert "5 verdicts, seq 1 to 10, 5 marked as shed" in capsys.readouterr().out
    assert main(["audit", log_of(tmp_path / "log", lines[:2] + lines[3:])]) == 1, "a gap that is wider than the mark"
    forged = Verdict.from_json(lines[3])
    assert forged.shed is not None
    wider = forged.shed[0].model_copy(update={"first": 3, "prev": hashlib.sha256(lines[1]).hexdigest()})
    lines[3] = forged.model_copy(update={"shed": (wider,)}).to_json()
    assert main(["audit", log_of(tmp_path / "log", lines[:2] + lines[3:])]) == 1, "a mark in an altered verdict"
    capsys.readouterr()


def test_a_range_must_be_there(tmp_path: Path, capsys: Captured) -> None:
    head, lines = Head(100, "ab" * 32), []
    for _ in range(10):
        _, line, head = place(VERDICT, head, ())
        lines.append(line)
    log = log_of(tmp_path / "log", lines)
    assert main(["audit", log, "--first", "103", "--last", "108"]) == 0
    assert main(["audit", log, "--first", "90", "--last", "105"]) == 1
    assert "verdicts 90 to 100 are not here" in capsys.readouterr().out
    assert main(["audit", log, "--head", f"110:{head.hash}"]) == 0
    assert main(["audit", log, "--head", f"110:{'0' * 64}"]) == 1
    assert "is not what was noted as head" in capsys.readouterr().out


def test_a_last_line_that_is_being_written_is_left_out(tmp_path: Path, capsys: Captured) -> None:
    with Outbox(tmp_path / "data") as outbox:
        lines = [outbox.append(VERDICT).to_json() for _ in range(3)]
    path = tmp_path / "log"
    path.write_bytes(b"\n".join(lines)[:-20])
    assert main(["audit", str(path)]) == 0
    assert "2 verdicts, seq 1 to 2" in capsys.readouterr().out


def test_users_mistakes_are_one_line_and_exit_status_2(station: Path, tmp_path: Path, capsys: Captured) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    x, y = (place(VERDICT.model_copy(update={"station": who}), Head(0, "0" * 64), ())[1] for who in "xy")
    two = log_of(tmp_path / "two.jsonl", [x, y])
    for asked, said in [
        ([str(tmp_path / "none.jsonl")], "none.jsonl: is not there"),
        ([str(empty)], "holds no verdicts"),
        ([str(station), str(empty)], "a station is audited alone"),
        ([str(station)], "holds no verdicts"),
        ([two, "--first", "8", "--last", "7"], "--first 8 comes after --last 7"),
        ([two, "--first", "1"], "the log has several: s/l/x, s/l/y"),
    ]:
        assert main(["audit", *asked]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    with pytest.raises(SystemExit) as caught:
        main(["audit", two, "--head", "12"])
    assert caught.value.code == 2
    assert "expected SEQ:HASH as audit prints it" in capsys.readouterr().err
