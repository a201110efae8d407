"""Drafts: what is written beside its place, and gets its name only when all of it is there."""

import glob
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STALE_S = 24 * 3600.0
"""A draft is written and proven in minutes, so one of this age is nobody's any more: its process was killed."""


@contextmanager
def draft_of(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, gone with the block; what is to stay is renamed out of it, or it is itself.

    First goes what killed processes left of drafts of `out`. Raises OSError where no folder can be made.
    """
    place = out.absolute().parent
    for left in place.glob(f".{glob.escape(out.name)}.draft-*"):
        with suppress(OSError):  # another may be clearing up, too
            ours = re.fullmatch(re.escape(f".{out.name}.draft-") + "[a-z0-9_]{8}", left.name)  # as tempfile names them
            if ours and time.time() - left.lstat().st_mtime > STALE_S:
                shutil.rmtree(left)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.draft-", dir=place))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
