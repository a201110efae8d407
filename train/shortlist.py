"""Which labels are worth drawing when a part is wrong: a glance at the coarse view, before each of them is asked.

Drawing a view under each of a hundred labels takes a hundred times as long as judging it under one. Most labels are out
of the question at a glance, so a linear discriminant of the coarse view names the few that are asked, and those alone
say which part it is. How many it takes is measured on good views that the discriminant was not fitted on.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from keras import ops
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from train.views import Views, strata_choice

Tensor = Any
Floats = npt.NDArray[np.float32]

COARSE = 8
"""Pixels a side of the coarse view, at least; below 16, where a further halving would be too few."""
SHRINKAGE = 0.1
"""How far the covariance is drawn towards a multiple of the unit: neighbouring pixels tell much the same."""
FLATTEST = 0.02
"""A contrast that is noise, of brightness in 0..1."""
FEWEST = 3
MISSED = 0.001
"""Share of good views whose own label may be further down than the shortlist without its reserve."""
RESERVE = 1
FOLDS = 5
MOST = 5000
"""Views to fit on, at most: a covariance of some hundred numbers is known by then."""


@dataclass(frozen=True)
class Shortlist:
    """A linear discriminant of K labels, which names `length`: `weight`, float32 [P, K], and `bias`, float32 [K]."""

    weight: Floats
    bias: Floats
    length: int

    @classmethod
    def fit(cls, good: Views, count: int, seed: int) -> Self:
        """From good views of `count` labels, at least three each."""
        if count <= FEWEST:  # then all of them are asked
            pixels = np.asarray(_glance(good.images[:1])).shape[1]
            return cls(np.zeros((pixels, count), np.float32), np.zeros(count, np.float32), count)
        if len(good) > MOST:
            good = good[strata_choice(good, MOST / len(good), FEWEST, seed)]
        seen, own = np.asarray(_glance(good.images), np.float32), good.label
        discriminant = LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage=SHRINKAGE, priors=np.full(count, 1.0 / count)
        )
        folds = StratifiedKFold(min(FOLDS, int(np.bincount(own).min())), shuffle=True, random_state=seed)
        likely = cross_val_predict(discriminant, seen, own, cv=folds, method="decision_function")
        before = (likely > likely[np.arange(len(own)), own][:, None]).sum(axis=1)
        needed = math.ceil(np.quantile(before, 1.0 - MISSED)) + 1 + RESERVE
        fitted = discriminant.fit(seen, own)
        length = min(count, max(FEWEST, needed))
        return cls(fitted.coef_.T.astype(np.float32), fitted.intercept_.astype(np.float32), length)

    def __call__(self, image: Tensor) -> Tensor:
        """The likeliest labels, best first, int64 [N, length], of views uint8 [N, H, W, C]."""
        _, labels = ops.top_k(ops.matmul(_glance(image), self.weight) + self.bias, self.length)
        return ops.cast(labels, "int64")


def _glance(image: Tensor) -> Tensor:
    """The coarse view, blind to brightness and contrast: float32 [N, P] of views uint8 [N, H, W, C]."""
    pool = tuple(max(1, side // COARSE) for side in image.shape[1:3])
    coarse = ops.average_pool(ops.cast(image, "float32"), pool)
    flat = ops.reshape(coarse, (-1, int(np.prod(coarse.shape[1:])))) / 255.0
    off = flat - ops.mean(flat, axis=1, keepdims=True)
    return off / (ops.sqrt(ops.mean(ops.square(off), axis=1, keepdims=True)) + FLATTEST)
