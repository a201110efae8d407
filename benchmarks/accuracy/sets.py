"""The data sets of the accuracy benchmark, each as the question it stands for."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

from edge_runtime.picture import ViewSpec, read_picture
from train.datasets import elpv, folder, shapes
from train.views import Collected, DataSet, hold_out

PCB_JIG = Path(__file__).parents[3] / "shared" / "data" / "pcb-jig"
"""Boards in a jig. Not part of the project, so the benchmark says when it is not there."""

ELPV_DEFECTIVE_FROM = 0.5
"""The elpv paper's line between functional and defective cells (Deitsch et al., Solar Energy 185, 2019)."""


def quiet(_done: int, _total: int) -> None:
    """Nobody to tell: the benchmark shows its own progress."""


def shapes_of(good: int) -> Callable[[int], DataSet]:
    """`shapes` with `good` good training views a label."""
    return lambda seed: shapes.load(size=None, seed=seed, report=quiet, good=good)


def digits(seed: int) -> DataSet:
    """scikit-learn's handwritten digits, 8 × 8, as parts: is it the digit it should be? A quarter is held out."""
    found = load_digits()
    spec = ViewSpec(height=16, width=16, channels=1)
    collected = Collected()
    for number, (image, label) in enumerate(zip(found.images, found.target, strict=True)):
        pixels = np.asarray(np.clip(image * 16, 0, 255), np.uint8)
        view = cv2.resize(pixels, (16, 16), interpolation=cv2.INTER_LINEAR)[..., None]
        collected.add(np.asarray(view, np.uint8), int(label), False, f"digit {number}", pixels.tobytes())
    train, test = hold_out(collected.views(spec), 0.25, seed)
    return DataSet("digits", tuple(str(digit) for digit in range(10)), spec, train, test)


def elpv_paper(seed: int) -> DataSet:
    """All solar cells, functional or defective, 75 % to train on, as the data set's paper divides them."""
    spec = ViewSpec(height=elpv.SIDE, width=elpv.SIDE, channels=1)
    place, collected = elpv.root(), Collected()
    for line in (place / "labels.csv").read_text().splitlines():
        name, probability, kind = line.split()
        defective = float(probability) >= ELPV_DEFECTIVE_FROM
        source = (place / name).read_bytes()
        collected.add(spec.view(read_picture(place / name)), elpv.LABELS.index(kind), defective, name, source)
    train, test = hold_out(collected.views(spec), 0.25, seed)
    return DataSet("elpv", elpv.LABELS, spec, train, test)


def pcb_jig(seed: int) -> DataSet:
    """24 places on boards; half of them have their defects in the test only, so that those were never taught."""
    return folder.load(PCB_JIG, size=None, seed=seed, report=quiet)


SETS: dict[str, Callable[[int], DataSet]] = {
    "shapes-1000": shapes_of(1000),
    "shapes-100": shapes_of(100),
    "digits": digits,
    "elpv": elpv_paper,
    "pcb-jig": pcb_jig,
}

SPLITS = {"elpv": 5}
"""Sets that their own paper splits so many times, whatever number of seeds is asked."""

TIMED = "shapes-1000"
"""The set on which the textbook's training is timed beside kenpin's, in the same run."""

WHOLLY_MARKED = (
    "board12100-195",
    "board13000-154",
    "board13000-160",
    "board44000-042",
    "board44000-106",
    "board77000-065",
    "board77000-081",
)
"""Tested places of pcb-jig of which every defect that can be seen is in `defects.csv`. On the other five a further one
reaches over the view's edge (looked at by eye): its box is left out there, and may well hold the hottest pixel."""
