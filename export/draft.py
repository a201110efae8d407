"""A file is written beside its place, and gets its name only when all of it is there and right."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import BundleError
from train.draft import draft_of


@contextmanager
def drafted(out: Path) -> Iterator[Path]:
    """A file to write that becomes `out` when the block ends, and is gone if it raises.

    An older `out` is replaced in one step, so nobody ever finds half a file there. Raises BundleError where the folder
    cannot be written.
    """
    try:
        with draft_of(out) as folder:
            draft = folder / out.name
            yield draft
            with draft.open("rb+") as written:
                os.fsync(written.fileno())
            draft.replace(out)
    except OSError as error:
        why = f"cannot be written ({error.strerror or error}); name a file in a folder that exists"
        raise BundleError(out, why) from error
