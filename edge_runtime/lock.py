"""A data folder belongs to one process at a time."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from edge_runtime.errors import OutboxError, remedy


def lock_folder(folder: Path) -> IO[str]:
    """Take the folder for this process. The lock ends with the process, however that ends.

    Raises OutboxError where the folder cannot be made, or another process has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        how = remedy(error, "set data to a folder that can")
        raise OutboxError(folder, f"cannot be written ({error.strerror}); {how}").due_to(error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read(20).strip() or "unknown"
        file.close()
        why = f"is in use by another kenpin-edge (process {owner}); stop it, or set data to a folder of its own"
        raise OutboxError(folder, why) from error
    with suppress(OSError):  # for people; on a full disk nobody can be told who has it
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), str(os.getpid()).encode())
    return file
