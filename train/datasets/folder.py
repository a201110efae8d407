"""The data set layout: a folder a part label, with `train/good`, and `train/defect`, `test/good`, `test/defect` if any.

`defect` may also be a name per defect type, as in MVTec AD: every folder beside `good` holds defective views.
"""

from pathlib import Path

import numpy as np

from edge_runtime.errors import DataSetError
from edge_runtime.picture import ViewSpec, pictures_in, read_picture
from train.views import Collected, DataSet, Report, hold_out

FEWEST_GOOD = 8
"""Good views a label needs: fewer leave nothing to fit a tolerance on beside what the model learns from."""

LARGEST_DEFAULT = 128
"""Longer side of a view in pixels where the engineer names none: beyond it, training on a PC takes hours."""

TEST_SHARE = 0.25
"""Share of the training views held out for the test where a data set has no test views at all."""


def load(root: Path, *, size: int | None, seed: int, report: Report, built_in: tuple[str, ...] = ()) -> DataSet:
    """Read the layout below `root`. `size`: longer side of a view in pixels; None: the pictures' own, at most 128.

    Raises DataSetError where the layout is missing or too little is in it, PictureError where a picture can't be read.
    """
    if not root.is_dir():
        named = f", or one of the built-in data sets: {', '.join(built_in)}" if built_in else ""
        raise DataSetError(root, f"is no folder; name a folder with one folder per part label{named}")
    labels = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not labels:
        raise DataSetError(root, "has no label folders; put good pictures into <label>/train/good")
    files = [
        (use, label, kind.name != "good", path)
        for label, name in enumerate(labels)
        for use in ("train", "test")
        for kind in _folders(root / name / use)
        for path in pictures_in(kind)
    ]
    for label, name in enumerate(labels):
        count = sum(use == "train" and of == label and not bad for use, of, bad, _ in files)
        if count < FEWEST_GOOD:
            raise DataSetError(
                root / name / "train" / "good",
                f"has {count} good pictures of {name!r}, at least {FEWEST_GOOD} are needed; add some, "
                f"or take the folder {name} away",
            )

    shapes = []
    for done, (_, _, _, path) in enumerate(
        files
    ):  # once for the sizes, once for the views: pictures can be many and large
        shapes.append(read_picture(path).shape)
        report(done + 1, 2 * len(files))
    spec = _spec(shapes, size)
    collected = {"train": Collected(), "test": Collected()}
    for done, (use, label, bad, path) in enumerate(files):
        view = spec.view(read_picture(path))
        collected[use].add(view, label, bad, str(path.relative_to(root)), path.read_bytes())
        report(len(files) + done + 1, 2 * len(files))
    train, test = collected["train"].views(spec), collected["test"].views(spec)
    remarks = []
    shared = np.isin(test.digests, train.digests)
    if shared.any():
        test = test[~shared]
        remarks.append(f"{shared.sum()} test views are the same pictures as training views, and were left out")
    if not len(test):
        train, test = hold_out(train, TEST_SHARE, seed)
        remarks.append(f"no test views: {len(test)} of the training views were held out instead")
    return DataSet(root.resolve().name, labels, spec, train, test, tuple(remarks))


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _spec(shapes: list[tuple[int, ...]], size: int | None) -> ViewSpec:
    """The pictures' median shape with a longer side of `size`, colour if any picture is."""
    height, width = np.median([shape[:2] for shape in shapes], axis=0)
    longer = size or min(LARGEST_DEFAULT, max(round(height), round(width)))
    scale = longer / max(height, width)
    sides = [int(np.clip(round(side * scale), 16, 512)) for side in (height, width)]
    return ViewSpec(height=sides[0], width=sides[1], channels=max(shape[2] for shape in shapes))
