"""Which pictures of one call are kept."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from edge_runtime.verdict import Call

_RECORD = struct.Struct("<47sQ")  # the day and the verdict's id, as they begin the name; bytes


class Kept(NamedTuple):
    """A picture's name, as `name_of` has it, and the bytes of the disk that its files take."""

    name: str
    size: int


class Pile:
    """Pictures of `call`, in the order they were added. `bytes`: what they take on the disk.

    Each is 55 bytes of one array. A name and a number as objects would be 190: 18 MiB by and by, while a store fills.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._records = bytearray()  # takes at its end and gives at its front without moving the rest
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._records) // _RECORD.size

    def __iter__(self) -> Iterator[Kept]:
        return (Kept(f"{stem.decode()}-{self._call}", size) for stem, size in _RECORD.iter_unpack(self._records))

    def add(self, kept: Kept) -> None:
        """Put it last. `kept.name` must be of this call."""
        self._records += _RECORD.pack(kept.name.removesuffix(f"-{self._call}").encode(), kept.size)
        self.bytes += kept.size

    @property
    def oldest(self) -> Kept:
        """The first of them, which must be there."""
        stem, size = _RECORD.unpack_from(self._records)
        return Kept(f"{stem.decode()}-{self._call}", size)

    def drop_oldest(self) -> None:
        """Forget the first of them."""
        self.bytes -= self.oldest.size
        del self._records[: _RECORD.size]
