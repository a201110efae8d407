"""Data sets kenpin can name, and the folder layout it reads (`folder`)."""

from pathlib import Path

from edge_runtime.picture import ViewSpec
from train.datasets import elpv, folder, shapes
from train.tiles import WHOLE, Tiles
from train.views import DataSet, Report

BUILT_IN = {"shapes": shapes.load, "elpv": elpv.load}
"""Each takes the longer side of a view in pixels (None: its own), a seed, and whom to tell of progress."""


def check(name: str) -> None:
    """Raise DataSetError where no data set `name` can be read, as far as that is told without opening a picture."""
    if not _is_built_in(name):
        folder.layout(Path(name), tuple(BUILT_IN))
    elif name == "elpv":
        elpv.root()


def load(name: str, *, size: int | None, seed: int, report: Report, tiles: Tiles = WHOLE) -> DataSet:
    """The data set `name`: a built-in one's name, or a folder.

    Raises DataSetError, PictureError or UsageError, saying what to do.
    """
    if _is_built_in(name):
        if size is not None:  # before so many large views are made
            tiles.size(ViewSpec(height=size, width=size, channels=1))
        return BUILT_IN[name](size=size, seed=seed, report=report)
    return folder.load(Path(name), size=size, seed=seed, report=report, tiles=tiles, built_in=tuple(BUILT_IN))


def _is_built_in(name: str) -> bool:
    """A folder of the same name goes first."""
    return name in BUILT_IN and not Path(name).is_dir()
