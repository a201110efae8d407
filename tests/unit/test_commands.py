"""What a station is told over MQTT and cannot be: said in words that do not ask for Python."""

from pathlib import Path

import pytest

from edge_runtime.commands import Order, set_label
from edge_runtime.errors import RecipeError
from edge_runtime.recipe import Recipe


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b'{"label": "B7", "regoin": "J4"}', "regoin is not known here"),
        (b'{"region": "J4"}', "label is missing"),
        (b'{"label": 7}', "label must be a text"),
        (b'{"label": ""}', "label is empty"),
        (b'"B7"', "payload must be an object"),
        (b'{"label": "B7"', "payload is no JSON (EOF while parsing an object at line 1 column 14)"),
    ],
)
def test_a_command_that_is_none_is_told_what_is_wrong_with_it(tmp_path: Path, payload: bytes, told: str) -> None:
    command = set_label(Recipe(tmp_path, {"J4": "A12"}, ("A12", "B7")), lambda _: None)
    with pytest.raises(RecipeError) as caught:
        command(Order(payload, None, None, lambda _: None))
    assert str(caught.value) == f'{told}; expected {{"region": "...", "label": "..."}}'
