"""Parts that lie loosely in their jig, trained with and without `--align` by the real commands."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle import Bundle, Floats, load_bundle
from edge_runtime.errors import BundleError
from export import cli as export_cli
from tests.loose import loose_views, pattern
from tests.unit.test_bundle import changed
from train import cli as train_cli
from train.run import load

LABELS = ("A12", "B7")
TABLES = tuple(pattern(seed) for seed in (3, 4))
HELD_OUT = tuple(loose_views(table, 12, seed) for seed, table in enumerate(TABLES, start=70))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loose") / "parts"
    for seed, (label, table, held_out) in enumerate(zip(LABELS, TABLES, HELD_OUT, strict=True)):
        for use, views in (("train", loose_views(table, 24, seed)), ("test", held_out)):
            (root / label / use / "good").mkdir(parents=True)
            for number, view in enumerate(views):
                cv2.imwrite(str(root / label / use / "good" / f"{number}.png"), view)
    return root


def trained(parts: Path, name: str, *more: str) -> Path:
    run = parts.parent / name
    assert train_cli.main([str(parts), "--out", str(run), "--epochs", "10", *more]) == 0
    return run


@pytest.fixture(scope="module")
def aligned_run(parts: Path) -> Path:
    return trained(parts, "aligned", "--align")


@pytest.fixture(scope="module")
def aligned(aligned_run: Path) -> Bundle:
    out = aligned_run.with_suffix(".onnx")
    assert export_cli.main([str(aligned_run), "--out", str(out)]) == 0
    return load_bundle(out)


def errors(run_folder: Path) -> Floats:
    """Mean squared error, in grey levels, of each label's held-out good views against their drawings, float32 [K]."""
    run, decision, _, _ = load(run_folder)
    found = []
    for label, views in enumerate(HELD_OUT):
        seen = views if run.alignment is None else np.stack([run.alignment.align(view, label)[0] for view in views])
        drawn = decision.judge(seen, np.full(len(views), label))["reconstruction"]
        found.append(np.mean((seen.astype(np.float32) - drawn) ** 2))
    return np.array(found, np.float32)


def test_aligned_good_views_lie_closer_to_their_drawing(parts: Path, aligned_run: Path) -> None:
    as_they_lie, brought_into_place = errors(trained(parts, "as-they-lie")), errors(aligned_run)
    assert np.all(brought_into_place < as_they_lie / 2), f"{brought_into_place} against {as_they_lie}"


def test_each_label_is_looked_for_at_its_own_place(aligned: Bundle) -> None:
    for label, views in enumerate(HELD_OUT):
        found = [aligned.find(view, np.arange(len(aligned.info.labels)))[0] for view in views]
        assert found.count(LABELS[label]) >= 10
        assert found.count(LABELS[1 - label]) == 0


def test_the_report_says_how_far_views_are_moved(aligned_run: Path, aligned: Bundle) -> None:
    assert aligned.info.alignment is not None
    page = (aligned_run / "report.html").read_text()
    for label, reference in zip(LABELS, aligned.info.alignment.references, strict=True):
        assert f"{label} by up to {reference.shift:.1f} pixels and {reference.turn:.1f}°" in page


def test_a_bundle_that_lost_its_alignment_does_not_inspect(aligned: Bundle, tmp_path: Path) -> None:
    """So that a runtime that knows nothing of it refuses the bundle, too: its golden vectors say otherwise."""
    with pytest.raises(BundleError, match="golden vector 1"):
        load_bundle(changed(aligned.path, tmp_path / "x.onnx", alignment=None))
