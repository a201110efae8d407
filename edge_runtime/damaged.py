"""A damaged `outbox.db` lies beside the one that is made anew, for who wants to know why."""

import time
from pathlib import Path

ASIDE = "outbox.damaged-"
DAMAGED = 3
"""Those that are kept: the newest ones. All that was in them is in the ledger."""
_PARTS = ("", "-wal", "-shm")


def move_aside(path: Path) -> str:
    """Move the file and SQLite's two beside it out of the way; under which name it now lies there. Raises OSError."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{ASIDE}{stamp}-{time.time_ns() % 10**9:09}.db")
    for ending in _PARTS:
        part = path.with_name(path.name + ending)
        if part.exists():
            part.replace(aside.with_name(aside.name + ending))
    damaged = {each.name.removesuffix("-wal").removesuffix("-shm") for each in path.parent.glob(f"{ASIDE}*")}
    for name in sorted(damaged)[:-DAMAGED]:
        for ending in _PARTS:
            path.with_name(name + ending).unlink(missing_ok=True)
    return aside.name
