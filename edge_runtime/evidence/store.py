"""Pictures on disk, within bounds: `<folder>/2026/11/24/<verdict id>-NG.png` and what lies beside it by the same name.

The tree is gone through once, at the start; from then on it is known what is there. What goes when there is no room
stands in `docs/evidence.md`.

Pictures are written and deleted by strings: Python 3.12 before 3.12.7 (Ubuntu 24.04 has 3.12.3) never frees a name that
`pathlib` has seen (python/cpython#121780).
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from edge_runtime.evidence.pile import Kept, Pile
from edge_runtime.verdict import Call, Verdict

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".json", ".png")
"""In the order they are written: where the frame (.png) is, the rest is, too."""
ORDER = (Call.OK, Call.ERROR, Call.NG)
"""Whose pictures are missed least, first."""
SHARES = {Call.OK: 0.1, Call.ERROR: 0.2}
"""Of the room, what these keep when it is scarce. NG has the rest: a camera that sees nothing gives an ERROR with each
frame, and must not push out the NG pictures of a month; nor must these leave no OK sample at all."""
MOST = 100_000
"""Pictures at most, however small: so many are found again in seconds, and known in five megabytes."""
BLOCK = 4096
"""Bytes in which a file system gives room."""

_NAME = re.compile(r"(?P<stem>[0-9a-f-]{36}-(?P<call>OK|ERROR|NG))(?P<suffix>\.jpg|\.json|\.png)(?P<part>\.part)?")
_LEVELS = (r"\d{4}", r"\d\d", r"\d\d")


def name_of(verdict: Verdict) -> str:
    """Where a verdict's pictures lie below the folder, without suffix."""
    return f"{verdict.captured_at:%Y/%m/%d}/{verdict.id}-{verdict.verdict}"


def room_for(sizes: list[int]) -> int:
    """Bytes that files of these sizes take on a disk."""
    return sum(-(-size // BLOCK) * BLOCK for size in sizes)


def _today() -> date:
    return datetime.now(UTC).date()


class PictureStore:
    """What is kept in `folder`, oldest first. For several threads.

    `max_bytes` holds at all times, also while a picture is written. What others put there is left alone, and not
    counted. Nothing is synced: a power cut may take the last half minute's pictures, and no verdict.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        max_age_days: int | None = None,
        most: int = MOST,
        today: Callable[[], date] = _today,
    ) -> None:
        self.folder = folder
        self._max_bytes, self._max_age_days, self._most, self._today = max_bytes, max_age_days, most, today
        self._kept = {call: Pile(call) for call in ORDER}
        self._looked_on: date | None = None
        self._found = False
        self._mutex = threading.Lock()

    @property
    def size(self) -> int:
        """How many bytes of the disk are taken."""
        return sum(pile.bytes for pile in self._kept.values())

    @property
    def count(self) -> int:
        """How many pictures are there."""
        return sum(map(len, self._kept.values()))

    def find(self) -> None:
        """Find what is there from before, keep it within the bounds, and delete what was left half-written.

        Once; raises OSError. Whatever else is asked first does it, too.
        """
        with self._mutex:
            self._find()

    def put(self, name: str, files: Mapping[str, bytes]) -> bool:
        """Keep a picture as `name_of` names it: `files`, by suffix. Older ones make room for it.

        False where it is larger than all the room there is. Raises OSError where the disk is full or gone; then nothing
        of it is left.
        """
        size = room_for([len(data) for data in files.values()])
        if size > self._max_bytes:
            return False
        with self._mutex:
            self._find()
            self._forget_old()
            while self.size + size > self._max_bytes or self.count >= self._most:
                self._delete_oldest(self._who_goes())
            self._write(name, files)
            self._kept[_call(name)].add(Kept(name, size))
        return True

    def give_up(self, count: int) -> int:
        """Delete the oldest pictures, of OK before ERROR before NG, until `count` bytes are free, or none is left.

        Returns how many bytes that freed. Raises nothing: who asks has other things to free.
        """
        freed = 0
        with self._mutex:
            try:
                self._find()
                while freed < count and (call := next((call for call in ORDER if self._kept[call]), None)):
                    freed += self._delete_oldest(call)
            except OSError as error:
                log.error("%s: no picture can be deleted (%s)", self.folder, error)  # noqa: TRY400  # no bug of ours
        return freed

    def forget_old(self) -> None:
        """Delete what is older than it may be. Looks once a day."""
        with self._mutex:
            self._find()
            self._forget_old()

    def _find(self) -> None:
        if self._found:
            return
        found = {call: Pile(call) for call in ORDER}
        for day in _days(self.folder):
            sizes = _sizes(self.folder / day)
            for stem in sorted(sizes):  # by the time that begins each id
                found[_call(stem)].add(Kept(f"{day}/{stem}", sizes[stem]))
        self._kept, self._found = found, True
        self._forget_old()
        while self.size > self._max_bytes or self.count > self._most:
            self._delete_oldest(self._who_goes())

    def _write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Write beside, then rename, one after the other; all or none of them. Raises OSError."""
        day, _, stem = name.rpartition("/")
        folder = self.folder / day
        folder.mkdir(parents=True, exist_ok=True)
        written: list[str] = []
        try:
            for suffix in SUFFIXES:
                if suffix in files:
                    file = f"{folder}/{stem}{suffix}"
                    written.append(f"{file}.part")
                    with open(f"{file}.part", "wb") as draft:  # noqa: PTH123  # as the module says
                        draft.write(files[suffix])
                    os.rename(f"{file}.part", file)  # noqa: PTH104
                    written.append(file)
        except OSError:
            for file in written:
                _delete(file)
            raise

    def _who_goes(self) -> Call:
        """Whose oldest picture makes room: of who has more than its share, else of NG."""
        for call, share in SHARES.items():
            kept = self._kept[call]
            if kept and (kept.bytes > share * self._max_bytes or len(kept) > share * self._most):
                return call
        return Call.NG if self._kept[Call.NG] else next(call for call in ORDER if self._kept[call])

    def _forget_old(self) -> None:
        today = self._today()
        if self._max_age_days is None or self._looked_on == today:
            return
        self._looked_on = today
        try:
            oldest = f"{today - timedelta(days=self._max_age_days):%Y/%m/%d}"
        except OverflowError:  # before there was a calendar
            return
        for call, kept in self._kept.items():
            stay = Pile(call)
            for each in kept:  # all of them: a clock that was set back leaves newer names before older ones
                if each.name < oldest:
                    self._unlink(each.name)
                else:
                    stay.add(each)
            self._kept[call] = stay

    def _delete_oldest(self, call: Call) -> int:
        oldest = self._kept[call].oldest
        self._unlink(oldest.name)
        self._kept[call].drop_oldest()
        return oldest.size

    def _unlink(self, name: str) -> None:
        """Delete all of a picture, the frame first, and folders that are empty then."""
        for suffix in reversed(SUFFIXES):
            _delete(f"{self.folder}/{name}{suffix}")
        day = self.folder / name.rpartition("/")[0]
        for folder in (day, *day.parents[: len(_LEVELS) - 1]):
            try:
                folder.rmdir()
            except OSError:  # it holds more, which is most often so
                break


def _delete(file: str) -> None:
    """Delete a file, if it is there. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(file)  # noqa: PTH108  # as the module says


def _call(name: str) -> Call:
    return Call(name.rpartition("-")[2])


def _days(folder: Path) -> list[str]:
    """The folders of days, the oldest first, as `2026/11/24`. Links are not followed."""
    days = [""] if folder.is_dir() else []
    for level in _LEVELS:
        days = [
            f"{day}/{entry.name}".lstrip("/")
            for day in days
            for entry in os.scandir(folder / day)
            if re.fullmatch(level, entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    return sorted(days)


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes that each picture of a day takes, by the name of its files. Deletes what was left half-written."""
    sizes: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name)
            if found is None or not entry.is_file(follow_symlinks=False):
                continue
            size = entry.stat(follow_symlinks=False).st_size
            if found["part"] or not size:  # of a process or a power that went
                _delete(entry.path)
                continue
            sizes[found["stem"]] = sizes.get(found["stem"], 0) + room_for([size])
    return sizes
