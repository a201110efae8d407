"""Files that are whole after a power cut: the old one or the new one, never half of either."""

import errno
import os
from pathlib import Path


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file; on the disk when this returns. Raises OSError."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` in the place of what `path` has: write beside, sync, rename, sync the folder. Raises OSError."""
    draft = unfinished(path)
    try:
        write_synced(draft, data)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def try_writing(path: Path) -> None:
    """Raise OSError where `write_whole` would, for all that can be told before the work is done that it would keep."""
    draft = unfinished(path)
    draft.open("wb").close()
    draft.unlink()
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def unfinished(path: Path) -> Path:
    """Where `write_whole` writes what shall be `path`; a kill may leave it there."""
    return path.with_name(f".{path.name}.draft")


def sync_folder(folder: Path) -> None:
    """Have on the disk which names `folder` holds. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
