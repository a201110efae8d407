"""The data set layout: a folder a part label, with `train/good`, and `train/defect`, `test/good`, `test/defect` if any.

`defect` may also be a name per defect type, as in MVTec AD: every folder beside `good` holds defective views.
"""

from pathlib import Path

import numpy as np

from edge_runtime.errors import DataSetError, KenpinError, PictureError, UsageError
from edge_runtime.file_names import as_text
from edge_runtime.picture import ViewSpec, is_blank, pictures_in, printable, read_picture, shown_name
from train.tiles import LARGEST, SMALLEST, WHOLE, Tiles
from train.views import Collected, DataSet, Report, Views, hold_out, remarks_on

FEWEST_GOOD = 8
"""Good views a label needs: fewer leave nothing to fit a tolerance on beside what the model learns from."""

LARGEST_DEFAULT = 128
"""Longer side of a view in pixels where the engineer names none: beyond it, training on a PC takes hours."""

MEANT_GOOD = {"good", "goods", "ok", "io", "pass"}
"""Names that mean good to a person, and a type of defect to the layout."""

MOST_NAMED = 20
"""Pictures that cannot be read are named in one go, up to this many."""

TEST_SHARE = 0.25
"""Share of the training views held out for the test where a data set has no test views at all."""


def load(
    root: Path,
    *,
    size: int | None,
    seed: int,
    report: Report,
    tiles: Tiles = WHOLE,
    built_in: tuple[str, ...] = (),
) -> DataSet:
    """Read the layout below `root`.

    `size`: longer side of a view in pixels; None: the pictures' own, at most 128 a tile.

    Raises DataSetError where the layout is missing or too little is in it, PictureError where a picture can't be read,
    UsageError where `size` makes a tile too large.
    """
    labels, files = layout(root, built_in)
    shapes = _look_at_all([path for _, _, _, path in files], report)
    spec = _spec(shapes, size, tiles)
    remarks = []
    if smaller := sum(max(shape[:2]) < (size or 0) for shape in shapes):
        remarks.append(
            f"{smaller} of {len(shapes)} pictures are smaller than --size {size}; enlarged, they show no more"
        )
    collected = {"train": Collected(), "test": Collected()}
    for done, (use, label, bad, path) in enumerate(files):
        view = spec.view(read_picture(path))
        if is_blank(view):
            raise PictureError(path, "shows nothing, it is all one brightness; take it out of the data set")
        collected[use].add(view, label, bad, shown_name(path.relative_to(root)), path.read_bytes())
        report(len(files) + done + 1, 2 * len(files))
    train, test = collected["train"].views(spec), collected["test"].views(spec)
    if not len(test):
        train, test = hold_out(train, TEST_SHARE, seed)
        remarks.append(f"no test views: {len(test)} of the training views were held out instead")
    _refuse_two_labels(root, train)
    shared = np.isin(test.digests, train.digests)
    if shared.any():
        test = test[~shared]
        remarks.append(f"{shared.sum()} test views are the same pictures as training views, and were left out")
    if not len(test):
        raise DataSetError(root, "has no test view that is not a training view, too; add different pictures")
    name = shown_name(root.resolve().name)
    return DataSet(name, labels, spec, train, test, (*remarks, *remarks_on(labels, train, test)))


def layout(root: Path, built_in: tuple[str, ...]) -> tuple[tuple[str, ...], list[tuple[str, int, bool, Path]]]:
    """The labels, and each picture's use, label and whether it is defective. DataSetError: no layout."""
    if not root.is_dir():
        named = f", or one of the built-in data sets: {', '.join(built_in)}" if built_in else ""
        raise DataSetError(root, f"is no folder; name a folder with one folder per part label{named}")
    if (root / "train" / "good").is_dir():
        raise DataSetError(root, f"is one label's folder; name the folder that holds it: {root.resolve().parent}")
    folders = sorted(_folders(root))
    labels = tuple(as_text(folder.name) for folder in folders)
    for name in labels:
        if printable(name) != name:
            raise DataSetError(
                printable(f"{as_text(root)}/{name}"), "is no label that can be written; rename the folder"
            )
    if not labels:
        raise DataSetError(root, "has no label folders; put good pictures into <label>/train/good")
    files = [
        (use, label, kind.name != "good", path)
        for label, folder in enumerate(folders)
        for use in ("train", "test")
        for kind in _kinds(folder / use)
        for path in pictures_in(kind)
    ]
    for label, name in enumerate(labels):
        count = sum(use == "train" and of == label and not bad for use, of, bad, _ in files)
        if count < FEWEST_GOOD:
            raise DataSetError(
                root / name / "train" / "good",
                f"has {count} good pictures of {name!r} (PNG, JPEG, BMP or TIFF), at least {FEWEST_GOOD} are needed; "
                f"add some, or take the folder {name} away",
            )
    return labels, files


def _look_at_all(paths: list[Path], report: Report) -> list[tuple[int, ...]]:
    """The pictures' shapes. Raises a KenpinError with a line for each that cannot be read, the first `MOST_NAMED`.

    They are read once more when the size of a view is known: pictures can be many and large, and are not all kept.
    """
    shapes, mistakes = [], []
    for done, path in enumerate(paths):
        try:
            shapes.append(read_picture(path).shape)
        except PictureError as error:
            mistakes.append(str(error))
        report(done + 1, 2 * len(paths))
    if len(mistakes) > MOST_NAMED:
        mistakes[MOST_NAMED:] = [f"and {len(mistakes) - MOST_NAMED} more pictures that cannot be read"]
    if mistakes:
        raise KenpinError("\n".join(mistakes))
    return shapes


def _refuse_two_labels(root: Path, train: Views) -> None:
    """The same good picture cannot show two parts."""
    seen: dict[str, int] = {}
    for row in np.flatnonzero(train.good):
        before = seen.setdefault(train.digests[row], int(row))
        if train.label[before] != train.label[row]:
            also = f"is the same picture as {train.names[before]}; which of the two labels is it?"
            raise DataSetError(root / train.names[row], also)


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _kinds(use: Path) -> list[Path]:
    """The folders `good` and those of defects. Raises DataSetError where one is spelt so that it would be misread."""
    kinds = _folders(use)
    for kind in kinds:
        if kind.name != "good" and kind.name.lower() in MEANT_GOOD:
            raise DataSetError(kind, 'would be taken for a defect; good views belong into a folder named "good"')
        if inner := _folders(kind):
            raise DataSetError(inner[0], f"is a folder in {kind.name}, and would not be read; put its pictures there")
    return kinds


def _spec(shapes: list[tuple[int, ...]], size: int | None, tiles: Tiles) -> ViewSpec:
    """The pictures' median shape with a longer side of `size`, colour if any picture is; `tiles` divide it.

    Raises UsageError where `size` makes a tile too large.
    """
    height, width = np.median([shape[:2] for shape in shapes], axis=0)
    along = tiles.rows if height >= width else tiles.columns
    if size is not None and size > LARGEST * along:
        raise UsageError(
            f"--size {size}: a tile has at most {LARGEST} pixels a side; name a smaller one or more --tiles"
        )
    scale = (size or min(LARGEST_DEFAULT * along, max(round(height), round(width)))) / max(height, width)
    sides = [
        parts * int(np.clip(round(side * scale / parts), SMALLEST, LARGEST))
        for side, parts in ((height, tiles.rows), (width, tiles.columns))
    ]
    return ViewSpec(height=sides[0], width=sides[1], channels=max(shape[2] for shape in shapes))
