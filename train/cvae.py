"""The conditional VAE: told which part the line expects, it draws what that part should look like here.

The encoder sees only the view and keeps little: where the part lies and how it is lit, not what it is. The decoder
gets *what* from the label, which scales and shifts every layer (FiLM). What the label does not explain and the small
latent cannot hold stays behind in the difference, where the heads look for it.

Two things in the loss are not in the textbook:

* The squared error is weighed by its own optimum, ``D/2 · log(mse)``, so that no weight between error and KL has to be
  tuned for each data set (the sigma-VAE: Rybkin, Daniilidis and Levine, "Simple and Effective VAE Training with
  Calibrated Decoders", ICML 2021).
* A plain conditional VAE may ignore its label, because the latent can carry the whole view. So each view is also drawn
  under a wrong label, and that drawing is asked to be worse by ``MARGIN``. Wrong labels are free: every good view is a
  wrong part for every other label.
"""

import math
from typing import Any

import keras
from keras import ops

Tensor = Any
"""A tensor of whichever backend Keras runs on."""

MARGIN = math.log(4.0)
"""How much worse a wrong label must draw, as a log ratio of squared errors: four times, wherever the error stands."""

SMALLEST_ERROR = 1e-5
"""Floor of a squared error inside a logarithm: a third of a grey level, below what a camera can show."""


@keras.saving.register_keras_serializable(package="kenpin")
class ConditionalVAE(keras.Model):  # type: ignore[misc]  # Keras ships no types
    """Draws a view as the expected part would look.

    Args:
        height, width, channels: size of a view in pixels; channels is 1 or 3.
        labels: number of part labels, at least 1. With one label there is no wrong label to learn from.
        latent: length of the latent.
        filters: channels of the largest picture layer; each halving doubles them, up to 64.
        binding: weight of the wrong-label hinge against the rest of the loss.
        seed: seed of the sampling noise and of the choice of wrong labels.

    Call it with ``{"view": float32 [N, H, W, C] in 0..1, "label": int [N]}``. In training it samples the latent and
    also draws a wrong label; otherwise it uses the latent's mean and draws the given label only.
    """

    def __init__(
        self,
        *,
        height: int,
        width: int,
        channels: int,
        labels: int,
        latent: int = 16,
        filters: int = 12,
        binding: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.height, self.width, self.channels = height, width, channels
        self.labels, self.latent, self.filters, self.binding, self.seed = labels, latent, filters, binding, seed
        depth = halvings(min(height, width))
        widths = [min(filters * 2**level, 64) for level in range(depth)]
        self.grid = (-(-height // 2**depth), -(-width // 2**depth), widths[-1])

        self.downs = [
            keras.layers.Conv2D(w, 4, strides=2, padding="same", activation="silu", name=f"down_{level}")
            for level, w in enumerate(widths)
        ]
        self.to_mean = keras.layers.Dense(latent, name="mean")
        self.to_log_variance = keras.layers.Dense(latent, name="log_variance")
        self.sampling = Sampling(seed, name="sampling", dtype="float32")

        # Mixing happens before each doubling and never at full size, where it would cost most of the time.
        self.from_latent = keras.layers.Dense(math.prod(self.grid), name="from_latent")
        self.films = [FiLM(w, name=f"film_{level}") for level, w in enumerate(reversed(widths))]
        self.mixes = [
            keras.layers.Conv2D(w, 3, padding="same", activation="silu", name=f"mix_{level}")
            for level, w in enumerate([*reversed(widths[:-1]), 2 * filters])
        ]
        self.ups = [
            keras.layers.Conv2DTranspose(w, 2, strides=2, name=f"up_{level}")
            for level, w in enumerate(reversed(widths[:-1]))
        ]
        self.to_pixels = keras.layers.Conv2DTranspose(
            channels, 2, strides=2, activation="sigmoid", name="pixels", dtype="float32"
        )

        self.wrong_labels = keras.random.SeedGenerator(seed + 1)
        self.trackers = {name: keras.metrics.Mean(name) for name in ("error", "kl", "wrong_error")}

    def settings(self) -> dict[str, Any]:
        """The arguments that make the same model again."""
        keys = ("height", "width", "channels", "labels", "latent", "filters", "binding", "seed")
        return {key: getattr(self, key) for key in keys}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings()}

    def encode(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent, float [N, latent] each, of views float [N, H, W, C]."""
        h = view
        for down in self.downs:
            h = down(h)
        h = ops.reshape(h, (-1, math.prod(self.grid)))
        return ops.cast(self.to_mean(h), "float32"), ops.cast(self.to_log_variance(h), "float32")

    def decode(self, latent: Tensor, label: Tensor) -> Tensor:
        """The part `label` (int [N]) at `latent` (float [N, latent]): float32 [N, H, W, C] in 0..1."""
        what = ops.one_hot(label, self.labels)
        h = ops.reshape(self.from_latent(ops.concatenate([latent, what], axis=-1)), (-1, *self.grid))
        for film, mix, up in zip(self.films, self.mixes, [*self.ups, self.to_pixels], strict=True):
            h = up(mix(ops.silu(film(h, what))))
        return h[:, : self.height, : self.width, :]

    def reconstruct(self, view: Tensor, label: Tensor) -> Tensor:
        """What the expected part should look like here, without any randomness: float32 [N, H, W, C]."""
        return self.decode(self.encode(view)[0], label)

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        view, label = inputs["view"], inputs["label"]
        mean, log_variance = self.encode(view)
        latent = self.sampling(mean, log_variance, training=training)
        drawn = {"reconstruction": self.decode(latent, label), "mean": mean, "log_variance": log_variance}
        if training and self.labels > 1:
            step = keras.random.randint(ops.shape(label), 1, self.labels, dtype="int32", seed=self.wrong_labels)
            wrong = (ops.cast(label, "int32") + step) % self.labels
            drawn["wrong_reconstruction"] = self.decode(latent, wrong)
        return drawn

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Negative evidence lower bound with the error's own optimal weight, plus the wrong-label hinge, per pixel."""
        view = ops.cast(x["view"], "float32")
        pixels = float(self.height * self.width * self.channels)
        error = squared_error(view, y_pred["reconstruction"])
        mean, log_variance = y_pred["mean"], y_pred["log_variance"]
        kl = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0, axis=-1)
        loss = 0.5 * ops.log(ops.mean(error)) + ops.mean(kl) / pixels
        self.trackers["error"].update_state(error)
        self.trackers["kl"].update_state(kl)
        if "wrong_reconstruction" in y_pred:
            wrong_error = squared_error(view, y_pred["wrong_reconstruction"])
            loss += self.binding * ops.mean(ops.relu(MARGIN + ops.log(error) - ops.log(wrong_error)))
            self.trackers["wrong_error"].update_state(wrong_error)
        return loss


def halvings(side: int) -> int:
    """How often a picture of `side` pixels is halved: until 4 to 8 pixels are left, so that depth follows size."""
    return max(2, math.ceil(math.log2(side / 8)))


def squared_error(view: Tensor, drawn: Tensor) -> Tensor:
    """Mean squared error of each view, float32 [N], never below `SMALLEST_ERROR`."""
    return ops.mean(ops.square(view - drawn), axis=(1, 2, 3)) + SMALLEST_ERROR


@keras.saving.register_keras_serializable(package="kenpin")
class FiLM(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Lets the label scale and shift each channel of a picture layer (Perez et al., "FiLM", AAAI 2018)."""

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.scale = keras.layers.Dense(channels, name="scale")
        self.shift = keras.layers.Dense(channels, name="shift")

    def call(self, picture: Tensor, what: Tensor) -> Tensor:
        scale = ops.reshape(self.scale(what), (-1, 1, 1, self.channels))
        shift = ops.reshape(self.shift(what), (-1, 1, 1, self.channels))
        return picture * (1.0 + scale) + shift

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="kenpin")
class Sampling(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Draws the latent in training; returns its mean otherwise, so that the same view always gets the same verdict."""

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)

    def call(self, mean: Tensor, log_variance: Tensor, training: bool = False) -> Tensor:
        if not training:
            return mean
        return mean + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(mean), seed=self.noise)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
