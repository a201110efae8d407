"""The recipe: changed between two pictures, refused when unknown, kept over a restart."""

import json
import logging
import time
from pathlib import Path

import pytest

from edge_runtime.commands import Order, follow_recipe, set_label
from edge_runtime.errors import RecipeError, StationError
from edge_runtime.messages import Happening, LabelSet, RecipeChanged, RecipeRefused
from edge_runtime.recipe import CHANGES, CHANGES_S, Change, Recipe

KNOWN = ("A12", "B7", "C3")


def two(folder: Path) -> Recipe:
    return Recipe(folder, {"J4": "A12", "J5": "B7"}, KNOWN)


def test_it_begins_as_the_station_file_says(tmp_path: Path) -> None:
    assert dict(two(tmp_path).labels()) == {"J4": "A12", "J5": "B7"}


def test_a_change_tells_what_was_and_leaves_the_other_region(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    assert recipe.change({"J4": "C3"}) == Change({"J4": "C3", "J5": "B7"}, was={"J4": "A12"})
    assert dict(recipe.labels()) == {"J4": "C3", "J5": "B7"}


def test_labels_in_hand_do_not_change_under_a_picture(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    in_hand = recipe.labels()
    recipe.change({"J4": "C3"})
    assert in_hand["J4"] == "A12"


def test_a_change_survives_a_restart_and_wins_over_the_file_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    two(tmp_path).change({"J4": "C3"})
    with caplog.at_level(logging.INFO):
        assert two(tmp_path).labels()["J4"] == "C3"
    assert "J4 expects 'C3', as set over MQTT, not 'A12'" in caplog.text


def test_an_unknown_label_is_refused_with_the_known_ones_and_the_old_stays(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    with pytest.raises(RecipeError, match="unknown label 'X'; the bundle knows: A12, B7, C3"):
        recipe.change({"J4": "X"})
    assert recipe.labels()["J4"] == "A12"
    assert not (tmp_path / "recipe.json").exists()


def test_an_unknown_region_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown region 'J9'; this station has: J4, J5"):
        two(tmp_path).change({"J9": "A12"})


def test_the_region_may_be_left_out_only_where_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="name the region; this station has: J4, J5"):
        two(tmp_path).region(None)
    assert Recipe(tmp_path, {"J4": "A12"}, KNOWN).region(None) == "J4"


def test_a_kept_label_that_the_bundle_no_longer_knows_gives_way_to_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = two(tmp_path)
    kept.change({"J4": "C3"})
    kept.change({"J5": "C3"})
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
    (tmp_path / ".recipe.json.draft").mkdir()
    with pytest.raises(RecipeError, match="cannot be written"):
        recipe.change({"J4": "C3"})
    assert recipe.labels()["J4"] == "A12"


def silent(_what: Happening) -> None:
    """Nobody listens."""


def order(payload: bytes) -> Order:
    """A command that came with this payload, and nobody waits for its answer."""
    return Order(payload, None, None, lambda _answer: None)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"region":"J4"}', b'{"label":7}', b'{"label":"B7","x":1}', b"\xff"]
)
def test_a_malformed_command_is_refused_with_what_was_expected(tmp_path: Path, payload: bytes) -> None:
    recipe = two(tmp_path)
    with pytest.raises(RecipeError, match=r'expected \{"region": "...", "label": "..."\}'):
        set_label(recipe, silent)(order(payload))
    assert dict(recipe.labels()) == {"J4": "A12", "J5": "B7"}


def test_a_command_answers_with_what_it_did(tmp_path: Path) -> None:
    payload = json.dumps({"region": "J4", "label": "B7"}).encode()
    assert set_label(two(tmp_path), silent)(order(payload)) == LabelSet(region="J4", label="B7", was="A12")


def test_only_what_was_commanded_is_kept(tmp_path: Path) -> None:
    Recipe(tmp_path, {"J4": "A", "J5": "A"}, ("A", "B")).change({"J4": "B"})
    again = Recipe(tmp_path, {"J4": "A", "J5": "B"}, ("A", "B"))
    assert dict(again.labels()) == {"J4": "B", "J5": "B"}


def test_a_picture_taken_before_a_change_is_judged_by_what_was_expected_then(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path, {"J4": "A"}, ("A", "B"))
    taken = time.monotonic()
    recipe.change({"J4": "B"})
    assert recipe.labels_at(taken) == {"J4": "A"}
    assert recipe.labels_at(time.monotonic()) == {"J4": "B"}


def test_a_picture_never_gets_labels_that_were_not_in_force_when_it_was_taken(tmp_path: Path) -> None:
    now = 0.0
    recipe = Recipe(tmp_path, {"J4": "A"}, ("A", "B"), clock=lambda: now)
    in_force = {0.5: {"J4": "A"}}
    for number in range(1, 2 * CHANGES):
        now = float(number)
        recipe.change({"J4": "AB"[number % 2]})
        in_force[number + 0.5] = {"J4": "AB"[number % 2]}
        known = {taken: recipe.labels_at(taken) for taken in in_force}
        assert {taken: labels for taken, labels in known.items() if labels not in (None, in_force[taken])} == {}
        assert len([labels for labels in known.values() if labels]) == min(number, CHANGES) + 1


def test_asking_whether_a_bundle_fits_changes_nothing(tmp_path: Path) -> None:
    recipe = two(tmp_path)
    recipe.check_against("part-2", ("A12", "B7", "D4"))
    with pytest.raises(RecipeError, match=r"region J5 expects 'B7', which part-3 does not know \(A12\); set a label"):
        recipe.check_against("part-3", ("A12",))
    with pytest.raises(RecipeError, match="unknown label 'D4'"):
        recipe.change({"J4": "D4"})


class Followed:
    """A recipe that follows the retained topic, and what it told."""

    def __init__(self, folder: Path, known: tuple[str, ...] = KNOWN) -> None:
        self.recipe = Recipe(folder, {"J4": "A12", "J5": "B7"}, known)
        self.told: list[Happening] = []
        self._follow = follow_recipe(self.recipe, self.told.append)

    def live(self, recipe: object) -> None:
        """Published while the station listens."""
        self._follow(json.dumps(recipe).encode(), None, False)

    def kept(self, recipe: object, correlation: bytes | None = None) -> None:
        """Sent by the broker, which had kept it, to a station that has just connected."""
        self._follow(json.dumps(recipe).encode(), correlation, True)

    def delete(self) -> None:
        self._follow(b"", None, False)

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.recipe.labels())


def test_a_retained_recipe_counts_whole_and_is_told(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.kept({"J4": "B7", "J5": "A12"})
    assert line.labels == {"J4": "B7", "J5": "A12"}
    assert line.told == [RecipeChanged(recipe=line.labels, was={"J4": "A12", "J5": "B7"}, by="topic")]


def test_a_part_of_a_recipe_leaves_the_other_regions(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.live({"J5": "C3"})
    assert line.labels == {"J4": "A12", "J5": "C3"}


@pytest.mark.parametrize("wish", [{"J4": "B7", "J5": "X"}, {"J4": "B7", "J9": "A12"}, {"J4": 7}, {}, [], "B7", None])
def test_one_mistake_refuses_a_recipe_whole_and_says_what_is_known(tmp_path: Path, wish: object) -> None:
    line = Followed(tmp_path)
    line.live(wish)
    assert line.labels == {"J4": "A12", "J5": "B7"}
    (refused,) = line.told
    assert isinstance(refused, RecipeRefused)
    assert (refused.recipe, refused.regions, refused.labels) == (line.labels, ("J4", "J5"), KNOWN)


def test_a_retained_recipe_that_was_obeyed_does_not_override_a_newer_command(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.kept({"J4": "B7"})
    line.recipe.change({"J4": "C3"})
    line.kept({"J4": "B7"})  # the connection was lost and is back
    assert line.labels["J4"] == "C3"
    restarted = Followed(tmp_path)
    restarted.kept({"J4": "B7"})
    assert restarted.labels["J4"] == "C3"


def test_a_retained_recipe_that_changed_while_the_station_was_away_counts(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.kept({"J4": "B7"})
    line.recipe.change({"J4": "C3"})
    restarted = Followed(tmp_path)
    restarted.kept({"J4": "A12"})
    assert restarted.labels["J4"] == "A12"


def test_the_same_recipe_published_again_is_a_new_wish(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.live({"J4": "B7"})
    line.recipe.change({"J4": "C3"})
    line.live({"J4": "B7"})
    assert line.labels["J4"] == "B7"
    line.recipe.change({"J4": "C3"})
    line.kept({"J4": "B7"}, correlation=b"order 4712")  # published while it was away, and said so
    assert line.labels["J4"] == "B7"


def test_a_recipe_that_was_deleted_changes_nothing_and_counts_when_it_comes_again(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.live({"J4": "B7"})
    line.recipe.change({"J4": "C3"})
    line.delete()
    assert line.labels["J4"] == "C3"
    line.kept({"J4": "B7"})
    assert line.labels["J4"] == "B7"


def test_a_refused_recipe_is_told_once_however_often_the_broker_sends_it(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    for _ in range(3):
        line.kept({"J4": "X"})
    assert len(line.told) == 1
    restarted = Followed(tmp_path)
    restarted.kept({"J4": "X"})
    assert restarted.told == []


def test_a_recipe_for_the_next_bundle_waits_for_it(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.live({"J4": "D4"})
    line.recipe.check_against("part-2", (*KNOWN, "D4"))
    with line.recipe.changing_to("part-2", (*KNOWN, "D4")) as change:
        assert change == Change({"J4": "D4", "J5": "B7"}, was={"J4": "A12"})
    assert line.labels == {"J4": "D4", "J5": "B7"}
    assert dict(Recipe(tmp_path, {"J4": "A12", "J5": "B7"}, (*KNOWN, "D4")).labels())["J4"] == "D4"


def test_a_recipe_for_the_next_bundle_counts_where_that_came_with_a_restart(tmp_path: Path) -> None:
    Followed(tmp_path).live({"J4": "D4"})
    assert Followed(tmp_path, (*KNOWN, "D4")).labels == {"J4": "D4", "J5": "B7"}


def test_a_command_is_on_the_disk_also_where_it_says_what_a_waiting_recipe_has_begun_with(tmp_path: Path) -> None:
    two(tmp_path).change({"J4": "B7"})
    with pytest.raises(RecipeError):
        two(tmp_path).follow({"J4": "D4"}, "digest")
    Recipe(tmp_path, {"J4": "A12", "J5": "B7"}, ("A12", "B7", "D4")).change({"J4": "D4"})
    assert json.loads((tmp_path / "recipe.json").read_bytes())["labels"] == {"J4": "D4"}


def test_a_recipe_that_waits_gives_way_to_whatever_comes_later(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.live({"J4": "D4"})
    line.recipe.change({"J4": "C3"})
    with line.recipe.changing_to("part-2", (*KNOWN, "D4")) as change:
        assert change is None
    assert line.labels["J4"] == "C3"


def test_a_change_of_bundle_that_is_refused_leaves_a_recipe_waiting(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.live({"J4": "D4"})
    with pytest.raises(RecipeError, match="J5 expects 'B7'"), line.recipe.changing_to("part-2", ("A12", "D4")):
        pass
    assert line.labels == {"J4": "A12", "J5": "B7"}
    with line.recipe.changing_to("part-3", (*KNOWN, "D4")):
        pass
    assert line.labels["J4"] == "D4"


def test_a_change_of_bundle_that_fails_at_the_last_moment_changes_nothing(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.live({"J4": "D4"})
    with pytest.raises(StationError), line.recipe.changing_to("part-2", (*KNOWN, "D4")):
        raise StationError(["read again meanwhile"])
    assert line.labels == {"J4": "A12", "J5": "B7"}
    assert Followed(tmp_path).labels == {"J4": "A12", "J5": "B7"}


def test_a_recipe_json_of_an_older_kenpin_is_read(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"J4": "C3"}')
    assert two(tmp_path).labels()["J4"] == "C3"
    (tmp_path / "recipe.json").write_text('{"labels": "C3"}')  # of a region that is called so
    assert Recipe(tmp_path, {"labels": "A12"}, KNOWN).labels()["labels"] == "C3"


def test_what_did_not_change_is_neither_told_nor_written(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    line.live({"J4": "C3"})
    (tmp_path / ".recipe.json.draft").mkdir()  # whoever writes now fails
    assert set_label(line.recipe, line.told.append)(order(b'{"region":"J4","label":"C3"}')) == LabelSet(
        region="J4", label="C3", was="C3"
    )
    assert len(line.told) == 1


def test_more_changes_than_are_remembered_are_refused_until_a_second_has_passed(tmp_path: Path) -> None:
    now = 0.0
    recipe = Recipe(tmp_path, {"J4": "A12"}, KNOWN, clock=lambda: now)
    for number in range(CHANGES):
        recipe.change({"J4": KNOWN[1 + number % 2]})
    with pytest.raises(RecipeError, match="are enough"):
        recipe.change({"J4": "A12"})
    now = CHANGES_S
    recipe.change({"J4": "A12"})
    assert recipe.labels()["J4"] == "A12"


def test_a_disk_that_refuses_is_told_and_the_recipe_is_tried_again(tmp_path: Path) -> None:
    line = Followed(tmp_path)
    (tmp_path / ".recipe.json.draft").mkdir()
    line.kept({"J4": "C3"})
    assert [what.kind for what in line.told] == ["recipe-refused"]
    assert line.labels["J4"] == "A12"
    (tmp_path / ".recipe.json.draft").rmdir()
    line.kept({"J4": "C3"})
    assert line.labels["J4"] == "C3"
