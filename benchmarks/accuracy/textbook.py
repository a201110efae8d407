"""The textbook's conditional VAE, to be timed beside kenpin's training.

Label concatenated to view and latent, squared error plus KL, latent of 128, 50 epochs, batches of 128: Keras' own VAE
example (keras.io/examples/generative/vae) with a label, as most tutorials have it.
"""

import time
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from train.teach import floats
from train.views import DataSet

LATENT = 128
EPOCHS = 50
BATCH = 128


class Textbook(keras.Model):  # type: ignore[misc]  # Keras ships no types
    """Encoder and decoder of two convolutions each."""

    def __init__(self, height: int, width: int, channels: int, labels: int) -> None:
        super().__init__()
        self.size, self.labels = (height, width), labels
        grid = (-(-height // 4), -(-width // 4))
        self.encoder = keras.Sequential(
            [
                layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
                layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
                layers.Flatten(),
                layers.Dense(2 * LATENT),
            ]
        )
        self.decoder = keras.Sequential(
            [
                layers.Dense(grid[0] * grid[1] * 64, activation="relu"),
                layers.Reshape((*grid, 64)),
                layers.Conv2DTranspose(64, 3, strides=2, padding="same", activation="relu"),
                layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu"),
                layers.Conv2DTranspose(channels, 3, padding="same", activation="sigmoid"),
            ]
        )

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Drawing, mean and log variance."""
        view, what = inputs["view"], ops.one_hot(inputs["label"], self.labels)
        planes = ops.ones_like(view[..., :1]) * ops.reshape(what, (-1, 1, 1, self.labels))
        mean, log_variance = ops.split(self.encoder(ops.concatenate([view, planes], axis=-1)), 2, axis=-1)
        latent = mean + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(mean))
        drawn = self.decoder(ops.concatenate([latent, what], axis=-1))
        return drawn[:, : self.size[0], : self.size[1]], mean, log_variance

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:  # noqa: ARG002  # Keras' own
        """Squared error and KL, summed over pixels and latents."""
        drawn, mean, log_variance = y_pred
        error = ops.sum(ops.square(x["view"] - drawn), axis=(1, 2, 3))
        kl = -0.5 * ops.sum(1 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=-1)
        return ops.mean(error + kl)


def seconds(data: DataSet, seed: int) -> float:
    """How long the textbook's training takes on the good training views of `data`."""
    keras.utils.set_random_seed(seed)
    good = data.train[data.train.good]
    model = Textbook(data.spec.height, data.spec.width, data.spec.channels, len(data.labels))
    model.compile(optimizer="adam")
    began = time.monotonic()
    model.fit(
        {"view": floats(good.images), "label": np.asarray(good.label)}, epochs=EPOCHS, batch_size=BATCH, verbose=0
    )
    return time.monotonic() - began
