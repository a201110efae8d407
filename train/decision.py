"""The whole decision, from a view and the expected label to scores: what training measures is what export writes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from edge_runtime.picture import Image
from train.cvae import ConditionalVAE
from train.difference import Tolerances, at_once
from train.heads import Head, probabilities
from train.shortlist import Shortlist
from train.tiles import WHOLE, Tiles
from train.views import Labels

Tensor = Any

STEEPNESS = 8.0
"""How fast a view that is louder than all good ones becomes surely not good."""
FARTHEST = 3.0
"""Standard deviations of the latent's prior."""


def with_latent(difference: Tensor, latent: Tensor) -> Tensor:
    """All that the heads see: the features of the `difference`, float [N, F], and how the part lies, [N, latent].

    The same difference means one thing in one place and light, and another elsewhere. Bounded, since no view is known
    to lie farther out, and what is unknown must not outweigh a loud difference.
    """
    return ops.concatenate([difference, ops.clip(latent, -FARTHEST, FARTHEST)], axis=1)


def _floats(image: Tensor) -> Tensor:
    """uint8 [N, H, W, C] as float32 in 0..1."""
    return ops.reshape(ops.cast(_numbers(image), "float32") / 255.0, (-1, *image.shape[1:]))


def _bytes(picture: Tensor) -> Tensor:
    """float32 [N, H, W, C] in 0..1 as uint8."""
    return ops.reshape(ops.cast(ops.round(_numbers(picture) * 255.0), "uint8"), (-1, *picture.shape[1:]))


def _numbers(picture: Tensor) -> Tensor:
    """A `picture`, [N, H, W, C], as [N, H · W · C]: engines are slow with a factor where the last end is 1."""
    return ops.reshape(picture, (-1, int(np.prod(picture.shape[1:]))))


@dataclass(frozen=True)
class Decision:
    """Cut into tiles, draw, compare, judge.

    `mismatch` is None where there is one label only: then no view is another part. `far`: the mean of a view's features
    from which it is not good, whatever the SVM says of a place where it was taught nothing.
    """

    cvae: ConditionalVAE
    tolerances: Tolerances
    defect: Head
    mismatch: Head | None
    far: float
    shortlist: Shortlist
    tiles: Tiles = WHOLE

    def __call__(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        """The bundle's outputs, by name, of views uint8 [N, H, W, C] and expected labels int [N].

        Or of one view and M labels: then all but the shortlist are [M, ...].
        """
        tile, place = self.tiles.cut(image, label)
        view = _floats(tile)
        latent = self.tiles.under(self.cvae.encode(view)[0], label)
        if self.tiles.count > 1:  # else one view is compared with every drawing as it is
            view = self.tiles.under(view, label)
        drawn = self.cvae.decode(latent, place)
        difference, features = self.tolerances.difference(view, drawn, place)
        features = with_latent(features, latent)
        heads = (self.defect,) if self.mismatch is None else (self.defect, self.mismatch)
        defect, *rest = probabilities(heads, features)
        mismatch = rest[0] if rest else ops.zeros_like(defect)
        return {
            "defect_score": self.tiles.worst(self.doubtful(defect, features)),
            "mismatch_score": self.tiles.worst(mismatch),
            "difference": ops.reshape(self.tiles.join(difference), (-1, *image.shape[1:3])),
            "reconstruction": _bytes(self.tiles.join(drawn)),
            "features": ops.reshape(features, (-1, self.tiles.count * features.shape[1])),
            "shortlist": self.shortlist(image),
        }

    def doubtful(self, score: Tensor, features: Tensor) -> Tensor:
        """The defect score, float [N], raised where the features, float [N, F], are louder than any good view's."""
        loudness = ops.mean(features[:, : self.tolerances.centre.shape[1]], axis=1)
        return ops.maximum(score, ops.sigmoid(STEEPNESS * (loudness - self.far)))

    def judge(self, images: Image, label: Labels) -> dict[str, Any]:
        """The same as NumPy arrays, some views at a time."""
        step = at_once(images)
        chunks = [
            {
                key: ops.convert_to_numpy(value)
                for key, value in self(images[at : at + step], label[at : at + step]).items()
            }
            for at in range(0, len(images), step)
        ]
        return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in chunks[0]}
