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

CAUSES = ("offset", "light across", "light down", "gain", "moved across", "moved down", "focus", "turned")
"""What may differ between a view and its drawing without any fault of the part."""

FAINTEST = 0.1 * GREY_LEVEL
"""A cause that shows less than this in the drawing, as an edge that it has not, explains nothing."""

FLATTEST = 1e-8
"""Variance below which a picture has no contrast that could be like another's."""

SMALLEST_STEP = 1e-3
"""No feature, a logarithm, is told finer than by a thousandth."""

LOUDEST = 0.01
"""Share of a level's pixels that make its `top` feature: a small defect, not one noisy pixel."""


PIXELS = 128 * 128 * 128
"""Pixels judged at once: enough to fill two cores; the difference takes some thirty times their memory."""


def at_once(views: npt.NDArray[Any]) -> int:
    """How many of `views`, [N, H, W, C], to judge at once: at least one."""
    return max(1, PIXELS // int(np.prod(views.shape[1:])))


def compare(view: Tensor, drawn: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """How `view` and `drawn`, float [N, H, W, C], differ: the residual at scales, and how alike they are as they came.

    The residual is float [N, h, w, C], at scales from about one pixel up, each half the last; what `explain` takes away
    is the last of them: float [N, 1, 1, len(CAUSES)]. The likeness, float [N, 2]: the mean squared error, and one minus
    Pearson's correlation of the two pictures, which is blind to brightness and contrast; both not below a grey level.
    """
    residual, amount, likeness = explain(view, drawn)
    levels = []
    while True:
        residual = _blurred(residual)
        levels.append(residual)
        residual = residual[:, ::2, ::2, :]
        if min(residual.shape[1:3]) < SMALLEST_LEVEL:
            return (*levels, ops.reshape(amount, (-1, 1, 1, len(CAUSES)))), likeness


def explain(view: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take from the residual, view minus drawing, what light, focus and a small misplacement of the part explain of it.

    `view`, `drawn`: float [N, H, W, C]. Returns what is left, the same shape; how much of each of `CAUSES` was
    found, float [N, len(CAUSES)] in grey levels of 0..1, root mean square over the view; and the likeness of view and
    drawing, which follows from the same sums, as `compare` has it.

    Least squares against the drawing's own derivatives (Lucas and Kanade, IJCAI 1981, with gain, offset and slopes of
    light): eight numbers for a whole view cannot hide a defect, but a misplacement of half a pixel can.
    """
    height, width, channels = drawn.shape[1:]
    rows = ops.concatenate([_causes(drawn), _planar(view - drawn), _contrast(view)], axis=1)
    # The mean product of every two rows: all that the fit and the likeness need of the pixels.
    products = ops.matmul(rows, ops.transpose(rows, (0, 2, 1))) / (height * width * channels)
    count = len(CAUSES)
    system = products[:, :count, : count + 1] + FAINTEST**2 * np.eye(count, count + 1, dtype=np.float32)
    amount = _solve(system)
    kept = ops.zeros_like(amount[:, :1, :]) + np.array([1.0, 0.0], np.float32)  # the residual, and not the contrast
    taken = ops.concatenate([-ops.transpose(amount, (0, 2, 1)), kept], axis=2)
    left = ops.reshape(ops.matmul(taken, rows), (-1, channels, height, width))
    power = ops.sum(system[:, :, :count] * np.eye(count, dtype=np.float32), axis=2)
    return ops.transpose(left, (0, 2, 3, 1)), amount[:, :, 0] * ops.sqrt(power), _likeness(products)


def _causes(drawn: Tensor) -> Tensor:
    """What each of `CAUSES` would add to `drawn`, float [N, H, W, C], a pixel: float [N, len(CAUSES), C · H · W]."""
    height, width, channels = drawn.shape[1:]
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in (height, width))
    x, y = (np.broadcast_to(each, (channels, height, width)).reshape(1, 1, -1) for each in (x[None, :], y[:, None]))
    light = np.concatenate([np.ones_like(x), x, y], axis=1)
    contrast = _contrast(drawn)
    mirrored = ops.pad(drawn, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    derivatives = _filtered(mirrored, np.stack([ACROSS, ACROSS.T, CURVATURE], axis=2), "valid")
    # Each channel's three derivatives follow each other; here each derivative's channels do.
    derivatives = ops.reshape(ops.transpose(derivatives, (0, 3, 1, 2)), (-1, channels, 3, height * width))
    derivatives = ops.reshape(ops.transpose(derivatives, (0, 2, 1, 3)), (-1, 3, channels * height * width))
    across, down = derivatives[:, :1, :], derivatives[:, 1:2, :]
    turned = (x * width) * down - (y * height) * across
    return ops.concatenate([ops.zeros_like(contrast) + light, contrast, derivatives, turned], axis=1)


def _planar(picture: Tensor) -> Tensor:
    """A `picture`, float [N, H, W, C], as one row, a channel after the other: float [N, 1, C · H · W]."""
    return ops.reshape(ops.transpose(picture, (0, 3, 1, 2)), (-1, 1, int(np.prod(picture.shape[1:]))))


def _contrast(picture: Tensor) -> Tensor:
    """The same without its brightness."""
    plain = _planar(picture)
    return plain - ops.mean(plain, axis=2, keepdims=True)


def _likeness(products: Tensor) -> Tensor:
    """As `compare` has it, from the mean products of causes, residual and the view's own contrast."""
    drawn, residual, view = CAUSES.index("gain"), len(CAUSES), len(CAUSES) + 1
    energy = ops.sqrt(products[:, drawn, drawn] * products[:, view, view])
    unlike = 1.0 - products[:, drawn, view] / (energy + FLATTEST)
    return ops.stack([products[:, residual, residual] + GREY_LEVEL**2, ops.relu(unlike) + GREY_LEVEL], axis=1)


def _solve(system: Tensor) -> Tensor:
    """The x, [N, P, 1], of a linear `system`, [N, P, P + 1], by Gauss and Jordan: ONNX has no operator for it."""
    size = system.shape[1]
    for pivot in range(size):
        row = system[:, pivot : pivot + 1, :] / system[:, pivot : pivot + 1, pivot : pivot + 1]
        unit = np.eye(size, dtype=np.float32)[:, pivot].reshape(1, -1, 1)
        system = system - (system[:, :, pivot : pivot + 1] - unit) * row
    return system[:, :, size:]


def _blurred(picture: Tensor) -> Tensor:
    return _filtered(_filtered(picture, BLUR[:, None]), BLUR[None, :])


def _filtered(picture: Tensor, kernels: Floats, padding: str = "same") -> Tensor:
    """`picture`, float [N, H, W, C], under each of M `kernels`, [h, w] or [h, w, M]: float [N, H, W, C · M]."""
    each = np.repeat(kernels.reshape(*kernels.shape[:2], 1, -1), picture.shape[-1], axis=2)
    return ops.depthwise_conv(picture, each, padding=padding)


def describe(deviations: tuple[Tensor, ...], likeness: Tensor) -> Tensor:
    """What the SVM sees: float32 [N, F], each feature growing with the difference.

    `deviations`: the pyramid in tolerances, float [N, h, w, C] each, and last the causes', [N, 1, 1, P]. `likeness` of
    view and drawing, float [N, 2].
    Logarithms, so that a difference twice as loud is one step further wherever it starts. Brighter or darker makes no
    difference: from the defects of some parts, a head would learn which of the two to look for, and miss the others'.
    """
    *levels, causes = deviations
    loudness = []
    for level in levels:
        pixels = ops.reshape(level, (-1, int(np.prod(level.shape[1:]))))
        loud, _ = ops.top_k(ops.abs(pixels), max(1, int(LOUDEST * pixels.shape[1])))
        loudness += [ops.mean(ops.square(pixels), axis=1), ops.mean(loud, axis=1), loud[:, 0]]
    amounts = 1.0 + ops.abs(ops.reshape(causes, (-1, len(CAUSES))))
    return ops.log(ops.concatenate([ops.stack(loudness, axis=1) + 1e-6, likeness, amounts], axis=1))


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

    def deviations(self, levels: tuple[Tensor, ...], label: Tensor) -> tuple[Tensor, ...]:
        """The residual at every level, float [N, h, w, C] each, in tolerances."""
        return tuple(
            (level - ops.take(mean, label, axis=0)) / ops.take(spread, label, axis=0)
            for level, mean, spread in zip(levels, self.mean, self.spread, strict=True)
        )

    def standardise(self, features: Tensor, label: Tensor) -> Tensor:
        """Features, float [N, F], in units of the label's own good views. Grows without bound, but ever more slowly."""
        steps = (features - ops.take(self.centre, label, axis=0)) / ops.take(self.scale, label, axis=0)
        return ops.arcsinh(steps)

    def difference(self, view: Tensor, drawn: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The map, float32 [N, H, W] in tolerances at the finest scale, and the features, float32 [N, F]."""
        levels, likeness = compare(view, drawn)
        deviations = self.deviations(levels, label)
        features = self.standardise(describe(deviations, likeness), label)
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
    found = ([_Moments.of(np.asarray(level)) for level in compare(view[some], drawn[some])[0]] for some in pieces)
    levels = reduce(lambda a, b: [x.joined(y) for x, y in zip(a, b, strict=True)], found)
    features = []
    for some in pieces:
        residuals, likeness = compare(view[some], drawn[some])
        deviations = (level.tolerated(np.asarray(rest)) for level, rest in zip(levels, residuals, strict=True))
        features.append(np.asarray(describe(tuple(deviations), likeness), np.float32))
    return levels, np.concatenate(features)


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
