"""What a data set is to the trainer: views of one size, what each shows, and where each came from."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from edge_runtime.alignment import Alignment
from edge_runtime.picture import Image, ViewSpec

FEW_GOOD = 20
"""Good views a label should have to learn from: with fewer, a spread is little more than a guess."""

Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Views:
    """N views. `images`: uint8 [N, H, W, C]. `label`: int64 [N]. `defective`: bool [N].

    `names`: where each came from, unique within a data set. `digests`: SHA-256 of each source, in hex.
    """

    images: Image
    label: Labels
    defective: Mask
    names: tuple[str, ...]
    digests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, which: Mask | npt.NDArray[np.int64]) -> Self:
        """The views at a mask or at indices."""
        rows = np.flatnonzero(which) if which.dtype == np.bool_ else which
        return type(self)(
            self.images[rows],
            self.label[rows],
            self.defective[rows],
            tuple(self.names[row] for row in rows),
            tuple(self.digests[row] for row in rows),
        )

    @property
    def good(self) -> Mask:
        """Mask of the views that are not defective, [N]."""
        return ~self.defective


@dataclass
class Collected:
    """Views as they are read, one after the other."""

    images: list[Image] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    defective: list[bool] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)

    def add(self, image: Image, label: int, defective: bool, name: str, source: bytes) -> None:
        """Keep one view; `source` is what its digest is taken of."""
        self.images.append(image)
        self.label.append(label)
        self.defective.append(defective)
        self.names.append(name)
        self.digests.append(hashlib.sha256(source).hexdigest())

    def views(self, spec: ViewSpec) -> Views:
        """All that was kept, as arrays."""
        return Views(
            np.array(self.images, np.uint8).reshape(-1, spec.height, spec.width, spec.channels),
            np.array(self.label, np.int64),
            np.array(self.defective, np.bool_),
            tuple(self.names),
            tuple(self.digests),
        )


@dataclass(frozen=True)
class DataSet:
    """Views to learn from and views to be judged by, which training never sees.

    `labels`: names, by index. `remarks`: what the engineer should know of how the views were chosen.
    """

    name: str
    labels: tuple[str, ...]
    spec: ViewSpec
    train: Views
    test: Views
    remarks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over every view's name, use and digest: equal only for equal data, whatever the folder's place."""
        lines = [
            f"{use} {name} {digest}\n"
            for use, views in (("train", self.train), ("test", self.test))
            for name, digest in sorted(zip(views.names, views.digests, strict=True))
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def remarks_on(labels: tuple[str, ...], train: Views, test: Views) -> tuple[str, ...]:
    """What the engineer should know of these views before trusting what is learnt from them."""
    found = []
    if len(labels) == 1:
        found.append(f"{labels[0]!r} is the only label, so wrong parts can't be told; add folders for the others")
    if not train.defective.any():
        found.append("no defective training views; made-up ones stand in, and real ones, even ten, would serve better")
    few = [name for k, name in enumerate(labels) if (train.good & (train.label == k)).sum() < FEW_GOOD]
    if few:
        found.append(
            f"fewer than {FEW_GOOD} good views of {_some(few)} to learn from: expect false alarms; take more pictures"
        )
    unasked = [name for k, name in enumerate(labels) if not (test.good & (test.label == k)).any()]
    if unasked:
        found.append(f"no good test views of {_some(unasked)}: how well they will be judged can't be told")
    return tuple(found)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def aligned(views: Views, expected: Labels, alignment: Alignment | None) -> Views:
    """The views as the decision sees them when `expected`, int64 [N], is asked of them."""
    if alignment is None or not len(views):
        return views
    seen = [alignment.align(view, int(label))[0] for view, label in zip(views.images, expected, strict=True)]
    return replace(views, images=np.stack(seen))


def hold_out(views: Views, share: float, seed: int) -> tuple[Views, Views]:
    """Split into (kept, held out), `share` of every label's good and defective views each, at random by `seed`."""
    held = strata_choice(views, share, 1, seed)
    return views[~held], views[held]


def strata_choice(views: Views, share: float, fewest: int, seed: int) -> Mask:
    """Mask of about `share` of every label's good and defective views; at least `fewest`, but at most half."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(views), np.bool_)
    for stratum in np.unique(views.label * 2 + views.defective):
        rows = np.flatnonzero(views.label * 2 + views.defective == stratum)
        count = max(round(share * len(rows)), min(fewest, len(rows) // 2))
        chosen[rng.permutation(rows)[:count]] = True
    return chosen


Report = Callable[[int, int], None]
"""Told how many of how many are done."""
