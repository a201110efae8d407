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
    others = _names(path.parent)  # without the new one: the clock may have been set back, and then it is not the last
    for ending in _PARTS:
        part = path.with_name(path.name + ending)
        if part.exists():
            part.replace(aside.with_name(aside.name + ending))
    for name in others[: 1 - DAMAGED]:
        _delete(path.parent, name)
    return aside.name


def drop_oldest(folder: Path) -> str | None:
    """Delete the oldest that lies in `folder`, for its room; its name, None where there is none. Raises OSError."""
    if not (names := _names(folder)):
        return None
    _delete(folder, names[0])
    return names[0]


def _names(folder: Path) -> list[str]:
    return sorted({each.name.removesuffix("-wal").removesuffix("-shm") for each in folder.glob(f"{ASIDE}*")})


def _delete(folder: Path, name: str) -> None:
    for ending in _PARTS:
        (folder / (name + ending)).unlink(missing_ok=True)
