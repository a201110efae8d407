"""What keeping pictures costs: formats for the frame, drawing, finding what is there, and what verdicts feel of it.

Frames are of 5 megapixels: boards beside one another in grey, and a frame of the video in colour, enlarged, with the
noise that a sensor has and a compressed video has lost.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from edge_runtime.bundle import load_bundle
from edge_runtime.cameras import Frame
from edge_runtime.evidence.config import EvidenceLimits
from edge_runtime.evidence.overview import overview
from edge_runtime.evidence.store import PictureStore
from edge_runtime.evidence.writer import QUALITY, Evidence
from edge_runtime.framing import Framing
from edge_runtime.inspector import Inspector
from edge_runtime.messages import Happening
from edge_runtime.picture import Image, as_picture, read_picture
from edge_runtime.regions import Region
from edge_runtime.verdict import Thresholds

DATA = Path(__file__).parents[3] / "shared" / "data"
"""Real pictures. Not part of the project, so the benchmark says when they are not there."""
RESULTS = Path(__file__).parents[1] / "results"
SIZE = (1944, 2592)
NOISE = 2.0
"""Grey levels of a sensor's noise."""
TIMES = 5
PICTURES = 20_000
"""That are found at a start."""
RATE_HZ = 20.0

FORMATS: dict[str, tuple[str, list[int]]] = {
    "PNG, OpenCV's own setting": (".png", []),
    "PNG, compression 1": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
    "PNG, compression 6": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 6]),
    "TIFF, LZW": (".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW]),
    "WebP, lossless": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
    "BMP": (".bmp", []),
    "JPEG, quality 95": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]),
    "JPEG, quality 100": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 100]),
}

Row = dict[str, Any]


def main() -> int:
    """The command."""
    p = argparse.ArgumentParser("python -m benchmarks.evidence", description=__doc__)
    p.add_argument("bundle", type=Path, help="a bundle, for what verdicts feel")
    p.add_argument("--seconds", type=float, default=10.0, help="of verdicts each way (%(default)s)")
    arguments = p.parse_args()
    if not DATA.exists():
        p.error(f"needs the real pictures in {DATA}")
    began, rows = datetime.now(UTC), list[Row]()
    frames = {"grey": boards(), "colour": bottles()}
    for row in (*formats(frames), *found(), *felt(arguments.bundle, frames["grey"], arguments.seconds)):
        rows.append(row)
        print(json.dumps(row), flush=True)
    facts = {
        "at": began.isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "packages": {"opencv": cv2.__version__, "numpy": np.__version__},
        "rows": rows,
    }
    (RESULTS / f"evidence-{began:%Y%m%d-%H%M%S}.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def boards() -> Image:
    """A grey frame."""
    rng = np.random.default_rng(1)
    tiles = [read_picture(path) for path in sorted((DATA / "pcb-jig").glob("*/*/*/*.png"))[:400]]
    rows = [np.hstack([tiles[rng.integers(len(tiles))] for _ in range(21)]) for _ in range(16)]
    return np.ascontiguousarray(np.vstack(rows)[: SIZE[0], : SIZE[1]])


def bottles() -> Image:
    """A frame in colour."""
    raw = cv2.VideoCapture(str(DATA / "video" / "bottle-detection.mp4")).read()[1]
    large = cv2.resize(raw, SIZE[::-1], interpolation=cv2.INTER_CUBIC).astype(np.float32)
    noisy = large + np.random.default_rng(1).normal(0, NOISE, large.shape)
    return as_picture(noisy.clip(0, 255).astype(np.uint8), "video")


def formats(frames: dict[str, Image]) -> Iterator[Row]:
    """Size and time of each format."""
    for name, frame in frames.items():
        for what, (suffix, setting) in FORMATS.items():
            data = cv2.imencode(suffix, frame, setting)[1]
            back = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)).reshape(*SIZE, -1)
            yield {
                "frame": name,
                "format": what,
                "MB": round(len(data) / 1e6, 2),
                "ms": best(partial(cv2.imencode, suffix, frame, setting)),
                "lossless": bool((back == frame).all()),
            }


def found() -> Iterator[Row]:
    """How long a start takes to find what is there, and what one more picture costs then."""
    with TemporaryDirectory() as name:
        store = PictureStore(Path(name), max_bytes=10**12, today=lambda: date(2026, 11, 24))
        files = {".jpg": b"j", ".json": b"{}", ".png": b"p"}
        for number in range(PICTURES):
            day = f"2026/{1 + number % 12:02}/{1 + number % 28:02}"
            store.put(f"{day}/{number:036d}-NG", files)
        again = PictureStore(Path(name), max_bytes=10**12)
        begin = time.perf_counter()
        again.find()
        row = {"pictures": again.count, "found_ms": round((time.perf_counter() - begin) * 1000, 1)}
        begin = time.perf_counter()
        for number in range(200):
            again.put(f"2026/11/24/{PICTURES + number:036d}-NG", files)
        yield row | {"one_more_ms": round((time.perf_counter() - begin) * 1000 / 200, 3)}


def felt(path: Path, frame: Image, seconds: float) -> Iterator[Row]:
    """Verdicts at a steady rate, all of them NG: what they take with and without pictures."""
    bundle = load_bundle(path)
    label = bundle.info.labels[0]
    region = Region(expected=label, box=(640, 640, 256, 256))
    every = Thresholds(defect=0.0, mismatch=0.0)
    shots = [Frame(np.roll(frame, 128 * n, axis=1), time.time_ns(), n, 0.0) for n in range(8)]
    for kept in (0, 2_000_000_000, 0, 2_000_000_000):
        inspector = Inspector(bundle, Framing({"J4": region}), every)
        with TemporaryDirectory() as name:
            limits = EvidenceLimits(max_bytes=kept, min_free_bytes=0)
            with Evidence(PictureStore(Path(name), max_bytes=kept), limits, say) as evidence:
                took = []
                for number in range(int(seconds * RATE_HZ)):
                    shot = shots[number % len(shots)]
                    begin = time.perf_counter()
                    seen = inspector.inspect(shot, {"J4": label}, "bench")
                    verdict = evidence.name(shot, seen)
                    evidence.keep(shot, verdict, seen.looks)
                    took.append((time.perf_counter() - begin) * 1000)
                    time.sleep(max(0.0, 1 / RATE_HZ - took[-1] / 1000))
            if not kept:
                drawn = overview(verdict, frame, seen.looks)
                yield {
                    "overview_ms": best(partial(overview, verdict, frame, seen.looks)),
                    "jpeg_ms": best(partial(cv2.imencode, ".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])),
                    "jpeg_kB": round(len(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]) / 1e3),
                }
            median, p99 = np.percentile(took, [50, 99])
            yield {
                "pictures": bool(kept),
                "verdicts": len(took),
                "median_ms": round(float(median), 2),
                "p99_ms": round(float(p99), 2),
                "kept": evidence.kept,
                "dropped": evidence.dropped,
                "failed": evidence.failed,
            }


def say(happening: Happening) -> None:
    """What a station would publish."""
    print(happening)


def best(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest of some times: what others do on the machine is left out."""
    took = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        work()
        took.append(time.perf_counter() - begin)
    return round(min(took) * 1000, 1)


if __name__ == "__main__":
    raise SystemExit(main())
