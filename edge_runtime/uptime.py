"""Moments by a clock that nobody sets: how long the machine has been on, also while it slept."""

import time
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()  # another with each start of the machine


def moment() -> str:
    """Now, as it can be kept in a file for a later process."""
    return f"{_BOOT} {time.clock_gettime(time.CLOCK_BOOTTIME):.3f}"


def age_s(of: str) -> float | None:
    """How many seconds ago that `moment()` was; None where it is none, or of before the machine's last start."""
    boot, _, at = of.partition(" ")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - float(at) if boot == _BOOT else None
