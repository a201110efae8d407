"""From a data set to a decision: the trainer's way through the code, in one place.

good views ─┬─ most ──► CVAE
            └─ rest ──► tolerances ──► features ─┐
defective views, wrong labels ─────► features ───┴─► heads ─► thresholds
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from sklearn.calibration import CalibratedClassifierCV

from edge_runtime.quality import Usual
from edge_runtime.verdict import Thresholds
from train.cvae import ConditionalVAE
from train.decision import CHUNK, Decision
from train.difference import Tolerances
from train.heads import Head, threshold
from train.synthetic import spoil, strange
from train.views import DataSet, Labels, Views, strata_choice

Floats = npt.NDArray[np.float32]

TOLERANCE_SHARE = 0.35
"""Share of the good training views that the CVAE does not see, for tolerances, heads and thresholds."""
FEWEST_KEPT = 3
"""Views a label keeps from the CVAE at least: below, no spread can be told."""
FEWEST_DEFECTS = 20
"""Fewer defective training views than this are joined by made-up ones."""
MADE_UP_FOLDS = 5
FEWEST_STRANGE = 30
"""Views of no part at all that the defect head is taught, at least; else a fifth of its defects."""
MADE_UP = 60
"""How many made-up ones: one for each good view, or this many where there are fewer good views."""
FAR = 1.0
"""How much louder than every good view, in steps of all features' mean, a view is surely not good."""
MOST_WRONG = 8000
"""Wrong-label questions for the mismatch head: with many labels not every one of K - 1 a view is needed."""
LEARNING_RATE = 2e-3
FEWEST_STEPS = 10
"""Steps an epoch has at least, so that few views are learnt as thoroughly as many."""
BOUND = 2.0
"""How many times worse a wrong label must draw a view (median) before wrong parts are said to be told."""
PATIENCE = 12
"""Epochs without a better validation loss after which training ends."""


@dataclass(frozen=True)
class Settings:
    """What the engineer may choose. `max_false_alarm`: share of good views that may be called NG, in all."""

    seed: int = 0
    epochs: int = 40
    batch: int = 32
    latent: int = 16
    filters: int = 12
    max_false_alarm: float = 0.02


@dataclass(frozen=True)
class Fitted:
    """A decision, its thresholds, and how it came about. `classifiers`: scikit-learn's own, to check the heads by."""

    decision: Decision
    thresholds: Thresholds
    usual: tuple[Usual, ...]
    classifiers: dict[str, CalibratedClassifierCV]
    history: dict[str, list[float]]
    seconds: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def fit(data: DataSet, settings: Settings, callbacks: Sequence[keras.callbacks.Callback] = ()) -> Fitted:
    """Train on `data.train` alone. The same data, settings and machine give the same decision."""
    began = time.monotonic()
    keras.utils.set_random_seed(settings.seed)
    good = data.train[data.train.good]
    kept = strata_choice(good, TOLERANCE_SHARE, FEWEST_KEPT, settings.seed)
    cvae, history = fit_cvae(data, good[~kept], good[kept], settings, callbacks)
    drawn_at = time.monotonic()
    decision, thresholds, classifiers = fit_heads(cvae, good[kept], data.train[data.train.defective], settings)
    seconds = {"cvae": drawn_at - began, "heads": time.monotonic() - drawn_at}
    usual = tuple(Usual.of(good.images[good.label == k]) for k in range(cvae.labels))
    remarks = []
    least = 1.0 / (kept.sum() + 1)  # a threshold at the worst of n good views is passed by the next with this chance
    if least > settings.max_false_alarm:
        remarks.append(
            f"too few good views to promise {settings.max_false_alarm:.1%} false alarms: {kept.sum()} set the "
            f"thresholds, so expect {least:.0%} or more"
        )
    if cvae.labels > 1 and (ratio := _binding(cvae, good[kept])) < BOUND:
        remarks.append(
            f"the label hardly binds: a wrong one draws only {ratio:.1f} times worse, so do not trust what is said of "
            "wrong parts; raise --epochs, or look whether two labels show the same part"
        )
    return Fitted(decision, thresholds, usual, classifiers, history, seconds, tuple(remarks))


def fit_cvae(
    data: DataSet, learn: Views, check: Views, settings: Settings, callbacks: Sequence[keras.callbacks.Callback]
) -> tuple[ConditionalVAE, dict[str, list[float]]]:
    """Fit the CVAE on the good views `learn`, and keep the weights that did best on `check`."""
    cvae = ConditionalVAE(
        height=data.spec.height,
        width=data.spec.width,
        channels=data.spec.channels,
        labels=len(data.labels),
        latent=settings.latent,
        filters=settings.filters,
        seed=settings.seed,
    )
    passes = -(-FEWEST_STEPS * settings.batch // len(learn))  # few views are gone through several times an epoch
    learn = learn[np.tile(np.arange(len(learn)), passes)]
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, settings.epochs * -(-len(learn) // settings.batch))
    # On a CPU, compiling the step takes longer than it saves in the few minutes that a training lasts.
    cvae.compile(optimizer=keras.optimizers.Adam(rate, clipnorm=1.0), jit_compile=False)
    stop = keras.callbacks.EarlyStopping("val_error", mode="min", patience=PATIENCE, restore_best_weights=True)
    fitted = cvae.fit(
        _inputs(learn),
        validation_data=(_inputs(check),),
        epochs=settings.epochs,
        batch_size=settings.batch,
        callbacks=[stop, *callbacks],
        verbose=0,
    )
    # Validation draws no wrong labels, so its wrong_error is no figure.
    measured = {name: values for name, values in fitted.history.items() if name != "val_wrong_error"}
    return cvae, {name: [float(value) for value in values] for name, values in measured.items()}


def fit_heads(
    cvae: ConditionalVAE, good: Views, defective: Views, settings: Settings
) -> tuple[Decision, Thresholds, dict[str, CalibratedClassifierCV]]:
    """Fit tolerances, heads and thresholds on views that the CVAE was not fitted on."""
    rng = np.random.default_rng(settings.seed)
    tolerances, right = Tolerances.fit(_floats(good), _draw(cvae, good.images, good.label), good.label, cvae.labels)

    def features(images: npt.NDArray[np.uint8], label: Labels) -> Floats:
        found = [np.zeros((0, right.shape[1]), np.float32)]
        for at in range(0, len(images), CHUNK):
            some, of = images[at : at + CHUNK], label[at : at + CHUNK]
            view = some.astype(np.float32) / 255.0
            found.append(np.asarray(tolerances.difference(view, _draw(cvae, some, of), of)[1]))
        return np.concatenate(found)

    # Which view each row of features was made of: rows of one view stay together when heads are fitted crosswise.
    own, spoilt_of = np.arange(len(good)), len(good) + np.arange(len(defective))
    spoilt = features(defective.images, defective.label)
    if len(defective) < FEWEST_DEFECTS:
        made_up, made_of = _made_up(cvae, good, rng)
        spoilt, spoilt_of = np.concatenate([spoilt, made_up]), np.concatenate([spoilt_of, made_of])
    odd = rng.integers(len(good), size=max(FEWEST_STRANGE, len(spoilt) // 5))
    odd_images = np.stack([strange(view, rng) for view in good.images[odd]])
    not_good = np.concatenate([spoilt, features(odd_images, good.label[odd])])
    allowed = int(settings.max_false_alarm * len(good))
    classifiers, mismatch, mismatch_from = {}, None, None
    if cvae.labels > 1:
        rows, wrong_label = _wrong_questions(good.label, cvae.labels, rng)
        # A defective view of the right part is no wrong part: the mismatch head learns that from those there are.
        fits = np.concatenate([right, spoilt])
        mismatch, classifiers["mismatch_score"], scores = Head.fit(
            *_task(fits, features(good.images[rows], wrong_label)),
            np.concatenate([own, spoilt_of, rows]),
            settings.seed,
        )
        mismatch_from = threshold(scores[: len(right)], scores[len(fits) :], allowed // 2)
        allowed -= int((scores[: len(right)] >= mismatch_from).sum())
    defect, classifiers["defect_score"], scores = Head.fit(
        *_task(right, not_good), np.concatenate([own, spoilt_of, odd]), settings.seed
    )
    defect_from = threshold(scores[: len(right)], scores[len(right) :], allowed)
    decision = Decision(cvae, tolerances, defect, mismatch, far=float(right.mean(axis=1).max()) + FAR)
    return decision, Thresholds(defect=defect_from, mismatch=mismatch_from), classifiers


def _made_up(cvae: ConditionalVAE, good: Views, rng: np.random.Generator) -> tuple[Floats, Labels]:
    """Features of made-up defects, float32 [M, F], each measured by tolerances fitted without the view it is made of.

    Also returns which of the `good` views that was, int64 [M].

    Measured by tolerances that know that view, a defect would look better than a good view that they do not know.
    """
    fewest = min(int((good.label == k).sum()) for k in range(cvae.labels))
    folds = min(MADE_UP_FOLDS, fewest)
    fold = np.zeros(len(good), np.int64)
    for k in range(cvae.labels):
        own = np.flatnonzero(good.label == k)
        fold[own] = np.arange(len(own)) % folds
    base = np.arange(max(len(good), MADE_UP)) % len(good)
    images = np.stack([spoil(good.images[row], rng) for row in base])
    drawn_good, drawn = _draw(cvae, good.images, good.label), _draw(cvae, images, good.label[base])
    found = np.zeros((0, 0), np.float32)
    for held in range(folds):
        others, these = fold != held, fold[base] == held
        tolerances, _ = Tolerances.fit(_floats(good)[others], drawn_good[others], good.label[others], cvae.labels)
        view = images[these].astype(np.float32) / 255.0
        some = np.asarray(tolerances.difference(view, drawn[these], good.label[base][these])[1])
        found = found if found.size else np.zeros((len(base), some.shape[1]), np.float32)
        found[these] = some
    return found, base


def _binding(cvae: ConditionalVAE, views: Views) -> float:
    """How many times worse a wrong label draws the good `views` than the right one does, in squared error (median)."""
    view = _floats(views)
    right, wrong = (
        np.mean((view - _draw(cvae, views.images, label)) ** 2, axis=(1, 2, 3))
        for label in (views.label, (views.label + 1) % cvae.labels)
    )
    return float(np.median(wrong / (right + 1e-9)))


def _wrong_questions(label: Labels, count: int, rng: np.random.Generator) -> tuple[Labels, Labels]:
    """Which view to ask about, and under which wrong label: all of them, or `MOST_WRONG` at random."""
    rows = np.repeat(np.arange(len(label)), count - 1)
    wrong = (label[rows] + np.tile(np.arange(1, count), len(label))) % count
    if len(rows) > MOST_WRONG:
        chosen = rng.choice(len(rows), MOST_WRONG, replace=False)
        rows, wrong = rows[chosen], wrong[chosen]
    return rows, wrong


def _task(negative: Floats, positive: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    which = np.repeat([False, True], [len(negative), len(positive)])
    return np.concatenate([negative, positive]), which


def _draw(cvae: ConditionalVAE, images: npt.NDArray[np.uint8], label: Labels) -> Floats:
    """The drawings of `images` under `label`, float32 [N, H, W, C], `CHUNK` at a time."""
    parts = [
        ops.convert_to_numpy(
            cvae.reconstruct(images[at : at + CHUNK].astype(np.float32) / 255.0, label[at : at + CHUNK])
        )
        for at in range(0, len(images), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, cvae.height, cvae.width, cvae.channels), np.float32)


def _inputs(views: Views) -> dict[str, npt.NDArray[np.generic]]:
    return {"view": _floats(views), "label": views.label}


def _floats(views: Views) -> Floats:
    return views.images.astype(np.float32) / 255.0
