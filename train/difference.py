"""The difference: a view against its drawing, in tolerances of the expected part, and what the SVM sees of it.

An edge that always jitters must be quiet and a pinhole in a quiet place loud. So the residual (view minus drawing) is
blurred to several scales, and each pixel at each scale is measured against how that part's own good views differ
there: minus their mean, by their spread. The right scale is the defect's, so all are kept and the heads weigh them.

The tolerances are fitted on good views that the CVAE was not trained on. Those views are themselves measured against
the *other* good views only (leave one out, in closed form), or few views would look better than any view to come.
"""

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from keras import ops

from train.views import Labels, Mask

Tensor = Any
Floats = npt.NDArray[np.float32]

BLUR = np.array([1.0, 3.0, 3.0, 1.0], np.float32) / 8.0
"""The binomial kernel of a Gaussian pyramid (Burt and Adelson, 1983) whose pixels lie between two of the finer level's:
so each of those is in the midst of just one kernel, and the smallest defect is as loud wherever it lies."""

NEIGHBOURS = np.array([1.0, 4.0, 6.0, 4.0, 1.0], np.float32) / 16.0
"""How far one pixel's spread tells of the next one's."""

DETAILED = 96
"""Pixels: from this side on, a view is first compared at half its size: a defect of one pixel is noise there. A smaller
view is first compared pixel by pixel, since a defect may have no more than a few."""

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

LIGHT = ("offset", "light across", "light down")
PART = ("gain", "moved across", "moved down", "focus", "turned")
CAUSES = (*LIGHT, *PART)
"""What may differ between a view and its drawing without any fault of the part."""

FAINTEST = 0.1 * GREY_LEVEL
"""A cause that shows less than this in the drawing, as an edge that it has not, explains nothing; and a picture of no
more contrast is like no other."""

SLACK = 1e-6
"""Share of its own power that a cause is held to have alone: float32 cannot tell two apart that have more in common."""

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
    """How `view` and `drawn`, float [N, H, W, C], differ: the residual at scales, and how alike the two are.

    One view may be compared with N drawings. The residual is float [N, C, h, w], each scale half the last; what
    `explain` takes away is the last of them: float [N, len(CAUSES), 1, 1]. The likeness is `explain`'s.
    """
    channels = drawn.shape[-1]
    residual, amount, likeness = explain(_finest(view - drawn, drawn))
    levels = [residual]
    while min(levels[-1].shape[1:3]) >= 2 * SMALLEST_LEVEL:
        levels.append(_halved(levels[-1]))
    pictures = (ops.reshape(level, (-1, channels, *level.shape[1:3])) for level in levels)
    return (*pictures, ops.reshape(amount, (-1, len(CAUSES), 1, 1))), likeness


def explain(pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Take from the residual, view minus drawing, what light, focus and a small misplacement of the part explain of it.

    `pair` of residual and drawing: float [N, 2, C, h, w]. Returns what is left, float [N · C, h, w, 1]; how much of
    each of `CAUSES` was found, float [N, len(CAUSES)] in grey levels of 0..1, root mean square over the view; and the
    likeness, float [N, 2], which follows from the same sums: the mean squared error, and one minus Pearson's
    correlation of the two pictures, both blind to slopes of light and not below a grey level.

    Least squares against the drawing's own derivatives (Lucas and Kanade, IJCAI 1981, with gain, offset and slopes of
    light): eight numbers for a whole view cannot hide a defect, but a misplacement of half a pixel can.
    """
    channels, height, width = pair.shape[2:]
    pixels = channels * height * width
    both = ops.reshape(pair, (-1, 2, pixels))
    # The residual, and what each cause of PART would add to the drawing, a pixel.
    rows = ops.concatenate([both, *_changes(ops.reshape(both[:, 1:], (-1, height, width, 1)), channels)], axis=1)
    # The slopes of light are the same for every part and have nothing in common: no need to solve for them.
    light = _light(channels, height, width)
    lit = ops.matmul(rows, light.T[None] / np.float32(pixels))
    rows = rows - ops.matmul(lit, light[None])
    # The mean product of every two rows: all that the fit and the likeness need of the pixels.
    mean = (1.0 + SLACK * np.eye(1 + len(PART))) / pixels
    products = ops.matmul(rows, ops.transpose(rows, (0, 2, 1))) * mean.astype(np.float32)
    taken = _least(products)
    left = ops.reshape(ops.matmul(taken, rows), (-1, height, width, 1))
    power = ops.sqrt(ops.sum(products * np.eye(1 + len(PART), dtype=np.float32), axis=1, keepdims=True))
    amount = ops.concatenate([ops.matmul(taken, lit), (-taken * power)[:, :, 1:]], axis=2)
    return left, ops.reshape(amount, (-1, len(CAUSES))), _likeness(products)


def _rows(planes: Tensor, channels: int) -> Tensor:
    """`planes`, float [N · C, h, w, M], as M rows of all channels: float [N, M, C · h · w]."""
    height, width, each = planes.shape[1:]
    apart = ops.reshape(ops.transpose(planes, (0, 3, 1, 2)), (-1, channels, each, height * width))
    return ops.reshape(ops.transpose(apart, (0, 2, 1, 3)), (-1, each, channels * height * width))


def _changes(drawn: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """What a small step, a change of focus and a turn would add to `drawn`, float [N · C, h, w, 1]: rows as `PART`."""
    height, width = drawn.shape[1:3]
    mirrored = ops.pad(drawn, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    kernels = np.stack([ACROSS, ACROSS.T, CURVATURE], axis=2)[:, :, None, :]
    derivatives = _rows(ops.conv(mirrored, kernels, padding="valid"), channels)
    y, x = _slopes(channels, height, width)
    around = np.stack([-height * y, width * x, 0 * x]).astype(np.float32)
    return derivatives, ops.sum(derivatives * around, axis=1, keepdims=True)


def _light(channels: int, height: int, width: int) -> Floats:
    """What each cause of `LIGHT` adds a pixel, of mean square one: float32 [3, C · h · w]."""
    y, x = _slopes(channels, height, width)
    rows = np.stack([np.ones_like(x), x, y])
    return np.asarray(rows / np.sqrt((rows**2).mean(axis=1, keepdims=True)), np.float32)


def _slopes(channels: int, height: int, width: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """From -1 to 1 down and across every channel: [C · h · w] each."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.tile(y.reshape(-1), channels), np.tile(x.reshape(-1), channels)


def _least(products: Tensor) -> Tensor:
    """How much of every row leaves least of the first, of which one is taken: float [N, 1, P].

    `products` of every two rows, float [N, P, P]. Gauss eliminates all rows but the first, and does the same to a unit
    matrix beneath them, in whose first column the solution is then found: ONNX has no operator for it.
    """
    size = products.shape[1]
    unit = np.concatenate([FAINTEST**2 * np.eye(size), np.eye(size)]).astype(np.float32)
    system = ops.pad(products, [[0, 0], [0, size], [0, 0]]) + unit
    for pivot in range(1, size):
        row = system[:, pivot : pivot + 1, :]
        system = system - system[:, :, pivot : pivot + 1] * (row / row[:, :, pivot : pivot + 1])
    return ops.reshape(system[:, size:, :1], (-1, 1, size))


def _likeness(products: Tensor) -> Tensor:
    """As `explain` has it, from the mean products of its rows."""
    size = 1 + len(PART)
    picks = np.zeros((size, size, 4), np.float32)
    residual, gain = 0, 1 + PART.index("gain")
    picks[residual, residual] = (1, 0, 0, 1)
    picks[residual, gain] = (0, 0, 1, 2)
    picks[gain, gain] = (0, 1, 1, 1)
    found = ops.matmul(ops.reshape(products, (-1, size * size)), picks.reshape(size * size, 4))
    error, drawn, both, view = ops.split(found, 4, axis=1)
    unlike = 1.0 - both / ops.sqrt((drawn + FAINTEST**2) * (ops.relu(view) + FAINTEST**2))
    return ops.concatenate([error + GREY_LEVEL**2, ops.relu(unlike) + GREY_LEVEL], axis=1)


def _finest(residual: Tensor, drawn: Tensor) -> Tensor:
    """`residual` and `drawn`, float [N, H, W, C], where they are first compared: float [N, 2, C, h, w].

    As if beyond the edge nothing were known: black there would be an edge of its own to the drawing's derivatives.
    """
    height, width, channels = drawn.shape[1:]
    planes = ops.concatenate([ops.transpose(each, (0, 3, 1, 2)) for each in (residual, drawn)], axis=1)
    if min(height, width) < DETAILED:
        return ops.reshape(planes, (-1, 2, channels, height, width))
    halved = ops.transpose(_halved(ops.transpose(planes, (0, 2, 3, 1))), (0, 3, 1, 2))
    known = np.outer(_known(height), _known(width))
    return ops.reshape(halved * (1.0 / known), (-1, 2, channels, *known.shape))


def _halved(planes: Tensor) -> Tensor:
    """`planes`, float [B, H, W, M], blurred to half the size, rounded up."""
    each = np.outer(BLUR, BLUR)[:, :, None, None] * np.eye(planes.shape[3], dtype=np.float32)
    return ops.conv(planes, each, strides=2, padding="same")


def _known(side: int) -> Floats:
    """The weight that lies inside the picture, for each pixel of a `side` that is halved."""
    inside = np.pad(np.ones(side, np.float32), (1, 3))
    return np.array([BLUR @ inside[at : at + len(BLUR)] for at in range(0, side, 2)], np.float32)


def describe(loud: Tensor, pixels: tuple[int, ...], likeness: Tensor) -> Tensor:
    """What the SVM sees: float32 [N, F], each feature growing with the difference.

    `loud`: how far the residual is off, in tolerances, float [N, Q] not below 0, all `pixels` of a level after those of
    the level before; the last are the causes. `likeness` of view and drawing, float [N, 2].
    Logarithms, so that a difference twice as loud is one step further wherever it starts. Brighter or darker makes no
    difference: from the defects of some parts, a head would learn which of the two to look for, and miss the others'.
    """
    *levels, causes = ops.split(loud, np.cumsum(pixels)[:-1].tolist(), axis=1)
    tops = tuple(max(1, int(LOUDEST * count)) for count in pixels[:-1])
    loudest = ops.concatenate([ops.top_k(level, count)[0] for level, count in zip(levels, tops, strict=True)], axis=1)
    first = np.eye(sum(tops), dtype=np.float32)[:, np.cumsum((0, *tops[:-1]))]
    found = [
        ops.matmul(ops.square(loud), _means(pixels)[:, :-1]),
        ops.matmul(loudest, np.concatenate([_means(tops), first], axis=1)),
        likeness,
        causes,
    ]
    floor = np.repeat([1e-6, 0.0, 1.0], [3 * len(tops), 2, len(CAUSES)]).astype(np.float32)
    return ops.log(ops.concatenate(found, axis=1) + floor)


def _means(counts: tuple[int, ...]) -> Floats:
    """Takes the mean of the first of `counts` numbers, of the next, and so on: float32 [sum, len]."""
    return np.repeat(np.diag([1 / count for count in counts]), counts, axis=0).astype(np.float32)


@dataclass(frozen=True)
class Tolerances:
    """How the good views of each of K labels differ from their drawings.

    `mean`, `spread`: a level each, float32 [K, C, h, w], of the residual. `centre`, `scale`: float32 [K, F], of the
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

    def fits(self, labels: int, height: int, width: int, channels: int) -> bool:
        """Whether these are the tolerances of so many labels, of views of that size."""
        none = np.zeros((1, height, width, channels), np.float32)
        levels, _ = compare(none, none)
        sizes = [(labels, *level.shape[1:]) for level in levels]
        features = 3 * (len(levels) - 1) + 2 + len(CAUSES)
        kept = [[level.shape for level in each] for each in (self.mean, self.spread)]
        return kept == [sizes, sizes] and self.centre.shape == self.scale.shape == (labels, features)

    @property
    def pixels(self) -> tuple[int, ...]:
        """Numbers a level."""
        return tuple(int(np.prod(level.shape[1:])) for level in self.mean)

    @cached_property
    def _table(self) -> tuple[Floats, Floats]:
        """Mean, and one over the spread, of all levels: float32 [K, Q] each."""
        return _flat(self.mean), 1.0 / _flat(self.spread)

    def deviations(self, levels: tuple[Tensor, ...], label: Tensor) -> Tensor:
        """The residual in tolerances: float [N, Q], level after level."""
        mean, factor = self._table
        flat = [ops.reshape(level, (-1, count)) for level, count in zip(levels, self.pixels, strict=True)]
        return (ops.concatenate(flat, axis=1) - ops.take(mean, label, axis=0)) * ops.take(factor, label, axis=0)

    def standardise(self, features: Tensor, label: Tensor) -> Tensor:
        """Features, float [N, F], in units of the label's own good views. Grows without bound, but ever more slowly."""
        steps = (features - ops.take(self.centre, label, axis=0)) / ops.take(self.scale, label, axis=0)
        return ops.arcsinh(steps)

    def difference(self, view: Tensor, drawn: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The map, float32 [N, H, W, 1] in tolerances at the finest scale, and the features, float32 [N, F]."""
        levels, likeness = compare(view, drawn)
        loud = ops.abs(self.deviations(levels, label))
        features = self.standardise(describe(loud, self.pixels, likeness), label)
        channels, *size = levels[0].shape[1:]
        finest = ops.reshape(loud[:, : self.pixels[0]], (-1, channels, *size))
        finest = ops.max(finest, axis=1) if channels > 1 else finest
        return _shown(ops.reshape(finest, (-1, *size, 1)), view.shape[1:3]), features


def _flat(levels: tuple[Floats, ...]) -> Floats:
    return np.concatenate([level.reshape(len(level), -1) for level in levels], axis=1)


def _shown(found: Tensor, size: tuple[int, int]) -> Tensor:
    """What was `found` at the finest scale, float [N, h, w, 1], at the view's `size`: float [N, H, W, 1]."""
    height, width = found.shape[1:3]
    if (height, width) == size:
        return found
    across = ops.concatenate([ops.reshape(found, (-1, height * width, 1))] * 2, axis=2)
    down = ops.concatenate([ops.reshape(across, (-1, height, 1, 2 * width))] * 2, axis=2)
    doubled = ops.reshape(down, (-1, 2 * height, 2 * width, 1))
    return doubled if doubled.shape[1:3] == size else doubled[:, : size[0], : size[1], :]


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
        """The spread of pixels, [C, h, w]."""
        return np.asarray(_spread(self.variance[None], self.count)[0])

    def tolerated(self, rows: Floats) -> Floats:
        """Each of the `rows`, [n, C, h, w], in the tolerances of the others."""
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
        deviations = tuple(level.tolerated(np.asarray(rest)) for level, rest in zip(levels, residuals, strict=True))
        pixels = tuple(int(np.prod(level.shape[1:])) for level in deviations)
        features.append(np.asarray(describe(np.abs(_flat(deviations)), pixels, likeness), np.float32))
    return levels, np.concatenate(features)


def _scale(variance: Floats, views: int, overall: Floats) -> Floats:
    """A feature's scale, from its variance over `views` views of the label and its `overall` one over all labels."""
    return np.asarray(np.sqrt(_shrunk(variance, views, overall)) + SMALLEST_STEP, np.float32)


def _spread(variance: Floats, views: int) -> Floats:
    """The spread behind each of N variances, [N, C, h, w], of `views` views: a neighbour's counts, too."""
    if min(variance.shape[2:]) > 1:
        kernel = np.outer(NEIGHBOURS, NEIGHBOURS)[:, :, None, None]
        planes = ops.reshape(variance, (-1, *variance.shape[2:], 1))
        variance = np.asarray(ops.conv(planes, kernel, padding="same")).reshape(variance.shape)
    typical = np.exp(np.log(variance + GREY_LEVEL**2).mean(axis=(1, 2, 3), keepdims=True))
    return np.asarray(np.sqrt(_shrunk(variance, views, typical) + GREY_LEVEL**2), np.float32)


def _shrunk(variance: Floats, views: int, overall: Floats) -> Floats:
    """A variance from `views` views, drawn towards the `overall` one as if that were `PRIOR_VIEWS` more."""
    return np.asarray((views * variance + PRIOR_VIEWS * overall) / (views + PRIOR_VIEWS), np.float32)
