"""`kenpin-edge check`: before the shift, is all as it must be? One module for each kind of thing that is looked at.

Nothing is changed, and a daemon that runs is not disturbed: its camera is not opened, its lock not taken.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from edge_runtime.cameras import Frame
from edge_runtime.changeover import Changeover, first_bundle
from edge_runtime.checks.broker import look_at_broker
from edge_runtime.checks.camera import look_at_camera
from edge_runtime.checks.finding import Finding, Level, fail, ok
from edge_runtime.checks.machine import look_at_clock, look_at_disk, look_at_temperature
from edge_runtime.checks.outbox import look_at_outbox, running
from edge_runtime.checks.software import look_at_bundle, look_at_recipe
from edge_runtime.errors import KenpinError, StationError
from edge_runtime.inspector import Inspector
from edge_runtime.recipe import Recipe
from edge_runtime.station import Station
from edge_runtime.store import Store
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.presence import Presence
from edge_runtime.verdict import Verdict

Look = Callable[[], Iterator[Finding]]


def check(path: Path, *, as_json: bool) -> int:
    """Print what is found of the station of the file `path`, as it is found; 1 where something fails, else 0."""
    failed = False
    for finding in findings(path, _with_a_word):
        failed |= finding.level is Level.FAIL
        sys.stdout.write(json.dumps(finding.as_dict()) + "\n" if as_json else f"{finding}\n")
        sys.stdout.flush()
    return int(failed)


def findings(path: Path, done: Callable[[str, Look], list[Finding]]) -> Iterator[Finding]:
    """All that is found, one thing after the other. `done`: looks, and may show meanwhile that it does."""
    try:
        station = Station.read(path)
    except StationError as error:
        for mistake in error.mistakes:
            yield fail("station", mistake)
        return
    yield ok("station", f"{path}: {station.site}/{station.line}/{station.station}")
    process = running(station.data)
    if process is not None:
        yield ok("daemon", f"runs as process {process}; its camera is left to it")
    parts: list[Parts] = []
    presences: list[Presence] = []

    def trigger() -> Iterator[Finding]:
        if isinstance(station.trigger, PresenceTrigger):
            presences.append(Presence(station.trigger))
        yield ok("trigger", station.trigger.kind)

    def load() -> Iterator[Finding]:
        store = Store(station.data, station.trusted_keys)
        bundle, choice = first_bundle(station, store)
        yield from look_at_bundle(station, bundle, choice)
        recipe = Recipe(station.data, station.expected(), bundle.info.labels)
        parts.append(Parts(recipe, Changeover(station, store, recipe, bundle, choice, lambda own: own).inspector))
        yield from look_at_recipe(station, recipe)

    def camera() -> Iterator[Finding]:
        return look_at_camera(station, parts[0].judge if parts else None, presences[0] if presences else None)

    written = (path.stat().st_mtime, Path(__file__).stat().st_mtime)
    looks: dict[str, Look] = {
        "trigger": trigger,
        "bundle": load,
        "camera": camera if process is None else lambda: iter(()),
        "broker": lambda: look_at_broker(station),
        "disk": lambda: look_at_disk(station.data),
        "outbox": lambda: look_at_outbox(station.data),
        "clock": lambda: look_at_clock(written, time.time()),
        "temperature": lambda: look_at_temperature(Path("/sys")),
    }
    for what, look in looks.items():
        yield from done(what, look)


@dataclass(frozen=True, slots=True)
class Parts:
    """What judges a picture."""

    recipe: Recipe
    inspector: Inspector

    def judge(self, frame: Frame) -> Verdict:
        """As the line would, with what is expected now."""
        return self.inspector.inspect(frame, self.recipe.labels(), "check").verdict


def seen(what: str, look: Look) -> Iterator[Finding]:
    """What `look` finds; a finding, too, where it fails."""
    try:
        yield from look()
    except KenpinError as error:
        for line in str(error).split("\n"):
            yield fail(what, line)
    except Exception as error:  # noqa: BLE001  # what breaks while we look at it is broken; the rest is worth knowing
        yield fail(what, f"cannot be looked at ({type(error).__name__}: {error})")


def _with_a_word(what: str, look: Look) -> list[Finding]:
    """What is found, in one go, with a word on the terminal meanwhile."""
    with Console(stderr=True).status(f"looking at the {what} …"):
        return list(seen(what, look))
