"""The difference: a view against its drawing, in tolerances of the expected part, and what the SVM sees of it.

An edge that always jitters must be quiet and a pinhole in a quiet place loud. So the residual (view minus drawing) is
blurred to several scales, and each pixel at each scale is measured against how that part's own good views differ
there: minus their mean, by their spread. The right scale is the defect's, so all are kept and the heads weigh them.

The tolerances are fitted on good views that the CVAE was not trained on. Those views are themselves measured against
the *other* good views only (leave one out, in closed form), or few views would look better than any view to come.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from keras import ops

from train.views import Labels

Tensor = Any
Floats = npt.NDArray[np.float32]

BLUR = np.array([1.0, 4.0, 6.0, 4.0, 1.0], np.float32) / 16.0
"""The binomial kernel of the Gaussian pyramid (Burt and Adelson, 1983), about one pixel wide."""

SMALLEST_LEVEL = 8
"""Pixels: the pyramid ends where a side would be shorter, since a whole part is not a detail."""

PRIOR_VIEWS = 4.0
"""How many views the label's typical spread counts for, against a pixel's own: few views know a pixel badly."""

GREY_LEVEL = 1.0 / 255.0
"""No tolerance is finer than what a camera can show."""

LOUDEST = 0.01
"""Share of a level's pixels that make its `top` feature: a small defect, not one noisy pixel."""


def pyramid(residual: Tensor) -> tuple[Tensor, ...]:
    """`residual`, float [N, H, W, C], at scales from about one pixel up: the same, each level half the size before."""
    levels = []
    channels = residual.shape[-1]
    rows = np.tile(BLUR.reshape(-1, 1, 1, 1), (1, 1, channels, 1))
    columns = np.tile(BLUR.reshape(1, -1, 1, 1), (1, 1, channels, 1))
    while True:
        residual = ops.depthwise_conv(ops.depthwise_conv(residual, rows, padding="same"), columns, padding="same")
        levels.append(residual)
        residual = residual[:, ::2, ::2, :]
        if min(residual.shape[1:3]) < SMALLEST_LEVEL:
            return tuple(levels)


def describe(deviations: tuple[Tensor, ...], view: Tensor, drawn: Tensor) -> Tensor:
    """What the SVM sees: float32 [N, F], each feature growing with the difference.

    `deviations`: the pyramid in tolerances, float [N, h, w, C] each. `view`, `drawn`: float [N, H, W, C] in 0..1.
    Logarithms, so that a difference twice as loud is one step further wherever it starts.
    """
    features = []
    for level in deviations:
        pixels = ops.reshape(level, (-1, int(np.prod(level.shape[1:]))))
        loud, _ = ops.top_k(ops.abs(pixels), max(1, int(LOUDEST * pixels.shape[1])))
        features += [
            ops.log(ops.mean(ops.square(pixels), axis=1) + 1e-6),
            ops.log(ops.mean(loud, axis=1) + 1e-6),
            ops.log(loud[:, 0] + 1e-6),
            ops.log(1.0 + ops.relu(ops.max(pixels, axis=1))),
            ops.log(1.0 + ops.relu(-ops.min(pixels, axis=1))),
        ]
    features.append(ops.log(ops.mean(ops.square(view - drawn), axis=(1, 2, 3)) + GREY_LEVEL**2))
    features.append(ops.log(1.0 + GREY_LEVEL - _likeness(view, drawn)))
    return ops.stack(features, axis=1)


def _likeness(view: Tensor, drawn: Tensor) -> Tensor:
    """Pearson's correlation of the two pictures, float [N]: blind to brightness and contrast."""
    axes = (1, 2, 3)
    a = view - ops.mean(view, axis=axes, keepdims=True)
    b = drawn - ops.mean(drawn, axis=axes, keepdims=True)
    energy = ops.sqrt(ops.sum(a * a, axis=axes) * ops.sum(b * b, axis=axes))
    return ops.sum(a * b, axis=axes) / (energy + 1e-6)


@dataclass(frozen=True)
class Tolerances:
    """How the good views of each of K labels differ from their drawings.

    `mean`, `spread`: a level each, float32 [K, h, w, C], of the residual. `centre`, `scale`: float32 [K, F], of the
    features, so that one SVM serves all labels and a defect taught on one part is known on another.
    """

    mean: tuple[Floats, ...]
    spread: tuple[Floats, ...]
    centre: Floats
    scale: Floats

    @classmethod
    def fit(cls, view: Floats, drawn: Floats, label: Labels, count: int) -> tuple[Self, Floats]:
        """From good views and their drawings, float32 [N, H, W, C], of `count` labels, at least two views each.

        Also returns those views' own features, float32 [N, F], each measured against the other views only.
        """
        mean, spread, deviations = [], [], []
        for level in pyramid(view - drawn):
            means, spreads, others = _fit_level(np.asarray(level), label, count)
            mean.append(means)
            spread.append(spreads)
            deviations.append(others)
        raw = np.asarray(describe(tuple(deviations), view, drawn), np.float32)
        centre = np.stack([raw[label == k].mean(axis=0) for k in range(count)])
        within = (raw - centre[label]) ** 2
        overall = within.mean(axis=0)
        scale = np.stack(
            [np.sqrt(_shrunk(within[label == k].mean(axis=0), (label == k).sum(), overall)) for k in range(count)]
        )
        fitted = cls(tuple(mean), tuple(spread), centre, (scale + 1e-3).astype(np.float32))
        return fitted, np.asarray(fitted.standardise(raw, label), np.float32)

    def deviations(self, view: Tensor, drawn: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        """The difference at every level in tolerances: float [N, h, w, C] each."""
        return tuple(
            (level - ops.take(mean, label, axis=0)) / ops.take(spread, label, axis=0)
            for level, mean, spread in zip(pyramid(view - drawn), self.mean, self.spread, strict=True)
        )

    def standardise(self, features: Tensor, label: Tensor) -> Tensor:
        """Features, float [N, F], in units of the label's own good views. Grows without bound, but ever more slowly."""
        steps = (features - ops.take(self.centre, label, axis=0)) / ops.take(self.scale, label, axis=0)
        return ops.arcsinh(steps)

    def difference(self, view: Tensor, drawn: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The map, float32 [N, H, W] in tolerances at the finest scale, and the features, float32 [N, F]."""
        deviations = self.deviations(view, drawn, label)
        features = self.standardise(describe(deviations, view, drawn), label)
        return ops.max(ops.abs(deviations[0]), axis=-1), features


def _fit_level(residual: Floats, label: Labels, count: int) -> tuple[Floats, Floats, Floats]:
    """Mean and spread of each label, [K, h, w, C], and each residual in tolerances of the others, [N, h, w, C]."""
    means = np.zeros((count, *residual.shape[1:]), np.float32)
    spreads = np.zeros_like(means)
    deviations = np.zeros_like(residual)
    for k in range(count):
        own = residual[label == k]
        n = len(own)
        off = own - own.mean(axis=0)
        variance = (off**2).mean(axis=0)
        means[k] = own.mean(axis=0)
        spreads[k] = np.sqrt(_shrunk(variance, n, _typical(variance)) + GREY_LEVEL**2)
        # Without view i the mean moves by off_i / (n - 1), and the sum of squares falls by off_i² n / (n - 1).
        without = np.maximum(n * variance - off**2 * n / (n - 1), 0) / (n - 1)
        typical = np.stack([_typical(view) for view in without]).reshape(-1, 1, 1, 1)
        deviations[label == k] = off * (n / (n - 1)) / np.sqrt(_shrunk(without, n - 1, typical) + GREY_LEVEL**2)
    return means, spreads, deviations


def _typical(variance: Floats) -> Floats:
    """The geometric mean of a label's variances: one jittering edge must not make the quiet places tolerant."""
    return np.asarray(np.exp(np.log(variance + GREY_LEVEL**2).mean()), np.float32)


def _shrunk(variance: Floats, views: int, overall: Floats) -> Floats:
    """A variance from `views` views, drawn towards the `overall` one as if that were `PRIOR_VIEWS` more."""
    return np.asarray((views * variance + PRIOR_VIEWS * overall) / (views + PRIOR_VIEWS), np.float32)
