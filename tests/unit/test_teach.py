"""What thresholds promise, and when training says that it cannot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.teach import Promise, Rate, Wish, _first, _limit, remarks

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


def test_escapes_are_counted_kind_by_kind() -> None:
    """Many made-up defects must not hide that all three real ones escape."""
    good = np.linspace(0, 0.3, 100, dtype=np.float32)
    real, made_up = np.full(3, 0.2, np.float32), np.full(60, 0.9, np.float32)
    assert _limit(good, (real, made_up), Wish(0.02, 0.04), share=1.0) <= 0.2


def test_two_heads_share_the_false_alarms_that_were_stated() -> None:
    good, bad = np.linspace(0, 0.9, 100, dtype=np.float32), np.full(20, 0.1, np.float32)
    limit = _limit(good, (bad,), Wish(0.1, None), share=1.0, spent=6)
    assert (good >= limit).sum() == 4


def test_of_many_views_each_label_keeps_its_share_and_first_what_the_cvae_never_saw() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(10), 100)
    kept = np.tile(np.arange(100) % 4 == 0, 10)
    chosen = _first(label, kept, 100, rng)
    assert len(chosen) == 100
    assert kept[chosen].all()
    assert np.bincount(label[chosen]).tolist() == [10] * 10
    assert np.bincount(label[_first(label, kept, 5, rng)]).tolist() == [3] * 10, "never fewer than tell a spread"


scores = st.lists(st.floats(0, 1, width=32), min_size=5, max_size=80).map(lambda found: np.array(found, np.float32))


@given(good=scores, bad=scores, share=st.floats(0.001, 0.4))
def test_no_more_false_alarms_than_stated_on_the_views_that_set_the_threshold(
    good: np.ndarray, bad: np.ndarray, share: float
) -> None:
    limit = _limit(good, (bad,), Wish(share, None), share=1.0)
    assert (good >= limit).sum() <= share * len(good) or limit > 0.999


@given(good=scores, bad=scores, share=st.floats(0.001, 0.4))
def test_no_more_escapes_than_stated_on_the_views_that_set_the_threshold(
    good: np.ndarray, bad: np.ndarray, share: float
) -> None:
    limit = _limit(good, (bad,), Wish(0.02, share), share=1.0)
    assert (bad < limit).sum() <= share * len(bad) or limit < 0.001
