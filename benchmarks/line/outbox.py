"""How many verdicts a second the outbox keeps durably, and what one costs: `python -m benchmarks.line.outbox [FOLDER]`.

FOLDER must lie on the disk in question; a temporary one is used where it is left out. Prints one JSON object: rates in
verdicts a second, times in microseconds.
"""

import json
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from edge_runtime.chain import GENESIS, Head, place
from edge_runtime.committer import Committer
from edge_runtime.outbox import Outbox
from edge_runtime.verdict import BundleRef, Call, Latency, Reason, RegionVerdict, Thresholds, Verdict

SINGLE, GROUPED, FREE = 300, 20_000, 2000
PAUSE_S = 0.0017
"""A bare inference at 128 x 128, between two verdicts of a free-running source."""

VERDICT = Verdict(
    id="019ab1c2-7d3e-7f00-8000-0123456789ab",
    site="plant-a",
    line="L3",
    station="cam-2",
    seq=0,
    captured_at=datetime(2026, 11, 24, 3, 12, 55, 123456, UTC),
    trigger="camera",
    verdict=Call.OK,
    bundle=BundleRef(name="harness", version="7", sha256="ab" * 32),
    thresholds=Thresholds(defect=0.5, mismatch=0.5),
    regions=(
        RegionVerdict(
            name="J4",
            expected="A12",
            verdict=Call.OK,
            reason=Reason.MATCH,
            defect_score=0.0123456789,
            mismatch_score=0.0012345678,
            box=(812, 400, 256, 256),
            peak=(901, 455),
        ),
    ),
    latency_ms=Latency(grab=3.125, inspect=4.012, total=8.204),
    prev="",
)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        with Outbox(Path(folder) / "one") as outbox:
            single = [_timed(lambda: outbox.append(VERDICT)) for _ in range(SINGLE)]
        grouped_s, delivered_s = _grouped(Path(folder) / "many")
        kept = _free_running(Path(folder) / "free")
    placing = [_timed(lambda: place(VERDICT, Head(1, GENESIS), ())) for _ in range(1000)]
    found = {
        "append_us": {
            "median": round(statistics.median(single)),
            "p99": round(statistics.quantiles(single, n=100)[98]),
        },
        "grouped_per_s": round(GROUPED / grouped_s),
        "done_per_s": round(GROUPED / delivered_s),
        "keep_us": {"median": round(statistics.median(kept)), "p99": round(statistics.quantiles(kept, n=100)[98])},
        "place_us": round(statistics.median(placing), 1),
        "verdict_bytes": len(VERDICT.to_json()),
        "sqlite": sqlite3.sqlite_version,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    json.dump(found, sys.stdout, indent=1)
    print()


def _grouped(folder: Path) -> tuple[float, float]:
    """Seconds to keep GROUPED verdicts as fast as they are taken, and to have them done a hundred at a time."""
    with Outbox(folder) as outbox:
        begin = time.perf_counter()
        with Committer(outbox) as committer:
            for _ in range(GROUPED):
                committer.keep(VERDICT)
        kept = time.perf_counter()
        for up_to in range(100, GROUPED + 1, 100):
            outbox.done(up_to)
        return kept - begin, time.perf_counter() - kept


def _free_running(folder: Path) -> list[float]:
    """Microseconds that the caller waits for `keep`, at an inference's pace."""
    with Outbox(folder) as outbox, Committer(outbox) as committer:
        times = []
        for _ in range(FREE):
            times.append(_timed(lambda: committer.keep(VERDICT)))
            time.sleep(PAUSE_S)
        return times


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e6


if __name__ == "__main__":
    main()
