"""What the heads are taught, and where thresholds come from."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.picture import Image
from train import teach as lessons
from train.cvae import ConditionalVAE
from train.difference import Tolerances
from train.promise import Wish
from train.teach import (
    FEWEST_DEFECTS,
    MADE_UP,
    _first,
    _limit,
    _made_up,
    draw,
    floats,
    lacking,
    teach,
)
from train.tiles import WHOLE, Sight
from train.views import Views

ALARMS = Wish(0.02, None)


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


def line_up(each: int) -> tuple[ConditionalVAE, Views]:
    """Two labels with `each` noisy good views, and a CVAE that has learnt nothing yet."""
    keras.utils.set_random_seed(0)
    cvae = ConditionalVAE(height=16, width=16, channels=1, labels=2, latent=4, filters=4, seed=0)
    count = 2 * each
    images = np.random.default_rng(0).integers(80, 170, (count, 16, 16, 1), np.uint8)
    names = tuple(f"view {number}" for number in range(count))
    return cvae, Views(images, np.repeat(np.arange(2), each), np.zeros(count, np.bool_), names, names)


def test_parts_without_enough_defects_of_their_own_are_lacking_some() -> None:
    defects = np.repeat([0, 2], [FEWEST_DEFECTS, FEWEST_DEFECTS - 1])
    assert lacking(defects, 4).tolist() == [False, True, True, True]


def test_defects_are_made_up_for_the_parts_that_lack_them_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the heads would learn which parts have defects at all."""
    cvae, views = line_up(20)
    spoilt = []

    def spoil(view: Image, _rng: np.random.Generator) -> Image:
        spoilt.append(view.tobytes())
        return 255 - view

    monkeypatch.setattr(lessons, "spoil", spoil)
    defective = replace(views, images=255 - views.images, defective=~views.defective)[np.arange(20)]
    result = teach(cvae, views, np.arange(40) % 2 == 0, defective, ALARMS, 0, Sight(None, WHOLE))
    assert set(spoilt) == {view.tobytes() for view in views.images[20::2]}, "of those kept, label 1's"
    assert len(spoilt) == MADE_UP
    assert result.promise.real, "the real ones are promised for, where there are any"


def test_a_made_up_defect_is_measured_without_the_view_it_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a spoilt view would look better than a good one to come, and the head would learn defects upside down."""
    monkeypatch.setattr(lessons, "spoil", lambda view, _rng: view)
    cvae, views = line_up(6)
    drawn, everything = draw(cvae, views.images, views.label), np.ones(12, np.bool_)
    tolerances, own = Tolerances.fit(floats(views.images), drawn, views.label, 2, everything)
    found, base = _made_up(cvae, views, drawn, np.arange(12), everything, np.random.default_rng(0))
    known = np.asarray(tolerances.difference(floats(views.images), drawn, views.label)[1])
    assert base[:12].tolist() == list(range(12))
    loudness, known_loudness, honest = (rows[:12, : own.shape[1]].mean() for rows in (found, known, own))
    assert abs(loudness - honest) < 0.5 * abs(known_loudness - honest), "unspoilt, it is as loud as any good view"
