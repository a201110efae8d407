import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from train.cvae import ConditionalVAE, halvings


def model(**changes: int) -> ConditionalVAE:
    keras.utils.set_random_seed(0)
    return ConditionalVAE(**({"height": 27, "width": 35, "channels": 1, "labels": 3, "latent": 4} | changes))


def views(count: int = 24, height: int = 27, width: int = 35, channels: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "view": rng.random((count, height, width, channels), np.float32),
        "label": (np.arange(count) % 3).astype(np.int64),
    }


def compiled(cvae: ConditionalVAE) -> ConditionalVAE:
    cvae.compile(optimizer=keras.optimizers.Adam(2e-3), jit_compile=False)
    return cvae


@pytest.mark.parametrize(("height", "width", "channels"), [(27, 27, 1), (64, 48, 3), (130, 16, 1)])
def test_a_drawing_has_the_views_size_and_range(height: int, width: int, channels: int) -> None:
    x = views(2, height, width, channels)
    drawn = np.asarray(model(height=height, width=width, channels=channels).reconstruct(x["view"], x["label"]))
    assert drawn.shape == x["view"].shape
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_depth_follows_size() -> None:
    assert [halvings(side) for side in (27, 64, 128, 256, 512)] == [2, 3, 4, 5, 6]


def test_the_same_view_is_always_drawn_the_same() -> None:
    cvae, x = model(), views(2)
    first, second = (np.asarray(cvae(x, training=False)["reconstruction"]) for _ in range(2))
    assert np.array_equal(first, second)
    sampled, again = (np.asarray(cvae(x, training=True)["reconstruction"]) for _ in range(2))
    assert not np.array_equal(sampled, again)


def test_the_wrong_label_drawn_in_training_is_never_the_right_one() -> None:
    cvae, x = model(labels=2), views(4)
    x["label"] = x["label"] % 2
    cvae(x)
    cvae.to_log_variance.kernel.assign(0.0 * cvae.to_log_variance.kernel)
    cvae.to_log_variance.bias.assign(cvae.to_log_variance.bias - 60.0)  # no noise, so that only the label differs
    drawn = cvae(x, training=True)
    wrong = np.asarray(cvae.reconstruct(x["view"], 1 - x["label"]))
    np.testing.assert_allclose(np.asarray(drawn["wrong_reconstruction"]), wrong, atol=1e-5)


def test_a_single_label_trains_without_a_wrong_one() -> None:
    cvae, x = compiled(model(labels=1)), views()
    x["label"] = np.zeros_like(x["label"])
    history = cvae.fit(x, epochs=1, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["wrong_error"] == [0.0]


def test_the_hinge_lowers_the_loss_only_until_the_wrong_drawing_is_bad_enough() -> None:
    cvae, x = model(), views(8)
    same = {
        "reconstruction": x["view"] + 0.1,
        "mean": np.zeros((8, 4), np.float32),
        "log_variance": np.zeros((8, 4), np.float32),
    }
    losses = [
        float(cvae.compute_loss(x, y_pred=same | {"wrong_reconstruction": x["view"] + off}))
        for off in (0.1, 0.15, 0.3, 0.9)
    ]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] == pytest.approx(losses[3])


def test_callbacks_checkpoints_early_stopping_and_tensorboard_just_work(tmp_path: Path) -> None:
    cvae, x = compiled(model()), views()
    callbacks = [
        keras.callbacks.EarlyStopping("val_error", mode="min", patience=1, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True),
        keras.callbacks.TensorBoard(tmp_path / "board"),
        keras.callbacks.ReduceLROnPlateau("val_error", mode="min", patience=1),
    ]
    cvae.fit(x, validation_data=(x,), epochs=2, batch_size=8, callbacks=callbacks, verbose=0)
    assert (tmp_path / "1.weights.h5").is_file()
    assert list((tmp_path / "board").rglob("events*"))


def test_mixed_precision_just_works() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        cvae, x = compiled(model()), views()
        history = cvae.fit(x, epochs=2, batch_size=8, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        assert np.asarray(cvae.reconstruct(x["view"], x["label"])).dtype == np.float32
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_the_whole_model_is_saved_and_loaded_as_keras_does_it(tmp_path: Path) -> None:
    cvae, x = compiled(model()), views(4)
    cvae.fit(x, epochs=1, verbose=0)
    cvae.save(tmp_path / "whole.keras")
    again = keras.models.load_model(tmp_path / "whole.keras")
    np.testing.assert_allclose(
        np.asarray(again.reconstruct(x["view"], x["label"])),
        np.asarray(cvae.reconstruct(x["view"], x["label"])),
        atol=1e-6,
    )


ON_JAX = """
import sys, keras, numpy as np
from tests.unit.test_cvae import compiled, model, views
assert keras.backend.backend() == "jax"
cvae, x = compiled(model()), views()
before = cvae.evaluate(x, verbose=0, return_dict=True)["error"]
history = cvae.fit(x, validation_data=(x,), epochs=8, batch_size=8, verbose=0).history
assert history["val_error"][-1] < before, (before, history)
cvae.save_weights(sys.argv[1])
np.save(sys.argv[2], np.asarray(cvae.reconstruct(x["view"], x["label"])))
"""


def test_what_jax_trained_tensorflow_draws(tmp_path: Path) -> None:
    """A GPU box may have only JAX; the weights are the same file."""
    weights, drawn = tmp_path / "x.weights.h5", tmp_path / "drawn.npy"
    subprocess.run(
        [sys.executable, "-c", ON_JAX, str(weights), str(drawn)],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        cwd=Path(__file__).parents[2],
        check=True,
    )
    assert keras.backend.backend() == "tensorflow"
    cvae, x = model(), views()
    cvae(x)
    cvae.load_weights(weights)
    np.testing.assert_allclose(np.asarray(cvae.reconstruct(x["view"], x["label"])), np.load(drawn), atol=1e-4)
