"""What the heads are taught, and where their thresholds come from.

Good views, defective ones, made-up ones and good views under a wrong label become features, each measured by
tolerances that do not know it; the heads learn from all of them. Thresholds and what can be promised of them are taken
only from views that the CVAE never saw, by heads that were not taught them.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops
from sklearn.calibration import CalibratedClassifierCV

from edge_runtime.picture import Image
from edge_runtime.verdict import Thresholds
from train.cvae import ConditionalVAE
from train.decision import Decision, with_latent
from train.difference import Tolerances, at_once
from train.heads import Head, threshold
from train.promise import Promise, Rate, Wish
from train.shortlist import Shortlist
from train.synthetic import spoil, strange
from train.tiles import Sight
from train.views import Labels, Mask, Views

Floats = npt.NDArray[np.float32]

FEWEST_DEFECTS = 20
"""Fewer defective training views of a part than this are joined by made-up ones."""
MADE_UP_FOLDS = 5
MADE_UP = 60
"""How many made-up ones: one for each view kept from the CVAE, or this many where fewer are kept."""
FEWEST_STRANGE = 30
"""Views of no part at all that the defect head is taught, at least; else a fifth of its defects."""
FAR = 1.0
"""How much louder than every good view, in steps of all features' mean, a view is surely not good."""
MOST_GOOD = 5000
MOST_BAD = 5000
"""Rows of good views, of defects and of wrong-label questions, at most: an SVM's time and memory go by the square."""
FEWEST_KEPT = 3
"""Views a label keeps from the CVAE at least: below, no spread can be told."""


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
    sight: Sight

    def loudest(self, views: Views, expected: Labels) -> Floats:
        """Features of the loudest tile of each of `views`, as given, when `expected` is asked: float32 [N, F]."""
        found = self(self.sight.views(views, expected))
        loudness = found[:, : self.tolerances.centre.shape[1]].mean(axis=1).reshape(-1, self.sight.tiles.count)
        return np.asarray(found[np.arange(len(views)) * self.sight.tiles.count + loudness.argmax(axis=1)])

    def __call__(self, views: Views) -> Floats:
        """Features of tiles under their labels, float32 [N, F]."""
        found = [np.zeros((0, self.tolerances.centre.shape[1] + self.cvae.latent), np.float32)]
        step = at_once(views.images)
        for at in range(0, len(views), step):
            some, of = views.images[at : at + step], views.label[at : at + step]
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
    wrong label, the loudest tile of each: the others may look alike on both parts.
    """

    right: Lesson
    kept: Mask
    defects: Lesson
    made_up: Lesson
    strange: Lesson
    wrong: Lesson


def teach(
    cvae: ConditionalVAE, given: Views, kept: Mask, defective: Views, wish: Wish, seed: int, sight: Sight
) -> Taught:
    """Fit tolerances, heads and thresholds.

    `given`: good views, and `defective` ones, as they came. `kept`, bool [N]: the good ones that the CVAE was not
    fitted on.
    """
    tiles = sight.tiles
    good, kept_tiles = sight.views(given), np.repeat(kept, tiles.count)
    drawn = draw(cvae, good.images, good.label)
    tolerances, own = Tolerances.fit(floats(good.images), drawn, good.label, cvae.labels, kept_tiles)
    lessons = _lessons(Measure(cvae, tolerances, sight), given, kept, defective, good, drawn, own, seed)

    classifiers, mismatch, mismatch_from, wrong_part = {}, None, None, None
    alarm = np.zeros(int(lessons.kept.sum()), np.bool_)
    if len(lessons.wrong.rows):
        # A defective view of the right part is no wrong part: the mismatch head learns that from those there are.
        fits = (lessons.right, lessons.defects, lessons.made_up)
        mismatch, classifiers["mismatch_score"], (right, *_, wrong) = _fit(fits, (lessons.wrong,), seed)
        asked = lessons.kept[lessons.wrong.view]
        honest, wrong, of = np.asarray(tiles.worst(right))[lessons.kept], wrong[asked], lessons.wrong.view[asked]
        mismatch_from = _limit(honest, (wrong,), wish, share=0.5)
        alarm = honest >= mismatch_from
        # Questions about one view are no independent views: it counts once.
        wrong_part = Rate.of(np.array([(wrong[of == view] < mismatch_from).any() for view in np.unique(of)]))
    not_good = (lessons.defects, lessons.made_up, lessons.strange)
    defect, classifiers["defect_score"], (right, real, made_up, _) = _fit((lessons.right,), not_good, seed)
    honest = np.asarray(tiles.worst(right))[lessons.kept]
    defect_from = _limit(honest, (real, made_up), wish, share=1.0, spent=int(alarm.sum()))
    escaped = (real if len(real) else made_up) < defect_from
    promise = Promise(
        Rate.of(alarm | (honest >= defect_from), thresholds=2 if mismatch else 1),
        Rate.of(escaped),
        wrong_part,
        real=len(real) > 0,
    )
    far = float(own[kept_tiles].mean(axis=1).max()) + FAR
    shortlist = Shortlist.fit(given, cvae.labels // tiles.count, seed)
    decision = Decision(cvae, tolerances, defect, mismatch, far, shortlist, tiles)
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
) -> Lessons:
    """`good`: the tiles of the `given` views, with their drawings and their own features. The rest as in `teach`."""
    rng = np.random.default_rng(seed)
    tiles = measure.sight.tiles.count
    chosen = _first(given.label, kept, MOST_GOOD // tiles, rng)
    rows = (chosen[:, None] * tiles + np.arange(tiles)).reshape(-1)
    given, kept, good, drawn = given[chosen], kept[chosen], good[rows], drawn[rows]
    kept_rows = np.flatnonzero(np.repeat(kept, tiles))
    right = Lesson(with_latents(measure.cvae, own[rows], good.images), np.arange(len(rows)) // tiles)

    some = rng.permutation(len(defective))[:MOST_BAD]
    defects = Lesson(measure.loudest(defective[some], defective.label[some]), len(given) + np.arange(len(some)))
    made_up = Lesson(defects.rows[:0], defects.view[:0])
    few = lacking(defective.label, measure.cvae.labels // tiles)
    if few.any():
        features, base = _made_up(measure.cvae, good, drawn, kept_rows, few[good.label // tiles], rng)
        made_up = Lesson(features, base // tiles)
    odd = rng.choice(kept_rows, size=max(FEWEST_STRANGE, (len(defects.rows) + len(made_up.rows)) // 5))
    odd_views = replace(good[odd], images=np.stack([strange(view, rng) for view in good.images[odd]]))

    asked, wrong_label = _wrong_questions(given.label, measure.cvae.labels // tiles, rng)
    wrong = Lesson(measure.loudest(given[asked], wrong_label), asked)
    return Lessons(right, kept, defects, made_up, Lesson(measure(odd_views), odd // tiles), wrong)


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


def _limit(good: Floats, bad: tuple[Floats, ...], wish: Wish, *, share: float, spent: int = 0) -> float:
    """A head's threshold, by kinds of `bad` scores of which the first counts most; some may be empty.

    `share`: how much of the allowed false alarms it may use, beside those `spent` already.
    """
    kinds = [scores for scores in bad if len(scores)]
    if wish.max_escape is not None:  # the same rule seen from the other side
        # Made-up defects, some of which nobody could see, only where there is no real one.
        return 1.0 - threshold(1.0 - kinds[0], 1.0 - good, int(wish.max_escape * len(kinds[0])))
    allowed = max(0, int(share * int(wish.max_false_alarm * len(good))) - spent)
    return min(threshold(good, scores, allowed) for scores in kinds)


def _made_up(
    cvae: ConditionalVAE, good: Views, drawn: Floats, kept: Labels, wanted: Mask, rng: np.random.Generator
) -> tuple[Floats, Labels]:
    """Features of made-up defects, float32 [M, F], each measured by tolerances fitted without the view it is made of.

    Also returns which of the `good` views that was, int64 [M]: `wanted` ones, bool [N], among those at `kept`.

    Measured by tolerances that know that view, a defect would look better than a good view that they do not know.
    """
    folds = min(MADE_UP_FOLDS, int(np.bincount(good.label[kept]).min()))
    fold = np.full(len(good), -1)
    for k in range(cvae.labels):
        of_label = kept[good.label[kept] == k]
        fold[of_label] = np.arange(len(of_label)) % folds
    some = kept[wanted[kept]]
    base = some[np.arange(max(len(some), MADE_UP)) % len(some)]
    images, label = np.stack([spoil(good.images[row], rng) for row in base]), good.label[base]
    spoilt = draw(cvae, images, label)
    found = np.zeros((0, 0), np.float32)
    for held in range(folds):
        others, these = fold != held, fold[base] == held
        tolerances, _ = Tolerances.fit(
            floats(good.images[others]), drawn[others], good.label[others], cvae.labels, fold[others] >= 0
        )
        features = np.asarray(tolerances.difference(floats(images[these]), spoilt[these], label[these])[1])
        found = found if found.size else np.zeros((len(base), features.shape[1]), np.float32)
        found[these] = features
    return with_latents(cvae, found, images), base


def lacking(defects: Labels, labels: int) -> Mask:
    """Which of the `labels` have too few defects of their own, bool [labels]; `defects`: the label of each.

    Were only some parts taught defects, the heads would learn that of the others nothing is one: the latent says where
    and in which light a part lies, and so also which.
    """
    return np.bincount(defects, minlength=labels) < FEWEST_DEFECTS


def _first(label: Labels, kept: Mask, most: int, rng: np.random.Generator) -> Labels:
    """Indices of at most about `most` views, in order: of each label alike, and its `kept` ones first.

    At least three kept ones of each label, since no spread can be told from fewer.
    """
    place = np.zeros(len(label), np.int64)
    for k in np.unique(label):
        own = np.flatnonzero(label == k)
        turn = rng.permutation(own)
        place[turn[np.argsort(~kept[turn], kind="stable")]] = np.arange(len(own))
    order = np.lexsort((place, ~kept))
    return np.sort(order[: max(most, int((kept & (place < FEWEST_KEPT)).sum()))])


def _wrong_questions(label: Labels, count: int, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Which view to ask about, and under which wrong label: all of them, or `MOST_BAD` at random."""
    rows = np.repeat(np.arange(len(label)), count - 1)
    wrong = (label[rows] + np.tile(np.arange(1, count), len(label))) % count
    if len(rows) > MOST_BAD:
        chosen = rng.choice(len(rows), MOST_BAD, replace=False)
        rows, wrong = rows[chosen], wrong[chosen]
    return rows, wrong


def draw(cvae: ConditionalVAE, images: Image, label: Labels) -> Floats:
    """The drawings of `images` (uint8 [N, H, W, C]) under `label`, float32 [N, H, W, C], some at a time."""
    found, step = np.zeros(images.shape, np.float32), at_once(images)
    for at in range(0, len(images), step):
        some = slice(at, at + step)
        found[some] = ops.convert_to_numpy(cvae.reconstruct(floats(images[some]), label[some]))
    return found


def with_latents(cvae: ConditionalVAE, difference: Any, images: Image) -> Floats:
    """Features of the difference, float [N, F], joined by the latents of `images`, as the heads see them."""
    latents, step = np.zeros((len(images), cvae.latent), np.float32), at_once(images)
    for at in range(0, len(images), step):
        some = slice(at, at + step)
        latents[some] = ops.convert_to_numpy(cvae.encode(floats(images[some]))[0])
    return np.asarray(with_latent(difference, latents), np.float32)


def floats(images: Image) -> Floats:
    """Views as the model takes them: float32 [N, H, W, C] in 0..1."""
    return images.astype(np.float32) / 255.0
