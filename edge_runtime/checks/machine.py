"""Disk, clock and temperature of this machine."""

import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime.checks.finding import Finding, fail, ok, warn
from edge_runtime.outbox import Bounds

SYNCS = 100
SLOW_SYNC_S = 0.05
"""A verdict waits for its commit, which syncs once: slower than this at p99 is felt by a fast line."""
ROOM_BYTES = 64 * 1024 * 1024
"""What must be free beside a full outbox: its log, bundles and the system's own."""
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph"}
"""File systems on which SQLite's locks and syncs are not to be relied on."""
UNSYNCHRONISED, TIME_ERROR = 0x40, 5
"""STA_UNSYNC and TIME_ERROR, as adjtimex(2) has them."""
HOT_C = 85.0
"""From about here on, processors slow down to cool."""


def look_at_disk(data: Path) -> Iterator[Finding]:
    """Room for a full outbox, rights, and how long a sync takes. `data`: the station's folder, there or not yet."""
    there = next(folder for folder in (data, *data.absolute().parents) if folder.exists())
    owner = there.stat().st_uid
    if not os.access(there, os.W_OK):
        yield fail(
            "disk", f"{there}: cannot be written by user {os.geteuid()}", "run as the service's user, or chown it"
        )
        return
    if data.exists() and owner != os.geteuid():
        how = "run it as the service does, as sudo -u kenpin kenpin-edge check"
        yield warn("disk", f"{data}: belongs to user {owner}, and this check runs as {os.geteuid()}", how)
    kind = _file_system(there, Path("/proc/self/mountinfo"))
    if kind in NETWORK:
        yield fail("disk", f"{there}: is on a network drive ({kind})", "set data to a folder on a disk of this machine")
    free = shutil.disk_usage(there).free
    used = sum(path.stat().st_size for path in data.glob("**/*") if path.is_file())
    bounds = Bounds()
    needed = max(0, bounds.outbox_bytes + bounds.ledger_bytes + bounds.reserve_bytes - used) + ROOM_BYTES
    text = f"{there}: {free / 1e9:.1f} GB free, {kind}"
    if free < ROOM_BYTES:
        yield fail("disk", text, "free space: verdicts cannot be kept")
    elif free < needed:
        yield warn(
            "disk",
            text,
            f"full outbox and ledger need {needed / 1e9:.1f} GB more; free space, or they end before their bounds",
        )
    else:
        yield ok("disk", text)
    median, p99 = _sync_times(there)
    text = f"a sync takes {median * 1000:.2f} ms in the median, {p99 * 1000:.2f} ms at p99"
    if p99 > SLOW_SYNC_S:
        yield warn("disk", text, "each verdict waits for one: another disk, or less else on this one")
    else:
        yield ok("disk", text)


def look_at_clock(written: tuple[float, ...], now: float) -> Iterator[Finding]:
    """Is it set by somebody, and not earlier than when things here were `written`? Unix times."""
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if now < max(written):
        newest = datetime.fromtimestamp(max(written), UTC).strftime("%Y-%m-%d %H:%M UTC")
        yield fail(
            "clock", f"{at} is before {newest}, when files here were written", "set it: verdicts carry this time"
        )
    status = _time_status()
    if status is None:
        yield warn("clock", f"{at}; whether somebody keeps it cannot be told here")
    elif status:
        yield ok("clock", f"{at}, synchronised")
    else:
        yield warn(
            "clock", f"{at}, not synchronised", "install chrony or systemd-timesyncd, with the plant's time server"
        )


def look_at_temperature(system: Path) -> Iterator[Finding]:
    """The hottest sensor, and whether processors were slowed down. `system`: where /sys is."""
    temperatures = []
    for zone in sorted(system.glob("class/thermal/thermal_zone*")):
        try:
            name, milli = (zone / "type").read_text().strip(), int((zone / "temp").read_text())
        except (OSError, ValueError):
            continue  # a sensor that sleeps
        temperatures.append((milli / 1000, name))
    slowed = 0
    for count in system.glob("devices/system/cpu/cpu*/thermal_throttle/core_throttle_count"):
        slowed += int(count.read_text())
    if not temperatures:
        yield ok("temperature", "no sensor here")
        return
    hottest, name = max(temperatures)
    text = f"{hottest:.0f} °C at {name}" + (f", slowed down {slowed} times since the start" if slowed else "")
    if hottest >= HOT_C or slowed:
        yield warn("temperature", text, "clean filters and fans, or give it air: a hot processor is a slow one")
    else:
        yield ok("temperature", text)


def _sync_times(folder: Path) -> tuple[float, float]:
    """Median and p99 of how long a sync of a page takes in `folder`, in seconds."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            file.write(b"\0" * 4096)
            file.flush()
            begin = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    times.sort()
    return times[SYNCS // 2], times[SYNCS * 99 // 100]


def _file_system(folder: Path, mounts: Path) -> str:
    """Of which kind the file system is that `folder` lies on."""
    best, kind = "", "unknown"
    where = str(folder.resolve())
    for line in mounts.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4].replace("\\040", " ")
        within = where == point or where.startswith(point.rstrip("/") + "/")
        if within and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind


def _time_status() -> bool | None:
    """Whether the kernel says that the clock is kept; None where it does not say."""
    asked = (ctypes.c_long * 64)()  # struct timex, with room; all zero: only asked, nothing set
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    status = ctypes.c_int.from_buffer(asked, 5 * ctypes.sizeof(ctypes.c_long)).value
    return not (status & UNSYNCHRONISED or state == TIME_ERROR)
