"""A GigE Vision camera that can be plugged in and pulled out: `gige_camera.py` in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CAMERA = Path(__file__).with_name("gige_camera.py")
SERIAL = "KP01"
ID = f"Aravis-Fake-{SERIAL}"

Process = subprocess.Popen[str]
Plug = Callable[..., Process]


def plugged_in(lost: float | None = None) -> Process:
    """The camera; kill it, and it is out again. `lost`: the share of its packets that never arrive."""
    command = [sys.executable, str(CAMERA), SERIAL, *([str(lost)] if lost is not None else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        process.kill()
        process.communicate()
        pytest.fail("these tests need Aravis, and UDP port 3956 to themselves: run scripts/cameras")
    return process
