from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import DataSetError, KenpinError, PictureError
from train import cli
from train.datasets import elpv, folder, load, shapes


def quiet(_done: int, _total: int) -> None:
    """Nobody to tell."""


def write(path: Path, seed: int, shape: tuple[int, ...] = (40, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two labels with training and test views, defects in folders of their types."""
    seed = 0
    for label in ("A12", "B7"):
        for kind, count in (("train/good", 10), ("train/scratch", 2), ("test/good", 3), ("test/dent", 2)):
            for number in range(count):
                seed += 1
                write(tmp_path / "parts" / label / kind / f"{number}.png", seed)
    return tmp_path / "parts"


def test_the_layout_is_read_with_defects_of_every_type(pictures: Path) -> None:
    data = folder.load(pictures, size=None, seed=0, report=quiet)
    assert data.labels == ("A12", "B7")
    assert (data.train.good.sum(), data.train.defective.sum()) == (20, 4)
    assert (data.test.good.sum(), data.test.defective.sum()) == (6, 4)
    assert (data.spec.height, data.spec.width, data.spec.channels) == (40, 60, 1)


def test_the_longer_side_follows_the_engineer_and_the_other_the_pictures(pictures: Path) -> None:
    spec = folder.load(pictures, size=90, seed=0, report=quiet).spec
    assert (spec.height, spec.width) == (60, 90)


@pytest.mark.parametrize("command", [[], ["curve"]])
def test_a_size_beyond_what_a_tile_may_have_is_refused_by_every_command(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    for data, tiles, said in (
        (str(pictures), "1x2", "--size 1025: a tile has at most 512 pixels"),
        ("shapes", "1x1", "tiles of 1025 x 1025 pixels"),
    ):
        asked = [data, "--out", str(tmp_path / "out"), "--size", "1025", "--tiles", tiles]
        assert cli.main([*command, *asked]) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]
        assert not (tmp_path / "out").exists()
    assert folder.load(pictures, size=512, seed=0, report=quiet).spec.width == 512


def test_pictures_that_are_enlarged_are_told_once_and_only_where_a_size_was_asked_for(pictures: Path) -> None:
    write(pictures / "A12/train/good/large.png", 98, (80, 120))
    remarks = folder.load(pictures, size=90, seed=0, report=quiet).remarks
    assert [it for it in remarks if "enlarged" in it] == [
        "34 of 35 pictures are smaller than --size 90; enlarged, they show no more"
    ]
    for size in (60, None):
        assert not any("enlarged" in it for it in folder.load(pictures, size=size, seed=0, report=quiet).remarks)


def test_one_colour_picture_makes_the_views_colour(pictures: Path) -> None:
    write(pictures / "A12/train/good/colour.png", 99, (40, 60, 3))
    assert folder.load(pictures, size=None, seed=0, report=quiet).spec.channels == 3


def test_without_test_views_some_are_held_out_and_that_is_said(pictures: Path) -> None:
    for path in pictures.glob("*/test/*/*.png"):
        path.unlink()
    data = folder.load(pictures, size=None, seed=0, report=quiet)
    assert len(data.test) > 0
    assert not set(data.train.names) & set(data.test.names)
    assert any("held out" in remark for remark in data.remarks)


def test_a_test_view_that_is_also_a_training_view_is_left_out_and_that_is_said(pictures: Path) -> None:
    (pictures / "A12/test/good/again.png").write_bytes((pictures / "A12/train/good/0.png").read_bytes())
    data = folder.load(pictures, size=None, seed=0, report=quiet)
    assert not any("again" in name for name in data.test.names)
    assert any("same pictures" in remark for remark in data.remarks)


def test_the_digest_changes_with_one_pixel_and_not_with_the_folders_place(pictures: Path, tmp_path: Path) -> None:
    before = folder.load(pictures, size=None, seed=0, report=quiet).digest
    moved = pictures.rename(tmp_path / "elsewhere")
    assert folder.load(moved, size=None, seed=0, report=quiet).digest == before
    write(moved / "A12/train/good/0.png", 1234)
    assert folder.load(moved, size=None, seed=0, report=quiet).digest != before


def test_a_missing_folder_is_named_with_the_built_in_data_sets() -> None:
    with pytest.raises(DataSetError, match=r"nowhere: is no folder.*shapes, elpv"):
        load("nowhere", size=None, seed=0, report=quiet)


def test_an_empty_label_folder_is_named(pictures: Path) -> None:
    (pictures / "C3/train/good").mkdir(parents=True)
    with pytest.raises(DataSetError, match=r"C3.*has 0 good pictures"):
        folder.load(pictures, size=None, seed=0, report=quiet)


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="no label folders"):
        folder.load(tmp_path, size=None, seed=0, report=quiet)


def test_every_damaged_picture_of_a_data_set_is_named_in_one_go(pictures: Path) -> None:
    for name in ("A12/train/good/3.png", "B7/train/good/0.png"):
        (pictures / name).write_bytes((pictures / name).read_bytes()[:500])
    with pytest.raises(KenpinError) as refused:
        folder.load(pictures, size=None, seed=0, report=quiet)
    first, second = str(refused.value).splitlines()
    assert "A12/train/good/3.png: is cut short" in first
    assert "B7/train/good/0.png: is cut short" in second


def test_a_picture_that_shows_nothing_is_named(pictures: Path) -> None:
    cv2.imwrite(str(pictures / "A12/train/good/0.png"), np.full((40, 60), 7, np.uint8))
    with pytest.raises(PictureError, match=r"A12/train/good/0\.png: shows nothing"):
        folder.load(pictures, size=None, seed=0, report=quiet)


def test_the_same_picture_under_two_labels_is_named(pictures: Path) -> None:
    (pictures / "B7/train/good/0.png").write_bytes((pictures / "A12/train/good/0.png").read_bytes())
    with pytest.raises(DataSetError, match=r"same picture as A12/train/good/0\.png"):
        folder.load(pictures, size=None, seed=0, report=quiet)


def test_a_folder_that_would_be_misread_as_a_defect_is_refused(pictures: Path) -> None:
    (pictures / "A12/test/good").rename(pictures / "A12/test/Good")
    with pytest.raises(DataSetError, match="would be taken for a defect"):
        folder.load(pictures, size=None, seed=0, report=quiet)


def test_one_labels_own_folder_is_not_taken_for_a_data_set(pictures: Path) -> None:
    with pytest.raises(DataSetError, match="is one label's folder"):
        folder.load(pictures / "A12", size=None, seed=0, report=quiet)


def test_shapes_follow_from_their_seed() -> None:
    one, same = (shapes.load(size=None, seed=3, report=quiet) for _ in range(2))
    other = shapes.load(size=None, seed=4, report=quiet)
    assert np.array_equal(one.train.images, same.train.images)
    assert one.digest == same.digest != other.digest


def test_elpv_keeps_what_its_judges_doubted_out_and_shares_no_cell_between_uses() -> None:
    data = elpv.load(size=None, seed=0, report=quiet)
    assert len(data.train) + len(data.test) == 1508 + 106 + 715
    assert not set(data.train.names) & set(data.test.names)
    assert (elpv.root() / data.test.names[0]).is_file()
