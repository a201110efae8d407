"""The curve's folder: each point is on disk when it is measured, and a later call goes on from there.

| file           | what                                                                    |
|----------------|-------------------------------------------------------------------------|
| `curve.json`   | what every point has in common: data, settings, versions; `Common`      |
| `points.jsonl` | one measured point a line, `Measured`, as they came                     |
| `curve.html`   | the curve for a person                                                  |
| `curve.csv`    | its table for other programs                                            |
"""

import fcntl
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_runtime.disk import write_whole
from edge_runtime.errors import RunError
from edge_runtime.picture import ViewSpec
from train.views import DataSet

if TYPE_CHECKING:
    from train.fit import Settings  # with Keras, which takes seconds: a folder that is none is said before

COMMON, POINTS = "curve.json", "points.jsonl"


class Point(NamedTuple):
    """One training. `good`: good views a label; `defects`: defective views, all labels together; `repeat`: from 0."""

    good: int
    defects: int
    repeat: int


class Measured(BaseModel):
    """What became of a point, a line of `points.jsonl`. `figures`: as of `metrics`, on the held-out views."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    good: int
    defects: int
    repeat: int
    figures: dict[str, int | float]
    seconds: float

    @property
    def point(self) -> Point:
        """Which point it is."""
        return Point(self.good, self.defects, self.repeat)


class Common(BaseModel):
    """`curve.json`: what every point has in common. Points of anything else do not belong on the same curve."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["kenpin.curve/1"] = "kenpin.curve/1"
    data: str
    data_digest: str
    view: ViewSpec
    settings: dict[str, Any]
    packages: dict[str, str]

    @classmethod
    def of(cls, data: DataSet, settings: "Settings", packages: dict[str, str]) -> Self:
        """What the points of `data` under `settings` have in common. `packages`: versions by name."""
        return cls(
            data=data.name, data_digest=data.digest, view=data.spec, settings=asdict(settings), packages=packages
        )

    def difference(self, other: Self) -> str:
        """How `other` differs, in words; "" where its points may stand beside these."""
        if self.data_digest != other.data_digest:
            return f"of other pictures ({self.data}, digest {self.data_digest[:16]})"
        pairs: list[tuple[str, Any, Any]] = [("view", _size(self.view), _size(other.view))]
        for mine, its in ((self.settings, other.settings), (self.packages, other.packages)):
            pairs += [(name, mine.get(name), its.get(name)) for name in sorted(mine.keys() | its.keys())]
        return "; ".join(_differing(name.replace("_", " "), mine, its) for name, mine, its in pairs if mine != its)


def _differing(name: str, mine: Any, its: Any) -> str:
    """What a setting is here and there, for a person: one may not be set, or a package not installed."""
    if mine is None:
        return f"without {name}, not with {_plain(its)}"
    return f"with {name} {_plain(mine)}, not {'without' if its is None else _plain(its)}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "x".join(map(str, value.values())) if isinstance(value, dict) else str(value)  # tiles: rows x columns


def _size(view: ViewSpec) -> str:
    return f"{view.width}×{view.height}×{view.channels}"


def check(path: Path) -> None:
    """Raise RunError where a curve can be neither begun nor gone on with: before it costs a training."""
    if path.exists() and not path.is_dir():
        raise RunError(path, "is no folder; name another")
    if path.exists() and not (path / COMMON).is_file() and any(path.iterdir()):
        raise RunError(path, "exists and is no curve folder; name another")
    place = path if path.exists() else path.absolute().parent
    if not place.is_dir():
        raise RunError(path, "its parent folder does not exist; make it first")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise RunError(path, f"cannot be written ({error.strerror}); name another") from error


class CurveFolder:
    """The folder `path`, held by one process at a time. `measured`: its points. `torn`: its last line was, and went.

    Raises RunError where it is another curve's, damaged, or held by another process; then nothing in it is changed.
    """

    def __init__(self, path: Path, common: Common) -> None:
        check(path)
        self.path, self.common, self.measured, self.torn = path, common, list[Measured](), False
        if not (path / COMMON).exists():
            path.mkdir(exist_ok=True)
            write_whole(path / COMMON, (common.model_dump_json(indent=2) + "\n").encode())
        _check_same(path, common)
        self._points = (path / POINTS).open("a+b")
        try:
            self._read()
        except BaseException:
            self._points.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._points.close()

    @property
    def points(self) -> set[Point]:
        """The points that are there."""
        return {measured.point for measured in self.measured}

    def append(self, measured: Measured) -> None:
        """Keep a point; when this returns, it survives a power cut. Raises OSError where the disk refuses."""
        self._points.write(measured.model_dump_json().encode() + b"\n")
        _sync(self._points)
        self.measured.append(measured)

    def _read(self) -> None:
        try:
            fcntl.flock(self._points, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(self.path, "another kenpin-train curve is at it; wait for it, or name another") from error
        self._points.seek(0)
        whole, _, rest = self._points.read().rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self.measured.append(Measured.model_validate_json(line))
            except ValidationError as error:
                why = f"line {number} is damaged; delete that line, and its point is measured again"
                raise RunError(self.path / POINTS, why) from error
        if rest:  # a line is kept once its end is on disk: this one's writer was ended in the middle
            self.torn = True
            self._points.truncate(len(whole) + 1 if whole else 0)
            _sync(self._points)


def _check_same(path: Path, common: Common) -> None:
    try:
        there = Common.model_validate_json((path / COMMON).read_bytes())
    except (OSError, ValidationError) as error:
        raise RunError(path / COMMON, "is damaged or another version's; name another --out") from error
    ours = Common.model_validate_json(common.model_dump_json())  # JSON knows no tuples
    if difference := there.difference(ours):
        raise RunError(path, f"is a curve {difference}; name another --out, or ask for the same")


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
