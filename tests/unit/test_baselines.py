"""Simpler methods see what is plainly wrong, by their own published formulas, and kenpin is measured against them."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.picture import Image, ViewSpec
from train import baselines
from train.baselines import Answer, compare
from train.findings import against
from train.judged import Judged
from train.views import Collected, DataSet, Views

SIDE = 16
METHODS = ("kenpin", "squared error", "SSIM", "RT method", "PCA", "mean and spread", "SVM without the CVAE")


def view(label: int, rng: np.random.Generator, *, defective: bool) -> Image:
    """A bar, upright for label 0 and lying for label 1, a little noisy; a defect is a hole in it."""
    pixels = np.full((SIDE, SIDE, 1), 40.0) + rng.normal(0, 3, (SIDE, SIDE, 1))
    along = pixels if label == 0 else pixels.transpose(1, 0, 2)
    along[2:14, 6:10] += 150
    if defective:
        at = int(rng.integers(3, 9))
        along[at : at + 4, 6:10] -= 150
    return np.asarray(pixels.clip(0, 255), np.uint8)


def views(labels: int, good: int, defective: int, seed: int) -> Views:
    rng, collected = np.random.default_rng(seed), Collected()
    for label in range(labels):
        for number in range(good + defective):
            picture = view(label, rng, defective=number >= good)
            collected.add(picture, label, number >= good, f"{seed}/{label}/{number}", picture.tobytes())
    return collected.views(SPEC)


SPEC = ViewSpec(height=SIDE, width=SIDE, channels=1)


def data_set(labels: int = 2, *, taught: int = 6, held_out: int = 6) -> DataSet:
    """12 good views a label to learn from and 20 to be asked about; `taught` and `held_out` defective ones."""
    return DataSet("bars", ("A12", "B7")[:labels], SPEC, views(labels, 12, taught, 1), views(labels, 20, held_out, 2))


def judged(data: DataSet, *, chance: bool = False) -> Judged:
    """Each held-out view as what it is, and good ones as every other part. The drawing is the mean good view.

    Kenpin's scores are right, or by `chance` alone.
    """
    test, train, count = data.test, data.train, len(data.labels)
    good = np.flatnonzero(test.good)
    rows = np.concatenate([np.arange(len(test)), *[good] * (count - 1)])
    expected = np.concatenate([test.label, *[(test.label[good] + step) % count for step in range(1, count)]])
    mean = np.stack([train.images[train.good & (train.label == k)].mean(axis=0) for k in range(count)]).astype(np.uint8)
    asked, rng = test[rows], np.random.default_rng(3)
    right = rng.random((2, len(rows)), dtype=np.float32)
    return Judged(
        views=asked.images,
        names=asked.names,
        label=asked.label,
        expected=expected,
        defective=asked.defective,
        defect_score=right[0] if chance else asked.defective.astype(np.float32),
        mismatch_score=right[1] if chance else (asked.label != expected).astype(np.float32),
        difference=np.zeros((len(rows), SIDE, SIDE), np.float32),
        reconstruction=mean[expected],
    )


def test_each_method_tells_what_is_plainly_defective_or_another_part() -> None:
    data = data_set()
    compared = compare(data, judged(data), 0)
    assert tuple(method.name for method in compared) == METHODS, "kenpin comes first"
    for method in compared:
        assert method.defect is not None
        assert method.wrong_part is not None
        assert method.defect.auroc > 0.95, method
        assert method.wrong_part.auroc > 0.95, method


@pytest.mark.parametrize("learn", [baselines.rt, baselines.pca, baselines.mean_and_spread])
def test_a_labels_own_good_views_are_the_nearest(learn: Callable[..., Callable[..., npt.NDArray[np.floating]]]) -> None:
    rng = np.random.default_rng(0)
    good = np.stack([view(0, rng, defective=False) for _ in range(20)]).reshape(20, -1) / 255.0
    other = np.stack([view(1, rng, defective=False), view(0, rng, defective=True)]).reshape(2, -1) / 255.0
    score = learn(good[:15])
    assert score(good[15:]).max() < score(other).min()


def test_the_rt_method_is_as_worked_by_hand() -> None:
    # Mean (2, 2): r = 8. (1, 3): L = 8, S_T = 10, S_β = 8, V_e = 2. (3, 1): the same. (2, 2): L = 8, V_e = 0.
    unit = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 2.0], [2.0, 2.0]])
    root = np.sqrt(2)
    assert baselines.two_variables(unit, unit.mean(axis=0)) == pytest.approx(
        np.array([[1, root], [1, root], [1, 0], [1, 0]])
    )
    # β never varies here, so the covariance is ((0, 0), (0, 2/3)): no inverse, but the adjugate ((2/3, 0), (0, 0)).
    # The unit space is at distance 0, and (4, 4), of β = 2, at D² = 1 · 2/3 · 1 / 2.
    assert baselines.rt(unit)(unit) * baselines.NOTHING == pytest.approx(0)
    assert baselines.rt(unit)(np.array([[4.0, 4.0]])) * baselines.NOTHING == pytest.approx(1 / 3)


def test_the_rt_method_tells_distances_in_means_of_the_unit_space() -> None:
    unit = np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 3.0], [1.0, 3.0, 2.0], [2.0, 3.0, 4.0], [1.5, 2.0, 2.5]])
    assert baselines.rt(unit)(unit).mean() == pytest.approx(1)
    own = baselines.two_variables(unit, unit.mean(axis=0))
    off, inverse = own - own.mean(axis=0), np.linalg.inv(np.cov(own, rowvar=False))
    mahalanobis = np.einsum("ni,ij,nj->n", off, inverse, off)
    assert baselines.rt(unit)(unit) == pytest.approx(mahalanobis / mahalanobis.mean()), "as by an inverse"


def test_equal_pictures_are_not_unlike() -> None:
    rng = np.random.default_rng(0)
    for shape in ((3, 16, 16, 1), (3, 20, 27, 3), (3, 4, 16, 1)):
        pictures = rng.integers(0, 256, shape, np.uint8)
        assert baselines.dissimilarity(pictures, pictures) == pytest.approx(0)
        assert baselines.squared_error(pictures, pictures) == pytest.approx(0)
        assert (baselines.dissimilarity(pictures, 255 - pictures) > 0.5).all()
    black, white = np.zeros((1, 8, 8, 1), np.uint8), np.full((1, 8, 8, 1), 255, np.uint8)
    assert baselines.squared_error(black, white) == pytest.approx(1)


def test_a_simpler_method_that_wins_is_named_and_one_that_does_not_is_not() -> None:
    data = data_set()
    beaten = against(compare(data, judged(data, chance=True), 0))
    assert len(beaten) == 2
    assert all("before trusting this run" in sentence for sentence in beaten), beaten
    best = against(compare(data, judged(data), 0))
    assert [sentence.partition(",")[0] for sentence in best] == ["On defects", "On wrong parts"]
    assert all("no simpler method tells more" in s or "tells as much" in s for s in best), best


def test_one_label_leaves_no_wrong_part_to_compare() -> None:
    data = data_set(1)
    for method in compare(data, judged(data), 0):
        assert method.defect is not None
        assert method.wrong_part is None


def test_no_defects_held_out_leave_no_defects_to_compare() -> None:
    data = data_set(held_out=0)
    for method in compare(data, judged(data), 0):
        assert method.defect is None
        assert method.wrong_part is not None


def test_without_defects_to_learn_from_the_svm_is_taught_made_up_ones() -> None:
    data = data_set(taught=0)
    svm = compare(data, judged(data), 0)[-1]
    assert svm.defect is not None
    assert svm.defect.auroc > 0.9


def test_nothing_is_learnt_from_what_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_set()
    rows = judged(data)
    found = compare(data, rows, 0)
    other = replace(data, test=views(2, 3, 3, 9))
    assert compare(other, rows, 0) == found, "only the rows that are asked come from the test"
    monkeypatch.setattr(baselines, "MOST_NUMBERS", 10 * SIDE * SIDE)
    fewer = compare(data, rows, 0)
    assert [it.defect and it.defect.auroc > 0.8 for it in fewer] == [True] * len(METHODS), "a share of a large set"


def test_a_row_without_a_number_is_compared_by_no_method() -> None:
    data = data_set()
    rows = judged(data)
    rows.defect_score[np.flatnonzero(rows.truth == "defect")] = np.nan
    assert all(method.defect is None for method in compare(data, rows, 0))


def test_the_recall_lets_no_more_good_views_through_than_it_says() -> None:
    good, bad = np.arange(60.0), np.array([58.5, 59.0, 59.5, 60.0])
    answer = Answer.of(np.concatenate([good, bad]), np.repeat([False, True], [60, 4]))
    assert answer is not None
    assert answer.recall == 0.5, "of 60 good views 1 % is none, so only what lies above them all is found"
    several = Answer.of(np.arange(400.0), np.arange(400) >= 300)
    assert several is not None
    assert several.recall == 1
    overlapping = Answer.of(np.concatenate([np.arange(300.0), [295.5, 296.5]]), np.repeat([False, True], [300, 2]))
    assert overlapping is not None
    assert overlapping.recall == 0.5, "1 % of 300 are 3, so what lies above all but the highest 3 is found"


def test_figures_are_small_and_plain_enough_for_a_bundle() -> None:
    data = data_set(held_out=0)
    figures = baselines.figures(compare(data, judged(data), 0))
    assert figures[0]["method"] == "kenpin"
    assert figures[0]["defect"] is None
    assert set(figures[0]["wrong_part"]) == {"auroc", "low", "high", "recall"}
    assert len(json.dumps(figures)) < 2000
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
