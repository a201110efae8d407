"""The recipe: changed between two pictures, refused when unknown, kept over a restart."""

import json
import logging
import time
from pathlib import Path

import pytest

from edge_runtime.commands import Order, set_label
from edge_runtime.errors import RecipeError
from edge_runtime.recipe import Change, Recipe

KNOWN = ("A12", "B7", "C3")


def two(folder: Path) -> Recipe:
    return Recipe(folder, {"J4": "A12", "J5": "B7"}, KNOWN)


def test_it_begins_as_the_station_file_says(tmp_path: Path) -> None:
    assert dict(two(tmp_path).labels()) == {"J4": "A12", "J5": "B7"}


def test_a_change_tells_what_was_and_leaves_the_other_region(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    assert recipe.set("J4", "C3") == Change("J4", "C3", was="A12")
    assert dict(recipe.labels()) == {"J4": "C3", "J5": "B7"}


def test_labels_in_hand_do_not_change_under_a_picture(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    in_hand = recipe.labels()
    recipe.set("J4", "C3")
    assert in_hand["J4"] == "A12"


def test_a_change_survives_a_restart_and_wins_over_the_file_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    two(tmp_path).set("J4", "C3")
    with caplog.at_level(logging.INFO):
        assert two(tmp_path).labels()["J4"] == "C3"
    assert "J4 expects 'C3', as set by command, not 'A12'" in caplog.text


def test_an_unknown_label_is_refused_with_the_known_ones_and_the_old_stays(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    with pytest.raises(RecipeError, match="unknown label 'X'; the bundle knows: A12, B7, C3"):
        recipe.set("J4", "X")
    assert recipe.labels()["J4"] == "A12"
    assert not (tmp_path / "recipe.json").exists()


def test_an_unknown_region_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown region 'J9'; this station has: J4, J5"):
        two(tmp_path).set("J9", "A12")


def test_the_region_may_be_left_out_only_where_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="name the region; this station has: J4, J5"):
        two(tmp_path).set(None, "A12")
    assert Recipe(tmp_path, {"J4": "A12"}, KNOWN).set(None, "B7").region == "J4"


def test_a_kept_label_that_the_bundle_no_longer_knows_gives_way_to_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = two(tmp_path)
    kept.set("J4", "C3")
    kept.set("J5", "C3")
    recipe = Recipe(tmp_path, {"J4": "A12"}, ("A12",))
    assert dict(recipe.labels()) == {"J4": "A12"}
    assert "does not know 'C3'" in caplog.text
    assert "J5 is no longer in the station file" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"J4": 1}', "\xff"])
def test_a_damaged_recipe_is_not_guessed(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.json").write_text(text, encoding="latin-1")
    with pytest.raises(RecipeError, match=r"is damaged.*delete it"):
        two(tmp_path)


def test_a_disk_that_refuses_leaves_the_old_label(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    (tmp_path / "recipe.draft").mkdir()
    with pytest.raises(RecipeError, match="cannot be written"):
        recipe.set("J4", "C3")
    assert recipe.labels()["J4"] == "A12"


def order(payload: bytes) -> Order:
    """A command that came with this payload, and nobody waits for its answer."""
    return Order(payload, None, None, lambda _answer: None)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"region":"J4"}', b'{"label":7}', b'{"label":"B7","x":1}', b"\xff"]
)
def test_a_malformed_command_is_refused_with_what_was_expected(tmp_path: Path, payload: bytes) -> None:
    recipe = two(tmp_path)
    with pytest.raises(RecipeError, match=r'expected \{"region": "...", "label": "..."\}'):
        set_label(recipe)(order(payload))
    assert dict(recipe.labels()) == {"J4": "A12", "J5": "B7"}


def test_a_command_answers_with_what_it_did(tmp_path: Path) -> None:
    payload = json.dumps({"region": "J4", "label": "B7"}).encode()
    assert set_label(two(tmp_path))(order(payload)) == {"region": "J4", "label": "B7", "was": "A12"}


def test_only_what_was_commanded_is_kept(tmp_path: Path) -> None:
    Recipe(tmp_path, {"J4": "A", "J5": "A"}, ("A", "B")).set("J4", "B")
    again = Recipe(tmp_path, {"J4": "A", "J5": "B"}, ("A", "B"))
    assert dict(again.labels()) == {"J4": "B", "J5": "B"}


def test_a_picture_taken_before_a_change_is_judged_by_what_was_expected_then(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path, {"J4": "A"}, ("A", "B"))
    taken = time.monotonic()
    recipe.set("J4", "B")
    assert recipe.labels_at(taken)["J4"] == "A"
    assert recipe.labels_at(time.monotonic())["J4"] == "B"


def test_asking_whether_a_bundle_fits_changes_nothing(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    recipe.check_against("part-2", ("A12", "B7", "D4"))
    with pytest.raises(RecipeError, match=r"region J5 expects 'B7', which part-3 does not know \(A12\); set a label"):
        recipe.check_against("part-3", ("A12",))
    with pytest.raises(RecipeError, match="unknown label 'D4'"):
        recipe.set("J4", "D4")
