"""Ask the gate about every real picture there is, and about the same pictures broken; time what a frame costs.

A real picture that is refused is a false alarm, and there must be none. What is broken is broken as it happens: data
that end early, rows of the picture before, a lens out of focus, no light.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from edge_runtime.gate import Gate, GateLimits, Source
from edge_runtime.marks import Mark, Marks
from edge_runtime.picture import Image, as_picture, read_picture
from edge_runtime.regions import Motion, Region, cut

DATA = Path(__file__).parents[3] / "shared" / "data"
"""Real pictures. Not part of the project, so the benchmark says when they are not there."""
RESULTS = Path(__file__).parents[1] / "results"
VIDEO = DATA / "video" / "bottle-detection.mp4"
SIZE = (1024, 1280)
"""Rows and columns of the frame that is timed."""
PERIOD_S = 0.033
NOISE = 1.0
"""Grey levels of the noise of a quiet sensor: the video has lost it in compression."""
QUALITY = 80
"""Of the JPEG that a webcam sends."""

Row = dict[str, Any]


def main() -> int:
    """The command. Returns its exit status: 1 where a real picture was refused."""
    p = argparse.ArgumentParser("python -m benchmarks.gate", description=__doc__)
    p.add_argument("--seed", type=int, default=0, help="of noise and breaks (%(default)s)")
    arguments = p.parse_args()
    if not VIDEO.exists():
        p.error(f"needs the real pictures in {DATA}")
    began, rows = datetime.now(UTC), list[Row]()
    rng = np.random.default_rng(arguments.seed)
    for row in (*real(rng), *broken(rng), *costs(rng)):
        rows.append(row)
        print(json.dumps(row), flush=True)
    facts = {
        "at": began.isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "packages": {"opencv": cv2.__version__, "numpy": np.__version__},
        "asked": vars(arguments),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"gate-{began:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    return int(any(row.get("false_alarms") for row in rows))


def video(path: Path) -> Iterator[Image]:
    """The frames of a video, uint8 [H, W, 3]."""
    capture = cv2.VideoCapture(str(path))
    while True:
        found, pixels = capture.read()
        if not found:
            return
        yield as_picture(pixels, path)


def webcam(frames: Iterable[Image], rng: np.random.Generator) -> Iterator[bytes]:
    """The same as a webcam sends them: with a sensor's noise, each a JPEG."""
    for pixels in frames:
        noisy = np.clip(pixels + rng.normal(0, NOISE, pixels.shape), 0, 255).astype(np.uint8)
        yield cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def decoded(jpeg: bytes) -> Image | None:
    """As OpenCV's cameras decode a JPEG, whatever is missing."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if pixels is None else as_picture(pixels, "jpeg")


def real(rng: np.random.Generator) -> Iterator[Row]:
    """Every real picture, from each source that it may come from."""
    from elpv_dataset.utils import load_dataset  # type: ignore[import-untyped]  # it ships no types

    boards = [read_picture(path) for path in sorted((DATA / "pcb-jig").rglob("*.png"))]
    cells = [np.asarray(cell, np.uint8)[..., None] for cell in load_dataset()[0]]
    bolts = DATA / "video" / "bolt-multi-size-detection.gif"
    sent = [pixels for jpeg in webcam(video(VIDEO), rng) if (pixels := decoded(jpeg)) is not None]
    for name, frames, source in (
        ("bottles, replayed", video(VIDEO), Source.REPLAY),
        ("bottles, as a stream", video(VIDEO), Source.STREAM),
        ("bottles, from a webcam", sent, Source.SENSOR),
        ("bolts, replayed", video(bolts), Source.REPLAY),
        ("boards in a jig", boards, Source.REPLAY),
        ("solar cells", cells, Source.REPLAY),
    ):
        gate, told = Gate(GateLimits(), source), list[str]()
        count = 0
        for count, pixels in enumerate(frames, start=1):
            if trouble := gate.trouble(pixels, count * PERIOD_S) or gate.burnt_out(pixels):
                told.append(trouble)
        yield {"real": name, "pictures": count, "false_alarms": len(told), "told": told[:3]}


def broken(rng: np.random.Generator) -> Iterator[Row]:
    """Every tenth frame of the video, broken in each of several ways: how many of them are refused."""
    frames = list(video(VIDEO))[::10]
    jpegs = list(webcam(frames, rng))
    good = [pixels for jpeg in jpegs if (pixels := decoded(jpeg)) is not None]

    def short(at: int) -> Image:
        """As libjpeg fills it, which webcams' drivers use; OpenCV's imdecode refuses it, FFmpeg shows stale rows."""
        cut_short = jpegs[at][: int(len(jpegs[at]) * rng.uniform(0.1, 0.9))]
        return np.asarray(simplejpeg.decode_jpeg(cut_short, "BGR", strict=False), np.uint8)

    def stale(at: int) -> Image:
        row = int(good[at].shape[0] * rng.uniform(0.1, 0.9))
        return np.concatenate([good[at][:row], good[at - 1][row:]])

    def black(at: int) -> Image:
        torn = good[at].copy()
        torn[int(len(torn) * rng.uniform(0.1, 0.9)) :] = 0
        return torn

    def blurred(sigma: float) -> Callable[[int], Image]:
        return lambda at: np.asarray(cv2.GaussianBlur(good[at], (0, 0), sigma), np.uint8)

    def lit(gain: float) -> Callable[[int], Image]:
        return lambda at: np.clip(good[at] * gain, 0, 255).astype(np.uint8)

    ways: dict[str, Callable[[int], Image]] = {
        "JPEG cut short": short,
        "lower rows of the picture before": stale,
        "lower rows black": black,
        **{f"blurred by {sigma} of 640 pixels": blurred(sigma) for sigma in (4, 8, 16, 32)},
        "light at 5 %": lit(0.05),
        "light at 1000 %": lit(10.0),
        "light at 10000 %": lit(100.0),
        "burnt out": lambda at: np.full_like(good[at], 255),
    }
    for name, way in ways.items():
        refused = asked = 0
        for at in range(1, len(good)):
            gate = Gate(GateLimits(), Source.SENSOR)
            gate.trouble(good[at - 1], 0)
            asked += 1
            refused += gate.trouble(way(at), PERIOD_S) is not None
        yield {"broken": name, "pictures": asked, "refused": refused}


def costs(rng: np.random.Generator) -> Iterator[Row]:
    """What one frame costs before the bundle sees it, in milliseconds."""
    for channels in (1, 3):
        scene = cv2.resize(rng.integers(0, 256, (128, 160, channels), np.uint8), SIZE[::-1])
        scene = scene.reshape(*SIZE, channels)
        frames = [np.clip(scene + rng.normal(0, 2, scene.shape), 0, 255).astype(np.uint8) for _ in range(8)]
        colour = "grey" if channels == 1 else "colour"
        gate = Gate(GateLimits(), Source.SENSOR)
        yield timed(f"gate, {colour}", frames, partial(gate.trouble, taken=0.0))
        for side in (256, 512):
            box = Region(expected="A", box=(300, 300, side, side))
            slant = ((300, 310), (300 + side, 300), (290 + side, 300 + side), (310, 290 + side))
            corners = Region(expected="A", corners=slant)
            yield timed(f"box of {side}, {colour}", frames, partial(cut, name="A", region=box))
            yield timed(f"corners of {side}, {colour}", frames, partial(cut, name="A", region=corners))
        with TemporaryDirectory() as folder:
            marks = {
                name: Mark(template=Path(folder, f"{name}.png"), at=at, search=40)
                for name, at in (("left", (100, 100)), ("right", (1100, 900)))
            }
            for mark in marks.values():
                x, y = mark.at
                cv2.imwrite(str(mark.template), scene[y : y + 64, x : x + 64])
            yield timed(f"two marks of 64, search 40, {colour}", frames, partial(where, Marks(marks)))


def where(marks: Marks, pixels: Image) -> Motion:
    """How a frame has moved."""
    return marks.motion(marks.find(pixels))


def timed(name: str, frames: list[Image], work: Callable[[Image], object]) -> Row:
    """Median and 99th percentile over 400 frames."""
    took = []
    for number in range(400):
        begin = time.perf_counter()
        work(frames[number % len(frames)])
        took.append((time.perf_counter() - begin) * 1000)
    sorted_ms: npt.NDArray[np.float64] = np.sort(took)
    return {"cost": name, "median_ms": round(float(sorted_ms[200]), 4), "p99_ms": round(float(sorted_ms[396]), 4)}


if __name__ == "__main__":
    raise SystemExit(main())
