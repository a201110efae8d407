import numpy as np
import pytest

from edge_runtime.errors import DataSetError
from edge_runtime.picture import ViewSpec
from train.tiles import WHOLE, Sight, Tiles
from train.views import Views


def pictures(count: int, height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_cut_is_joined_again(channels: int) -> None:
    tiles, views = Tiles(2, 3), pictures(4, 32, 48, channels)
    cut, places = tiles.cut(views, np.array([0, 1, 0, 2]))
    assert tuple(cut.shape) == (24, 16, 16, channels)
    np.testing.assert_array_equal(cut[7], views[1, :16, 16:32])
    np.testing.assert_array_equal(places, [*range(6), *range(6, 12), *range(6), *range(12, 18)])
    np.testing.assert_array_equal(tiles.join(cut), views)


def test_the_worst_tile_speaks_for_the_view() -> None:
    np.testing.assert_array_equal(Tiles(1, 2).worst(np.array([0.1, 0.9, 0.3, 0.2])), [0.9, 0.3])


def test_a_view_that_is_not_cut_is_left_as_it_is() -> None:
    views, label = pictures(2, 17, 19, 1), np.array([0, 1])
    assert WHOLE.cut(views, label)[0] is views
    assert WHOLE.join(views) is views


def test_tiles_of_a_wrong_question_bear_the_wrong_label() -> None:
    views = Views(pictures(2, 32, 32, 1), np.array([0, 1]), np.array([False, True]), ("a", "b"), ("0", "1"))
    cut = Sight(None, Tiles(2, 1)).views(views, np.array([1, 0]))
    assert cut.label.tolist() == [2, 3, 0, 1]
    assert cut.names == ("a", "a", "b", "b")
    assert cut.defective.tolist() == [False, False, True, True]
    assert len(Sight(None, Tiles(2, 1)).views(views[np.zeros(2, np.bool_)])) == 0


@pytest.mark.parametrize(
    ("tiles", "height", "width", "says"),
    [
        (Tiles(3, 1), 64, 64, "does not divide"),
        (Tiles(9, 8), 4096, 4096, "at most 64"),
        (Tiles(8, 8), 64, 64, "tiles of 8 x 8 pixels"),
        (Tiles(1, 1), 1024, 512, "16 to 512 a side"),
    ],
)
def test_tiles_that_no_model_has_are_refused_with_the_remedy(tiles: Tiles, height: int, width: int, says: str) -> None:
    with pytest.raises(DataSetError, match=says):
        tiles.size(ViewSpec(height=height, width=width, channels=1))


def test_a_tile_without_a_score_leaves_the_view_without_one() -> None:
    """Whichever tile it is: an engine's maximum may forget what is no number."""
    worst = np.asarray(Tiles(1, 2).worst(np.array([0.1, np.nan, np.nan, 0.2, 0.3, 0.4], np.float32)))
    assert (worst[:2] > 1).all(), "no probability, so never OK"
    assert worst[2] == np.float32(0.4)
