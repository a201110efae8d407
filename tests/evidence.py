"""Verdicts and what was seen, made up for tests of evidence."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from uuid_utils import uuid7

from edge_runtime.cameras import Frame
from edge_runtime.evidence.config import EvidenceLimits
from edge_runtime.evidence.store import PictureStore
from edge_runtime.evidence.writer import Evidence
from edge_runtime.inspector import Inspection, Look
from edge_runtime.messages import Happening
from edge_runtime.verdict import BundleRef, Call, Latency, Reason, RegionVerdict, Thresholds, Verdict

WHY = {Call.OK: Reason.MATCH, Call.NG: Reason.DEFECT, Call.ERROR: Reason.FAULT}


class Heard(list[Happening]):
    """The events that were told."""

    def __call__(self, happening: Happening) -> None:
        self.append(happening)

    def kinds(self) -> list[str]:
        return [happening.kind for happening in self]


def verdict(
    call: Call, regions: tuple[RegionVerdict, ...] | None = None, captured_at: datetime | None = None
) -> Verdict:
    """One of a frame with one region, J4."""
    region = RegionVerdict(name="J4", expected="A12", verdict=call, reason=WHY[call], box=(8, 4, 32, 32), peak=(20, 10))
    return Verdict(
        id=str(uuid7()),
        site="plant-a",
        line="L3",
        station="cam-2",
        seq=7,
        captured_at=captured_at or datetime.now(UTC),
        trigger="camera",
        verdict=call,
        bundle=BundleRef(name="part", version="1", sha256="00"),
        thresholds=Thresholds(defect=0.5, mismatch=0.5),
        regions=(region,) if regions is None else regions,
        latency_ms=Latency(grab=0, inspect=0, total=0),
        prev="",
    )


def frame(seed: int = 0, *, height: int = 48, width: int = 64, channels: int = 3) -> Frame:
    """One of noise, which no compression makes small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    return Frame(pixels, 1_700_000_000_000_000_000, 1, 1.0)


def look(side: int = 16, channels: int = 1) -> Look:
    """What a bundle may have seen; the difference is largest at row 5, column 9."""
    view = np.full((side, side, channels), 120, np.uint8)
    difference = np.ones((side, side), np.float32)
    difference[5, 9] = 20
    return Look(view, view // 2, difference)


def inspection(call: Call) -> Inspection:
    """A verdict with what was seen of J4."""
    return Inspection(verdict(call), {"J4": look()})


def keeper(folder: Path, limits: EvidenceLimits, heard: Heard, clock: Callable[[], float] = time.monotonic) -> Evidence:
    """What keeps pictures in `folder`, as a station makes it."""
    store = PictureStore(folder, max_bytes=limits.max_bytes, max_age_days=limits.max_age_days)
    return Evidence(store, limits, heard, clock)
