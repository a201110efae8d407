"""What is around a plant and may fail: a network that can be cut, a disk that can be full, a clock that can jump."""

import shutil
import struct
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NEAR, FAR = "10.213.77.1", "10.213.77.2"


class Network:
    """A host of its own for the broker, and the cable to it."""

    def __init__(self) -> None:
        name = f"kp{uuid.uuid4().hex[:6]}"
        self.host, self._near, far = name, f"{name}a", f"{name}b"
        _ip("netns", "add", self.host)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", far)
        _ip("link", "set", far, "netns", self.host)
        _ip("addr", "add", f"{NEAR}/30", "dev", self._near)
        _ip("link", "set", self._near, "up")
        _ip("-n", self.host, "addr", "add", f"{FAR}/30", "dev", far)
        _ip("-n", self.host, "link", "set", far, "up")
        _ip("-n", self.host, "link", "set", "lo", "up")

    @property
    def there(self) -> tuple[str, ...]:
        """What starts a command on that host."""
        return "ip", "netns", "exec", self.host

    def cut(self) -> None:
        _ip("link", "set", self._near, "down")

    def mend(self) -> None:
        _ip("link", "set", self._near, "up")

    def remove(self) -> None:
        _ip("link", "del", self._near)
        _ip("netns", "del", self.host)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(
            f"this test needs iproute2 and the right to make a network: ip {' '.join(arguments)}: {done.stderr}"
        )


@contextmanager
def small_disk(folder: Path, megabytes: int, *options: str) -> Iterator[None]:
    """A file system of its own under `folder`. `options`: of tmpfs."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={megabytes}m", *options]), "kenpin", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"this test needs the right to mount a file system: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all that is free on the disk of `folder`; delete what is returned to give it back."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\xff" * size)
            except OSError:
                continue
    return ballast


class Clock:
    """The wall clock of a process, to be set while it runs: `clock.c`, since libfaketime ends Python's sleep."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.fail("this test needs a C compiler: apt-get install gcc")
        library, self._file = folder / "clock.so", folder / "clock"
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._file)}
        self.set_off_by(0)

    def set_off_by(self, seconds: int) -> None:
        """From now on it is `seconds` fast, or slow."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:  # in place: it is mapped
            file.write(struct.pack("q", seconds))
