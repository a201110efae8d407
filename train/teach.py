"""What the heads are taught, and where their thresholds come from.

Good views, defective ones, made-up ones and good views under a wrong label become features, each measured by
tolerances that do not know it; the heads learn from all of them. Thresholds and what can be promised of them are taken
only from views that the CVAE never saw, by heads that were not taught them.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.stats import binomtest
from sklearn.calibration import CalibratedClassifierCV

from edge_runtime.alignment import Alignment
from edge_runtime.picture import Image
from edge_runtime.verdict import Thresholds
from train.cvae import ConditionalVAE
from train.decision import CHUNK, Decision, with_latent
from train.difference import Tolerances
from train.heads import Head, threshold
from train.synthetic import spoil, strange
from train.tiles import Tiles
from train.views import Labels, Mask, Views, aligned

Floats = npt.NDArray[np.float32]

FEWEST_DEFECTS = 20
"""Fewer defective training views than this are joined by made-up ones."""
MADE_UP_FOLDS = 5
MADE_UP = 60
"""How many made-up ones: one for each view kept from the CVAE, or this many where fewer are kept."""
FEWEST_STRANGE = 30
"""Views of no part at all that the defect head is taught, at least; else a fifth of its defects."""
FAR = 1.0
"""How much louder than every good view, in steps of all features' mean, a view is surely not good."""
MOST_GOOD = 5000
MOST_WRONG = 5000
"""Good views and wrong-label questions the heads learn from, at most: an SVM's time and memory go by the square."""


@dataclass(frozen=True)
class Wish:
    """What the engineer states: the share of good views that may be called NG, or of bad ones that may be called OK.

    `max_escape` counts where it is given, and then `max_false_alarm` says nothing.
    """

    max_false_alarm: float
    max_escape: float | None


@dataclass(frozen=True)
class Rate:
    """`count` of `total` views that set the thresholds went wrong, and the exact 95 % interval of the rate behind it.

    (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934.)
    """

    count: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, wrong: Mask) -> "Rate":
        """From one flag a view; at least one."""
        interval = binomtest(int(wrong.sum()), len(wrong)).proportion_ci(0.95, "exact")
        return cls(int(wrong.sum()), len(wrong), float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Promise:
    """What the thresholds promise of views to come. A rate that no view can tell is None.

    `real`: whether `defect_escape` was counted on real defects, not on made-up ones.
    """

    false_alarm: Rate
    defect_escape: Rate
    wrong_part_escape: Rate | None
    real: bool


@dataclass(frozen=True)
class Taught:
    """What `teach` returns. `classifiers`: scikit-learn's own, by score, to check the heads by."""

    decision: Decision
    thresholds: Thresholds
    promise: Promise
    classifiers: dict[str, CalibratedClassifierCV]


@dataclass(frozen=True)
class Measure:
    """From views to what the heads see."""

    cvae: ConditionalVAE
    tolerances: Tolerances

    def __call__(self, views: Views) -> Floats:
        """Features of `views` under their labels, float32 [N, F]."""
        found = [np.zeros((0, self.tolerances.centre.shape[1] + self.cvae.latent), np.float32)]
        for at in range(0, len(views), CHUNK):
            some, of = views.images[at : at + CHUNK], views.label[at : at + CHUNK]
            difference = self.tolerances.difference(floats(some), draw(self.cvae, some, of), of)[1]
            found.append(with_latents(self.cvae, difference, some))
        return np.concatenate(found)


@dataclass(frozen=True)
class Lesson:
    """Rows of features, float32 [N, F], and the view that each was made of, int64 [N].

    Rows of one view stay together when heads are fitted crosswise.
    """

    rows: Floats
    view: Labels


@dataclass(frozen=True)
class Lessons:
    """All that the heads are taught; a row a tile.

    `right`: good views, T rows each; `kept`: of each view, whether the CVAE never saw it. `defects`: real defects, the
    loudest tile of each; `made_up` ones, where those are few. `strange`: no part at all. `wrong`: good views under a
    wrong label, T rows each.
    """

    right: Lesson
    kept: Mask
    defects: Lesson
    made_up: Lesson
    strange: Lesson
    wrong: Lesson


def teach(
    cvae: ConditionalVAE,
    given: Views,
    kept: Mask,
    defective: Views,
    wish: Wish,
    seed: int,
    alignment: Alignment | None,
    tiles: Tiles,
) -> Taught:
    """Fit tolerances, heads and thresholds.

    `given`: good views, and `defective` ones, as they came. `kept`, bool [N]: the good ones that the CVAE was not
    fitted on.
    """
    good, kept_tiles = tiles.views(aligned(given, given.label, alignment)), np.repeat(kept, tiles.count)
    drawn = draw(cvae, good.images, good.label)
    tolerances, own = Tolerances.fit(floats(good.images), drawn, good.label, cvae.labels, kept_tiles)
    lessons = _lessons(Measure(cvae, tolerances), given, kept, defective, good, drawn, own, seed, alignment, tiles)

    classifiers, mismatch, mismatch_from, wrong_part = {}, None, None, None
    alarm = np.zeros(int(lessons.kept.sum()), np.bool_)
    if len(lessons.wrong.rows):
        # A defective view of the right part is no wrong part: the mismatch head learns that from those there are.
        fits = (lessons.right, lessons.defects, lessons.made_up)
        mismatch, classifiers["mismatch_score"], (right, *_, wrong) = _fit(fits, (lessons.wrong,), seed)
        asked = np.asarray(tiles.worst(wrong))[lessons.kept[lessons.wrong.view[:: tiles.count]]]
        honest = np.asarray(tiles.worst(right))[lessons.kept]
        mismatch_from = _limit(honest, asked, wish, share=0.5)
        alarm, wrong_part = honest >= mismatch_from, Rate.of(asked < mismatch_from)
    not_good = (lessons.defects, lessons.made_up, lessons.strange)
    defect, classifiers["defect_score"], (right, *bad) = _fit((lessons.right,), not_good, seed)
    honest = np.asarray(tiles.worst(right))[lessons.kept]
    defect_from = _limit(honest, np.concatenate(bad), wish, share=1.0, spent=int(alarm.sum()))
    real = len(defective) > 0
    escaped = (bad[0] if real else bad[1]) < defect_from
    promise = Promise(Rate.of(alarm | (honest >= defect_from)), Rate.of(escaped), wrong_part, real)
    far = float(own[kept_tiles].mean(axis=1).max()) + FAR
    decision = Decision(cvae, tolerances, defect, mismatch, far, tiles)
    return Taught(decision, Thresholds(defect=defect_from, mismatch=mismatch_from), promise, classifiers)


def _lessons(
    measure: Measure,
    given: Views,
    kept: Mask,
    defective: Views,
    good: Views,
    drawn: Floats,
    own: Floats,
    seed: int,
    alignment: Alignment | None,
    tiles: Tiles,
) -> Lessons:
    """`good`: the tiles of the `given` views, with their drawings and their own features. The rest as in `teach`."""
    rng = np.random.default_rng(seed)
    chosen = _first(np.flatnonzero(kept), np.flatnonzero(~kept), MOST_GOOD // tiles.count, rng)
    rows = (chosen[:, None] * tiles.count + np.arange(tiles.count)).reshape(-1)
    given, kept, good, drawn = given[chosen], kept[chosen], good[rows], drawn[rows]
    kept_rows = np.flatnonzero(np.repeat(kept, tiles.count))
    right = Lesson(with_latents(measure.cvae, own[rows], good.images), np.arange(len(rows)) // tiles.count)

    found = measure(tiles.views(aligned(defective, defective.label, alignment)))
    loudness = found[:, : own.shape[1]].mean(axis=1).reshape(-1, tiles.count)
    loudest = np.arange(len(defective)) * tiles.count + loudness.argmax(axis=1) if len(defective) else []
    defects = Lesson(found[np.asarray(loudest, np.int64)], len(given) + np.arange(len(defective)))
    made_up = Lesson(found[:0], right.view[:0])
    if len(defective) < FEWEST_DEFECTS:
        features, base = _made_up(measure.cvae, good, drawn, kept_rows, rng)
        made_up = Lesson(features, base // tiles.count)
    odd = rng.choice(kept_rows, size=max(FEWEST_STRANGE, (len(defects.rows) + len(made_up.rows)) // 5))
    odd_views = replace(good[odd], images=np.stack([strange(view, rng) for view in good.images[odd]]))

    labels = measure.cvae.labels // tiles.count
    asked, wrong_label = _wrong_questions(given.label, labels, MOST_WRONG // tiles.count, rng)
    shown = aligned(given[asked], wrong_label, alignment)  # as the line will: onto the label that is expected
    wrong = Lesson(measure(tiles.views(shown, wrong_label)), np.repeat(asked, tiles.count))
    return Lessons(right, kept, defects, made_up, Lesson(measure(odd_views), odd // tiles.count), wrong)


def _fit(
    negative: tuple[Lesson, ...], positive: tuple[Lesson, ...], seed: int
) -> tuple[Head, CalibratedClassifierCV, list[Floats]]:
    """A head that tells `positive` from `negative`, scikit-learn's own, and each lesson's honest scores."""
    lessons = (*negative, *positive)
    ends = np.cumsum([len(lesson.rows) for lesson in lessons])
    looked_for = np.arange(ends[-1]) >= ends[len(negative) - 1]
    features, view = (
        np.concatenate(parts) for parts in zip(*((each.rows, each.view) for each in lessons), strict=True)
    )
    head, classifier, scores = Head.fit(features, looked_for, view, seed)
    return head, classifier, np.split(scores, ends[:-1])


def remarks(promise: Promise, wish: Wish, share_kept: float) -> list[str]:
    """What the engineer should know of a promise before trusting it. `share_kept`: of the good views."""
    found = []
    asked = wish.max_false_alarm if wish.max_escape is None else wish.max_escape
    if wish.max_escape is None:
        rates, what = [(promise.false_alarm, "false alarms", "good")], "good"
    else:
        rates = [(promise.defect_escape, "escapes of defects", "defective")]
        rates += [(promise.wrong_part_escape, "escapes of wrong parts", "good")] if promise.wrong_part_escape else []
    for rate, words, what in rates:
        if rate.high > asked:
            needed = math.ceil(math.log(0.025) / math.log(1.0 - asked) / (share_kept if what == "good" else 1.0))
            found.append(
                f"not enough views to promise {100 * asked:g} % {words}: {rate.count} of {rate.total} went wrong while "
                f"thresholds were set, so at worst {rate.high:.1%} (95 % sure); about {needed} {what} views could "
                "promise it"
            )
    if wish.max_escape is not None and not promise.real:
        found.append("escapes were counted on made-up defects: how real ones escape is not known")
    return found


def _limit(good: Floats, bad: Floats, wish: Wish, *, share: float, spent: int = 0) -> float:
    """A head's threshold. `share`: how much of the allowed false alarms it may use, beside those `spent` already."""
    if wish.max_escape is not None:  # the same rule seen from the other side
        return 1.0 - threshold(1.0 - bad, 1.0 - good, int(wish.max_escape * len(bad)))
    return threshold(good, bad, max(0, int(share * int(wish.max_false_alarm * len(good))) - spent))


def _made_up(
    cvae: ConditionalVAE, good: Views, drawn: Floats, kept: Labels, rng: np.random.Generator
) -> tuple[Floats, Labels]:
    """Features of made-up defects, float32 [M, F], each measured by tolerances fitted without the view it is made of.

    Also returns which of the `good` views that was, int64 [M]; only those at `kept` are.

    Measured by tolerances that know that view, a defect would look better than a good view that they do not know.
    """
    folds = min(MADE_UP_FOLDS, int(np.bincount(good.label[kept]).min()))
    fold = np.full(len(good), -1)
    for k in range(cvae.labels):
        of_label = kept[good.label[kept] == k]
        fold[of_label] = np.arange(len(of_label)) % folds
    base = kept[np.arange(max(len(kept), MADE_UP)) % len(kept)]
    images, label = np.stack([spoil(good.images[row], rng) for row in base]), good.label[base]
    spoilt = draw(cvae, images, label)
    found = np.zeros((0, 0), np.float32)
    for held in range(folds):
        others, these = fold != held, fold[base] == held
        tolerances, _ = Tolerances.fit(
            floats(good.images[others]), drawn[others], good.label[others], cvae.labels, fold[others] >= 0
        )
        some = np.asarray(tolerances.difference(floats(images[these]), spoilt[these], label[these])[1])
        found = found if found.size else np.zeros((len(base), some.shape[1]), np.float32)
        found[these] = some
    return with_latents(cvae, found, images), base


def _first(these: Labels, then: Labels, most: int, rng: np.random.Generator) -> Labels:
    """Indices, in order: `these`, then as many of the others as may be; at random where not all may."""
    return np.sort(np.concatenate([rng.permutation(these), rng.permutation(then)])[:most])


def _wrong_questions(label: Labels, count: int, most: int, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Which view to ask about, and under which wrong label: all of them, or `most` at random."""
    rows = np.repeat(np.arange(len(label)), count - 1)
    wrong = (label[rows] + np.tile(np.arange(1, count), len(label))) % count
    if len(rows) > most:
        chosen = rng.choice(len(rows), most, replace=False)
        rows, wrong = rows[chosen], wrong[chosen]
    return rows, wrong


def draw(cvae: ConditionalVAE, images: Image, label: Labels) -> Floats:
    """The drawings of `images` (uint8 [N, H, W, C]) under `label`, float32 [N, H, W, C], `CHUNK` at a time."""
    parts = [
        ops.convert_to_numpy(cvae.reconstruct(floats(images[at : at + CHUNK]), label[at : at + CHUNK]))
        for at in range(0, len(images), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, cvae.height, cvae.width, cvae.channels), np.float32)


def with_latents(cvae: ConditionalVAE, difference: Any, images: Image) -> Floats:
    """Features of the difference, float [N, F], joined by the latents of `images`, as the heads see them."""
    latents = [
        ops.convert_to_numpy(cvae.encode(floats(images[at : at + CHUNK]))[0]) for at in range(0, len(images), CHUNK)
    ]
    return np.asarray(with_latent(difference, np.concatenate(latents)), np.float32)


def floats(images: Image) -> Floats:
    """Views as the model takes them: float32 [N, H, W, C] in 0..1."""
    return images.astype(np.float32) / 255.0
