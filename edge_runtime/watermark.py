"""Where the outbox stood a moment ago, in a small file beside the ledger.

It counts only where `outbox.db` is lost: what was acknowledged need not be sent again, and no count begins anew. Where
this file is lost, too, verdicts go out twice, with the same `id`.
"""

from pathlib import Path

from pydantic import ValidationError

from edge_runtime.disk import write_whole
from edge_runtime.outbox_file import State

NAME = "watermark.json"


def write(folder: Path, state: State) -> None:
    """Put it beside the ledger in `folder`. Raises OSError."""
    write_whole(folder / NAME, state.to_json().encode())


def read(folder: Path) -> State | None:
    """What was written last; None where it is missing or cannot be read."""
    try:
        return State.from_json((folder / NAME).read_text())
    except (OSError, ValueError, TypeError, KeyError, ValidationError):
        return None
