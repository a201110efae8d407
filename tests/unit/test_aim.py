"""`kenpin-edge regions` and `mark`: aiming a camera without a screen."""

import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.cli import main
from edge_runtime.lettering import BACK
from edge_runtime.picture import read_picture
from tests.marked import LEFT, RIGHT, marked_frame, moved
from tests.unit.test_station import GOOD

Captured = pytest.CaptureFixture[str]
REGIONS = GOOD.replace("box = [0, 0, 300, 300]", "corners = [[250, 180], [400, 185], [395, 300], [255, 295]]").replace(
    'expected = "B7"', 'expected = "B7"\nbox = [500, 100, 100, 100]'
)


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "frame.png"), marked_frame())
    return tmp_path / "frame.png"


def coloured(picture: Path, colour: tuple[int, int, int]) -> int:
    """How many pixels are drawn in it."""
    return int((read_picture(picture) == np.array(colour)).all(axis=2).sum())


def cut_marks(frame: Path) -> None:
    for name, (x, y) in (("left", LEFT), ("right", RIGHT)):
        out = frame.parent / f"{name}.png"
        assert main(["mark", str(frame), str(out), "--box", str(x), str(y), "48", "48"]) == 0


def test_marks_that_were_cut_are_tables_for_the_station_and_regions_follow_them(frame: Path, capsys: Captured) -> None:
    cut_marks(frame)
    tables = capsys.readouterr().out
    assert tomllib.loads(tables)["mark"]["left"] == {
        "template": str(frame.parent / "left.png"),
        "at": list(LEFT),
        "search": 40,
    }
    station, later, out = (frame.parent / name for name in ("station.toml", "later.png", "overlay.png"))
    station.write_text(REGIONS + tables)
    cv2.imwrite(str(later), moved(marked_frame(), 6, -4, 1))
    assert main(["regions", str(station), str(later), "--out", str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("mark 'left': [")
    assert "was [80, 90], likeness 0.9" in said[0]
    assert said[2].startswith("region J4 (A12): [[25")
    assert said[3].endswith("100 x 100 pixels upright")
    assert read_picture(out).shape == (480, 640, 3)
    assert coloured(out, (0, 200, 0)) > 100
    assert coloured(out, (255, 160, 0)) > 200
    assert coloured(out, (0, 0, 255)) == 0


def test_a_marks_table_is_right_in_a_station_file_that_lies_elsewhere(
    frame: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(frame.parent)
    assert main(["mark", "frame.png", "left.png", "--box", *map(str, LEFT), "48", "48"]) == 0
    station = frame.parent / "etc" / "station.toml"
    station.parent.mkdir()
    station.write_text(REGIONS + capsys.readouterr().out)
    assert main(["regions", str(station), "frame.png", "--out", "overlay.png"]) == 0
    assert capsys.readouterr().out.startswith("mark 'left': [80.0, 90.0]")


def test_a_script_is_told_that_one_region_of_several_cannot_be_judged(frame: Path, capsys: Captured) -> None:
    station, out = frame.parent / "station.toml", frame.parent / "overlay.png"
    station.write_text(REGIONS.replace("[500, 100, 100, 100]", "[600, 100, 100, 100]"))
    assert main(["regions", str(station), str(frame), "--out", str(out)]) == 1
    good, bad = capsys.readouterr().out.splitlines()
    assert good.endswith("pixels upright")
    assert "bad_image: the frame is 640 x 480 pixels" in bad
    assert coloured(out, (0, 200, 0)) > 0
    assert coloured(out, (0, 0, 255)) > 0


def test_what_is_wrong_with_the_picture_is_printed_and_drawn(frame: Path, capsys: Captured) -> None:
    cut_marks(frame)
    station, out = frame.parent / "station.toml", frame.parent / "overlay.png"
    station.write_text(REGIONS + capsys.readouterr().out)
    hidden = marked_frame()
    hidden[300:] = hidden[180:360]
    cv2.imwrite(str(frame), hidden)
    assert main(["regions", str(station), str(frame), "--out", str(out)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("mark 'right': not found (likeness")
    assert said[2].startswith("region J4 (A12): bad_image: mark 'right': not found")
    assert coloured(out, (0, 0, 255)) > 100
    assert coloured(out, (0, 200, 0)) == 0


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ((600, 0, 41, 20), "is not within"),
        ((10, 10, 7, 30), "is too small for a mark"),
        ((10, 10, 40, 40), "shows nothing that could be found again"),
        ((250, 20, 40, 40), "it looks the same left and right of itself"),
    ],
)
def test_what_is_no_good_mark_is_refused_and_nothing_is_written(
    frame: Path, capsys: Captured, box: tuple[int, ...], told: str
) -> None:
    picture = marked_frame()
    picture[38:44, 200:400] = 200
    cv2.imwrite(str(frame), picture)
    out = frame.parent / "m.png"
    assert main(["mark", str(frame), str(out), "--box", *map(str, box)]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""
    assert sorted(path.name for path in frame.parent.iterdir()) == ["frame.png"]


def test_a_mark_is_kept_as_a_png_and_must_be_able_to_move(frame: Path, capsys: Captured) -> None:
    box = ["--box", *map(str, LEFT), "48", "48"]
    assert main(["mark", str(frame), str(frame.parent / "m.jpg"), *box]) == 2
    assert "expected the name of a PNG" in capsys.readouterr().err
    assert main(["mark", str(frame), str(frame.parent / "m.png"), *box, "--search", "0"]) == 2
    assert "--search 0" in capsys.readouterr().err


def test_what_cannot_be_written_is_named(frame: Path, capsys: Captured) -> None:
    station, nowhere = frame.parent / "station.toml", str(frame.parent / "none" / "m.png")
    station.write_text(GOOD)
    assert main(["mark", str(frame), nowhere, "--box", *map(str, LEFT), "48", "48"]) == 2
    assert f"{nowhere}: cannot be written" in capsys.readouterr().err
    assert main(["regions", str(station), str(frame), "--out", nowhere]) == 2
    assert f"{nowhere}: cannot be written" in capsys.readouterr().err
    assert main(["regions", str(station), str(frame), "--out", str(frame.parent / "overlay.jpg")]) == 2
    assert "overlay.jpg: expected the name of a PNG" in capsys.readouterr().err


def test_what_is_written_beside_a_region_stays_within_the_picture(frame: Path) -> None:
    station, out = frame.parent / "station.toml", frame.parent / "overlay.png"
    edge = "box = [620, 200, 16, 16]"
    station.write_text(GOOD.replace("box = [0, 0, 300, 300]", edge))
    assert main(["regions", str(station), str(frame), "--out", str(out)]) == 0
    drawn = (read_picture(out) == np.array((0, 200, 0))).all(axis=2)
    assert drawn[178:200, 20:610].any()  # the words begin left of the region, and end where the picture does


def side_by_side(count: int, label: str) -> str:
    """A station with as many boxes of 50 pixels, 10 apart."""
    head, _, rest = GOOD.partition("[region.J4]")
    regions = "".join(
        f'[region.J{n}]\nexpected = "{label}"\nbox = [{100 + 60 * n}, 200, 50, 50]\n' for n in range(count)
    )
    return head + regions + rest[rest.index("[mqtt]") :]


def test_names_that_would_hide_each_other_become_numbers_and_stand_below_the_picture(frame: Path) -> None:
    station, few, many = (frame.parent / name for name in ("station.toml", "few.png", "many.png"))
    station.write_text(side_by_side(1, "hollow-circle"))
    assert main(["regions", str(station), str(frame), "--out", str(few)]) == 0
    station.write_text(side_by_side(6, "hollow-circle"))
    assert main(["regions", str(station), str(frame), "--out", str(many)]) == 0
    assert read_picture(few).shape == (480, 640, 3)
    assert read_picture(many).shape[0] > 480
    assert read_picture(many).shape[1] == 640
    behind = (read_picture(many)[:480] == np.array(BACK)).all(axis=2)
    assert not behind[205:245, 105:145].any(), "what is aimed at is not hidden"
    assert behind[160:300, 100:455].any(axis=0).sum() < 200, "numbers are small"


def test_a_name_that_is_longer_than_half_the_picture_stands_below_it(frame: Path) -> None:
    station, out = frame.parent / "station.toml", frame.parent / "overlay.png"
    station.write_text(side_by_side(2, "x" * 64))
    main(["regions", str(station), str(frame), "--out", str(out)])
    assert read_picture(out).shape[0] > 480


def test_a_name_has_a_background_of_its_own_and_the_dot_hides_none_of_it(frame: Path) -> None:
    cv2.imwrite(str(frame), np.full((480, 640, 3), (0, 200, 0), np.uint8))
    station, out = frame.parent / "station.toml", frame.parent / "overlay.png"
    station.write_text(side_by_side(1, "hollow-circle"))
    main(["regions", str(station), str(frame), "--out", str(out)])
    behind = (read_picture(out) == np.array(BACK)).all(axis=2)
    rows, columns = np.nonzero(behind)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert behind.sum() > 0.5 * height * width
    assert rows.max() < 197


def test_a_picture_as_it_was_cut_is_the_template(frame: Path) -> None:
    cut_marks(frame)
    x, y = LEFT
    assert np.array_equal(read_picture(frame.parent / "left.png"), marked_frame()[y : y + 48, x : x + 48])


@pytest.mark.parametrize("out", ["nowhere/overlay.png", "folder.png"])
def test_an_overlay_that_cannot_be_written_is_told_before_anything_is_printed(
    frame: Path, capsys: Captured, out: str
) -> None:
    (frame.parent / "folder.png").mkdir()
    (frame.parent / "station.toml").write_text(REGIONS)
    words = ["regions", str(frame.parent / "station.toml"), str(frame), "--out", str(frame.parent / out)]
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{out}: cannot be written" in said.err
    assert not list(frame.parent.glob("*.draft"))
