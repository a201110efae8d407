"""`kenpin-edge run`: the stations of one process. What one of them does stands in `life.py`."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BrokerError, KenpinError, StationError
from edge_runtime.life import inspect
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

    Raises StationError where a file has mistakes or two say that they are the same station.
    """
    stations = [Station.read(path) for path in paths]
    _check_different(paths, stations)
    stop, hup = _stop_on_signals(), _on_hup()
    with Service(manager, len(stations), stop, hup) as service:
        if len(stations) == 1:
            of_station(stations[0].place)
            inspect(paths[0], stations[0], stop, lambda bundle: bundle, service)
            return
        of_several()
        pool = Pool()
        undelivered: list[BrokerError] = []
        threads = [
            threading.Thread(
                target=_keep_inspecting,
                args=(path, station, stop, pool.share, service, undelivered),
                name=station.station,
            )
            for path, station in zip(paths, stations, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if undelivered:
        raise undelivered[0]


def _keep_inspecting(
    path: Path,
    station: Station,
    stop: threading.Event,
    share: Callable[[Bundle], Bundle],
    service: Service,
    undelivered: list[BrokerError],
) -> None:
    of_station(station.place)
    said, failed = "", False
    while True:
        try:
            if failed:  # what the file says may have been mended, or counted anew by SIGHUP, since
                station = _read_again(path, station)
            failed = True
            inspect(path, station, stop, share, service)
        except BrokerError as error:  # at the end of a replay, which is not played again for that
            log.error("%s", error)  # noqa: TRY400  # a person's line, no traceback
            undelivered.append(error)
            return
        except KenpinError as error:
            why = "; ".join(str(error).splitlines())
            if why != said:
                log.error("%s; trying again every %.0f s", why, AGAIN_S)  # noqa: TRY400
            said = why
        except Exception:  # the others go on
            log.exception("failed; trying again in %.0f s", AGAIN_S)
        else:
            return
        service.knows(station.address)
        if stop.wait(AGAIN_S):
            return


def _read_again(path: Path, before: Station) -> Station:
    """The station file as it is now. Raises StationError where it has mistakes, or is no longer the same station's."""
    station = Station.read(path)
    if (station.address, station.data.resolve()) != (before.address, before.data.resolve()):
        raise StationError([f"{path}: needs a restart: prefix, site, line, station and data are those of the start"])
    return station


def _check_different(paths: Sequence[Path], stations: Sequence[Station]) -> None:
    """Raise StationError where two stations would publish as one, or write to the same files."""
    mistakes = []
    names: dict[str, Path] = {}
    folders: dict[Path, Path] = {}
    for path, station in zip(paths, stations, strict=True):
        first = names.setdefault(station.address, path)
        if first is not path:
            mistakes.append(f"{path}: has the site, line and station of {first}; give it a name of its own")
        first = folders.setdefault(station.data.resolve(), path)
        if first is not path:
            mistakes.append(f"{path}: has the data folder of {first}; give it one of its own")
    if mistakes:
        raise StationError(mistakes)


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
