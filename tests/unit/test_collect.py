"""`kenpin-edge collect`: training views from the line's own camera."""

import fcntl
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import Frame
from edge_runtime.cli import main
from edge_runtime.evidence.config import EvidenceLimits
from edge_runtime.framing import Framing
from edge_runtime.inspector import Inspection
from edge_runtime.picture import Image, ViewSpec, read_picture
from edge_runtime.regions import Cut, Region
from edge_runtime.verdict import Call, Verdict
from tests.evidence import Heard, frame, keeper, look, verdict
from train.datasets.folder import layout

Captured = pytest.CaptureFixture[str]
CORNERS = "corners = [[70, 20], [110, 24], [106, 70], [72, 66]]"


def picture(number: int) -> Image:
    rng = np.random.default_rng(number)
    return rng.integers(20, 230, (90, 120, 3)).astype(np.uint8)


def station(folder: Path, count: int = 3, more: str = "") -> Path:
    """A station that replays so many pictures; its bundle does not exist yet."""
    (folder / "pictures").mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / "pictures" / f"{number:03d}.png"), picture(number))
    path = folder / "station.toml"
    path.write_text(
        'site = "s"\nline = "l"\nstation = "cam-2"\nbundle = "later.onnx"\ndata = "state"\n'
        '[camera]\nkind = "folder"\npath = "pictures"\nrate_hz = 500.0\n'
        '[region.J4]\nexpected = "A12"\nbox = [8, 4, 40, 30]\n'
        f"{more}\n"
        '[mqtt]\nhost = "127.0.0.1"\n'
    )
    return path


def collect(station: Path, *more: str, label: str = "A12") -> int:
    return main(["collect", str(station), "--label", label, "--out", str(station.parent / "dataset"), *more])


def views(folder: Path, *place: str) -> list[Path]:
    return sorted(folder.joinpath("dataset", *place).glob("*"))


def test_views_are_the_region_as_the_camera_gave_it_in_the_layout_that_training_reads(
    tmp_path: Path, capsys: Captured
) -> None:
    path = station(tmp_path, 9)
    assert collect(path, "--good") == 0
    made = views(tmp_path, "A12", "train", "good")
    assert [np.array_equal(read_picture(each), picture(n)[4:34, 8:48]) for n, each in enumerate(made)] == [True] * 9
    assert capsys.readouterr().out == f"9 views in {tmp_path}/dataset/A12/train/good\n"
    labels, files = layout(tmp_path / "dataset", ())
    assert labels == ("A12",)
    assert [file for _, _, _, file in files] == made


def test_what_training_makes_of_a_view_is_what_an_inspection_sees(tmp_path: Path) -> None:
    path = station(tmp_path, 1, f'[region.J5]\nexpected = "B7"\n{CORNERS}')
    assert collect(path, "--good", "--region", "J5") == 0
    (made,) = views(tmp_path, "A12", "train", "good")
    region = Region(expected="B7", corners=((70, 20), (110, 24), (106, 70), (72, 66)))
    piece = Framing({"J5": region}).look(Frame(picture(0), 0, 1, 0.0))["J5"]
    assert isinstance(piece, Cut)
    spec = ViewSpec(height=24, width=24, channels=1)
    assert np.array_equal(spec.view(read_picture(made)), spec.view(piece.picture))


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (["--defect"], ("train", "defect")),
        (["--defect", "bent pin"], ("train", "bent pin")),
        (["--good", "--test"], ("test", "good")),
        (["--defect", "--test"], ("test", "defect")),
    ],
)
def test_defects_and_tests_go_where_the_layout_has_them(tmp_path: Path, options: list[str], place: list[str]) -> None:
    assert collect(station(tmp_path, 2), *options) == 0
    assert len(views(tmp_path, "A12", *place)) == 2


def test_a_second_run_adds_and_overwrites_nothing(tmp_path: Path) -> None:
    path = station(tmp_path, 4)
    assert collect(path, "--good") == 0
    before = {each: each.read_bytes() for each in views(tmp_path, "A12", "train", "good")}
    assert collect(path, "--good") == 0
    after = views(tmp_path, "A12", "train", "good")
    assert len(after) == 8
    assert {each: each.read_bytes() for each in after if each in before} == before


def test_it_ends_after_the_count(tmp_path: Path, capsys: Captured) -> None:
    assert collect(station(tmp_path, 5), "--good", "--count", "2") == 0
    assert len(views(tmp_path, "A12", "train", "good")) == 2
    assert capsys.readouterr().out.startswith("2 views in ")


def test_a_picture_that_is_no_picture_is_refused_and_said_once_in_a_row(tmp_path: Path, capsys: Captured) -> None:
    path = station(tmp_path, 6)
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number:03d}.png"), np.full((90, 120, 3), number, np.uint8))
    blank = picture(4)
    blank[4:34, 8:48] = 90
    cv2.imwrite(str(tmp_path / "pictures" / "004.png"), blank)
    assert collect(path, "--good") == 0
    said = capsys.readouterr()
    assert len(views(tmp_path, "A12", "train", "good")) == 2
    assert said.err.count("refused: dark: ") == 1
    assert said.err.count("refused: shows nothing") == 1
    assert said.out.endswith("; 4 pictures were refused\n")


def test_progress_tells_how_bright_and_how_sharp(tmp_path: Path, capsys: Captured) -> None:
    assert collect(station(tmp_path, 1), "--good") == 0
    heading, line = capsys.readouterr().err.splitlines()[-2:]
    assert heading.split() == ["views", "brightness", "contrast", "sharpness"]
    count, brightness, contrast, sharpness = map(float, line.split())
    assert (count, 110 < brightness < 140, contrast > 20, sharpness > 20) == (1, True, True, True)


def test_with_presence_there_is_one_view_for_each_part(tmp_path: Path) -> None:
    trigger = '[trigger]\nkind = "presence"\nwhen = "passing"\n'
    path = station(tmp_path, 0, trigger)
    path.write_text(path.read_text().replace("box = [8, 4, 40, 30]", "").replace("rate_hz = 500.0", "rate_hz = 50.0"))
    empty = np.full((180, 320), 100, np.uint8)
    empty[::4] = 110  # something to be sharp
    for number, x in enumerate([None] * 5 + [*range(-40, 340, 12)] + [None] * 5 + [*range(-40, 340, 12)] + [None] * 5):
        shown = empty.copy()
        if x is not None:
            shown[60:120, max(0, x) : max(0, x + 40)] = 200
        cv2.imwrite(str(tmp_path / "pictures" / f"{number:03d}.png"), shown)
    assert collect(path, "--good") == 0
    made = views(tmp_path, "A12", "train", "good")
    assert len(made) == 2
    assert all((read_picture(each) == 200).sum() == 60 * 40 for each in made), "each shows the whole part"


def test_it_does_not_run_beside_the_daemon(tmp_path: Path, capsys: Captured) -> None:
    path = station(tmp_path)
    (tmp_path / "state").mkdir()
    with (tmp_path / "state" / "lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert collect(path, "--good") == 2
    assert "is in use by another kenpin-edge (process 4711); stop it" in capsys.readouterr().err
    assert views(tmp_path, "A12", "train", "good") == []
    assert collect(path, "--good") == 0


@pytest.mark.parametrize(
    ("more", "options", "told"),
    [
        ('[region.J5]\nexpected = "B7"\n', ["--good"], "there are several regions (J4, J5); name one with --region"),
        ("", ["--good", "--region", "J9"], "--region J9: there is no such region (J4)"),
        ('[trigger]\nkind = "request"\n', ["--good"], "say --every S"),
        ("", [], "one of the arguments --good --defect is required"),
        ("", ["--good", "--defect"], "not allowed with"),
        ("", ["--defect", "Good"], "'Good' is no kind of defect"),
        ("", ["--defect", "a/b"], "is no name of a folder"),
        ("", ["--good", "--every", "0.001"], "expected 0.01 seconds or more"),
        ("", ["--good", "--count", "0"], "expected 1 or more"),
        ("", ["--good", "--label", "../up"], "is no name of a folder"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path, capsys: Captured, more: str, options: list[str], told: str
) -> None:
    path = station(tmp_path, 1, more)
    try:
        status = collect(path, *options)
    except SystemExit as end:
        status = int(end.code or 0)
    said = capsys.readouterr().err.splitlines()
    assert status == 2
    assert len(said) == 1
    assert told in said[0]
    assert not (tmp_path / "dataset").exists()


def test_a_data_set_that_cannot_be_written_is_told_in_one_line(tmp_path: Path, capsys: Captured) -> None:
    path = station(tmp_path, 1)
    (tmp_path / "dataset").write_text("a file in the way")
    assert collect(path, "--good") == 2
    assert "cannot be made" in capsys.readouterr().err


def keep(folder: Path, *calls: Call) -> list[Verdict]:
    """Evidence of a station, as the daemon keeps it; each a frame of 48 × 64 with J4 at 8, 4, 32, 32."""
    limits = EvidenceLimits(min_free_bytes=0)
    with keeper(folder / "state" / "evidence", limits, Heard()) as evidence:
        made = []
        for number, call in enumerate(calls):
            shot, seen = frame(number), Inspection(verdict(call), {"J4": look()})
            made.append(evidence.name(shot, seen))
            evidence.keep(shot, made[-1], seen.looks)
    return made


def test_kept_evidence_becomes_a_training_view_by_id_or_by_its_name(tmp_path: Path) -> None:
    path = station(tmp_path, 0)
    first, second = keep(tmp_path, Call.NG, Call.NG)
    assert collect(path, "--good", "--from-evidence", first.id, str(second.evidence)) == 0
    made = views(tmp_path, "A12", "train", "good")
    assert len(made) == 2
    wanted = frame(0).pixels
    assert wanted is not None
    assert any(np.array_equal(read_picture(each), wanted[4:36, 8:40]) for each in made)
    assert all(re.fullmatch(r"\d{8}T\d{6}\.\d{6}-cam-2-J4\.png", each.name) for each in made)


def test_two_views_of_one_moment_are_two_files(tmp_path: Path) -> None:
    path = station(tmp_path, 0)
    (there,) = keep(tmp_path, Call.NG)
    for _ in range(2):
        assert collect(path, "--good", "--from-evidence", there.id) == 0
    first, second = views(tmp_path, "A12", "train", "good")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["no-such-id", "2026/01/01/none.png", "../../../etc/passwd", "*", ""])
def test_evidence_that_is_not_there_is_told_and_nothing_is_kept(tmp_path: Path, capsys: Captured, name: str) -> None:
    path = station(tmp_path, 0)
    (there,) = keep(tmp_path, Call.NG)
    assert collect(path, "--good", "--from-evidence", there.id, name) == 2
    assert "no such picture" in capsys.readouterr().err
    assert not (tmp_path / "dataset").exists()


def test_evidence_of_an_error_is_nothing_to_learn_from(tmp_path: Path, capsys: Captured) -> None:
    path = station(tmp_path, 0)
    (there,) = keep(tmp_path, Call.ERROR)
    assert collect(path, "--good", "--from-evidence", there.id) == 2
    assert "was not judged" in capsys.readouterr().err
