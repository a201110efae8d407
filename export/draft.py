"""A file is written beside its place, and gets its name only when all of it is there and right."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import BundleError


@contextmanager
def drafted(out: Path) -> Iterator[Path]:
    """A file to write, in the folder of `out`, that becomes `out` when the block ends, and is gone if it raises.

    An older `out` is replaced in one step, so nobody ever finds half a file there. Raises BundleError where the folder
    cannot be written.
    """
    try:
        handle, place = tempfile.mkstemp(prefix=f".{out.name}.", suffix=out.suffix, dir=out.absolute().parent)
    except OSError as error:
        raise BundleError(out, f"cannot be written ({error.strerror}); name a file in a folder that exists") from error
    os.close(handle)
    draft = Path(place)
    try:
        yield draft
        with draft.open("rb+") as written:
            os.fsync(written.fileno())
        draft.chmod(0o644)  # a temporary file is its owner's alone
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
