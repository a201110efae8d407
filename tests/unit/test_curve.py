import csv
import fcntl
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import RunError, UsageError
from edge_runtime.picture import ViewSpec
from train.curve.findings import Axis, answer, axes, enough, pool
from train.curve.folder import Common, CurveFolder, Measured, Point, check
from train.curve.page import publish
from train.curve.points import Supply, points, subset
from train.views import Collected, DataSet

SUPPLY = Supply(good=50, defects=24, poorest="B7")
SPEC = ViewSpec(height=16, width=16, channels=1)
COMMON = Common(
    data="parts <b>",
    data_digest="ab" * 32,
    view=SPEC,
    settings={
        "seed": 0,
        "max_false_alarm": 0.02,
        "max_escape": None,
        "align": False,
        "tiles": {"rows": 1, "columns": 1},
    },
    packages={"keras": "3.12"},
)


def data_set(good: Sequence[int], defects: Sequence[int]) -> DataSet:
    """So many training views of each label, all different."""
    train, test = Collected(), Collected()
    for label, counts in enumerate(zip(good, defects, strict=True)):
        for defective, count in enumerate(counts):
            for number in range(count):
                name = f"{label}/{defective}/{number}"
                train.add(np.zeros((16, 16, 1), np.uint8), label, bool(defective), name, name.encode())
    return DataSet("parts", ("A12", "B7", "C3")[: len(good)], SPEC, train.views(SPEC), test.views(SPEC))


def measured(good: int, defects: int = 24, repeat: int = 0, *, alarms: int = 0, escapes: int = 0) -> Measured:
    """A point judged on 100 good, 100 defective and 200 wrong parts."""
    figures: dict[str, int | float] = {
        "good": 100, "defect": 100, "wrong_part": 200,
        "false_alarms": alarms, "defect_escapes": escapes, "wrong_part_escapes": 0,
        "defect_auroc": 0.9 + repeat / 100, "mismatch_auroc": 0.99,
    }  # fmt: skip
    return Measured(good=good, defects=defects, repeat=repeat, figures=figures, seconds=1.0)


def along_good(*some: Measured) -> Axis:
    return axes(pool(some), SUPPLY)[0]


def test_counts_double_up_to_all_and_one_factor_moves_at_a_time() -> None:
    found = points(SUPPLY, None, None, repeats=2)
    first = [(point.good, point.defects) for point in found if point.repeat == 0]
    assert first == [(8, 24), (16, 24), (32, 24), (50, 0), (50, 10), (50, 24)]
    assert [point[:2] for point in found if point.repeat == 1] == first
    assert [point.repeat for point in found] == [0] * 6 + [1] * 6


def test_without_defective_views_there_is_no_axis_of_them() -> None:
    found = points(Supply(16, 0, "B7"), None, None, repeats=1)
    assert found == (Point(8, 0, 0), Point(16, 0, 0))


def test_counts_that_are_named_are_those_measured_once_each() -> None:
    found = points(SUPPLY, [16, 8, 16], [], repeats=1)
    assert found == (Point(8, 24, 0), Point(16, 24, 0))


@pytest.mark.parametrize(
    ("good", "defects", "said"),
    [
        ([8, 64], None, "--good 64: label 'B7' has only 50 good training views"),
        (None, [25], "--defects 25: all labels together have 24 defective training views"),
        ([], [], "neither --good nor --defects"),
    ],
)
def test_more_than_there_is_is_refused_with_what_there_is(
    good: list[int] | None, defects: list[int] | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        points(SUPPLY, good, defects, repeats=1)


def test_the_poorest_label_says_how_far_a_curve_goes() -> None:
    assert Supply.of(data_set((30, 9, 12), (0, 5, 0))) == Supply(good=9, defects=5, poorest="B7")
    with pytest.raises(UsageError, match="label 'B7' has 6 good training views"):
        Supply.of(data_set((30, 6), (0, 0)))


def test_fewer_views_are_among_more_and_a_repeat_chooses_others() -> None:
    data = data_set((40, 20, 30), (9, 0, 3))

    def chosen(good: int, defects: int, repeat: int = 0) -> DataSet:
        return subset(data, Point(good, defects, repeat), seed=3)

    few, many = chosen(8, 4), chosen(16, 12)
    assert set(few.train.names) < set(many.train.names)
    assert [(few.train.good & (few.train.label == k)).sum() for k in range(3)] == [8, 8, 8]
    assert few.train.defective.sum() == 4
    assert chosen(8, 4).train.names == few.train.names != chosen(8, 4, repeat=1).train.names
    assert few.test is data.test
    assert chosen(8, 0).train.names == tuple(name for name in few.train.names if "/0/" in name)


def test_points_are_there_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    with CurveFolder(tmp_path / "curve", COMMON) as folder:
        folder.append(measured(8))
        folder.append(measured(16))
    with CurveFolder(tmp_path / "curve", COMMON) as folder:
        assert folder.points == {Point(8, 24, 0), Point(16, 24, 0)}
        assert folder.measured[0] == measured(8)
        assert not folder.torn


@pytest.mark.parametrize("left", [1, 20, -1])
def test_a_torn_last_line_is_dropped_and_the_others_stay(tmp_path: Path, left: int) -> None:
    for one in (measured(8), measured(16)):
        with CurveFolder(tmp_path, COMMON) as folder:
            folder.append(one)
    kept = tmp_path / "points.jsonl"
    first, last = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(first + last[:left])
    with CurveFolder(tmp_path, COMMON) as folder:
        assert folder.torn
        assert folder.points == {Point(8, 24, 0)}
        folder.append(measured(32))
    with CurveFolder(tmp_path, COMMON) as folder:
        assert not folder.torn
        assert folder.points == {Point(8, 24, 0), Point(32, 24, 0)}


def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_dropped(tmp_path: Path) -> None:
    with CurveFolder(tmp_path, COMMON) as folder:
        folder.append(measured(8))
    kept = tmp_path / "points.jsonl"
    kept.write_bytes(b"{}\n" + kept.read_bytes())
    before = kept.read_bytes()
    with pytest.raises(RunError, match="line 1 is damaged"):
        CurveFolder(tmp_path, COMMON)
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data_digest": "cd" * 32}, r"is a curve of other pictures \(parts <b>, digest abababababababab\)"),
        ({"settings": COMMON.settings | {"seed": 1}}, "is a curve with seed 0, not 1"),
        ({"settings": COMMON.settings | {"max_escape": 0.01}}, r"is a curve without max escape, not with 0\.01;"),
        ({"settings": COMMON.settings | {"max_false_alarm": None}}, r"with max false alarm 0\.02, not without;"),
        ({"settings": COMMON.settings | {"align": True}}, "is a curve with align off, not on;"),
        ({"settings": COMMON.settings | {"tiles": {"rows": 2, "columns": 3}}}, "with tiles 1x1, not 2x3;"),
        ({"view": ViewSpec(height=16, width=32, channels=1)}, "is a curve with view 16×16×1, not 32×16×1"),
        ({"packages": {"keras": "3.13"}}, r"is a curve with keras 3\.12, not 3\.13"),
    ],
)
def test_points_of_another_kind_are_refused_and_nothing_is_overwritten(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    with CurveFolder(tmp_path, COMMON) as folder:
        folder.append(measured(8))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunError, match=said):
        CurveFolder(tmp_path, COMMON.model_copy(update=change))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    with CurveFolder(tmp_path, COMMON), pytest.raises(RunError, match="another kenpin-train curve is at it"):
        CurveFolder(tmp_path, COMMON)
    with (tmp_path / "points.jsonl").open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_place_where_no_curve_can_be_is_refused(tmp_path: Path) -> None:
    precious = tmp_path / "run"
    precious.mkdir()
    check(precious)  # an empty folder is a place to begin
    (precious / "run.json").write_text("{}")
    with pytest.raises(RunError, match="is no curve folder"):
        check(precious)
    with pytest.raises(RunError, match="is no folder"):
        check(precious / "run.json")
    with pytest.raises(RunError, match="parent folder does not exist"):
        check(tmp_path / "no" / "curve")


def test_a_place_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(RunError, match="cannot be written"):
        check(Path("/proc/curve"))  # closed to root, too


def test_repeats_are_pooled() -> None:
    (row,) = pool([measured(8, repeat=0, alarms=4), measured(8, repeat=1, alarms=8)])
    alarms, area = row.bands["false_alarms"], row.bands["defect_auroc"]
    assert row.repeats == 2
    assert alarms.middle == 12 / 200
    assert 0.03 < alarms.low < 0.06 < alarms.high < 0.11
    assert (area.middle, area.low, area.high) == pytest.approx((0.905, 0.9, 0.91))


def test_a_curve_that_falls_to_its_end_asks_for_more() -> None:
    axis = along_good(measured(8, alarms=60), measured(16, alarms=30), measured(32, alarms=5))
    assert answer(axis)[0] == "Still gaining at 32 good views a label (false alarms): take more."
    assert "False alarms: 60.0% with 8, 5.0% with 32, fewer, beyond the intervals." in answer(axis)


def test_a_curve_that_has_levelled_off_says_where() -> None:
    axis = along_good(measured(8, alarms=60), measured(16, alarms=5), measured(32, alarms=3), measured(50, alarms=4))
    assert enough(axis, "false_alarms") == 16
    assert answer(axis)[0].startswith("With 16 good views a label the figures stop gaining beyond their intervals")


def test_a_slow_gain_whose_neighbours_overlap_is_still_seen() -> None:
    axis = along_good(*(measured(8 << step, alarms=40 - 9 * step) for step in range(4)))
    assert enough(axis, "false_alarms") > 8


def test_what_gets_worse_is_not_called_a_gain() -> None:
    axis = along_good(measured(8, escapes=5), measured(32, escapes=60))
    assert answer(axis)[0].startswith("From 8 to 32 good views a label no figure gains beyond its interval")
    assert "Escapes of defects: 5.0% with 8, 60.0% with 32, more, beyond the intervals." in answer(axis)


def test_wide_intervals_are_no_proof_that_more_pictures_gain_little() -> None:
    vague, clear = (along_good(measured(8, escapes=n), measured(32, escapes=n)) for n in (50, 1))
    assert answer(clear)[0].endswith("beyond its interval: more gain little.")
    assert answer(vague)[0].endswith(
        "but intervals are wide (escapes of defects), so it takes more held-out views to tell."
    )


def test_a_single_count_tells_nothing() -> None:
    assert "nothing can be told yet" in answer(along_good(measured(8)))[0]


def test_a_single_count_of_defects_is_drawn(tmp_path: Path) -> None:
    with CurveFolder(tmp_path, COMMON) as folder:
        folder.append(measured(50, 5))
        publish(folder, SUPPLY, sorted(folder.points))
        (alone,) = axes(pool(folder.measured), SUPPLY)
        assert (alone.name, alone.counts) == ("defective training views", (5,))
        assert "nothing can be told yet" in answer(alone)[0]
        assert (tmp_path / "curve.html").read_text().count('alt="escapes of defects against') == 1
        folder.append(measured(8))
        assert [axis.counts for axis in axes(pool(folder.measured), SUPPLY)] == [(8,), (5,)]


def test_a_curve_without_defective_test_views_tells_the_rest(tmp_path: Path) -> None:
    some = []
    for one in (measured(8, alarms=60), measured(50, alarms=2), measured(50, 0, alarms=2)):
        left = {key: value for key, value in one.figures.items() if "defect" not in key}
        some.append(one.model_copy(update={"figures": left | {"defect": 0, "defect_escapes": 0}}))
    with CurveFolder(tmp_path, COMMON) as folder:
        for one in some:
            folder.append(one)
        publish(folder, SUPPLY, sorted(folder.points))
    page = (tmp_path / "curve.html").read_text()
    assert "not told" in page
    assert page.count('alt="escapes of defects') == 0
    assert page.count('alt="false alarms against') == 2


def test_the_page_needs_nothing_else_and_says_what_is_still_to_come(tmp_path: Path) -> None:
    with CurveFolder(tmp_path, COMMON) as folder:
        asked = points(SUPPLY, [8, 16], [0, 24], repeats=1)
        publish(folder, SUPPLY, asked)
        assert "Nothing is measured yet" in (tmp_path / "curve.html").read_text()
        for count in (8, 16, 50):
            folder.append(measured(count))
        publish(folder, SUPPLY, asked)
    page = (tmp_path / "curve.html").read_text()
    assert "1 point is still to come" in page
    assert "parts &lt;b&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/svg+xml;base64,") == 4
    rows = list(csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()))
    assert [row["good_a_label"] for row in rows] == ["8", "16", "50"]
    assert float(rows[0]["defect_auroc"]) == 0.9
    assert json.loads((tmp_path / "curve.json").read_text())["settings"] == COMMON.settings
