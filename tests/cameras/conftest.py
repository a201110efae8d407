"""Cameras that are real to who opens them: servers and emulators, started here, ended here."""

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cameras.gige import Plug, Process, plugged_in
from tests.cameras.mjpeg import MjpegCamera


@pytest.fixture
def mjpeg() -> Iterator[Callable[..., MjpegCamera]]:
    """Starts MJPEG cameras; those still there at the end are stopped."""
    cameras: list[MjpegCamera] = []

    def start(
        port: int = 0, login: str = "", torn: frozenset[int] = frozenset(), other: frozenset[int] = frozenset()
    ) -> MjpegCamera:
        cameras.append(MjpegCamera(port, login, torn, other))
        return cameras[-1]

    yield start
    for camera in cameras:
        camera.stop()


@pytest.fixture
def plug() -> Iterator[Plug]:
    """Plugs the GigE camera in; kill what is returned, and it is out again.

    GigE Vision has one port, and tests run side by side: the others wait.
    """
    processes: list[Process] = []
    turn = (Path(tempfile.gettempdir()) / "kenpin-gige.lock").open("w")
    fcntl.flock(turn, fcntl.LOCK_EX)

    def start(lost: float | None = None) -> Process:
        processes.append(plugged_in(lost))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    turn.close()
