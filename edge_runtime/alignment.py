"""Bring a view onto its part's reference by a shift and a turn, for parts that lie loosely in their jig.

What moves from part to part costs tolerance: every edge becomes a place where much is allowed. Where the training was
asked to align (`kenpin-train --align`), each view is moved onto the reference of the label that is expected, before
the model sees it, in training and on the line alike.

First the best whole-pixel shift by normalised cross-correlation within reach, then the enhanced correlation
coefficient (Evangelidis and Psarakis, "Parametric Image Alignment Using Enhanced Correlation Coefficient
Maximization", IEEE PAMI 30, 2008), both blind to brightness and contrast; from coarse to fine, since the latter climbs
only as far as a few pixels. `cv2.phaseCorrelate` would be a shorter start, but knows no bound, and its centroid is off
where the correlation has negative values (opencv/opencv#9158).

A view stays as it is where that climb fails, ends farther than the good training views ever lay, does not raise the
correlation, or leaves it far below what good views reach: what is no such part must not be made to look more like one.

Measured on one core of an AMD EPYC with OpenCV 5.0, textured grey views in a jig with play of a tenth of their side
and 4 degrees, median (99th percentile) processor time of one alignment: 1.0 (1.5) ms at 64 × 64 pixels, 2.7 (4.1) ms at
128 × 128, 9 (12) ms at 256 × 256. Naming the part that lies there instead costs as much for each label.
"""

import base64
import math
from functools import cached_property
from typing import Annotated, NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from edge_runtime.picture import Image, ViewSpec, is_blank, view_of_png

COARSE = 64
"""Pixels of a view's longer side at which the search begins."""
STEPS = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5
"""The climb ends when a step raises the correlation by less than 1e-5, or after 50; few views need 20."""
GRID = 16
"""Moves are rounded to 1/16 pixel, so that what is the last bit on one processor is the same view on another."""

SEARCH_SHIFT, SEARCH_TURN = 0.25, 15.0
"""How far good training views are looked for: a share of the shorter side, and degrees."""
ROOM = 0.25
"""How much farther than the training views a view may lie, as a share of what they needed: jigs wear."""
LEAST_SHIFT, LEAST_TURN = 1.0, 1.0
"""The same in pixels and degrees, for training views that all lay alike."""
LIKENESS_ROOM = 2.0
"""How many times farther from a correlation of 1 than good training views mostly are an aligned view may stay."""
LEAST_LIKENESS_ROOM = 0.25
"""How far from 1 at least, for training views that are all alike: a defect should not keep a part from its place."""
ROUNDS = 2
"""The reference becomes the median of the views aligned to it: once to get there, once to sharpen it."""

Matrix = npt.NDArray[np.float64]
"""float64 [2, 3]: takes a point (x, y, 1) of an aligned view, in pixels, to where it lay in the view as given."""
Grey = npt.NDArray[np.float32]


class _Move(NamedTuple):
    """Where a view's part lies off its reference: shift of the view's centre in pixels, and a turn in degrees."""

    x: float
    y: float
    turn: float

    def matrix(self, height: int, width: int) -> Matrix:
        """The move as a matrix for views of that size. The turn is about the view's centre."""
        cos, sin = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        x, y = (width - 1) / 2, (height - 1) / 2
        return np.array([[cos, -sin, self.x + x - cos * x + sin * y], [sin, cos, self.y + y - sin * x - cos * y]])

    @classmethod
    def of(cls, matrix: Matrix, height: int, width: int) -> Self:
        """The move of a matrix."""
        x, y = (width - 1) / 2, (height - 1) / 2
        to_x, to_y = (matrix @ np.array([x, y, 1.0])).tolist()
        return cls(to_x - x, to_y - y, math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])))

    def rounded(self, height: int, width: int) -> Self:
        """The move on a grid of 1/`GRID` pixel, the turn by what moves a corner as far."""
        step = math.degrees(2.0 / GRID / math.hypot(height, width))
        return type(self)(round(self.x * GRID) / GRID, round(self.y * GRID) / GRID, round(self.turn / step) * step)


class Reference(BaseModel):
    """What one label's views are brought onto, and how far.

    `image`: a PNG of the reference view, base64. `shift`: pixels, `turn`: degrees, the farthest a view is moved.
    `likeness`: the correlation with the reference that a view must reach when moved, where it shows anything.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    image: str
    shift: Annotated[float, Field(ge=0, le=4096)]
    turn: Annotated[float, Field(ge=0, le=180)]
    likeness: Annotated[float, Field(ge=-1, le=1)]

    @field_validator("image")
    @classmethod
    def _is_a_picture(cls, image: str) -> str:
        view_of_png(image)
        return image

    @classmethod
    def of(cls, views: Image) -> Self:
        """Learnt from the good `views` of one label, uint8 [N, H, W, C].

        The reference is the pixelwise median of the views, aligned first to the one nearest the median of all as they
        lie. It is laid in the middle of where they lie, so that none has to be moved farther than needed.
        """
        height, width = views.shape[1:3]
        search = {"shift": SEARCH_SHIFT * min(height, width), "turn": SEARCH_TURN, "likeness": -1.0}
        blurred = _median(views)
        picture = views[int(np.argmax([_likeness(view, blurred, np.eye(2, 3)) for view in views]))]
        for _ in range(ROUNDS):
            found = [cls(image=_encode(picture), **search).align(view) for view in views]
            middle = np.median([_Move.of(matrix, height, width) for _, matrix in found], axis=0)
            lies = _Move(*middle.tolist()).rounded(height, width).matrix(height, width)
            picture = _warp(_median(np.stack([view for view, _ in found])), _inverse(lies))
        reference = cls(image=_encode(picture), **search)
        found = [reference.align(view) for view in views]
        reached = [_likeness(view, reference.picture, matrix) for view, matrix in found]
        likeness = max(-1.0, 1 - max(LIKENESS_ROOM * (1 - float(np.median(reached))), LEAST_LIKENESS_ROOM))
        # A view that is not brought into place tells nothing of how far parts lie, wherever the climb left it.
        moves = [
            _Move.of(matrix, height, width)
            for (_, matrix), like in zip(found, reached, strict=True)
            if like >= likeness
        ]
        return cls(
            image=reference.image,
            shift=(1 + ROOM) * max(math.hypot(move.x, move.y) for move in moves) + LEAST_SHIFT,
            turn=(1 + ROOM) * max(abs(move.turn) for move in moves) + LEAST_TURN,
            likeness=likeness,
        )

    @cached_property
    def picture(self) -> Image:
        """The reference view, uint8 [H, W, C]."""
        return view_of_png(self.image)

    def align(self, view: Image) -> tuple[Image, Matrix]:
        """`view`, uint8 [H, W, C] of the reference's size, brought onto the reference, and how it was moved.

        The view itself and the identity where it had better stay as it is; see this module's first lines. Pixels that
        come from outside repeat the view's border. The same view gives the same answer, and nothing raises.
        """
        height, width = view.shape[:2]
        stays = view, np.eye(2, 3)
        if is_blank(view) or is_blank(self.picture):
            return stays
        move = self._climb(_grey(self.picture), _grey(view))
        if move is None or not (math.hypot(move.x, move.y) <= self.shift and abs(move.turn) <= self.turn):
            return stays
        matrix = move.rounded(height, width).matrix(height, width)
        aligned = _warp(view, matrix)
        before, after = (_likeness(picture, self.picture, matrix) for picture in (view, aligned))
        return (aligned, matrix) if after > before and after >= self.likeness else stays

    def displaced(self) -> Image:
        """The reference as a loose jig might show it, uint8 [H, W, C]: moved, but not too far for `align`."""
        height, width = self.picture.shape[:2]
        move = _Move(self.shift / 2, -self.shift / 2, self.turn / 2)
        return _warp(self.picture, move.matrix(height, width))

    def _climb(self, reference: Grey, seen: Grey) -> _Move | None:
        """The move under which `seen` correlates best with `reference`; None where the climb fails."""
        share = min(1.0, COARSE / max(seen.shape))
        small = [_shrunk(picture, share) for picture in (reference, seen)]
        start = _best_shift(small[0], small[1], math.ceil(self.shift * share))
        try:
            move = _ecc(small[0], small[1], start)
            move = _Move(move.x / share, move.y / share, move.turn)
            return move if share == 1.0 else _ecc(reference, seen, move)
        except cv2.error:  # OpenCV's way to say that the pictures have too little in common
            return None


class Alignment(BaseModel):
    """The references of all labels, by the label's index."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    references: tuple[Reference, ...]

    @classmethod
    def of(cls, views: Image, label: npt.NDArray[np.int64], count: int) -> Self:
        """Learnt from good `views`, uint8 [N, H, W, C], of `count` labels, `label`: int64 [N]; each has a view."""
        return cls(references=tuple(Reference.of(views[label == k]) for k in range(count)))

    def fits(self, spec: ViewSpec, count: int) -> bool:
        """Whether these are references of `count` labels, of views as `spec` says, that stay in sight."""
        shape = (spec.height, spec.width, spec.channels)
        return len(self.references) == count and all(
            own.picture.shape == shape and own.shift <= max(shape[:2]) for own in self.references
        )

    def align(self, view: Image, label: int) -> tuple[Image, Matrix]:
        """`view`, uint8 [H, W, C], brought onto the reference of `label`; see `Reference.align`."""
        return self.references[label].align(view)


def _best_shift(reference: Grey, seen: Grey, reach: int) -> _Move:
    """The whole-pixel shift of at most `reach` each way under which `seen` correlates best with `reference`."""
    around = cv2.copyMakeBorder(seen, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    likeness = cv2.matchTemplate(around, reference, cv2.TM_CCOEFF_NORMED)
    row, column = divmod(int(np.argmax(likeness)), likeness.shape[1])
    return _Move(column - reach, row - reach, 0.0)


def _ecc(reference: Grey, seen: Grey, start: _Move) -> _Move:
    """The move near `start` at which the enhanced correlation coefficient is largest. Raises cv2.error without one."""
    begin = start.matrix(*seen.shape).astype(np.float32)
    _, matrix = cv2.findTransformECC(reference, seen, begin, cv2.MOTION_EUCLIDEAN, STEPS)
    return _Move.of(np.asarray(matrix, np.float64), *seen.shape)


def _warp(view: Image, matrix: Matrix, beyond: int = cv2.BORDER_REPLICATE) -> Image:
    """`view`, uint8 [H, W, C], taken at where `matrix` points; `beyond`: OpenCV's rule for what lies outside."""
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    height, width = view.shape[:2]
    taken = cv2.warpAffine(view, matrix, (width, height), flags=how, borderMode=beyond)
    return np.asarray(taken, np.uint8).reshape(view.shape)


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def _likeness(view: Image, reference: Image, matrix: Matrix) -> float:
    """Pearson's correlation of two views, uint8 [H, W, C], in grey; 0 where one is flat.

    Only pixels count that `matrix` takes from within a view: what is repeated from its border would make a part that
    the frame cuts off look like another.
    """
    whole = np.full((*view.shape[:2], 1), 255, np.uint8)
    inside = _warp(whole, matrix, beyond=cv2.BORDER_CONSTANT)[..., 0] == 255
    a, b = _grey(view)[inside], _grey(reference)[inside]
    if not a.size:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    energy = math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b)))
    return float(np.vdot(a, b)) / energy if energy > 0 else 0.0


def _grey(view: Image) -> Grey:
    return np.asarray(view.astype(np.float32).mean(axis=2))


def _shrunk(picture: Grey, share: float) -> Grey:
    size = max(1, round(picture.shape[1] * share)), max(1, round(picture.shape[0] * share))
    return picture if share == 1.0 else np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _median(views: Image) -> Image:
    return np.asarray(np.median(views, axis=0).round(), np.uint8)


def _encode(view: Image) -> str:
    return base64.b64encode(cv2.imencode(".png", view)[1].tobytes()).decode()
