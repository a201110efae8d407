"""What tests of every kind share: one real training of a small model, and the real bundle exported from it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from export import cli as export_cli
from train import cli as train_cli

TINY_EPOCHS = "10"
"""Enough that the label binds and good parts are mostly OK; a test of accuracy belongs in `benchmarks/`."""


# How long a machine that has much to do takes to make an example says nothing of what is tested.
settings.register_profile("kenpin", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kenpin")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of `shapes`, trained by the real command."""
    out = tmp_path_factory.mktemp("training") / "run"
    assert train_cli.main(["shapes", "--out", str(out), "--epochs", TINY_EPOCHS]) == 0
    return out


@pytest.fixture(scope="session")
def bundle_path(run_folder: Path) -> Path:
    """A bundle of `shapes`, exported by the real command: four labels, views of 27 × 27 grey pixels."""
    out = run_folder.parent / "shapes.onnx"
    assert export_cli.main([str(run_folder), "--out", str(out), "--name", "shapes", "--version", "1"]) == 0
    return out
