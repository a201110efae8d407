"""What a station may be told over MQTT: `cmd/<name>`, answered with one JSON object.

A command takes the payload and returns the facts of its answer. Where it refuses it raises a KenpinError, and nothing
has changed.
"""

import logging
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_runtime.errors import RecipeError
from edge_runtime.recipe import Recipe

log = logging.getLogger(__name__)

Command = Callable[[bytes], dict[str, Any]]


class SetLabel(BaseModel):
    """`{"region": "J4", "label": "B7"}`; `region` may be left out where the station has one only."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    label: str
    region: str | None = None


def set_label(recipe: Recipe) -> Command:
    """The command that changes a region's expected label, from the next picture on."""

    def command(payload: bytes) -> dict[str, Any]:
        try:
            wish = SetLabel.model_validate_json(payload)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "payload"
            why = f'{place}: {first["msg"]}; expected {{"region": "...", "label": "..."}}'
            raise RecipeError(why) from error
        change = recipe.set(wish.region, wish.label)
        log.info("region %s expects %r from the next picture on, was %r", change.region, change.label, change.was)
        return {"region": change.region, "label": change.label, "was": change.was}

    return command
