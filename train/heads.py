"""The heads: one SVM that knows a defect, one that knows a wrong part, each calibrated to a probability.

The kernel is the sum of a linear and a Gaussian one. A Gaussian alone falls back to its bias far from what it was
taught, and calls the worst of all parts undecided; the linear part keeps growing there, as every feature does.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.svm import SVC

from train.views import Labels, Mask

Tensor = Any
Floats = npt.NDArray[np.float32]

GAMMA = 3.0
"""Width of the Gaussian kernel, a feature: two views half a unit apart in each are related by exp(-3/4)."""
SOFTNESS = 1.0
"""The SVM's C."""
FOLDS = 5
FLATTEST = -1e-3
"""Slope of the sigmoid of a head that learnt nothing: a half for everything. Above 0 it would call bad views good."""


def kernel(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Linear plus Gaussian, [A, B], of features [A, F] and [B, F]."""
    return np.asarray(a @ b.T / a.shape[1] + np.exp(-GAMMA / a.shape[1] * euclidean_distances(a, b, squared=True)))


@dataclass(frozen=True)
class Head:
    """A calibrated SVM as plain numbers: S support vectors of F features.

    P = sigmoid(-(slope · f + offset)), f(x) = Σ weight_s · k(support_s, x) + bias; f is positive for the class looked
    for (Platt, 1999).
    """

    support: Floats
    weight: Floats
    bias: float
    slope: float
    offset: float

    @classmethod
    def fit(
        cls, features: Floats, positive: Mask, view: Labels, seed: int
    ) -> tuple[Self, CalibratedClassifierCV, Floats]:
        """Fit on features [N, F] and what is looked for, bool [N]; each class has rows of at least three views.

        `view`, int [N]: which view a row was made of. Rows of one view are never on both sides of a fold, or the
        classifier would be asked what it was told. Also returns scikit-learn's own classifier, to be checked against,
        and each row's probability, [N], by an SVM that was not fitted on its view.
        """
        classifier = _calibrated(features, positive, view, seed)
        fitted = classifier.calibrated_classifiers_[0]
        sigmoid = fitted.calibrators[0]
        head = cls(
            features[fitted.estimator.support_].astype(np.float32),
            fitted.estimator.dual_coef_[0].astype(np.float32),
            float(fitted.estimator.intercept_[0]),
            float(sigmoid.a_),
            float(sigmoid.b_),
        )
        margins = cross_val_predict(
            _svm(), features, positive, cv=_folds(positive, view, seed), method="decision_function"
        )
        return head, classifier, np.asarray(expit(-(head.slope * margins + head.offset)), np.float32)


def probabilities(heads: tuple[Head, ...], features: Tensor) -> tuple[Tensor, ...]:
    """P of what each of `heads` looks for, float32 [N] each, of features, float32 [N, F]; as scikit-learn says it.

    All heads at once: a graph's time is that of its many small steps.
    """
    support = np.concatenate([head.support for head in heads])
    number = support.shape[1]
    of = np.repeat(np.arange(len(heads)), [len(head.support) for head in heads])
    weight = np.concatenate([head.slope * head.weight for head in heads])
    weights = np.where(of[:, None] == np.arange(len(heads)), weight[:, None], 0.0)
    bias = np.array([head.slope * head.bias + head.offset for head in heads])
    apart = ops.sum(ops.square(features), axis=1, keepdims=True) + np.sum(support**2, axis=1)
    apart = ops.relu(apart - ops.matmul(features, np.float32(2.0) * support.T))
    near = ops.matmul(ops.exp(apart * np.float32(-GAMMA / number)), -weights.astype(np.float32))
    along = ops.matmul(features, (-support.T @ weights / number).astype(np.float32))
    found = ops.sigmoid(near + along - bias.astype(np.float32))
    return tuple(ops.reshape(each, (-1,)) for each in ops.split(found, len(heads), axis=1))


def _svm() -> SVC:
    return SVC(C=SOFTNESS, kernel=kernel, class_weight="balanced", cache_size=1000)


def _folds(positive: Mask, view: Labels, seed: int) -> list[tuple[Labels, Labels]]:
    """Rows to learn from and rows to be asked, with all rows of a view on one side and both classes on each."""
    fewest = min(len(np.unique(view[positive])), len(np.unique(view[~positive])))
    folds = StratifiedGroupKFold(max(2, min(FOLDS, fewest)), shuffle=True, random_state=seed)
    found = folds.split(positive, positive, view)
    return [(a, b) for a, b in found if 0 < positive[a].sum() < len(a) and len(b)]


def _calibrated(features: Floats, positive: Mask, view: Labels, seed: int) -> CalibratedClassifierCV:
    """A calibrated SVM; one that learnt the wrong way round says the same of every view instead."""
    classifier = CalibratedClassifierCV(_svm(), method="sigmoid", cv=_folds(positive, view, seed), ensemble=False)
    classifier.fit(features, positive)
    sigmoid = classifier.calibrated_classifiers_[0].calibrators[0]
    if sigmoid.a_ > FLATTEST:
        sigmoid.a_, sigmoid.b_ = FLATTEST, 0.0
    return classifier


def threshold(good: Floats, bad: Floats, allowed: int) -> float:
    """The score from which a view is NG, such that at most `allowed` of the `good` ones are.

    Where there is room between the good scores and nearly all `bad` ones, it lies in the middle of the room (in
    log odds), so that a view a little unlike those seen falls on its own side.
    """
    lowest = _log_odds(np.sort(good)[len(good) - 1 - allowed] + 1e-6)
    room = _log_odds(np.quantile(bad, 0.01))
    return float(1.0 / (1.0 + np.exp(-(lowest if room <= lowest else (lowest + room) / 2.0))))


def _log_odds(p: Any) -> float:
    p = float(np.clip(p, 1e-6, 1.0 - 1e-6))
    return float(np.log(p / (1.0 - p)))
