"""What the held-out views tell, counted on views whose verdicts are known."""

import numpy as np
import pytest

from edge_runtime.verdict import Thresholds
from train.judged import Judged, auroc, auroc_interval, metrics, wilson

LIMITS = Thresholds(defect=0.5, mismatch=0.5)


def judged(*rows: tuple[int, int, bool, float, float]) -> Judged:
    """Rows of label, expected label, defective, defect score and mismatch score, with pictures that do not matter."""
    label, expected, defective, defect, mismatch = zip(*rows, strict=True) if rows else ((),) * 5
    n = len(rows)
    return Judged(
        views=np.zeros((n, 4, 4, 1), np.uint8),
        names=tuple(f"{row}.png" for row in range(n)),
        label=np.array(label, np.int64),
        expected=np.array(expected, np.int64),
        defective=np.array(defective, np.bool_),
        defect_score=np.array(defect, np.float32),
        mismatch_score=np.array(mismatch, np.float32),
        difference=np.zeros((n, 4, 4), np.float32),
        reconstruction=np.zeros((n, 4, 4, 1), np.uint8),
    )


GOOD, FALSE_ALARM = (0, 0, False, 0.1, 0.1), (0, 0, False, 0.9, 0.1)
FOUND, ESCAPED = (0, 0, True, 0.9, 0.2), (0, 0, True, 0.2, 0.2)
WRONG, WRONG_ESCAPED = (0, 1, False, 0.9, 0.9), (0, 1, False, 0.3, 0.3)


def test_a_defective_wrong_part_is_a_wrong_part() -> None:
    assert judged(GOOD, FOUND, WRONG, (0, 1, True, 0.9, 0.9)).truth.tolist() == [
        "good",
        "defect",
        "wrong part",
        "wrong part",
    ]


def test_verdicts_are_the_lines_own() -> None:
    said = judged(GOOD, FOUND, WRONG, (0, 0, False, 0.5, 0.0)).verdicts(LIMITS)
    assert said.tolist() == ["OK", "NG defect", "NG wrong part", "NG defect"], "a score at the threshold is NG"


@pytest.mark.parametrize("scores", [(np.nan, 0.0), (0.0, np.nan), (np.inf, 0.0), (-np.inf, 0.0)])
def test_a_score_that_is_no_number_is_unsure_and_never_ok(scores: tuple[float, float]) -> None:
    assert judged((0, 0, False, *scores)).verdicts(LIMITS).tolist() == ["NG unsure"]


def test_without_a_mismatch_threshold_no_part_is_called_wrong() -> None:
    said = judged((0, 0, False, 0.1, 1.0)).verdicts(Thresholds(defect=0.5, mismatch=None))
    assert said.tolist() == ["OK"]


def test_every_row_is_counted_once_in_the_confusion_table() -> None:
    rows = judged(GOOD, GOOD, FALSE_ALARM, FOUND, ESCAPED, WRONG, WRONG_ESCAPED, (0, 0, False, np.nan, 0.1))
    table = rows.confusion(LIMITS)
    assert table.tolist() == [[2, 1, 0, 1], [1, 1, 0, 0], [1, 0, 1, 0]]
    assert table.sum() == len(rows.names)


def test_metrics_count_escapes_and_false_alarms() -> None:
    found = metrics(judged(GOOD, GOOD, GOOD, FALSE_ALARM, FOUND, ESCAPED, WRONG, WRONG, WRONG_ESCAPED), LIMITS)
    counts = {key: found[key] for key in ("rows", "good", "defect", "wrong_part", "unsure")}
    assert counts == {"rows": 9, "good": 4, "defect": 2, "wrong_part": 3, "unsure": 0}
    assert (found["false_alarms"], found["defect_escapes"], found["wrong_part_escapes"]) == (1, 1, 1)
    assert found["false_alarm_rate"] == pytest.approx(1 / 4)
    assert found["wrong_part_escape_rate"] == pytest.approx(1 / 3)
    assert found["false_alarm_low"] < 1 / 4 < found["false_alarm_high"]


def test_a_defect_stopped_as_a_wrong_part_is_no_escape() -> None:
    assert metrics(judged((0, 0, True, 0.1, 0.9)), LIMITS)["defect_escapes"] == 0


def test_auroc_is_how_often_the_bad_one_scores_higher() -> None:
    found = metrics(judged((0, 0, False, 0.1, 0.6), (0, 0, False, 0.3, 0.1), (0, 0, True, 0.2, 0.1), WRONG), LIMITS)
    assert found["defect_auroc"] == pytest.approx(0.5)
    assert found["mismatch_auroc"] == pytest.approx(1.0)
    assert auroc(np.array([0.5, 0.5], np.float32), np.array([True, False])) == pytest.approx(0.5)


def test_wrong_parts_do_not_count_in_the_defect_auroc() -> None:
    found = metrics(judged(GOOD, FOUND, (0, 1, True, 0.0, 0.9)), LIMITS)
    assert found["defect_auroc"] == pytest.approx(1.0), "seen under another label, a defect is another question"


def test_a_number_that_cannot_be_told_is_absent() -> None:
    found = metrics(judged(GOOD, FALSE_ALARM), Thresholds(defect=0.5, mismatch=None))
    told = {"false_alarm_rate", "false_alarm_low", "false_alarm_high"}
    assert {key for key in found if key.endswith(("_rate", "_low", "_high", "_auroc"))} == told


def test_no_rows_at_all_tell_nothing_and_raise_nothing() -> None:
    assert set(metrics(judged(), LIMITS).values()) == {0}


def test_a_score_that_is_no_number_stays_out_of_the_auroc() -> None:
    found = metrics(judged(GOOD, FOUND, (0, 0, True, np.nan, 0.1)), LIMITS)
    assert found["defect_auroc"] == pytest.approx(1.0)
    assert found["unsure"] == 1


def test_the_interval_is_wilsons() -> None:
    low, high = wilson(5, 352)
    assert (low, high) == pytest.approx((0.00608, 0.03282), abs=1e-5)  # worked by hand from Wilson's formula
    assert wilson(0, 12)[0] == 0.0
    assert wilson(0, 12)[1] == pytest.approx(0.2425, abs=1e-4), "none of twelve is not none of all"


def test_the_interval_is_delongs() -> None:
    # Positives 3, 5, 7 over negatives 1, 2, 4, 6: shares below 2/4, 3/4, 4/4; shares above 1, 1, 2/3, 1/3.
    scores, positive = np.array([3.0, 5, 7, 1, 2, 4, 6]), np.arange(7) < 3
    assert auroc(scores, positive) == pytest.approx(0.75)
    reach = 1.959964 * np.sqrt(np.var([0.5, 0.75, 1], ddof=1) / 3 + np.var([1, 1, 2 / 3, 1 / 3], ddof=1) / 4)
    assert auroc_interval(scores, positive) == pytest.approx((0.75 - reach, 1.0))


def test_all_told_apart_is_not_told_with_certainty() -> None:
    found = auroc_interval(np.arange(20.0), np.arange(20) >= 12)
    assert found is not None
    assert found == pytest.approx((0.6756, 1.0), abs=1e-3), "Wilson's interval of 8 of 8"
    assert auroc_interval(np.arange(3.0), np.arange(3) < 0) is None
