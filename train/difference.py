"""The difference: a view against its drawing, in tolerances of the expected part, and what the SVM sees of it.

An edge that always jitters must be quiet and a pinhole in a quiet place loud. So the residual (view minus drawing) is
blurred to several scales, and each pixel at each scale is measured against how that part's own good views differ
there: minus their mean, by their spread. The right scale is the defect's, so all are kept and the heads weigh them.

The tolerances are fitted on good views that the CVAE was not trained on. Those views are themselves measured against
the *other* good views only (leave one out, in closed form), or few views would look better than any view to come.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from keras import ops

from train.views import Labels, Mask

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

ACROSS = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 8.0
"""Sobel's derivative, a pixel a unit."""
CURVATURE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
"""Laplace's: what a change of focus adds or takes."""

CAUSES = ("offset", "gain", "light across", "light down", "moved across", "moved down", "turned", "focus")
"""What may differ between a view and its drawing without any fault of the part."""

FAINTEST = 0.1 * GREY_LEVEL
"""A cause that shows less than this in the drawing, as an edge that it has not, explains nothing."""

SMALLEST_STEP = 1e-3
"""No feature, a logarithm, is told finer than by a thousandth."""

LOUDEST = 0.01
"""Share of a level's pixels that make its `top` feature: a small defect, not one noisy pixel."""


PIXELS = 128 * 128 * 128
"""Pixels judged at once: enough to fill two cores; the difference takes some thirty times their memory."""


def at_once(views: npt.NDArray[Any]) -> int:
    """How many of `views`, [N, H, W, C], to judge at once: at least one."""
    return max(1, PIXELS // int(np.prod(views.shape[1:])))


def compare(view: Tensor, drawn: Tensor) -> tuple[Tensor, ...]:
    """The residual of `view` and `drawn`, float [N, H, W, C], at scales from about one pixel up, each half the last.

    What `explain` takes away is the last of them: float [N, 1, 1, len(CAUSES)].
    """
    residual, amount = explain(view - drawn, drawn)
    levels = []
    while True:
        residual = _blurred(residual)
        levels.append(residual)
        residual = residual[:, ::2, ::2, :]
        if min(residual.shape[1:3]) < SMALLEST_LEVEL:
            return *levels, ops.reshape(amount, (-1, 1, 1, len(CAUSES)))


def explain(residual: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Take from `residual` what light, focus and a small misplacement of the part explain of it.

    `residual`, `drawn`: float [N, H, W, C]. Returns what is left, the same shape, and how much of each of `CAUSES` was
    found, float [N, len(CAUSES)] in grey levels of 0..1, root mean square over the view.

    Least squares against the drawing's own derivatives (Lucas and Kanade, IJCAI 1981, with gain, offset and slopes of
    light): eight numbers for a whole view cannot hide a defect, but a misplacement of half a pixel can.
    """
    height, width, channels = drawn.shape[1:]
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width))
    x, y = x.reshape(1, 1, -1, 1), y.reshape(1, -1, 1, 1)
    mirrored = ops.pad(drawn, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    across, down, curve = (_filtered(mirrored, kernel, "valid") for kernel in (ACROSS, ACROSS.T, CURVATURE))
    one = ops.ones_like(drawn)
    contrast = drawn - ops.mean(drawn, axis=(1, 2, 3), keepdims=True)
    turned = x * width * down - y * height * across
    pixels = height * width * channels
    each = [one, contrast, x * one, y * one, across, down, turned, curve]
    causes = ops.stack([ops.reshape(cause, (-1, pixels)) for cause in each], axis=1)
    left = ops.reshape(residual, (-1, pixels, 1))
    diagonal = np.eye(len(CAUSES), dtype=np.float32)
    products = ops.matmul(causes, ops.transpose(causes, (0, 2, 1))) / pixels + FAINTEST**2 * diagonal
    amount = _solve(products, ops.matmul(causes, left) / pixels)
    left = left[:, :, 0] - ops.matmul(ops.transpose(amount, (0, 2, 1)), causes)[:, 0]
    power = ops.sum(products * diagonal, axis=2)
    return ops.reshape(left, (-1, height, width, channels)), amount[:, :, 0] * ops.sqrt(power)


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    """The x of matrix · x = right, [N, P, 1], by Gauss and Jordan: ONNX has no operator for it."""
    size = matrix.shape[1]
    system = ops.concatenate([matrix, right], axis=2)
    for pivot in range(size):
        row = system[:, pivot : pivot + 1, :] / system[:, pivot : pivot + 1, pivot : pivot + 1]
        unit = np.eye(size, dtype=np.float32)[:, pivot].reshape(1, -1, 1)
        system = system - (system[:, :, pivot : pivot + 1] - unit) * row
    return system[:, :, size:]


def _blurred(picture: Tensor) -> Tensor:
    return _filtered(_filtered(picture, BLUR[:, None]), BLUR[None, :])


def _filtered(picture: Tensor, kernel: Floats, padding: str = "same") -> Tensor:
    """`picture`, float [N, H, W, C], under a `kernel`, [h, w]."""
    each = np.tile(kernel[..., None, None], (1, 1, picture.shape[-1], 1))
    return ops.depthwise_conv(picture, each, padding=padding)


def describe(deviations: tuple[Tensor, ...], view: Tensor, drawn: Tensor) -> Tensor:
    """What the SVM sees: float32 [N, F], each feature growing with the difference.

    `deviations`: the pyramid in tolerances, float [N, h, w, C] each, and last the causes', [N, 1, 1, P]. `view`,
    `drawn`: float [N, H, W, C] in 0..1.
    Logarithms, so that a difference twice as loud is one step further wherever it starts. Brighter or darker makes no
    difference: from the defects of some parts, a head would learn which of the two to look for, and miss the others'.
    """
    *levels, causes = deviations
    features = []
    for level in levels:
        pixels = ops.reshape(level, (-1, int(np.prod(level.shape[1:]))))
        loud, _ = ops.top_k(ops.abs(pixels), max(1, int(LOUDEST * pixels.shape[1])))
        features += [
            ops.log(ops.mean(ops.square(pixels), axis=1) + 1e-6),
            ops.log(ops.mean(loud, axis=1) + 1e-6),
            ops.log(loud[:, 0] + 1e-6),
        ]
    features.append(ops.log(ops.mean(ops.square(view - drawn), axis=(1, 2, 3)) + GREY_LEVEL**2))
    features.append(ops.log(1.0 + GREY_LEVEL - _likeness(view, drawn)))
    each = ops.log(1.0 + ops.abs(ops.reshape(causes, (-1, len(CAUSES)))))
    return ops.concatenate([ops.stack(features, axis=1), each], axis=1)


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
    def fit(cls, view: Floats, drawn: Floats, label: Labels, count: int, unseen: Mask) -> tuple[Self, Floats]:
        """From good views and their drawings, float32 [N, H, W, C], of `count` labels, at least two views each.

        `unseen`, bool [N]: views that the CVAE was not fitted on; at least one of each label. Its own views tell as
        well where a part jitters, but only those tell how loud a good view is.
        Also returns the views' own features, float32 [N, F], each measured against all other views only.
        """
        found = [_pixels(view, drawn, np.flatnonzero(label == k)) for k in range(count)]
        raw = np.zeros((len(label), found[0][1].shape[1]), np.float32)
        for k, (_, features) in enumerate(found):
            raw[label == k] = features
        asked, of = raw[unseen], label[unseen]
        each = [_Moments.of(asked[of == k]) for k in range(count)]
        squares = [moments.count * moments.variance for moments in each]
        total = np.sum(squares, axis=0)
        levels = list(zip(*(levels for levels, _ in found), strict=True))
        tolerances = cls(
            tuple(np.stack([of_label.mean for of_label in level]) for level in levels),
            tuple(np.stack([of_label.spread for of_label in level]) for level in levels),
            np.stack([moments.mean for moments in each]),
            np.stack([_scale(moments.variance, moments.count, total / len(asked)) for moments in each]),
        )
        own = np.array(tolerances.standardise(raw, label), np.float32)
        for k, moments in enumerate(each):
            rows = asked[of == k]
            without = moments.without(rows)
            overall = (total - squares[k] + (moments.count - 1) * without) / (len(asked) - 1)
            own[unseen & (label == k)] = np.arcsinh(moments.off(rows) / _scale(without, moments.count - 1, overall))
        return tolerances, own

    def deviations(self, view: Tensor, drawn: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        """The difference at every level in tolerances: float [N, h, w, C] each."""
        return tuple(
            (level - ops.take(mean, label, axis=0)) / ops.take(spread, label, axis=0)
            for level, mean, spread in zip(compare(view, drawn), self.mean, self.spread, strict=True)
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


@dataclass(frozen=True)
class _Moments:
    """Mean and variance of `count` rows, [...]; and, in closed form, those of all rows but one."""

    count: int
    mean: Floats
    variance: Floats

    @classmethod
    def of(cls, rows: Floats) -> Self:
        """Of rows, float [n, ...]."""
        return cls(len(rows), rows.mean(axis=0), rows.var(axis=0))

    def joined(self, other: Self) -> Self:
        """Of both's rows together (Chan, Golub and LeVeque, 1979)."""
        count = self.count + other.count
        share = np.float32(other.count / count)
        apart = other.mean - self.mean
        between = (1 - share) * share * apart**2
        return type(self)(
            count, self.mean + share * apart, (1 - share) * self.variance + share * other.variance + between
        )

    def off(self, rows: Floats) -> Floats:
        """Of each of the `rows`, [n, ...], the distance from the mean of the others."""
        return np.asarray((rows - self.mean) * np.float32(self.count / (self.count - 1)), np.float32)

    def without(self, rows: Floats) -> Floats:
        """For each of the `rows`, [n, ...], the variance of the others: without it, squares sum to that much less."""
        squares = self.count * self.variance - (rows - self.mean) * self.off(rows)
        return np.asarray(np.maximum(squares, 0) / (self.count - 1), np.float32)

    @property
    def spread(self) -> Floats:
        """The spread of pixels, [h, w, C]."""
        return np.asarray(_spread(self.variance[None], self.count)[0])

    def tolerated(self, rows: Floats) -> Floats:
        """Each of the `rows`, [n, h, w, C], in the tolerances of the others."""
        return np.asarray(self.off(rows) / _spread(self.without(rows), self.count - 1), np.float32)


def _pixels(view: Floats, drawn: Floats, rows: Labels) -> tuple[list[_Moments], Floats]:
    """How the views at `rows`, all of one label, differ from their drawings, a level each.

    Also returns their features, float32 [n, F], each measured against the others only. Some views at a time, and all
    of them twice: all residuals at once would not fit the memory.
    """
    step = at_once(view)
    pieces = [rows[at : at + step] for at in range(0, len(rows), step)]
    found = ([_Moments.of(level) for level in _residuals(view[some], drawn[some])] for some in pieces)
    levels = reduce(lambda a, b: [x.joined(y) for x, y in zip(a, b, strict=True)], found)
    features = []
    for some in pieces:
        residuals = zip(levels, _residuals(view[some], drawn[some]), strict=True)
        deviations = tuple(level.tolerated(residual) for level, residual in residuals)
        features.append(np.asarray(describe(deviations, view[some], drawn[some]), np.float32))
    return levels, np.concatenate(features)


def _residuals(view: Floats, drawn: Floats) -> list[Floats]:
    return [np.asarray(level) for level in compare(view, drawn)]


def _scale(variance: Floats, views: int, overall: Floats) -> Floats:
    """A feature's scale, from its variance over `views` views of the label and its `overall` one over all labels."""
    return np.asarray(np.sqrt(_shrunk(variance, views, overall)) + SMALLEST_STEP, np.float32)


def _spread(variance: Floats, views: int) -> Floats:
    """The spread behind each of N variances, [N, h, w, C], of `views` views: a neighbour's counts, too."""
    if min(variance.shape[1:3]) > 1:
        variance = np.asarray(_blurred(variance))
    typical = np.exp(np.log(variance + GREY_LEVEL**2).mean(axis=(1, 2, 3), keepdims=True))
    return np.asarray(np.sqrt(_shrunk(variance, views, typical) + GREY_LEVEL**2), np.float32)


def _shrunk(variance: Floats, views: int, overall: Floats) -> Floats:
    """A variance from `views` views, drawn towards the `overall` one as if that were `PRIOR_VIEWS` more."""
    return np.asarray((views * variance + PRIOR_VIEWS * overall) / (views + PRIOR_VIEWS), np.float32)
