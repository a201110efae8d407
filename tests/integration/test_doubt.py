"""Never OK on doubt, asked of a bundle that was really trained."""

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle import Bundle, load_bundle
from edge_runtime.cameras import Frame
from edge_runtime.framing import Framing
from edge_runtime.inspector import Inspector
from edge_runtime.picture import Image
from edge_runtime.regions import Region
from edge_runtime.verdict import Call
from tests.integration.test_training import folder_of
from train.datasets import shapes
from train.fit import Settings, fit


def calls(bundle: Bundle, label: str, views: list[Image]) -> list[Call]:
    inspector = Inspector(bundle, Framing({"r": Region(expected=label)}), bundle.info.thresholds)
    return [inspector.inspect(Frame(view, 0, 1, 0.0), {"r": label}, "test").verdict.verdict for view in views]


@pytest.mark.parametrize("label", shapes.LABELS)
@pytest.mark.parametrize("brightness", [4, 10, 20, 80, 128, 240])
def test_a_scene_without_a_part_is_never_ok(bundle_path: Path, label: str, brightness: int) -> None:
    rng = np.random.default_rng(brightness)
    empty = [np.clip(rng.normal(brightness, 4, (27, 27, 1)), 0, 255).astype(np.uint8) for _ in range(20)]
    assert Call.OK not in calls(load_bundle(bundle_path), label, empty)


@pytest.mark.parametrize("gain", [0.05, 0.1, 0.3, 3.0])
def test_a_good_part_in_the_wrong_light_is_never_ok(bundle_path: Path, gain: float) -> None:
    rng = np.random.default_rng(0)
    views = [shapes.draw("hollow-circle", rng) for _ in range(20)]
    lit = [np.clip(view * gain, 0, 255).astype(np.uint8) for view in views]
    assert Call.OK not in calls(load_bundle(bundle_path), "hollow-circle", lit)


def test_good_parts_in_the_right_light_are_mostly_ok(bundle_path: Path) -> None:
    """Or the tests above would hold for a bundle that never says OK."""
    rng = np.random.default_rng(1)
    bundle = load_bundle(bundle_path)
    for label in shapes.LABELS:
        good = [shapes.draw(label, rng) for _ in range(20)]
        assert calls(bundle, label, good).count(Call.OK) >= 14


@pytest.mark.parametrize("good", [8, 16])
def test_with_few_views_of_one_part_what_is_no_such_part_is_never_good(tmp_path: Path, good: int) -> None:
    from train.datasets import folder

    data = folder.load(
        folder_of(tmp_path / "parts", ("solid-circle",), good), size=None, seed=0, report=lambda _done, _total: None
    )
    fitted = fit(data, Settings(epochs=10))
    rng = np.random.default_rng(7)
    noise = [rng.integers(0, 256, (27, 27, 1), np.uint8) for _ in range(10)]
    others = [shapes.draw("hollow-rectangle", rng) for _ in range(10)]
    dark = [np.full((27, 27, 1), value, np.uint8) for value in (0, 90, 200)]
    views = np.stack([*noise, *others, *dark])
    scores = fitted.decision.judge(views, np.zeros(len(views), np.int64))["defect_score"]
    usual = [fitted.usual[0].holds(view) for view in views]
    assert not any((scores < fitted.thresholds.defect) & usual)
    assert any("not enough views to promise" in remark for remark in fitted.remarks)
