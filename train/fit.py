"""From a data set to a decision: the trainer's way through the code, in one place.

good views ── most ──► CVAE ──► drawings of all ──► tolerances ──► features ─┐
defective views, wrong labels, made-up ones ────────────────────► features ──┴─► heads
                                    the views that the CVAE never saw ─► heads ─► thresholds, and what they promise
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV

from edge_runtime.alignment import Alignment
from edge_runtime.picture import ViewSpec
from edge_runtime.quality import Usual
from edge_runtime.verdict import Thresholds
from train.cvae import ConditionalVAE
from train.decision import Decision
from train.promise import Promise, Wish, remarks
from train.teach import FEWEST_DEFECTS, FEWEST_KEPT, draw, floats, lacking, teach
from train.tiles import WHOLE, Sight, Tiles
from train.views import DataSet, Views, strata_choice

TOLERANCE_SHARE = 0.35
"""Share of the good training views that the CVAE does not see, for tolerances, heads and thresholds."""
LEARNING_RATE = 2e-3
FEWEST_STEPS = 10
"""Steps an epoch has at least, so that few views are learnt as thoroughly as many."""
MOST_NAMED = 4
"""Parts that a remark names; a person looks up the others."""
BOUND = 2.0
"""How many times worse a wrong label must draw a view (median) before wrong parts are said to be told."""
PATIENCE = 12
"""Epochs without a better validation loss after which training ends."""


@dataclass(frozen=True)
class Settings:
    """What the engineer may choose.

    `max_false_alarm`: share of good views that may be called NG, in all. `max_escape`: instead, the share of bad ones
    that may be called OK, by each head. `align`: whether views are brought onto their label's reference first, for
    parts that lie loosely in their jig. `tiles`: how a large view is cut.
    """

    seed: int = 0
    epochs: int = 40
    batch: int = 32
    latent: int = 16
    filters: int = 12
    max_false_alarm: float = 0.02
    max_escape: float | None = None
    align: bool = False
    tiles: Tiles = WHOLE


@dataclass(frozen=True)
class Fitted:
    """A decision, its thresholds and what they promise, and how it came about.

    `usual`: the range of each label's good views (see `quality`). `classifiers`: scikit-learn's own, by
    score, to check the heads by. `alignment`: what the decision's views are brought onto first; None where it takes
    them as they are.
    """

    decision: Decision
    thresholds: Thresholds
    promise: Promise
    usual: tuple[Usual, ...]
    classifiers: dict[str, CalibratedClassifierCV]
    history: dict[str, list[float]]
    seconds: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    alignment: Alignment | None = None


def fit(data: DataSet, settings: Settings, callbacks: Sequence[keras.callbacks.Callback] = ()) -> Fitted:
    """Train on `data.train` alone. The same data, settings and machine give the same decision."""
    began = time.monotonic()
    keras.utils.set_random_seed(settings.seed)
    tiles = settings.tiles
    height, width = tiles.size(data.spec)
    tile = ViewSpec(height=height, width=width, channels=data.spec.channels)
    given = data.train[data.train.good]
    alignment = Alignment.of(given.images, given.label, len(data.labels)) if settings.align else None
    sight = Sight(alignment, tiles)
    kept = strata_choice(given, TOLERANCE_SHARE, FEWEST_KEPT, settings.seed)
    check = sight.views(given[kept])
    labels = len(data.labels) * tiles.count
    cvae, history = fit_cvae(tile, labels, sight.views(given[~kept]), check, settings, callbacks)
    drawn_at = time.monotonic()
    wish = Wish(settings.max_false_alarm, settings.max_escape)
    taught = teach(cvae, given, kept, data.train[data.train.defective], wish, settings.seed, sight)
    seconds = {"cvae": drawn_at - began, "heads": time.monotonic() - drawn_at}
    usual = tuple(Usual.of(given.images[given.label == k]) for k in range(len(data.labels)))
    found = remarks(taught.promise, wish, float(kept.mean()))
    few = lacking(data.train.label[data.train.defective], len(data.labels))
    if taught.promise.real and few.any():
        names = [data.labels[k] for k in np.flatnonzero(few)]
        named = ", ".join(names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], "…"])
        found.append(
            f"{few.sum()} of {len(few)} parts ({named}) have fewer than {FEWEST_DEFECTS} defective views of their own, "
            "so made-up ones were added; escapes were counted on real ones, most of them of other parts"
        )
    if len(data.labels) > 1 and (ratio := _binding(cvae, check, tiles)) < BOUND:
        found.append(
            f"the label hardly binds: a wrong one draws only {ratio:.1f} times worse, so do not trust what is said of "
            "wrong parts; raise --epochs, or look whether two labels show the same part"
        )
    return Fitted(
        taught.decision,
        taught.thresholds,
        taught.promise,
        usual,
        taught.classifiers,
        history,
        seconds,
        tuple(found),
        alignment,
    )


def fit_cvae(
    tile: ViewSpec,
    labels: int,
    learn: Views,
    check: Views,
    settings: Settings,
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[ConditionalVAE, dict[str, list[float]]]:
    """Fit the CVAE on the good views `learn` of the size `tile`, and keep the weights that did best on `check`."""
    cvae = ConditionalVAE(
        height=tile.height,
        width=tile.width,
        channels=tile.channels,
        labels=labels,
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


def _binding(cvae: ConditionalVAE, views: Views, tiles: Tiles) -> float:
    """How many times worse another part draws the tiles `views` than their own does, in squared error (median)."""
    view = floats(views.images)
    right, wrong = (
        np.mean((view - draw(cvae, views.images, label)) ** 2, axis=(1, 2, 3))
        for label in (views.label, (views.label + tiles.count) % cvae.labels)
    )
    return float(np.median(wrong / (right + 1e-9)))


def _inputs(views: Views) -> dict[str, npt.NDArray[np.generic]]:
    return {"view": floats(views.images), "label": views.label}
