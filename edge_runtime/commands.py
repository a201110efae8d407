"""What a station may be told over MQTT: `cmd/<name>`, answered with one JSON object, and the retained recipe.

A command takes an order and returns its answer, or None where it answers later itself. Where it refuses it raises a
KenpinError, and nothing has changed.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError
from uuid_utils import uuid7

from edge_runtime.errors import RecipeError
from edge_runtime.events import Tell
from edge_runtime.messages import LabelSet, RecipeChanged, RecipeRefused, RecipeWish, SetLabel
from edge_runtime.recipe import Change, Recipe
from edge_runtime.verdict import request_key
from edge_runtime.words import in_words

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked for something. `key`: see `verdict.request_key`; `request` and `reply_to`: as a verdict names them.

    `delivery`: tells the broker's message from all others, also from one by the same name that came before: the broker
    repeats it under the same number.
    """

    key: str
    delivery: str
    request: str | None
    reply_to: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """A command as it came. `answer` takes the answer's bytes, and is called once; or `let_go`, where it came again and
    only the later one is answered: the broker need not keep this one. `message`: the broker's number of it. `again`:
    the broker says that it sends it again.
    `stays`: the broker keeps it until it is answered, also for this station's next start.
    """

    payload: bytes
    correlation: bytes | None
    reply_to: str | None
    answer: Callable[[bytes], None]
    let_go: Callable[[], None] = lambda: None
    message: int = 0
    again: bool = False
    stays: bool = False

    @property
    def asker(self) -> "Asker":
        """Who gave it."""
        key = request_key(self.reply_to, self.request) or str(uuid7())  # where nothing tells it: sent again, another
        return Asker(key, f"{key}/{self.message}", self.request, self.reply_to)

    @property
    def request(self) -> str | None:
        """Its correlation data as a text: as they are where they are one, else 0x and hex."""
        if self.correlation is None:
            return None
        try:
            text = self.correlation.decode()
        except UnicodeDecodeError:
            text = ""
        return text if text.isprintable() and text else f"0x{self.correlation.hex()}"


Command = Callable[[Order], LabelSet | None]


def set_label(recipe: Recipe, tell: Tell) -> Command:
    """The command that changes a region's expected label, from the next picture on."""

    def command(order: Order) -> LabelSet:
        try:
            wish = SetLabel.model_validate_json(order.payload)
        except ValidationError as error:
            raise RecipeError(f'{_first(error)}; expected {{"region": "...", "label": "..."}}') from error
        region = recipe.region(wish.region)
        change = recipe.change({region: wish.label})
        _say(change, tell, "command")
        was = change.was.get(region, wish.label)
        return LabelSet(region=region, label=wish.label, was=was, request=wish.request)

    return command


Follow = Callable[[bytes, bytes | None, bool], None]
"""What is done with a message on the topic `recipe`: payload, correlation data, whether the broker had kept it."""


def follow_recipe(recipe: Recipe, tell: Tell) -> Follow:
    """Obey the retained topic `recipe`, whole or not at all; the later of it and of a command wins.

    What the broker had kept is later only where it is another than the last one, so its digest is kept beside the
    labels. What is sent while the station listens is always later. It never raises for what was sent.
    """

    def follow(payload: bytes, correlation: bytes | None, retained: bool) -> None:
        digest = hashlib.sha256(payload + b"\0" + (correlation or b"")).hexdigest()
        if retained and recipe.heard(digest):
            return
        try:
            if not payload:  # deleted: nothing is expected of it, and the same one anew will be a new wish
                recipe.forget(None)
                return
            try:
                wish = RecipeWish.model_validate_json(payload).root
            except ValidationError as error:
                recipe.forget(digest)
                raise RecipeError(f'{_first(error)}; expected {{"<region>": "<label>", ...}}') from error
            _say(recipe.follow(wish, digest), tell, "topic")
        except RecipeError as error:
            log.warning("the retained recipe is refused, the old one stays: %s", error)
            labels = dict(recipe.labels())
            tell(RecipeRefused(recipe=labels, why=str(error), regions=recipe.regions, labels=recipe.known))

    return follow


def _say(change: Change, tell: Tell, by: Literal["command", "topic"]) -> None:
    for region, was in change.was.items():
        log.info("region %s expects %r from the next picture on, was %r", region, change.labels[region], was)
    if change.was:
        tell(RecipeChanged(recipe=dict(change.labels), was=dict(change.was), by=by))


def _first(error: ValidationError) -> str:
    """A validation's first mistake, with its place."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "[key]") or "payload"
    return f"{place} {in_words(first)}"
