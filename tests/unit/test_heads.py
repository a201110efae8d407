import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from train.heads import Head, probabilities, threshold


def task(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(300, 12)).astype(np.float32)
    features[200:, :3] += 2.0
    return features, np.arange(300) >= 200


def test_the_head_as_numbers_says_what_scikit_learn_says() -> None:
    features, positive = task()
    head, classifier, _ = Head.fit(features, positive, np.arange(300), seed=0)
    fresh, _ = task(seed=1)
    expected = classifier.predict_proba(fresh)[:, 1]
    np.testing.assert_allclose(np.asarray(probabilities((head,), fresh)[0]), expected, atol=1e-4)


def test_two_heads_asked_at_once_say_what_each_says_alone() -> None:
    features, positive = task()
    one, _, _ = Head.fit(features, positive, np.arange(300), seed=0)
    other, _, _ = Head.fit(features[:, ::-1], ~positive, np.arange(300), seed=0)
    fresh, _ = task(seed=1)
    both = probabilities((one, other), fresh)
    for head, said in zip((one, other), both, strict=True):
        np.testing.assert_allclose(np.asarray(said), np.asarray(probabilities((head,), fresh)[0]), atol=1e-5)


def test_what_is_far_beyond_all_that_was_taught_is_surely_not_good() -> None:
    """A Gaussian kernel alone falls back to its bias there, and calls the worst of all parts undecided."""
    features, positive = task()
    head, _, _ = Head.fit(features, positive, np.arange(300), seed=0)
    far = np.zeros((1, 12), np.float32)
    far[0, :3] = 50.0
    assert float(np.asarray(probabilities((head,), far)[0])[0]) > 0.99


@pytest.mark.parametrize("allowed", [0, 1, 5])
def test_the_threshold_allows_no_more_false_alarms_than_stated(allowed: int) -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.uniform(0, 0.6, 100).astype(np.float32), rng.uniform(0.3, 1, 100).astype(np.float32)
    assert (good >= threshold(good, bad, allowed)).sum() <= allowed


def test_between_scores_that_are_far_apart_the_threshold_leaves_room_on_both_sides() -> None:
    good, bad = np.full(50, 0.001, np.float32), np.full(50, 0.999, np.float32)
    assert 0.4 < threshold(good, bad, 1) < 0.6


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("scale", "room"), [(4.0, 0.03), (12.0, 0.01), (50.0, 0.001)])
def test_a_head_is_no_worse_than_its_best_feature(seed: int, scale: float, room: float) -> None:
    """Nor where defects to come are far louder than the twenty taught. Thirty features are noise.

    `room`: what one who need not find out which feature it is may be better by.
    """
    rng = np.random.default_rng(seed)

    def views(good: int, bad: int, loudness: float) -> tuple[np.ndarray, np.ndarray]:
        features = rng.normal(size=(good + bad, 31)).astype(np.float32)
        features[good:, 0] += loudness
        return np.arcsinh(features), np.arange(good + bad) >= good

    features, positive = views(150, 20, 4.0)
    head, _, _ = Head.fit(features, positive, np.arange(170), seed=0)
    fresh, defective = views(400, 100, scale)
    by_head = roc_auc_score(defective, np.asarray(probabilities((head,), fresh)[0]))
    assert by_head >= roc_auc_score(defective, fresh[:, 0]) - room
