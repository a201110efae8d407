"""Time the whole decision against the bare reconstruction, engine against engine, bits against bits, and the search.

All that is compared takes turns, one call each, so that whatever else the machine does hits all alike; ratios are
medians of the turns. This process and its engines keep to the cores that are named.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.speed.contest import Call, Row, compare, line
from benchmarks.speed.graphs import Feeds, bundle_of, feeds, graphs, operations, untrained
from edge_runtime.bundle import SCORES
from edge_runtime.engine import Setting, start

RESULTS = Path(__file__).parents[1] / "results"
SIZES = (27, 64, 128, 256)
BATCHED = 128
LABELS = (2, 24, 100)
SEARCHED = 64
"""Pixels a side of the views in which a wrong part is searched."""
PARTS = 4
PRODUCT = 1024
"""Rows and columns of the matrices whose product tells what the machine can."""
COLD = 9
"""Processes started, to time a first verdict."""


def main() -> int:
    """The command. Returns its exit status."""
    p = argparse.ArgumentParser("python -m benchmarks.speed", description=__doc__)
    p.add_argument("--seconds", type=float, default=6.0, help="for each comparison (%(default)s)")
    p.add_argument("--cores", type=int, default=os.cpu_count(), help="to keep to (%(default)s)")
    arguments = p.parse_args()
    os.sched_setaffinity(0, set(range(arguments.cores)))
    began, rows = datetime.now(UTC), list[Row]()
    for row in everything(arguments.seconds, arguments.cores):
        rows.append(row)
        print(line(row), flush=True)
    keep(began, vars(arguments), rows)
    return 0


def everything(seconds: float, cores: int) -> Iterator[Row]:
    """All rows, as they come. One thread an engine: those of more would be in each other's way, but for the last of
    `BATCHED`'s, which shows what more bring.
    """
    for side in SIZES:
        decision, views = untrained(side, PARTS)
        files = graphs(decision, views)
        for batch, threads in [(1, 1), (8, 1), (64, 1), (1, cores)] if side == BATCHED else [(1, 1)]:
            asked, what = feeds(side, batch, PARTS), f"{side}x{side}, batch {batch}, {threads} thread"
            yield from compare(what, engines(decision, files, asked, threads), seconds)
            yield from rates(what, files["bare"], asked, threads, seconds / 2)
        yield from chosen(side, decision, cores, seconds)
    for count in LABELS:
        yield from compare(f"which of {count} labels", searches(count), seconds)
    yield from processes()


def engines(decision: Any, files: dict[str, bytes], asked: Feeds, threads: int) -> dict[str, Call]:
    """Calls by name, the bare reconstruction first: it is what the others are measured by."""
    import cv2
    import tensorflow as tf

    plain, openvino = Setting(threads=threads), Setting(name="openvino", threads=threads, level=None)
    cv2.setNumThreads(threads)
    compiled = tf.function(decision.__call__)
    image, label = tf.constant(asked["image"]), tf.constant(asked["label"])
    shown = {"view": asked["image"].astype(np.float32) / 255, "label": asked["label"]}

    def opencv(graph: str) -> Call:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(files[graph], np.uint8))
        outputs = net.getUnconnectedOutLayersNames()  # it takes no fewer

        def call() -> object:
            for name, value in asked.items():
                net.setInput(value, name)
            return net.forward(outputs)

        return call

    def engine(graph: str, setting: Setting, outputs: list[str]) -> Call:
        return partial(start(files[graph], setting).run, outputs, asked)

    scores = list(SCORES)
    return {
        "bare reconstruction, ONNX Runtime": engine("bare", plain, ["reconstruction"]),
        "whole decision, scores, ONNX Runtime": engine("whole", plain, scores),
        "bare reconstruction, OpenVINO": engine("bare", openvino, ["reconstruction"]),
        "whole decision, scores, OpenVINO": engine("whole", openvino, scores),
        "bare reconstruction, OpenCV dnn": opencv("bare"),
        "whole decision, OpenCV dnn": opencv("whole"),
        "bare reconstruction, keras predict": partial(
            decision.cvae.predict, shown, batch_size=len(asked["image"]), verbose=0
        ),
        "whole decision, compiled tf.function": partial(_score, compiled, image, label),
        "whole decision in float16, ONNX Runtime": engine("float16", plain, scores),
        "whole decision in int8, ONNX Runtime": engine("int8", plain, scores),
        "whole decision in int8, OpenVINO": engine("int8", openvino, scores),
    }


def _score(decide: Any, image: Any, label: Any) -> object:
    return decide(image, label)["defect_score"].numpy()


def rates(what: str, bare: bytes, asked: Feeds, threads: int, seconds: float) -> Iterator[Row]:
    """The arithmetic rate that the bare reconstruction reaches, and the one of this machine's matrix product."""
    engine = start(bare, Setting(threads=threads))
    matrix = np.random.default_rng(0).random((PRODUCT, PRODUCT), np.float32)
    calls: dict[str, Call] = {
        "graph": partial(engine.run, ["reconstruction"], asked),
        "product": partial(np.matmul, matrix, matrix),
    }
    with threadpool_limits(threads):
        graph, product = compare("", calls, seconds)
    reached = operations(bare, len(asked["image"])) / graph["median_ms"] / 1e6
    possible = 2 * PRODUCT**3 / product["median_ms"] / 1e6
    yield {"compared": what, "what": "rate, bare reconstruction", "value": reached, "unit": "GFLOP/s"}
    yield {"compared": what, "what": "rate, matrix product", "value": possible, "unit": "GFLOP/s"}
    yield {"compared": what, "what": "share of the matrix product's rate", "value": reached / possible, "unit": ""}


def chosen(side: int, decision: Any, cores: int, seconds: float) -> Iterator[Row]:
    """What `tune` chooses, measured once more beside each engine's best."""
    from edge_runtime.bundle import OUTPUTS
    from edge_runtime.tune import choice, measured, settings

    bundle = bundle_of(decision, PARTS)
    rows = measured(bundle, settings(cores), seconds)
    pick = choice(rows)
    best = {
        name: min(
            (row for row in rows if row.setting.name == name and row.median_ms is not None),
            key=lambda row: row.median_ms or 0.0,
        ).setting
        for name in ("onnxruntime", "openvino")
    }
    asked, data = feeds(side, 1, PARTS), bundle.content()
    shutil.rmtree(bundle.path.parent)
    calls: dict[str, Call] = {
        f"{words}: {setting}": partial(start(data, setting).run, list(OUTPUTS), asked)
        for words, setting in {"tune's": pick, **{f"best {name}": setting for name, setting in best.items()}}.items()
    }
    yield from compare(f"{side}x{side}, tuned", calls, seconds)


def searches(count: int) -> dict[str, Call]:
    """Calls by name: one verdict, then the search for a wrong part by shortlist and among all labels."""
    decision, _ = untrained(SEARCHED, count)
    bundle = bundle_of(decision, count)
    shutil.rmtree(bundle.path.parent)
    view = feeds(SEARCHED, 1, count)["image"][0]
    shortlist, labels = bundle.inspect(view, 0).shortlist, np.arange(count)

    def among_all() -> object:
        bundle.inspect(view, 0)  # the verdict, as in the others
        return bundle.find(view, labels)

    return {
        "one verdict": lambda: bundle.inspect(view, 0),
        f"and the search, {len(shortlist)} labels drawn": lambda: bundle.find(view, bundle.inspect(view, 0).shortlist),
        "and the search, all labels drawn": among_all,
    }


def processes() -> Iterator[Row]:
    """Cold processes of `kenpin-edge score`, of few labels and of many: seconds, and memory at its most."""
    import cv2

    for side, count in ((128, PARTS), (SEARCHED, LABELS[-1])):
        decision, _ = untrained(side, count)
        bundle = bundle_of(decision, count)
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "view.png"
            cv2.imwrite(str(picture), feeds(side, 1, count)["image"][0])
            asked = ["score", str(bundle.path), str(picture), "--label", "0"]
            found = [_cold(asked) for _ in range(COLD)]
        shutil.rmtree(bundle.path.parent)
        what, median = f"{side}x{side}, {count} labels", np.median(found, axis=0).tolist()
        yield {"compared": what, "what": "cold process to first verdict", "value": median[0], "unit": "s"}
        yield {"compared": what, "what": "its memory at its most", "value": median[1], "unit": "MiB"}


def _cold(asked: list[str]) -> tuple[float, float]:
    """Seconds that a process of `kenpin-edge` took, and MiB that it had at its most."""
    code = "import sys; from edge_runtime.cli import main; main(sys.argv[1:]); print(open('/proc/self/status').read())"
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-c", code, *asked], stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - began
    (most,) = (line.split()[1] for line in done.stdout.splitlines() if line.startswith("VmHWM:"))
    return seconds, int(most) / 1024


def keep(began: datetime, asked: dict[str, object], rows: list[Row]) -> None:
    """Write the rows with versions to `benchmarks/results/`."""
    from importlib.metadata import version

    from edge_runtime.tuning import Machine
    from train.run import versions

    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"speed-{began:%Y%m%d-%H%M%S}.json"
    machine = f"{platform.machine()}, {Machine.here().cpu}, {os.cpu_count()} cores"
    facts = {"at": began.isoformat(timespec="seconds"), "machine": machine}
    packages = versions() | {"openvino": version("openvino")}
    path.write_text(json.dumps({**facts, "asked": asked, "packages": packages, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
