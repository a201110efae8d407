"""What the daemon adds to a bare `session.run` of its bundle: until a verdict is on the disk, and of what it sustains.

One region of 128 x 128 pixels in a frame of 640 x 480. All that is compared takes turns in one run, so that whatever
else the machine does hits all alike.
"""

import argparse
import json
import os
import platform
import queue
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.line.daemon import BOX, RESULTS, SIDE, bundle_file, frames, last_seq, station
from edge_runtime.bundle import OUTPUTS, Bundle, load_bundle
from edge_runtime.cameras import Frame
from edge_runtime.committer import Committer
from edge_runtime.engine import Arrays, Setting, start
from edge_runtime.framing import Framing
from edge_runtime.inspector import Inspector
from edge_runtime.outbox import Outbox
from edge_runtime.regions import Region
from edge_runtime.tuning import Machine, Tuning, tune_path
from edge_runtime.verdict import Verdict
from tests.integration.parts import Mosquitto, wait_until

Row = dict[str, Any]
VERDICT_BYTES = 800
"""Of one region."""


def main() -> int:
    """The command. Returns its exit status."""
    p = argparse.ArgumentParser("python -m benchmarks.line", description=__doc__)
    p.add_argument("--seconds", type=float, default=20.0, help="for each comparison (%(default)s)")
    arguments = p.parse_args()
    began, rows = datetime.now(UTC), list[Row]()
    with tempfile.TemporaryDirectory() as folder:
        bundle_path = bundle_file(Path(folder))
        for threads in (1, None):
            bundle = _on(load_bundle(bundle_path), threads)
            for row in (
                latency(bundle, Path(folder) / f"latency-{threads}", arguments.seconds),
                throughput(bundle, Path(folder) / f"throughput-{threads}", arguments.seconds),
            ):
                rows.append(row)
                print(json.dumps(row), flush=True)
        for threads in (1, None):
            bundle = _on(load_bundle(bundle_path), threads)
            rows.append(daemon(bundle, Path(folder) / f"daemon-{threads}", arguments.seconds))
            print(json.dumps(rows[-1]), flush=True)
    keep(began, vars(arguments), rows)
    return 0


def latency(bundle: Bundle, folder: Path, seconds: float) -> Row:
    """From a frame in memory to its verdict on the disk, against `session.run` alone: medians, p99 and ratios.

    `floor`: `session.run`, then a bare commit of as many bytes; nothing that keeps verdicts so is faster.
    `committed`: as a camera's frames are, by the thread that commits; `on_request`: as of who asks and waits, by the
    one that judges.
    """
    shown, inspector, bare = frames(bundle), _inspector(bundle), _bare(bundle)
    took: dict[str, list[float]] = {"bare": [], "floor": [], "committed": [], "on_request": []}
    ended: queue.SimpleQueue[float] = queue.SimpleQueue()

    def then(_verdict: Verdict) -> None:
        ended.put(time.perf_counter())

    with Outbox(folder) as outbox, Committer(outbox) as committer, _plain_commits(folder / "floor.db") as commit:

        def floor(frame: Frame) -> None:
            bare(frame)
            commit()

        def whole(frame: Frame, *, at_once: bool) -> float:
            """Milliseconds until it is known to be on the disk."""
            began = time.perf_counter()
            committer.keep(inspector.inspect(frame, {"J4": "0"}, "camera").verdict, then, at_once=at_once)
            return (ended.get() - began) * 1000

        for frame in shown:
            bare(frame)
            whole(frame, at_once=True)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for frame in shown:
                took["bare"].append(_ms(lambda: bare(frame)))  # noqa: B023  # called at once
                took["floor"].append(_ms(lambda: floor(frame)))  # noqa: B023
                took["committed"].append(whole(frame, at_once=False))
                took["on_request"].append(whole(frame, at_once=True))
    row: Row = {"what": "frame in memory to verdict on the disk", "engine": str(bundle.engine.setting)}
    for name, times in took.items():
        row[f"{name}_median_ms"], row[f"{name}_p99_ms"] = (float(np.quantile(times, q)) for q in (0.5, 0.99))
    for figure in ("median", "p99"):
        for name in ("floor", "committed", "on_request"):
            row[f"{name}_ratio_{figure}"] = row[f"{name}_{figure}_ms"] / row[f"bare_{figure}_ms"]
    return row | {"calls": len(took["bare"])}


@contextmanager
def _plain_commits(path: Path) -> Iterator[Callable[[], object]]:
    """What commits a verdict's bytes with SQLite, WAL and synchronous FULL, and does nothing else."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE verdicts (seq INTEGER PRIMARY KEY, json BLOB)")
        yield lambda: db.execute("INSERT INTO verdicts (json) VALUES (?)", (bytes(VERDICT_BYTES),))


def throughput(bundle: Bundle, folder: Path, seconds: float) -> Row:
    """Verdicts a second that are given and kept one after the other, against `session.run` alone."""
    shown, inspector, bare = frames(bundle), _inspector(bundle), _bare(bundle)
    rates: dict[str, list[float]] = {"bare": [], "kept": []}
    with Outbox(folder) as outbox, Committer(outbox) as committer:

        def whole(frame: Frame) -> None:
            committer.keep(inspector.inspect(frame, {"J4": "0"}, "camera").verdict)

        for _ in range(max(3, round(seconds / 2))):
            rates["bare"].append(_rate(bare, shown))
            rates["kept"].append(_rate(whole, shown, committer.flush))
            outbox.done(outbox.head().seq)
    ratios = np.array(rates["kept"]) / np.array(rates["bare"])
    return {
        "what": "verdicts given and kept, one after the other",
        "engine": str(bundle.engine.setting),
        "bare_hz": float(np.median(rates["bare"])),
        "kept_hz": float(np.median(rates["kept"])),
        "ratio": float(np.median(ratios)),
        "ratio_spread": [float(ratios.min()), float(ratios.max())],
    }


def daemon(bundle: Bundle, folder: Path, seconds: float) -> Row:
    """What `kenpin-edge run` sustains on pictures that come faster than it inspects, with a broker that takes them all.

    Its own process, which stands still while it is the bare loop's turn. On the engine that `bundle` is on here, as a
    tune file says.
    """
    _tune(bundle)
    bare, shown = _bare(bundle), frames(bundle)
    rates: dict[str, list[float]] = {"bare": [], "daemon": []}
    with _station(folder, bundle) as process:

        def count() -> int:
            return last_seq(folder / "state")

        wait_until(count, "it inspects")
        for _ in range(max(3, round(seconds / 5))):
            began, before = time.perf_counter(), count()
            time.sleep(4)
            rates["daemon"].append((count() - before) / (time.perf_counter() - began))
            process.send_signal(signal.SIGSTOP)
            rates["bare"].append(_rate(bare, shown))
            process.send_signal(signal.SIGCONT)
    ratios = np.array(rates["daemon"]) / np.array(rates["bare"])
    return {
        "what": "kenpin-edge run, pictures from a folder as fast as it can",
        "engine": str(bundle.engine.setting),
        "bare_hz": float(np.median(rates["bare"])),
        "daemon_hz": float(np.median(rates["daemon"])),
        "ratio": float(np.median(ratios)),
        "ratio_spread": [float(ratios.min()), float(ratios.max())],
    }


@contextmanager
def _station(folder: Path, bundle: Bundle) -> Iterator["subprocess.Popen[bytes]"]:
    """A station that inspects as fast as it can."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames(bundle)):
        assert frame.pixels is not None  # noqa: S101  # for mypy
        cv2.imwrite(str(folder / "pictures" / f"{number}.bmp"), frame.pixels)
    (folder / "broker").mkdir(exist_ok=True)
    broker = Mosquitto(folder / "broker")
    broker.start()
    path = station(folder, bundle, broker.port, 1000.0)
    command = [sys.executable, "-m", "edge_runtime", "run", str(path)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log)  # noqa: S603  # our own
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        broker.stop()


def _tune(bundle: Bundle) -> None:
    """Have the bundle's file run on the engine that it is on here."""
    tuning = Tuning(
        bundle=bundle.sha256,
        machine=Machine.here(),
        measured_at=datetime.now(UTC),
        choice=bundle.engine.setting,
        rows=(),
    )
    tune_path(bundle.path).write_bytes(tuning.to_json())


def _on(bundle: Bundle, threads: int | None) -> Bundle:
    return bundle if threads is None else bundle.on(start(bundle.content(), Setting(threads=threads)))


def _inspector(bundle: Bundle) -> Inspector:
    region = Region(expected=bundle.info.labels[0], box=BOX)
    return Inspector(bundle, Framing({"J4": region}), bundle.info.thresholds)


def _bare(bundle: Bundle) -> Callable[[Frame], object]:
    x, y, w, h = BOX
    image = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    feeds: Arrays = {"image": image, "label": np.zeros(1, np.int64)}

    def run(frame: Frame) -> object:
        assert frame.pixels is not None  # noqa: S101  # for mypy
        image[0] = frame.pixels[y : y + h, x : x + w]
        return bundle.engine.run(list(OUTPUTS), feeds)

    return run


def _ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _rate(call: Callable[[Frame], object], shown: list[Frame], last: Callable[[], object] = lambda: None) -> float:
    """Calls a second, for a second."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() < began + 1:
        for frame in shown:
            call(frame)
        count += len(shown)
    last()
    return count / (time.perf_counter() - began)


def keep(began: datetime, asked: dict[str, object], rows: list[Row]) -> None:
    """Leave the rows, and what they hold for, in `benchmarks/results`."""
    import onnxruntime

    machine = {
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }
    path = RESULTS / f"line-{began:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps({"asked": asked, "machine": machine, "rows": rows}, indent=1) + "\n")
    print(f"kept in {path.relative_to(Path.cwd())}")


if __name__ == "__main__":
    sys.exit(main())
