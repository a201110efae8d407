"""Whether the daemon's memory stays flat: `python -m benchmarks.line.soak --minutes 30 [--no-broker]`.

A real `kenpin-edge run` at 20 verdicts a second, bad pictures among them; its resident memory every five seconds, after
the first tenth of the time. `--no-broker`: nobody takes the verdicts, all wait on the disk.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.line.daemon import RESULTS, bundle_file, frames, last_seq, station
from edge_runtime.bundle import load_bundle
from tests.integration.parts import Mosquitto

RATE_HZ = 20.0
SAMPLE_S = 5.0
WARM = 0.1
"""Share of the time that does not count: allocators and caches fill."""


def main() -> int:
    """The command. Returns its exit status."""
    p = argparse.ArgumentParser("python -m benchmarks.line.soak", description=__doc__)
    p.add_argument("--minutes", type=float, default=30.0, help="(%(default)s)")
    p.add_argument("--no-broker", action="store_true", help="let all verdicts wait")
    arguments = p.parse_args()
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder, _daemon(Path(folder), broker=not arguments.no_broker) as process:
        samples = list(_watched(process, arguments.minutes * 60))
        seq = last_seq(Path(folder) / "state")
    counted = np.array([mib for at, mib in samples if at >= WARM * arguments.minutes * 60])
    first, last = (float(np.median(part)) for part in (counted[: len(counted) // 10], counted[-len(counted) // 10 :]))
    row = {
        "what": "memory without a broker" if arguments.no_broker else "memory",
        "minutes": arguments.minutes,
        "verdicts": seq,
        "first_mib": first,
        "last_mib": last,
        "growth": last / first - 1,
        "spread": [float(counted.min() / first - 1), float(counted.max() / first - 1)],
    }
    print(json.dumps(row), flush=True)
    name = f"soak{'-no-broker' if arguments.no_broker else ''}-{began:%Y%m%d-%H%M%S}"
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine, "row": row}, indent=1) + "\n")
    _draw(samples, RESULTS / f"{name}.png", row["what"])
    return 0


@contextmanager
def _daemon(folder: Path, *, broker: bool) -> Iterator[subprocess.Popen[bytes]]:
    bundle = load_bundle(bundle_file(folder))
    (folder / "pictures").mkdir()
    for number, frame in enumerate(frames(bundle)):
        pixels = frame.pixels if number % 4 else np.zeros((480, 640, 1), np.uint8)
        assert pixels is not None  # noqa: S101  # for mypy
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), pixels)
    (folder / "broker").mkdir()
    mosquitto = Mosquitto(folder / "broker")
    if broker:
        mosquitto.start()
    path = station(folder, bundle, mosquitto.port, RATE_HZ)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "edge_runtime", "run", str(path)], stderr=log)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        mosquitto.stop()


def _watched(process: subprocess.Popen[bytes], seconds: float) -> Iterator[tuple[float, float]]:
    """Seconds since the beginning, and resident memory in MiB."""
    began = time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        status = Path(f"/proc/{process.pid}/status").read_text()
        kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        yield at, kib / 1024
        time.sleep(SAMPLE_S)
        if process.poll() is not None:
            raise SystemExit(f"the daemon ended with {process.returncode}")


def _draw(samples: list[tuple[float, float]], path: Path, what: str) -> None:
    at, mib = zip(*samples, strict=True)
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot([seconds / 60 for seconds in at], mib)
    axes.set(xlabel="minutes", ylabel="resident memory, MiB", title=what, ylim=(0, 1.2 * max(mib)))
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())
