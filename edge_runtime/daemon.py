"""`kenpin-edge run`: the stations of one process. What one of them does stands in `life.py`."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from edge_runtime.absent import tell_absent
from edge_runtime.bundle import Bundle
from edge_runtime.crew import Crew
from edge_runtime.errors import MEND_FIRST, BrokerError, KenpinError, OutboxError, StationError
from edge_runtime.life import inspect
from edge_runtime.lock import lock_folder
from edge_runtime.logs import of_several, of_station
from edge_runtime.notify import ServiceManager
from edge_runtime.service import Service
from edge_runtime.sharing import Pool
from edge_runtime.station import Station

log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""After how long a station that failed is tried again beside others that inspect."""


def run(paths: Sequence[Path], manager: ServiceManager) -> None:
    """Inspect as the station files `paths` say, until their sources end or SIGTERM or SIGINT comes.

    SIGHUP reads them again. `manager`: who is told that we are ready and alive.

    Several stations share the engine of a bundle that they have in common. What fails one of them fails no other: it is
    said, and tried again until it is mended. A single one raises what `inspect` raises, and a service manager starts it
    again.

    Raises StationError where no file is without mistakes, two say that they are the same station, or all that have not
    ended must be mended by a person.
    """
    stations, mistakes = _read_all(paths)
    if not any(stations):
        raise StationError(mistakes)
    stop, hup = _stop_on_signals(), _on_hup()
    crew = Crew(stop, len(paths))
    mistakes = []
    for path, station in zip(paths, stations, strict=True):
        if station is not None:
            try:
                crew.join(path, station)
            except StationError as error:
                mistakes += error.mistakes
    if mistakes:
        raise StationError(mistakes)
    with Service(manager, len(stations), stop, hup) as service:
        if len(stations) == 1 and stations[0] is not None:
            of_station(stations[0].place)
            inspect(paths[0], stations[0], stop, lambda bundle: bundle, service)
            return
        of_several()
        share = Pool().share
        threads = [
            threading.Thread(
                target=_Member(number, path, station, crew, service).keep_inspecting,
                args=(stop, share),
                name=station.station if station is not None else path.name,
            )
            for number, (path, station) in enumerate(zip(paths, stations, strict=True))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    crew.check()


def _read_all(paths: Sequence[Path]) -> tuple[list[Station | None], list[str]]:
    """The stations of these files, None in the place of one that has mistakes, and all of these."""
    stations: list[Station | None] = []
    mistakes: list[str] = []
    for path in paths:
        try:
            stations.append(Station.read(path))
        except StationError as error:
            stations.append(None)
            mistakes += error.mistakes
    return stations, mistakes


class _Member:
    """One of several stations: inspects, and is tried again when it fails.

    `station`: as its file was at the start; None where it could not be read then.
    """

    def __init__(self, number: int, path: Path, station: Station | None, crew: Crew, service: Service) -> None:
        self._number, self._path, self._station, self._crew, self._service = number, path, station, crew, service
        self._tried = False
        self._told = False

    def keep_inspecting(self, stop: threading.Event, share: Callable[[Bundle], Bundle]) -> None:
        """Until it has ended, or `stop` is set."""
        of_station(self._station.place if self._station is not None else str(self._path))
        while True:
            self._crew.tries(self._number)
            try:
                inspect(self._path, self._as_its_file_has_it(), stop, share, self._service)
            except BrokerError as error:  # at the end of a replay, which is not played again for that
                log.error("%s", error)  # noqa: TRY400  # a person's line, no traceback
                self._crew.ends(self._number, error)
                return
            except KenpinError as error:
                self._say("; ".join(str(error).splitlines()), mend=error.service_status == MEND_FIRST)
            except Exception as error:  # the others go on
                log.exception("failed; trying again in %.0f s", AGAIN_S)
                self._service.fails(self._name, f"fault: {error}")
            else:
                self._crew.ends(self._number)
                return
            if stop.wait(AGAIN_S):
                return

    @property
    def _name(self) -> str:
        return self._station.address if self._station is not None else str(self._path)

    def _as_its_file_has_it(self) -> Station:
        """The station; when it is tried again, as the file has it now: it may be mended, or counted anew by SIGHUP."""
        if self._station is None:
            station = Station.read(self._path)
            self._crew.join(self._path, station)
            self._service.forget(self._name)
            of_station(station.place)
            self._station = station
        elif self._tried:
            self._station = _read_again(self._path, self._station)
        self._tried = True
        return self._station

    def _say(self, why: str, *, mend: bool) -> None:
        """Say why it does not inspect: to the log, the service manager and, where a person must mend it, over MQTT."""
        if self._service.fails(self._name, why):  # else it is known
            until = "until somebody has mended it, it is tried" if mend else "trying again"
            log.error("%s; %s every %.0f s", why, until, AGAIN_S)
            self._told = False
        if not mend:
            return
        if self._station is not None and not self._told and _is_nobodys(self._station.data):
            self._told = tell_absent(self._station, why)
        self._crew.must_be_mended(self._number, f"{self._name}: {why}")


def _is_nobodys(data: Path) -> bool:
    """Whether no other process inspects with this data folder, and in this station's name."""
    try:
        lock_folder(data).close()
    except OutboxError:
        return False
    return True


def _read_again(path: Path, before: Station) -> Station:
    """The station file as it is now. Raises StationError where it has mistakes, or is no longer the same station's."""
    station = Station.read(path)
    if (station.address, station.data.resolve()) != (before.address, before.data.resolve()):
        raise StationError([f"{path}: needs a restart: prefix, site, line, station and data are those of the start"])
    return station


def _on_hup() -> threading.Event:
    """An event that SIGHUP sets."""
    hup = threading.Event()
    signal.signal(signal.SIGHUP, lambda _number, _frame: hup.set())
    return hup


def _stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets. A second one ends the process as if nobody listened."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, on_signal)
    return stop
