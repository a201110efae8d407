"""A region larger than a model's view: cut into tiles by the real commands, judged as one on the line."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle import Bundle, load_bundle
from edge_runtime.picture import Image
from export import cli as export_cli
from tests.loose import pattern
from train import cli as train_cli

LABELS = ("A12", "B7")
BOARDS = tuple(pattern(3)[24:72, 16:80].copy() for _ in LABELS)
BOARDS[1][24:, :32] = pattern(4)[48:72, 16:48]  # they differ in one of four tiles


def views(board: Image, count: int, seed: int) -> Image:
    noise = np.random.default_rng(seed)
    return np.asarray(np.clip(board + noise.normal(0, 4, (count, *board.shape)), 0, 255), np.uint8)


def scratched(board: Image, seed: int) -> Image:
    """With a bright scratch in the lower right tile."""
    (view,) = views(board, 1, seed)
    return np.asarray(cv2.line(view, (42, 34), (56, 42), 255, 2), np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    root = tmp_path_factory.mktemp("tiled")
    for seed, (label, board) in enumerate(zip(LABELS, BOARDS, strict=True)):
        for use, pictures in (("train", views(board, 24, seed)), ("test", views(board, 6, 20 + seed))):
            (root / "parts" / label / use / "good").mkdir(parents=True)
            for number, view in enumerate(pictures):
                cv2.imwrite(str(root / "parts" / label / use / "good" / f"{number}.png"), view)
    run, out = root / "run", root / "part.onnx"
    assert train_cli.main([str(root / "parts"), "--out", str(run), "--epochs", "14", "--tiles", "2x2"]) == 0
    assert export_cli.main([str(run), "--out", str(out)]) == 0
    return load_bundle(out)


def test_the_bundle_takes_the_whole_view_and_draws_it_whole(bundle: Bundle) -> None:
    (view,) = views(BOARDS[0], 1, 90)
    assert (bundle.info.view.height, bundle.info.view.width) == (48, 64)
    found = bundle.inspect(view, 0)
    assert found.reconstruction.shape == view.shape
    assert found.difference.shape == view.shape[:2]
    alike = np.corrcoef(found.reconstruction.ravel(), view.ravel())[0, 1]
    assert alike > 0.8, "tiles are joined where they were cut"


def test_a_defect_in_one_tile_is_the_view_s(bundle: Bundle) -> None:
    limit = bundle.info.thresholds.defect
    for label, board in enumerate(BOARDS):
        found = bundle.inspect(scratched(board, 91 + label), label)
        assert found.defect_score >= limit
        row, column = np.unravel_index(np.argmax(found.difference), found.difference.shape)
        assert 32 <= row <= 44
        assert 40 <= column <= 58
        good = [bundle.inspect(view, label).defect_score for view in views(board, 10, 95)]
        assert sum(score >= limit for score in good) <= 2


def test_another_part_is_told_by_the_one_tile_that_differs(bundle: Bundle) -> None:
    for label, board in enumerate(BOARDS):
        assert bundle.find(views(board, 1, 97)[0], np.arange(len(LABELS)))[0] == LABELS[label]


def test_tiles_that_do_not_fit_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_cli.main(["shapes", "--out", str(tmp_path / "run"), "--tiles", "2x2"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "--tiles 2x2" in said
    assert "--size" in said
    assert not (tmp_path / "run").exists()
