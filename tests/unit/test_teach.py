"""What thresholds promise, and when training says that it cannot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.teach import Promise, Rate, Wish, _limit, remarks

ALARMS = Wish(0.02, None)


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
    assert "about 735 good views" in said, "as many as it takes for 367 to set the thresholds: ln 0.025 / ln 0.99"


def test_escapes_counted_on_made_up_defects_are_not_promised_for_real_ones() -> None:
    promise = Promise(rate(0, 1000), rate(0, 10_000), None, real=False)
    (said,) = remarks(promise, Wish(0.02, 0.001), 0.35)
    assert "made-up" in said


def test_escapes_of_defects_and_of_wrong_parts_are_each_told() -> None:
    promise = Promise(rate(0, 1000), rate(1, 20), rate(0, 10), real=True)
    said = " ".join(remarks(promise, Wish(0.02, 0.001), 0.35))
    assert "escapes of defects" in said
    assert "escapes of wrong parts" in said


scores = st.lists(st.floats(0, 1, width=32), min_size=5, max_size=80).map(lambda found: np.array(found, np.float32))


@given(good=scores, bad=scores, share=st.floats(0.001, 0.4))
def test_no_more_false_alarms_than_stated_on_the_views_that_set_the_threshold(
    good: np.ndarray, bad: np.ndarray, share: float
) -> None:
    limit = _limit(good, bad, Wish(share, None), share=1.0)
    assert (good >= limit).sum() <= share * len(good) or limit > 0.999


@given(good=scores, bad=scores, share=st.floats(0.001, 0.4))
def test_no_more_escapes_than_stated_on_the_views_that_set_the_threshold(
    good: np.ndarray, bad: np.ndarray, share: float
) -> None:
    limit = _limit(good, bad, Wish(0.02, share), share=1.0)
    assert (bad < limit).sum() <= share * len(bad) or limit < 0.001
