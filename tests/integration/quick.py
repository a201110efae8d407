"""A station that needs no training: scores can be read off its pictures; two regions, judged on request."""

from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np

from edge_runtime.schemas import schemas
from tests.integration.parts import Line, Message, Subscriber, wait_until
from tests.unit.conftest import READABLE_LABELS, write_readable_bundle

TOPIC = "kenpin/plant-a/L3/cam-2/"
J5 = '[region.J5]\nexpected = "B7"\n'
ON_REQUEST = f'{J5}[trigger]\nkind = "request"\ntimeout_s = 5.0\n'


def quick_line(folder: Path, port: int, access: str = "", trigger: str = ON_REQUEST, rate_hz: float = 50.0) -> Line:
    """A line whose one picture, again and again, shows a good A12 with something else in J5."""
    folder.mkdir()
    bundle = write_readable_bundle(folder / "part.onnx", READABLE_LABELS)
    line = Line(folder, port, bundle, rate_hz=rate_hz, repeat=True, expected="A12", access=access, trigger=trigger)
    line.pictures.mkdir()
    view = np.full((16, 16), 100, np.uint8)
    view[0, :4] = (20, 20, 190, 190)
    view[9, 5] = 255
    cv2.imwrite(str(line.pictures / "0.png"), view)
    return line


def of(subscriber: Subscriber, leaf: str) -> list[Any]:
    """What has come on one of the station's topics."""
    return [message.json() for message in subscriber.messages if message.topic == TOPIC + leaf]


def wait_for_station(subscriber: Subscriber) -> None:
    wait_until(lambda: [s for s in subscriber.states() if s not in ("offline", "stopped")], "the station is there")


def wait_for_event(subscriber: Subscriber, kind: str, count: int = 1) -> Any:
    """The last event of a kind, once there are `count` of them."""

    def found() -> list[Any]:
        return [event for event in of(subscriber, "event") if event["kind"] == kind]

    wait_until(lambda: len(found()) >= count, f"{kind} is told")
    return found()[-1]


def assert_conforms(messages: list[Message], *, of_311: bool = False) -> None:
    """Every message that a station has sent fits its published schema.

    A station's are known by its version beside them, which MQTT 3.1.1 has no place for: there, all are taken for its.
    """
    known = schemas()
    for message in messages:
        if not of_311 and "kenpin-version" not in dict(getattr(message.properties, "UserProperty", [])):
            continue
        leaf = message.topic.rsplit("/", 1)[-1]
        name = "answer" if message.topic.startswith("answers/") or leaf == "answer" else leaf
        if name in ("verdict", "status", "event", "answer"):
            jsonschema.Draft202012Validator(known[name]).validate(message.json())
