"""`kenpin-edge collect`: labelled training views from the line's own camera, or from evidence that was kept.

What is kept is a region's picture as an inspection would get it: cut, drawn upright and passed by the same code, at the
camera's resolution; training makes views of it by the same rules as the line.
"""

import glob
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
from pydantic import ValidationError

from edge_runtime.cameras import open_camera
from edge_runtime.cameras.capture import Capture
from edge_runtime.errors import PictureError, UsageError
from edge_runtime.file_names import from_text
from edge_runtime.framing import Framing, Unfit
from edge_runtime.lock import lock_folder
from edge_runtime.messages import Happening
from edge_runtime.picture import Image, is_blank, printable, read_picture
from edge_runtime.quality import quality
from edge_runtime.regions import Cut, Region, cut
from edge_runtime.station import Station
from edge_runtime.triggers import Triggers
from edge_runtime.triggers.config import IntervalTrigger, RequestTrigger, TriggerConfig
from edge_runtime.verdict import Call, Verdict, utc

log = logging.getLogger(__name__)

SAY_S = 0.5
"""Seconds from one line of progress to the next, at least."""
T = TypeVar("T")
HEADING = "   views  brightness  contrast  sharpness"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for. `kind`: "good", or the name of a defect. `count`: 0 never ends.

    `every_s`: seconds from one view to the next; None: as the station is triggered. `region`: None where there is one.
    """

    label: str
    out: Path
    region: str | None = None
    kind: str = "good"
    test: bool = False
    count: int = 0
    every_s: float | None = None

    @property
    def folder(self) -> Path:
        """Where views go, by the layout that training reads."""
        return self.out / self.label / ("test" if self.test else "train") / self.kind


def collect(path: Path, wishes: Wishes) -> None:
    """Keep views of the camera of the station `path` until there are `count`, its replay ends, or Ctrl-C comes.

    Raises StationError, CameraError, PictureError (of a mark or an empty zone), OutboxError where the daemon has the
    camera, and UsageError where that cannot be: no such region, nothing that triggers, a folder that cannot be written.
    """
    station = Station.read(path)
    name = _one_of({name: name for name in station.region}, wishes.region)
    trigger = _trigger(station, wishes.every_s)
    framing = Framing({name: station.region[name]}, station.mark, station.gate, station.source)
    views = _Views(wishes, station.station, name)
    wake, stop = threading.Event(), threading.Event()
    with ExitStack() as life:
        life.enter_context(lock_folder(station.data))
        capture = Capture(partial(open_camera, station.camera), wake, _say_event, each=False)
        triggers = Triggers(trigger, capture, wake, stop, framing.watch)
        life.enter_context(capture)
        try:
            for shot in triggers:
                views.see(framing.look(shot.frame)[name], utc(shot.frame.captured_ns))
                if views.enough:
                    break
        except KeyboardInterrupt:
            sys.stderr.write("\n")
    views.say_all()


def collect_evidence(path: Path, names: Sequence[str], wishes: Wishes) -> None:
    """Keep views of pictures that the station `path` kept, `names` as their verdicts have them in `evidence` or `id`.

    Raises StationError, and UsageError where one is not there; then nothing is kept.
    """
    station = Station.read(path)
    pieces = [_piece(_kept(station.data / "evidence", name), wishes.region) for name in names]
    views = _Views(wishes, station.station, wishes.region or "")
    for picture, region, verdict in pieces:
        views.keep(picture, verdict.captured_at, region)
    views.say_all()


class _Views:
    """The views that are kept, and what a person at the camera wants to know of them."""

    def __init__(self, wishes: Wishes, station: str, region: str) -> None:
        """Raises UsageError where the folder cannot be made."""
        self._wishes, self._station, self._region = wishes, station, region
        self._kept, self._refused = 0, 0
        self._said_at, self._trouble = -SAY_S, ""
        try:
            wishes.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--out {wishes.folder}: cannot be made ({error.strerror}); name another folder"
            ) from error

    @property
    def enough(self) -> bool:
        """Whether as many are kept as were asked for."""
        return 0 < self._wishes.count <= self._kept

    def see(self, piece: Cut | Unfit, at: datetime) -> None:
        """Keep the picture of a region that an inspection would judge, and say why not where it would not."""
        if isinstance(piece, Unfit):
            self._refuse(piece.why)
            return
        if is_blank(piece.picture):
            self._refuse("shows nothing, it is all one brightness; check light, lens and where the region is")
            return
        self.keep(piece.picture, at, self._region)

    def keep(self, picture: Image, at: datetime, region: str) -> None:
        """Keep a picture, uint8 [H, W, C], under a name that is not taken. Raises UsageError."""
        stem = _file_name(f"{at:%Y%m%dT%H%M%S.%f}-{self._station}-{region}")
        try:
            _write_new(self._wishes.folder, stem, cv2.imencode(".png", picture)[1].tobytes())
        except OSError as error:
            raise UsageError(f"{self._wishes.folder}: cannot be written ({error.strerror}); make room") from error
        self._kept += 1
        self._trouble = ""
        self._say_view(picture)

    def say_all(self) -> None:
        """How many there are now, where, and how many pictures were none."""
        some = "view" if self._kept == 1 else "views"
        refused = f"; {self._refused} pictures were refused" if self._refused else ""
        sys.stdout.write(f"{self._kept} {some} in {self._wishes.folder}{refused}\n")

    def _refuse(self, why: str) -> None:
        """Say why once, until another reason or a good picture comes."""
        self._refused += 1
        kind = "".join(letter for letter in why if not letter.isdigit())
        if kind != self._trouble:
            self._trouble = kind
            sys.stderr.write(f"refused: {why}\n")

    def _say_view(self, picture: Image) -> None:
        if self._kept == 1:
            sys.stderr.write(f"{HEADING}\n")
        now = time.monotonic()
        if self._kept == 1 or self.enough or now - self._said_at >= SAY_S:
            self._said_at = now
            brightness, contrast, sharpness = quality(picture)
            sys.stderr.write(f"{self._kept:8}  {brightness:10.1f}  {contrast:8.1f}  {sharpness:9.2f}\n")


def _write_new(folder: Path, stem: str, data: bytes) -> None:
    """A file that is whole, under a name that nobody had; hidden while it is written, so that training passes it by."""
    draft = folder / f".{stem}.{os.getpid()}.part"
    try:
        draft.write_bytes(data)
        for number in range(1_000_000):
            path = folder / (f"{stem}-{number}.png" if number else f"{stem}.png")
            if not path.exists():
                draft.rename(path)
                return
    finally:
        draft.unlink(missing_ok=True)


def _file_name(text: str) -> str:
    return from_text(printable(text).replace("/", "_").replace("\\", "_"))


def _one_of(regions: Mapping[str, T], wanted: str | None) -> T:
    """The region that is meant. Raises UsageError where that would be a guess."""
    known = ", ".join(regions)
    if wanted is None and len(regions) > 1:
        raise UsageError(f"there are several regions ({known}); name one with --region")
    if wanted is not None and wanted not in regions:
        raise UsageError(f"--region {wanted}: there is no such region ({known})")
    return regions[wanted] if wanted is not None else next(iter(regions.values()))


def _trigger(station: Station, every_s: float | None) -> TriggerConfig:
    """What asks for a view: time, if that is asked for; else parts, if the station looks for some; else each frame."""
    if every_s is not None:
        return IntervalTrigger(kind="interval", every_s=every_s)
    if isinstance(station.trigger, RequestTrigger):
        raise UsageError("this station waits for requests, and here nobody asks; say --every S")
    return station.trigger


def _say_event(happening: Happening) -> None:
    """What the daemon would publish; the capture has logged it."""
    log.debug("%s", happening)


def _kept(folder: Path, name: str) -> Path:
    """The frame that was kept for a verdict. Raises UsageError where there is none, or not any more."""
    if "/" not in name and (found := sorted(folder.glob(f"*/*/*/{glob.escape(name)}-*.png"))):
        return found[0]
    path = folder / name
    if path.suffix != ".png" or not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise UsageError(f"{name}: no such picture in {folder}; it was never kept, or had to make room")
    return path


def _piece(frame: Path, wanted: str | None) -> tuple[Image, str, Verdict]:
    """What a region showed in a kept frame, where it was found then; the region's name; and the verdict.

    Raises UsageError where that cannot be told, or the frame is damaged or was no picture to be judged.
    """
    verdict = _verdict_of(frame)
    region = _one_of({region.name: region for region in verdict.regions}, wanted)
    if region.verdict is Call.ERROR:
        raise UsageError(f"{frame}: was not judged ({region.detail}), and is nothing to learn from")
    where = Region(expected=region.expected, box=None if region.corners else region.box, corners=region.corners)
    try:
        return cut(read_picture(frame), region.name, where).picture, region.name, verdict
    except PictureError as error:
        raise UsageError(f"{frame}: {error.why}") from error


def _verdict_of(frame: Path) -> Verdict:
    path = frame.with_suffix(".json")
    try:
        return Verdict.from_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{path}: does not tell where the regions are; it is missing or damaged") from error
