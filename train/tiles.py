"""Tiles: a large region is cut into equal places, and each place of each part is a part of its own to the model.

A defect of five pixels is lost in a view of a whole board, and a CVAE of a whole board does not fit a line PC. So the
graph cuts its view, draws and judges all tiles as one batch, and says the worst; nobody outside it knows.

Keras is imported where it cuts and joins: data sets are read by how views are cut, and a mistake in one should be told
before the seconds that Keras takes.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_runtime.alignment import Alignment
from edge_runtime.errors import DataSetError
from edge_runtime.picture import ViewSpec
from train.views import Labels, Views, aligned

Tensor = Any

SMALLEST, LARGEST = 16, 512
"""Pixels a side that a tile may have."""
MOST = 64
"""Tiles of one view: each is a part of its own to the model, with tolerances of its own."""


NO_SCORE = 2.0
"""No probability, so that the line says NG, unsure."""


@dataclass(frozen=True)
class Tiles:
    """T = `rows` · `columns` tiles of a view. Tile t of label k is the model's label k · T + t."""

    rows: int = 1
    columns: int = 1

    @property
    def count(self) -> int:
        """T."""
        return self.rows * self.columns

    def size(self, view: ViewSpec) -> tuple[int, int]:
        """Height and width of a tile of `view`. Raises DataSetError where it cannot be cut, or a tile has no size."""
        if self.count > MOST:
            raise DataSetError(f"--tiles {self.rows}x{self.columns}", f"are {self.count}; name at most {MOST}")
        height, width = view.height // self.rows, view.width // self.columns
        if (height * self.rows, width * self.columns) != (view.height, view.width):
            raise DataSetError(
                f"--tiles {self.rows}x{self.columns}",
                f"does not divide views of {view.height} x {view.width} pixels (height x width); name a --size that it "
                "divides, or other tiles",
            )
        if min(height, width) < SMALLEST or max(height, width) > LARGEST:
            raise DataSetError(
                f"--tiles {self.rows}x{self.columns}",
                f"makes tiles of {height} x {width} pixels, which must have {SMALLEST} to {LARGEST} a side; name other "
                "tiles or another --size",
            )
        return height, width

    def cut(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Views [N, H, W, C] and labels int [N] as tiles [N · T, h, w, C], a view's one after the other, and theirs."""
        from keras import ops

        if self.count == 1:
            return image, label
        height, width, channels = image.shape[1:]
        split = (-1, self.rows, height // self.rows, self.columns, width // self.columns, channels)
        tiles = ops.transpose(ops.reshape(image, split), (0, 1, 3, 2, 4, 5))
        places = ops.reshape(ops.expand_dims(label * self.count, 1) + ops.arange(self.count, dtype=label.dtype), (-1,))
        return ops.reshape(tiles, (-1, split[2], split[4], channels)), places

    def under(self, tiles: Tensor, label: Tensor) -> Tensor:
        """Tiles of one view, [T, ...], or of a view a label, as those of each `label`, int [M]: [M · T, ...].

        One view may be asked about under many labels, and is then encoded once.
        """
        from keras import ops

        numbers = int(np.prod(tiles.shape[1:]))
        each = ops.broadcast_to(
            ops.reshape(tiles, (-1, self.count * numbers)), (ops.shape(label)[0], self.count * numbers)
        )
        return ops.reshape(each, (-1, *tiles.shape[1:]))

    def join(self, tiles: Tensor) -> Tensor:
        """The inverse of `cut` for pictures: [N · T, h, w, C] as [N, H, W, C]."""
        from keras import ops

        if self.count == 1:
            return tiles
        height, width, channels = tiles.shape[1:]
        apart = ops.reshape(tiles, (-1, self.rows, self.columns, height, width, channels))
        whole = (-1, self.rows * height, self.columns * width, channels)
        return ops.reshape(ops.transpose(apart, (0, 1, 3, 2, 4, 5)), whole)

    def worst(self, score: Tensor) -> Tensor:
        """The highest score of each view's tiles, [N · T] as [N]; `NO_SCORE` where one of them has none.

        An engine's maximum may leave out what is no number, and the view would be as good as its other tiles.
        """
        from keras import ops

        if self.count == 1:
            return score
        return ops.max(ops.reshape(ops.where(ops.isnan(score), NO_SCORE, score), (-1, self.count)), axis=1)


WHOLE = Tiles()
"""A view that is not cut."""


@dataclass(frozen=True)
class Sight:
    """How the model sees a view: brought onto its label's reference, where there is one, then cut."""

    alignment: Alignment | None
    tiles: Tiles

    def views(self, views: Views, expected: Labels | None = None) -> Views:
        """`views` as tiles; `expected`, int64 [N], where another label is asked of them than their own."""
        label = views.label if expected is None else expected
        shown = aligned(views, label, self.alignment)
        if self.tiles.count == 1 or not len(views):
            return replace(shown, label=label)
        images, places = self.tiles.cut(shown.images, label)
        each = np.repeat(np.arange(len(views)), self.tiles.count)
        return replace(views[each], images=np.asarray(images, np.uint8), label=np.asarray(places, np.int64))
