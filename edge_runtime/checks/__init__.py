"""`kenpin-edge check`: before the shift, is all as it must be? One module for each kind of thing that is looked at.

Nothing is changed, and a daemon that runs is not disturbed: its camera is not opened, its lock not taken.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from edge_runtime.checks.broker import look_at_broker
from edge_runtime.checks.camera import look_at_camera
from edge_runtime.checks.finding import Finding, Level, fail, ok, warn
from edge_runtime.checks.judging import Judging
from edge_runtime.checks.machine import look_at_clock, look_at_disk, look_at_temperature
from edge_runtime.checks.outbox import look_at_outbox, running
from edge_runtime.errors import KenpinError, StationError, remedy
from edge_runtime.station import Station
from edge_runtime.triggers.config import PresenceTrigger
from edge_runtime.triggers.presence import Presence

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
    judging = Judging(station)
    presences: list[Presence] = []

    def trigger() -> Iterator[Finding]:
        if isinstance(station.trigger, PresenceTrigger):
            presences.append(Presence(station.trigger))
        yield ok("trigger", station.trigger.kind)

    def camera() -> Iterator[Finding]:
        return look_at_camera(station, judging.judge, presences[0] if presences else None)

    written = (path.stat().st_mtime, Path(__file__).stat().st_mtime)
    looks: dict[str, Look] = {
        "trigger": trigger,
        "bundle": judging.bundle,
        "recipe": judging.recipe,
        "marks": judging.marks,
        "camera": camera if process is None else lambda: iter(()),
        "broker": lambda: look_at_broker(station),
        "disk": lambda: look_at_disk(station.data),
        "outbox": lambda: look_at_outbox(station.data),
        "clock": lambda: look_at_clock(written, time.time()),
        "temperature": lambda: look_at_temperature(Path("/sys")),
    }
    for what, look in looks.items():
        yield from done(what, look)


def seen(what: str, look: Look) -> Iterator[Finding]:
    """What `look` finds; a finding, too, where it fails, and what the log of a daemon would warn of."""
    with _listening() as warnings:
        try:
            yield from look()
        except KenpinError as error:
            for line in str(error).split("\n"):
                yield fail(what, line)
        except PermissionError as error:
            yield fail(
                what, f"{error.filename}: cannot be used ({error.strerror})", remedy(error, "correct its rights")
            )
        except Exception as error:  # noqa: BLE001  # what breaks while we look at it is broken; look at the rest
            yield fail(what, f"cannot be looked at ({type(error).__name__}: {error})")
    yield from (warn(what, warning) for warning in warnings)


class _Heard(logging.Handler):
    """Keeps what is logged as a warning, or worse."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._said.append(record.getMessage())


@contextmanager
def _listening() -> Iterator[list[str]]:
    """The warnings that kenpin's own modules log within this; they do not land amid the findings."""
    warnings: list[str] = []
    log, heard = logging.getLogger("edge_runtime"), _Heard(warnings)
    log.addHandler(heard)
    log.propagate = False
    try:
        yield warnings
    finally:
        log.propagate = True
        log.removeHandler(heard)


def _with_a_word(what: str, look: Look) -> list[Finding]:
    """What is found, in one go, with a word on the terminal meanwhile."""
    with Console(stderr=True).status(f"looking at the {what} …"):
        return list(seen(what, look))
