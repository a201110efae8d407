"""The stations of one process: no two are the same, and when none can go on by itself the process ends."""

import threading
from pathlib import Path

from edge_runtime.errors import BrokerError, StationError
from edge_runtime.station import Station


class Crew:
    """Which stations of a process inspect, or may do so by themselves. For several threads.

    `stop` is set when none is left: each has ended, or waits for a person who mends its file. While one is left the
    others are tried again, so that whoever mends one does not have to start all of them anew.
    """

    def __init__(self, stop: threading.Event, count: int) -> None:
        self._stop, self._count = stop, count
        self._mutex = threading.Lock()
        self._members: list[tuple[Path, Station]] = []
        self._ended: set[int] = set()
        self._to_mend: dict[int, str] = {}
        self._undelivered: list[BrokerError] = []
        self._over = False

    def join(self, path: Path, station: Station) -> None:
        """Have one more, of this file. Raises StationError where it would publish, or write, as another does."""
        mistakes = []
        with self._mutex:
            for first, other in self._members:
                if station.address == other.address:
                    mistakes.append(f"{path}: has the site, line and station of {first}; give it a name of its own")
                if station.data.resolve() == other.data.resolve():
                    mistakes.append(f"{path}: has the data folder of {first}; give it one of its own")
            if mistakes:
                raise StationError(mistakes)
            self._members.append((path, station))

    def tries(self, number: int) -> None:
        """The station of this number is tried: it is left until it has failed."""
        with self._mutex:
            self._to_mend.pop(number, None)

    def must_be_mended(self, number: int, why: str) -> None:
        """The station of this number cannot run as its file and what that names stand."""
        with self._mutex:
            self._to_mend[number] = why
            self._end_where_none_is_left()

    def ends(self, number: int, undelivered: BrokerError | None = None) -> None:
        """The station of this number is done."""
        with self._mutex:
            self._ended.add(number)
            if undelivered is not None:
                self._undelivered.append(undelivered)
            self._end_where_none_is_left()

    def check(self) -> None:
        """Once all have ended: raise StationError where that was because some must be mended first, with all of these,
        or BrokerError where verdicts of a replay were not delivered.
        """
        if self._over and self._to_mend:
            raise StationError([why for _, why in sorted(self._to_mend.items())])
        if self._undelivered:
            raise self._undelivered[0]

    def _end_where_none_is_left(self) -> None:
        if len(self._ended | self._to_mend.keys()) == self._count and not self._stop.is_set():
            self._over = True
            self._stop.set()
