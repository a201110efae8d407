"""The thread that looks after the stations of a process: it feeds the watchdog, tells how it goes, and hears SIGHUP."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten
from typing import NamedTuple, Self

from edge_runtime.cameras import Clock
from edge_runtime.errors import KenpinError
from edge_runtime.messages import State
from edge_runtime.notify import ServiceManager

log = logging.getLogger(__name__)

BEAT_S = 0.5
"""How often it is looked whether a state has changed, or a signal came."""
STATUS_S = 5.0
"""How old the counts may be that `systemctl status` and the retained status show."""
FED_WITHIN = 4
"""The watchdog is fed in a quarter of the time it allows: twice may go wrong."""
APART_S = 3600.0
"""While another station inspects, one whose camera's driver hangs has all started again so long after the start at the
earliest: one that hangs now and then is freed, and one that hangs each time takes a few seconds an hour from others."""
GOING = {State.INSPECTING, State.IDLE}
"""States of a station that would lose by a start of all."""
WHY = 200
"""Characters of why a station does not inspect: `systemctl status` has one line for all; the log has the rest."""
SPEECHLESS = "cannot say how it goes; see the log"
OTHERS_GO_ON = f"the others go on; all are started again for it {APART_S / 60:.0f} minutes after the start"
PART_S = 30
"""How long a part of something long may take before a service manager gives a start or a stop up: see `goes_on`."""


@dataclass(frozen=True)
class Ward:
    """A station that is looked after.

    `name`: no other's of the process. `hung`: what does not go on, in words; `only_driver`: whether that is nothing but
    its camera's driver. `state`: when it becomes another, `changed` is called, within a second. `line`: how it goes, in
    a few words; where that has changed, `changed` is called, too, now and then. `reread`: reads the station file again.
    """

    name: str
    hung: Callable[[], str | None]
    only_driver: Callable[[], bool]
    state: Callable[[], object]
    line: Callable[[], str]
    changed: Callable[[], None]
    reread: Callable[[], None]


class _Hang(NamedTuple):
    """What does not go on, in words; and whether the watchdog is fed all the same, for the others."""

    what: str
    patient: bool


class Service:
    """Looks after the stations of a process. A context manager: within it, until `stop` is set, the watchdog is fed.

    It is ready once each of `stations` stations is inspecting or has said why not. `hup` is set where the station files
    are to be read again.
    """

    def __init__(
        self,
        manager: ServiceManager,
        stations: int,
        stop: threading.Event,
        hup: threading.Event,
        clock: Clock = time.monotonic,
    ) -> None:
        self._manager, self._stations, self._stop, self._hup, self._clock = manager, stations, stop, hup, clock
        self._mutex = threading.Lock()
        self._wards: dict[str, Ward] = {}
        self._known: set[str] = set()  # stations that have begun, or failed
        self._failing: dict[str, str] = {}  # why, of those that do not inspect
        self._states: dict[str, object] = {}
        self._lines: dict[str, str] = {}
        self._speechless: dict[str, str] = {}  # stations that cannot say how it goes, and why
        self._complaint: bool | None = None  # as the last hang was said, patient or not
        self._ready = self._stopping = False
        self._began = self._fed = self._told = clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="service", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._say_stopping()

    @contextmanager
    def looking_after(self, ward: Ward) -> Iterator[None]:
        """Within this, `ward` is looked after."""
        with self._mutex:
            self._wards[ward.name] = ward
            self._states[ward.name] = ward.state()
            self._failing.pop(ward.name, None)
        self._knows(ward.name)
        try:
            yield
        finally:
            with self._mutex:
                del self._wards[ward.name]

    def fails(self, name: str, why: str) -> bool:
        """The station of this name does not inspect, as `systemctl status` shows from now on; whether that is news."""
        with self._mutex:
            news = self._failing.get(name) != why
            self._failing[name] = why
        if not self._knows(name) and news and self._ready and not self._stop.is_set():
            self._manager.tell(f"STATUS={self._line()}")
        return news

    def forget(self, name: str) -> None:
        """What was known under this name has another from now on."""
        with self._mutex:
            self._known.discard(name)
            self._failing.pop(name, None)

    def _knows(self, name: str) -> bool:
        """The station of this name inspects, or has said why it does not; whether that was the last to be known."""
        with self._mutex:
            self._known.add(name)
            ready = len(self._known) == self._stations and not self._ready
            self._ready |= ready
        if ready:
            self._manager.tell("READY=1", f"STATUS={self._line()}")
        return ready

    def goes_on(self, name: str, what: str) -> None:
        """A station has just done a part of something long, `what` in words, which everybody else may wait for.

        To be said at least every few seconds meanwhile, in the thread that does it: the service's own may be among
        those that wait. So a watchdog is fed, and the time for a start or a stop extended, by what is done and by
        nothing else.
        """
        with self._mutex:
            wards = list(self._wards.values())
        if self._ready and not self._stop.is_set():
            self._feed(self._hang(wards))
            self._manager.tell(f"STATUS={name}: {what}")
        else:
            self._manager.tell(f"EXTEND_TIMEOUT_USEC={PART_S * 1_000_000}", f"STATUS={name}: {what}")

    def _work(self) -> None:
        said = ""
        while not self._over.wait(BEAT_S):
            try:
                self._look()
            except Exception as error:  # if this thread died, the watchdog would end stations that inspect
                if str(error) != said:
                    log.exception("looking after the stations failed; trying again every %.1f s", BEAT_S)
                said = str(error)
            else:
                said = ""

    def _look(self) -> None:
        with self._mutex:
            wards = list(self._wards.values())
        if self._hup.is_set():
            self._hup.clear()
            with self._manager.reloading():
                for ward in wards:
                    self._safely(ward, ward.reread)
        counts = self._clock() - self._told >= STATUS_S
        changed = [ward for ward in wards if self._has_changed(ward, counts=counts)]
        for ward in changed:
            self._safely(ward, ward.changed)
        hang = self._hang(wards)
        self._complain(hang)
        if self._stop.is_set():
            self._say_stopping()
        elif self._ready:
            self._feed(hang)
            if changed or self._clock() - self._told >= STATUS_S:
                self._told = self._clock()
                self._manager.tell(f"STATUS={hang.what if hang else self._line()}")

    def _safely(self, ward: Ward, do: Callable[[], None]) -> None:
        """What fails for one station fails for no other, and the watchdog is fed."""
        try:
            do()
        except Exception:
            log.exception("%s: looking after it failed", ward.name)

    def _has_changed(self, ward: Ward, *, counts: bool) -> bool:
        """Whether there is news of it; `counts`: also of what changes all the time. One that cannot say has none."""
        before = self._lines.get(ward.name, "")
        try:
            state, line = ward.state(), ward.line() if counts else before
        except Exception as error:  # noqa: BLE001  # said; whatever it is, the others are looked after
            self._cannot_say(ward, error)
            return False
        if counts:
            self._speechless.pop(ward.name, None)
        changed = state != self._states[ward.name] or line != before
        self._states[ward.name], self._lines[ward.name] = state, line
        return changed

    def _line_of(self, ward: Ward) -> str:
        try:
            return ward.line()
        except Exception as error:  # noqa: BLE001  # the same
            self._cannot_say(ward, error)
            return SPEECHLESS

    def _cannot_say(self, ward: Ward, error: Exception) -> None:
        """Say so once. It is no hang: what hangs is asked of no disk."""
        if self._speechless.get(ward.name) != str(error):
            self._speechless[ward.name] = str(error)
            known = isinstance(error, KenpinError)  # a person's line, no traceback
            log.error("%s cannot say how it goes: %s", ward.name, error, exc_info=None if known else error)

    def _hang(self, wards: list[Ward]) -> _Hang | None:
        """What hangs of these; None where nothing does."""
        hung = {ward.name: why for ward in wards if (why := ward.hung()) is not None}
        if not hung:
            return None
        others_inspect = any(ward.name not in hung and ward.state() in GOING for ward in wards)
        only_drivers = all(ward.only_driver() for ward in wards if ward.name in hung)
        patient = others_inspect and only_drivers and self._clock() - self._began < APART_S
        return _Hang("; ".join(f"{name}: {why}" for name, why in hung.items()), patient)

    def _complain(self, hang: _Hang | None) -> None:
        """Say once that something hangs, and once more where all are to be started again for it."""
        complaint = None if hang is None else hang.patient
        if complaint != self._complaint:
            if hang is None:
                log.warning("it goes on again")
            else:
                log.error("%s; %s", hang.what, OTHERS_GO_ON if hang.patient else "the watchdog is not fed")
        self._complaint = complaint

    def _feed(self, hang: _Hang | None) -> None:
        every_s = self._manager.watchdog_s
        if (hang is None or hang.patient) and every_s and self._clock() - self._fed >= every_s / FED_WITHIN:
            self._fed = self._clock()
            self._manager.tell("WATCHDOG=1")

    def _say_stopping(self) -> None:
        if self._ready and not self._stopping:
            self._stopping = True
            self._manager.tell("STOPPING=1", "STATUS=stopping: what waits is sent")

    def _line(self) -> str:
        with self._mutex:
            wards = list(self._wards.values())
            failing = [f"{name} DOES NOT INSPECT: {shorten(why, WHY)}" for name, why in self._failing.items()]
        lines = [self._line_of(ward) for ward in wards]
        if len(wards) == self._stations == 1:
            return lines[0]
        going = [f"{ward.name}: {line}" for ward, line in zip(wards, lines, strict=True)]
        return "; ".join(failing + going) or "no station inspects"
