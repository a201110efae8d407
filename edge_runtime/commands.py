"""What a station may be told over MQTT: `cmd/<name>`, answered with one JSON object.

A command takes an order and returns the facts of its answer, or None where it answers later itself. Where it refuses it
raises a KenpinError, and nothing has changed.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_runtime.errors import RecipeError
from edge_runtime.recipe import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """A command as it came. `answer` takes the answer's bytes, and is called once."""

    payload: bytes
    correlation: bytes | None
    reply_to: str | None
    answer: Callable[[bytes], None]

    @property
    def key(self) -> str:
        """What tells it from all others, and is the same where the broker sends it again; in hex."""
        if self.reply_to is None or self.correlation is None:
            return f"{id(self):x}"  # nothing to know it by: sent again, it is another
        topic = self.reply_to.encode()
        return hashlib.sha256(len(topic).to_bytes(4) + topic + self.correlation).hexdigest()

    @property
    def asked_by(self) -> str | None:
        """Its correlation data as a text: as they are where they are one, else in hex."""
        if self.correlation is None:
            return None
        try:
            text = self.correlation.decode()
        except UnicodeDecodeError:
            text = ""
        return text if text.isprintable() and text else self.correlation.hex()


Command = Callable[[Order], dict[str, Any] | None]


class SetLabel(BaseModel):
    """`{"region": "J4", "label": "B7"}`; `region` may be left out where the station has one only."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    label: str
    region: str | None = None


def set_label(recipe: Recipe) -> Command:
    """The command that changes a region's expected label, from the next picture on."""

    def command(order: Order) -> dict[str, Any]:
        try:
            wish = SetLabel.model_validate_json(order.payload)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "payload"
            why = f'{place}: {first["msg"]}; expected {{"region": "...", "label": "..."}}'
            raise RecipeError(why) from error
        change = recipe.set(wish.region, wish.label)
        log.info("region %s expects %r from the next picture on, was %r", change.region, change.label, change.was)
        return {"region": change.region, "label": change.label, "was": change.was}

    return command
