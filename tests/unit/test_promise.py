"""What thresholds promise, and when training says that it cannot."""

import numpy as np
import pytest

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


def test_a_threshold_that_lets_pass_every_defect_is_warned_of_with_what_to_do() -> None:
    said = escape_warning(Promise(NO_ALARM, rate(60, 60), rate(0, 25), real=False))
    assert "60 of 60 made-up ones" in said
    assert "at least 94.0% of such defects on the line would be called OK" in said
    assert "more good views of each part and some defective ones (<label>/train/defect), or a larger view" in said
    assert "trust it with wrong parts alone" in said
    assert "\n" not in said


@pytest.mark.parametrize("wrong_part", [None, rate(24, 24)])
def test_where_wrong_parts_are_not_told_either_nothing_is_left_to_trust_it_with(wrong_part: Rate | None) -> None:
    said = escape_warning(Promise(NO_ALARM, rate(60, 60), wrong_part, real=False))
    assert said.endswith("until then its OK says little")


def test_real_defects_that_escape_are_warned_of_as_real_ones() -> None:
    said = escape_warning(Promise(NO_ALARM, rate(40, 50), None, real=True))
    assert "40 of 50 real ones" in said
    assert "more defective ones" in said
    assert "made-up" not in said


@pytest.mark.parametrize(("escaped", "total"), [(0, 60), (30, 60), (37, 60), (5, 5)])
def test_what_need_not_be_most_of_the_defects_is_not_warned_of(escaped: int, total: int) -> None:
    assert escape_warning(Promise(NO_ALARM, rate(escaped, total), None, real=False)) == ""
