"""File names as text. A name is bytes on the disk, and these are UTF-8 here whatever the locale takes them for: what a
station file names, what a verdict says of a picture and how evidence is called must not change with a terminal's
settings.
"""

import os
from pathlib import Path


def as_text(name: Path | str) -> str:
    """What the file name or argument `name` says, read as UTF-8; as it is where its bytes are no such text."""
    try:
        return os.fsencode(name).decode()
    except UnicodeError:  # or it never was a file's: the locale knows no such letters
        return str(name)


def from_text(text: str) -> str:
    """The name by which Python finds the file that is called `text`."""
    return os.fsdecode(text.encode())
