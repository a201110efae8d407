"""SIGHUP: the station file is read again, and what may change without a restart does, between two frames."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edge_runtime.changeover import Changeover
from edge_runtime.errors import KenpinError
from edge_runtime.events import Tell
from edge_runtime.messages import StationRefused, StationReread
from edge_runtime.station import Station
from edge_runtime.toml_file import Place

log = logging.getLogger(__name__)

TABLES = {"thresholds", "gate", "mark"}
"""Tables that may change while the station inspects: what a new inspector is made of, and nothing else."""
OF_A_REGION = {"box", "corners"}
"""The same of a region. What it expects is the recipe's, which is changed by command."""


class Reread:
    """The station file `path`, as it counts now: `station` at first. For one thread."""

    def __init__(self, path: Path, station: Station, changeover: Changeover, tell: Tell) -> None:
        self._path, self._station, self._changeover, self._tell = path, station, changeover, tell

    def __call__(self) -> None:
        """Read the file again: all of what it changes counts from the next frame on, or, with a reason, none of it."""
        try:
            station = Station.read(self._path)
            places = changes(self._station, station)
            late = [named(place) for place in sorted(places) if not may_change(place)]
            if not late:
                marks = self._changeover.framing.marks
                self._changeover.adopt(station)
                places |= {("mark", name, "template") for name in self._changeover.framing.marks.redrawn(marks)}
        except KenpinError as error:
            self._refuse("; ".join(str(error).splitlines()))
            return
        if late:
            self._refuse(f"{self._path}: needs a restart: {', '.join(late)}")
            return
        self._station = station
        changed = [named(place) for place in sorted(places)]
        log.info(
            "%s is read again; changed: %s", self._path, ", ".join(changed) or "nothing", extra={"changed": changed}
        )
        self._tell(StationReread(changed=tuple(changed)))

    def _refuse(self, why: str) -> None:
        log.error("nothing of the station file counts anew: %s", why)
        self._tell(StationRefused(why=why))


def may_change(place: Place) -> bool:
    """Whether what stands at `place` in a station file may change while it inspects."""
    return place[0] in TABLES or (place[0] == "region" and len(place) > 2 and place[2] in OF_A_REGION)


def changes(before: Station, after: Station) -> set[Place]:
    """Where two station files say something else."""
    old, new = dict(_values(before)), dict(_values(after))
    return {place for place in old.keys() | new.keys() if old.get(place) != new.get(place)}


def named(place: Place) -> str:
    """A place as an engineer says it."""
    return ".".join(place)


def _values(there: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each value of nested tables and where it stands."""
    items = there if isinstance(there, dict) else {name: getattr(there, name) for name in type(there).model_fields}
    for key, value in items.items():
        if isinstance(value, dict | BaseModel):
            yield from _values(value, (*place, key))
        else:
            yield (*place, key), value
