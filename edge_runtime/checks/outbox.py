"""The outbox, looked at from outside: what waits, and who has it open."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime.checks.finding import Finding, fail, ok, warn
from edge_runtime.outbox import Balance
from edge_runtime.outbox_file import State
from edge_runtime.verdict import Verdict

LATE_S = 600.0
"""How long a verdict may wait before somebody should know."""


def running(data: Path, locks: Path = Path("/proc/locks")) -> int | None:
    """The process of the daemon that has the folder `data`; None where there is none. Takes no lock to find out."""
    try:
        owner = int((data / "lock").read_text().strip() or 0)
        inode = (data / "lock").stat().st_ino
        held = locks.read_text()
    except (OSError, ValueError):
        return None
    for line in held.splitlines():
        fields = line.split()
        if "FLOCK" in fields and fields[4:6] and fields[4] == str(owner) and fields[5].endswith(f":{inode}"):
            return owner
    return None


def look_at_outbox(data: Path) -> Iterator[Finding]:
    """What waits and since when, and what was found damaged and moved aside."""
    path = data / "outbox.db"
    if path.exists():
        yield from _waiting(path)
    else:
        yield ok("outbox", f"{path}: not there yet, the first start makes it")
    if damaged := sorted(data.glob("outbox.damaged-*.db")):
        names = ", ".join(each.name for each in damaged)
        yield warn(
            "outbox", f"{len(damaged)} were found damaged and moved aside: {names}", "check the disk; keep or delete"
        )


def _waiting(path: Path) -> Iterator[Finding]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("BEGIN")  # all of one moment: a daemon may be writing
            sound = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            # Rows beyond what the state knows: a daemon is just making the file anew.
            known = "WHERE seq <= (SELECT json_extract(json, '$.seq') FROM state)"
            count = int(db.execute(f"SELECT count(*) FROM verdicts {known}").fetchone()[0])  # noqa: S608  # our own text
            first = db.execute(f"SELECT json FROM verdicts {known} ORDER BY seq LIMIT 1").fetchone()  # noqa: S608
            kept = db.execute("SELECT json FROM state").fetchone()
    except sqlite3.Error as error:
        yield fail(
            "outbox",
            f"{path}: cannot be read ({error})",
            "check the disk, its room and rights; where it is damaged, the next start makes it anew from the ledger",
        )
        return
    if sound != "ok":
        yield fail(
            "outbox", f"{path}: is damaged ({sound})", "the next start makes it anew from the ledger; check the disk"
        )
        return
    state = State.from_json(kept[0])
    balance = Balance(state.seq, state.acknowledged, state.shed, count)
    told = f"{state.seq} verdicts = {state.acknowledged} acknowledged + {count} waiting + {state.shed} shed"
    if not balance.balanced:
        yield fail(
            "outbox", f"{told} does not hold", "keep the data folder as it is: a fault of ours; audit the ledger"
        )
    elif state.shed:
        yield warn("outbox", told, "some were given up for want of room, or lost to a damaged disk: the log says which")
    else:
        yield ok("outbox", told)
    if first is None:
        yield ok("outbox", "no verdict waits")
    else:
        since = Verdict.from_json(first[0]).captured_at
        waits = f"{count} verdicts wait, the oldest since {since:%Y-%m-%d %H:%M:%S} UTC"
        if (datetime.now(UTC) - since).total_seconds() > LATE_S:
            yield warn("outbox", waits, "bring the broker back, or start the station: they are then sent")
        else:
            yield ok("outbox", waits)
