"""A network camera that serves MJPEG over HTTP, on loopback: real sockets, real JPEGs, and faults on demand."""

import base64
import contextlib
import itertools
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

PERIOD_S = 0.02
WIDTH, HEIGHT = 320, 240


def numbered(number: int) -> bytes:
    """A JPEG whose brightness tells `number`, over something that does not compress to nothing."""
    picture = np.full((HEIGHT, WIDTH, 3), (number % 20) * 10 + 30, np.uint8)
    picture[::8, ::8] += 20
    return bytes(cv2.imencode(".jpg", picture)[1].tobytes())


class MjpegCamera:
    """Serves until `stop`; each connection gets pictures from number 0 on. `login`: asked of who comes, as name:word.

    `torn`: numbers of which half is sent; `other`: in whose place something is that is no picture. `silent`: while set,
    connections stay, and nothing comes.
    """

    def __init__(
        self, port: int = 0, login: str = "", torn: frozenset[int] = frozenset(), other: frozenset[int] = frozenset()
    ) -> None:
        self.silent = threading.Event()
        self._over = threading.Event()
        self._pictures = [b"<html>busy</html>" * 300 if number in other else numbered(number) for number in range(20)]
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                wanted = "Basic " + base64.b64encode(login.encode()).decode()
                if login and self.headers.get("Authorization") != wanted:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):  # who watched has gone
                    camera.send(self, torn)

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def send(self, to: BaseHTTPRequestHandler, torn: frozenset[int]) -> None:
        for number in itertools.count():
            while self.silent.is_set() and not self._over.is_set():
                self._over.wait(PERIOD_S)
            if self._over.is_set():
                to.close_connection = True
                return
            data = self._pictures[number % len(self._pictures)]
            data = data[: len(data) // 2] if number in torn else data
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            to.wfile.write(head.encode() + data + b"\r\n")
            self._over.wait(PERIOD_S)

    def stop(self) -> None:
        """End all connections, and listen no more, as a camera without power."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
