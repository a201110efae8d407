"""The points of a curve: which trainings it takes, on which views, and what each of them is worth.

One factor at a time: counts of good views with all the defective ones there are, counts of defective views with all the
good ones. Each point is a training by `fit` on fewer views, judged by `examine` on the same held-out views, asked the
same questions.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import keras
import numpy as np

from edge_runtime.errors import UsageError
from train.curve.folder import Measured, Point
from train.datasets.folder import FEWEST_GOOD
from train.exam import examine
from train.fit import Settings, fit
from train.judged import metrics
from train.views import DataSet

A_FEW_DEFECTS = 10
"""Defective views between none and all of them, where the engineer names no counts."""


@dataclass(frozen=True)
class Supply:
    """The training views there are: `good` of every label (`poorest` has no more), `defects` of all together."""

    good: int
    defects: int
    poorest: str

    @classmethod
    def of(cls, data: DataSet) -> Self:
        """What `data` has. Raises UsageError where a label has too few good views for any point."""
        counts = [int((data.train.good & (data.train.label == k)).sum()) for k in range(len(data.labels))]
        fewest = min(counts)
        found = cls(fewest, int(data.train.defective.sum()), data.labels[counts.index(fewest)])
        if fewest < FEWEST_GOOD:
            raise UsageError(
                f"label {found.poorest!r} has {fewest} good training views, the held-out ones not counted; a curve "
                f"begins at {FEWEST_GOOD}, so add pictures of it"
            )
        return found


def points(
    supply: Supply, good: Sequence[int] | None, defects: Sequence[int] | None, repeats: int
) -> tuple[Point, ...]:
    """The trainings of a curve, each once, a repeat after the other so that the whole curve shows early.

    `good`, `defects`: the counts of each axis. None: from 8 doubling up to all, and none, a few, all. Empty: not that
    axis. Raises UsageError where more is asked for than there is, or nothing at all.
    """
    if good is None:
        good = [count for step in range(32) if (count := FEWEST_GOOD << step) < supply.good]
        good = [*good, supply.good]
    if defects is None:
        defects = [count for count in (0, A_FEW_DEFECTS) if count < supply.defects]
        defects = [*defects, supply.defects] if defects else []  # without defective views there is no such axis
    if not good and not defects:
        raise UsageError("neither --good nor --defects names a count; name some, or leave one of them out")
    if good and max(good) > supply.good:
        raise UsageError(
            f"--good {max(good)}: label {supply.poorest!r} has only {supply.good} good training views; ask for no "
            "more, or add pictures of it"
        )
    if defects and max(defects) > supply.defects:
        raise UsageError(
            f"--defects {max(defects)}: all labels together have {supply.defects} defective training views; ask for no "
            "more, or add pictures"
        )
    places = {(count, supply.defects) for count in good} | {(supply.good, count) for count in defects}
    return tuple(Point(*place, repeat) for repeat in range(repeats) for place in sorted(places))


def subset(data: DataSet, point: Point, seed: int) -> DataSet:
    """`data` with only the training views of `point`, at random by `seed` and repeat; all its test views.

    In a repeat, fewer views are always among more views, so that what a step of the curve adds is views alone.
    """
    rng = np.random.default_rng([seed, point.repeat])
    train = data.train
    chosen = [
        rng.permutation(np.flatnonzero(train.good & (train.label == k)))[: point.good] for k in range(len(data.labels))
    ]
    chosen.append(rng.permutation(np.flatnonzero(train.defective))[: point.defects])
    return replace(data, train=train[np.sort(np.concatenate(chosen))])


def measure(
    data: DataSet, point: Point, settings: Settings, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> Measured:
    """Train on the views of `point` and judge the held-out views. Repeats differ in their views and their weights."""
    began = time.monotonic()
    fitted = fit(subset(data, point, settings.seed), replace(settings, seed=settings.seed + point.repeat), callbacks)
    judged = examine(fitted, data, settings.seed)
    return Measured(
        **point._asdict(), figures=metrics(judged, fitted.thresholds), seconds=round(time.monotonic() - began, 1)
    )
