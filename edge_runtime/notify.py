"""What the service manager that started us is told, as of sd_notify(3): ready, how it goes, and that we are alive.

A datagram of a few bytes on a socket that it names; systemd's, and everybody's who keeps to the same protocol.
"""

import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

log = logging.getLogger(__name__)


class ServiceManager:
    """Who started us, and listens on the socket `address`; nobody where that is None.

    `watchdog_s`: the time after which it takes our silence for a hang, in seconds; None where it does not.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._address = "\0" + address[1:] if address and address.startswith("@") else address  # @: no file, a name
        self._complained = False

    @classmethod
    def of(cls, environment: Mapping[str, str], process: int) -> Self:
        """As the environment of the process with this number says."""
        microseconds = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(process)) == str(process)
        return cls(
            environment.get("NOTIFY_SOCKET") or None,
            int(microseconds) / 1e6 if meant and microseconds.isdigit() and int(microseconds) > 0 else None,
        )

    def tell(self, *facts: str) -> None:
        """Tell it `facts`, as `READY=1`. For any thread; does not wait, and where it cannot be told, says so once."""
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as way:
                way.sendto("\n".join(facts).encode(), self._address)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("the service manager cannot be told (%s); it may take us for hung", error.strerror)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Within this, the configuration is read again."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self.tell("READY=1")
