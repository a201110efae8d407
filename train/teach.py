"""What the heads are taught, and where their thresholds come from.

Good views, defective ones, made-up ones and good views under a wrong label become features, each measured by
tolerances that do not know it; the heads learn from all of them. Thresholds and what can be promised of them are taken
only from views that the CVAE never saw, by heads that were not taught them.
"""

import math
from dataclasses import dataclass
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


def teach(
    cvae: ConditionalVAE,
    given: Views,
    kept: Mask,
    defective: Views,
    wish: Wish,
    seed: int,
    alignment: Alignment | None,
) -> Taught:
    """Fit tolerances, heads and thresholds.

    `given`: good views, and `defective` ones, as they came. `kept`, bool [N]: the good ones that the CVAE was not
    fitted on.
    """
    rng = np.random.default_rng(seed)
    good, defective = aligned(given, given.label, alignment), aligned(defective, defective.label, alignment)
    drawn = draw(cvae, good.images, good.label)
    tolerances, own = Tolerances.fit(floats(good.images), drawn, good.label, cvae.labels, kept)
    loudness = own[kept].mean(axis=1)
    chosen = _first(np.flatnonzero(kept), np.flatnonzero(~kept), MOST_GOOD, rng)
    given, good, kept = given[chosen], good[chosen], kept[chosen]
    right = with_latents(cvae, own[chosen], good.images)

    def features(images: Image, label: Labels) -> Floats:
        found = [np.zeros((0, right.shape[1]), np.float32)]
        for at in range(0, len(images), CHUNK):
            some, of = images[at : at + CHUNK], label[at : at + CHUNK]
            difference = tolerances.difference(floats(some), draw(cvae, some, of), of)[1]
            found.append(with_latents(cvae, difference, some))
        return np.concatenate(found)

    # Which view each row of features was made of: rows of one view stay together when heads are fitted crosswise.
    good_of, spoilt_of = np.arange(len(good)), len(good) + np.arange(len(defective))
    spoilt = features(defective.images, defective.label)
    if len(defective) < FEWEST_DEFECTS:
        made_up, made_of = _made_up(cvae, good, drawn[chosen], kept, rng)
        spoilt, spoilt_of = np.concatenate([spoilt, made_up]), np.concatenate([spoilt_of, made_of])
    odd = rng.choice(np.flatnonzero(kept), size=max(FEWEST_STRANGE, len(spoilt) // 5))
    odd_images = np.stack([strange(view, rng) for view in good.images[odd]])
    not_good = np.concatenate([spoilt, features(odd_images, good.label[odd])])

    classifiers, mismatch, mismatch_from, wrong_part = {}, None, None, None
    alarm = np.zeros(int(kept.sum()), np.bool_)
    if cvae.labels > 1:
        rows, wrong_label = _wrong_questions(good.label, cvae.labels, rng)
        shown = aligned(given[rows], wrong_label, alignment)  # as the line will: onto the label that is expected
        # A defective view of the right part is no wrong part: the mismatch head learns that from those there are.
        fits = np.concatenate([right, spoilt])
        mismatch, classifiers["mismatch_score"], scores = Head.fit(
            *_task(fits, features(shown.images, wrong_label)),
            np.concatenate([good_of, spoilt_of, rows]),
            seed,
        )
        asked = scores[len(fits) :][kept[rows]]
        mismatch_from = _limit(scores[: len(good)][kept], asked, wish, share=0.5)
        alarm = scores[: len(good)][kept] >= mismatch_from
        wrong_part = Rate.of(asked < mismatch_from)
    defect, classifiers["defect_score"], scores = Head.fit(
        *_task(right, not_good), np.concatenate([good_of, spoilt_of, odd]), seed
    )
    honest = scores[: len(good)][kept]
    bad = scores[len(good) :]
    defect_from = _limit(honest, bad, wish, share=1.0, spent=int(alarm.sum()))
    real = len(defective) > 0
    asked = bad[: len(defective)] if real else bad[: len(spoilt)]
    promise = Promise(Rate.of(alarm | (honest >= defect_from)), Rate.of(asked < defect_from), wrong_part, real)
    decision = Decision(cvae, tolerances, defect, mismatch, far=float(loudness.max()) + FAR)
    return Taught(decision, Thresholds(defect=defect_from, mismatch=mismatch_from), promise, classifiers)


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
                f"not enough views to promise {asked:.2g} {words}: {rate.count} of {rate.total} went wrong while "
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
    cvae: ConditionalVAE, good: Views, drawn: Floats, kept: Mask, rng: np.random.Generator
) -> tuple[Floats, Labels]:
    """Features of made-up defects, float32 [M, F], each measured by tolerances fitted without the view it is made of.

    Also returns which of the `good` views that was, int64 [M]; only `kept` ones are.

    Measured by tolerances that know that view, a defect would look better than a good view that they do not know.
    """
    rows = np.flatnonzero(kept)
    folds = min(MADE_UP_FOLDS, int(np.bincount(good.label[rows]).min()))
    fold = np.full(len(good), -1)
    for k in range(cvae.labels):
        of_label = rows[good.label[rows] == k]
        fold[of_label] = np.arange(len(of_label)) % folds
    base = rows[np.arange(max(len(rows), MADE_UP)) % len(rows)]
    images, label = np.stack([spoil(good.images[row], rng) for row in base]), good.label[base]
    spoilt = draw(cvae, images, label)
    found = np.zeros((0, 0), np.float32)
    for held in range(folds):
        others, these = fold != held, fold[base] == held
        tolerances, _ = Tolerances.fit(
            floats(good.images[others]), drawn[others], good.label[others], cvae.labels, kept[others]
        )
        some = np.asarray(tolerances.difference(floats(images[these]), spoilt[these], label[these])[1])
        found = found if found.size else np.zeros((len(base), some.shape[1]), np.float32)
        found[these] = some
    return with_latents(cvae, found, images), base


def _first(these: Labels, then: Labels, most: int, rng: np.random.Generator) -> Labels:
    """Indices, in order: `these`, then as many of the others as may be; at random where not all may."""
    return np.sort(np.concatenate([rng.permutation(these), rng.permutation(then)])[:most])


def _wrong_questions(label: Labels, count: int, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Which view to ask about, and under which wrong label: all of them, or `MOST_WRONG` at random."""
    rows = np.repeat(np.arange(len(label)), count - 1)
    wrong = (label[rows] + np.tile(np.arange(1, count), len(label))) % count
    if len(rows) > MOST_WRONG:
        chosen = rng.choice(len(rows), MOST_WRONG, replace=False)
        rows, wrong = rows[chosen], wrong[chosen]
    return rows, wrong


def _task(negative: Floats, positive: Floats) -> tuple[Floats, Mask]:
    which = np.repeat([False, True], [len(negative), len(positive)])
    return np.concatenate([negative, positive]), which


def draw(cvae: ConditionalVAE, images: Image, label: Labels) -> Floats:
    """The drawings of `images` (uint8 [N, H, W, C]) under `label`, float32 [N, H, W, C], `CHUNK` at a time."""
    parts = [
        ops.convert_to_numpy(cvae.reconstruct(floats(images[at : at + CHUNK]), label[at : at + CHUNK]))
        for at in range(0, len(images), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, cvae.height, cvae.width, cvae.channels), np.float32)


def with_latents(cvae: ConditionalVAE, difference: Any, images: Image) -> Floats:
    """Features of the difference, float [N, F], joined by the latents of `images`, as the heads see them."""
    parts = [
        ops.convert_to_numpy(cvae.encode(floats(images[at : at + CHUNK]))[0]) for at in range(0, len(images), CHUNK)
    ]
    return np.asarray(with_latent(difference, np.concatenate(parts)), np.float32)


def floats(images: Image) -> Floats:
    """Views as the model takes them: float32 [N, H, W, C] in 0..1."""
    return images.astype(np.float32) / 255.0
