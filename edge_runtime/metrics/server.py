"""`/metrics` and `/healthz`, over HTTP, for one who asks at a time."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from socket import AF_INET, AF_INET6, SHUT_RDWR, socket
from socketserver import TCPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from edge_runtime.events import Tell
from edge_runtime.messages import MetricsRefused
from edge_runtime.metrics import Meters, Readings
from edge_runtime.metrics.config import MetricsConfig
from edge_runtime.metrics.figures import Metrics

log = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""How long one who asks may take to say what."""

TEXT = "text/plain; charset=utf-8"


class _Server(TCPServer):
    """Not http.server's, which looks up this machine's name in DNS first. One request at a time: nothing unbounded."""

    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  # the library's names
        """Who asks and goes is no fault of the station's, and no traceback in its log."""
        log.debug("%s: asked and went", client_address)


@contextmanager
def serving(
    config: MetricsConfig, readings: Callable[[], Readings], hung: Callable[[], str | None], tell: Tell
) -> Iterator[Meters]:
    """Within this, figures are counted, and served where `config` says.

    A port that cannot be had is a warning and an event: nobody shall stop inspecting for want of figures.
    """
    metrics = Metrics(readings)
    try:
        server = _listening(config, metrics, hung)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        log.warning("metrics: %s cannot be had (%s); the station inspects without", where, error.strerror or error)
        tell(MetricsRefused(why=f"{where}: {error.strerror or error}"))
        yield metrics
        return
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="metrics", daemon=True)
    thread.start()
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listening(config: MetricsConfig, metrics: Metrics, hung: Callable[[], str | None]) -> _Server:
    class Answer(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def setup(self) -> None:
            """Cut off who has not asked in time, also one who says a letter now and then."""
            super().setup()
            self._impatience = threading.Timer(PATIENCE_S, _cut_off, [self.connection])
            self._impatience.daemon = True
            self._impatience.start()

        def finish(self) -> None:
            """They have asked, or went."""
            self._impatience.cancel()
            super().finish()

        def do_GET(self) -> None:
            """Answer one question."""
            self._impatience.cancel()
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._say(200, CONTENT_TYPE_LATEST, metrics.text())
                case "/healthz":
                    trouble = hung()
                    self._say(200 if trouble is None else 503, TEXT, f"{trouble or 'ok'}\n".encode())
                case _:
                    self._say(404, TEXT, b"there is /metrics and /healthz\n")

        def _say(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            """A line for each question would be a log that grows by asking."""

    class Server(_Server):  # of its own: stations of one process begin side by side
        address_family = AF_INET6 if ":" in config.host else AF_INET

    return Server((config.host, config.port), Answer)


def _cut_off(connection: socket) -> None:
    with suppress(OSError):  # gone already
        connection.shutdown(SHUT_RDWR)
