"""What thresholds promise, and when training says that it cannot."""

import numpy as np
import pytest

from train.judged import wilson
from train.promise import Promise, Rate, Wish, escape_warning, remarks

ALARMS = Wish(0.02, None)
NO_ALARM = Rate.of(np.zeros(1000, np.bool_))


def rate(count: int, total: int) -> Rate:
    return Rate.of(np.arange(total) < count)


def test_a_rate_is_told_with_its_exact_interval() -> None:
    none_of_100 = rate(0, 100)
    assert (none_of_100.count, none_of_100.total, none_of_100.low) == (0, 100, 0.0)
    assert none_of_100.high == pytest.approx(1 - 0.025 ** (1 / 100))


def test_enough_views_promise_without_a_remark() -> None:
    promise = Promise(rate(0, 1000), rate(0, 50), rate(0, 1000), real=True)
    assert remarks(promise, ALARMS, 0.35) == []


def test_too_few_good_views_are_told_with_how_many_it_takes() -> None:
    promise = Promise(rate(0, 30), rate(0, 50), None, real=True)
    (said,) = remarks(promise, Wish(0.01, None), 0.5)
    assert "not enough views to promise 1 % false alarms" in said
    assert "0 of 30" in said
    assert "about 736 good views" in said, "as many as it takes for 368 to set the thresholds: ln 0.025 / ln 0.99"


def test_escapes_counted_on_made_up_defects_are_not_promised_for_real_ones() -> None:
    promise = Promise(rate(0, 1000), rate(0, 10_000), None, real=False)
    (said,) = remarks(promise, Wish(0.02, 0.001), 0.35)
    assert "made-up" in said


def test_escapes_of_defects_and_of_wrong_parts_are_each_told() -> None:
    promise = Promise(rate(0, 1000), rate(1, 20), rate(0, 10), real=True)
    said = " ".join(remarks(promise, Wish(0.02, 0.001), 0.35))
    assert "escapes of defects" in said
    assert "escapes of wrong parts" in said


def test_a_record_as_good_as_was_asked_needs_no_remark() -> None:
    promise = Promise(rate(20, 1000), rate(0, 50), rate(0, 1000), real=True)
    assert remarks(promise, ALARMS, 0.35) == [], "the interval stands in the report; more views would not change it"


def test_the_price_of_few_escapes_is_told() -> None:
    promise = Promise(rate(300, 1000), rate(0, 10_000), rate(0, 10_000), real=True)
    (said,) = remarks(promise, Wish(0.02, 0.001), 0.35)
    assert "300 of 1000 good views" in said


def held_out(escaped: int, total: int) -> dict[str, float]:
    """What `metrics` says of held-out defects; nothing where there is none."""
    if not total:
        return {"defect": 0, "defect_escapes": 0}
    low, high = wilson(escaped, total)
    return {"defect": total, "defect_escapes": escaped, "defect_escape_low": low, "defect_escape_high": high}


MADE_UP_PASS = Promise(NO_ALARM, rate(60, 60), rate(0, 25), real=False)


def test_a_threshold_that_lets_pass_every_made_up_defect_is_warned_of_with_what_to_do() -> None:
    said = escape_warning(MADE_UP_PASS, held_out(0, 0))
    assert "60 of 60 made-up ones" in said
    assert "at least 94.0% of such defects on the line would be called OK" in said
    assert "Take more good views of each part, defective ones" in said
    assert "larger view" in said
    assert "trust it with wrong parts alone" in said
    assert "\n" not in said


def test_enough_real_defects_held_out_are_believed_rather_than_made_up_ones() -> None:
    assert escape_warning(MADE_UP_PASS, held_out(33, 120)) == ""
    made_up_found = Promise(NO_ALARM, rate(0, 60), None, real=False)
    assert "100 of 120 that were held out are called OK" in escape_warning(made_up_found, held_out(100, 120))


def test_a_few_real_defects_held_out_do_not_silence_the_warning() -> None:
    assert "60 of 60 made-up ones" in escape_warning(MADE_UP_PASS, held_out(1, 3))


@pytest.mark.parametrize("wrong_part", [None, rate(24, 24)])
def test_where_wrong_parts_are_not_told_either_nothing_is_left_to_trust_it_with(wrong_part: Rate | None) -> None:
    said = escape_warning(Promise(NO_ALARM, rate(60, 60), wrong_part, real=False), held_out(0, 0))
    assert said.endswith("until then its OK says little")


def test_real_defects_that_pass_the_threshold_are_warned_of_as_such() -> None:
    said = escape_warning(Promise(NO_ALARM, rate(40, 50), None, real=True), held_out(0, 0))
    assert "40 of 50 passed the defect threshold" in said
    assert "made-up" not in said


@pytest.mark.parametrize(("escaped", "total"), [(0, 60), (30, 60), (37, 60), (5, 5)])
def test_what_need_not_be_most_of_the_defects_is_not_warned_of(escaped: int, total: int) -> None:
    assert escape_warning(Promise(NO_ALARM, rate(escaped, total), None, real=False), held_out(0, 0)) == ""
    assert escape_warning(Promise(NO_ALARM, rate(0, 60), None, real=False), held_out(min(escaped, 3), 5)) == ""
