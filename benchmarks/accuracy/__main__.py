"""Train on each data set with each seed, ask about the held-out views, print one table and keep the figures."""

import argparse
import csv
import json
import os
import platform
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from train.fit import Fitted
    from train.views import DataSet

RESULTS = Path(__file__).parents[1] / "results"
ALARMS = 0.01
"""Share of good views that may be called NG where a recall is stated."""
AT_ONCE = 32
"""Views that the graph is asked about at once."""

Figures = dict[str, float]


def main() -> int:
    """The command. Returns its exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from benchmarks.accuracy.sets import PCB_JIG, SETS, SPLITS

    p = argparse.ArgumentParser("python -m benchmarks.accuracy", description=__doc__)
    p.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="data sets (all)")
    p.add_argument("--seeds", type=int, default=3, help="how many seeds each (%(default)s; elpv: the paper's 5)")
    p.add_argument("--epochs", type=int, default=40, help="epochs at most (%(default)s)")
    arguments = p.parse_args()
    kept: dict[str, list[Figures]] = {}
    began = datetime.now(UTC)
    for name in arguments.sets:
        if name == "pcb-jig" and not PCB_JIG.is_dir():
            print(f"{name}: not here ({PCB_JIG}), left out")
            continue
        for seed in range(SPLITS.get(name, arguments.seeds)):
            found = measure(name, seed, arguments.epochs)
            kept.setdefault(name, []).append(found)
            print(f"{name} seed {seed}: " + "  ".join(f"{key} {value:.4f}" for key, value in found.items()), flush=True)
            keep(began, kept, vars(arguments))  # each time: the whole takes an hour, and may be ended before
    show(kept)
    return 0


def measure(name: str, seed: int, epochs: int) -> Figures:
    """Train with one seed, and every figure that the data set can answer."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    from benchmarks.accuracy import textbook
    from benchmarks.accuracy.sets import SETS, TIMED, WHOLLY_MARKED
    from train.fit import Settings, fit

    data = SETS[name](seed)
    began = time.monotonic()
    fitted = fit(data, Settings(seed=seed, epochs=epochs))
    figures: Figures = {"seconds": time.monotonic() - began}
    if name == TIMED and seed == 0:  # as long as all else together
        figures["of textbook's time"] = figures["seconds"] / textbook.seconds(data, seed)
    test, count = data.test, len(data.labels)
    right = fitted.decision.judge(test.images, test.label)

    def recall(good: npt.NDArray[Any], bad: npt.NDArray[Any]) -> float:
        return float((bad > np.quantile(good, 1 - ALARMS)).mean())

    def auroc(good: npt.NDArray[Any], bad: npt.NDArray[Any]) -> float:
        return float(roc_auc_score(np.repeat([0, 1], [len(good), len(bad)]), np.concatenate([good, bad])))

    if test.defective.any():
        scores = right["defect_score"]
        figures["defect AUROC"] = auroc(scores[test.good], scores[test.defective])
        figures["defect recall"] = recall(scores[test.good], scores[test.defective])
        figures["defect accuracy"] = float(((scores >= 0.5) == test.defective).mean())
        if name == "pcb-jig":
            marked = np.isin(test.label, [data.labels.index(part) for part in WHOLLY_MARKED])
            figures["peak in box"] = peak_in_box(test.names, right["difference"], test.defective)
            figures["peak, all marked"] = peak_in_box(test.names, right["difference"], test.defective & marked)
    good = test[test.good]
    asked = np.repeat(np.arange(len(good)), count)
    under = np.tile(np.arange(count), len(good))
    mismatch = fitted.decision.judge(good.images[asked], under)["mismatch_score"].reshape(len(good), count)
    own = np.eye(count, dtype=bool)[good.label]
    figures["wrong part AUROC"] = auroc(mismatch[own], mismatch[~own])
    figures["wrong part recall"] = recall(mismatch[own], mismatch[~own])
    figures["found right"] = float((mismatch.argmin(axis=1) == good.label).mean())
    figures["graph's gap"], figures["graph's other verdicts"] = graph_apart(fitted, data, seed)
    return figures


def graph_apart(fitted: "Fitted", data: "DataSet", seed: int) -> tuple[float, float]:
    """How far the exported graph's scores are from Keras' and scikit-learn's, at most, and how many verdicts differ.

    On every question of the exam: each held-out view under its own label, and each good one under some others.
    """
    import numpy as np

    from edge_runtime.bundle import SCORES
    from edge_runtime.engine import OnnxRuntime
    from export.graph import to_onnx
    from train.exam import examine

    judged = examine(fitted, data, seed)
    engine = OnnxRuntime(to_onnx(fitted.decision, data.spec).SerializeToString())
    seen = judged.views if judged.seen is None else judged.seen
    pieces = [
        engine.run(SCORES, {"image": seen[at : at + AT_ONCE], "label": judged.expected[at : at + AT_ONCE]})
        for at in range(0, len(seen), AT_ONCE)
    ]
    found = {name: np.concatenate([piece[name] for piece in pieces]) for name in SCORES}
    gap = max(float(np.abs(found[name] - getattr(judged, name)).max()) for name in SCORES)
    as_graph = replace(judged, defect_score=found["defect_score"], mismatch_score=found["mismatch_score"])
    limits = fitted.thresholds
    return gap, float((as_graph.verdicts(limits) != judged.verdicts(limits)).sum())


def peak_in_box(names: tuple[str, ...], difference: npt.NDArray[Any], defective: npt.NDArray[Any]) -> float:
    """Share of defective views whose hottest pixel lies in one of the boxes marked for them."""
    import numpy as np

    from benchmarks.accuracy.sets import PCB_JIG

    boxes: dict[str, list[tuple[float, ...]]] = {}
    with (PCB_JIG / "defects.csv").open(newline="") as marked:
        for row in csv.DictReader(marked):
            boxes.setdefault(row["image"], []).append(tuple(float(row[key]) for key in ("x1", "y1", "x2", "y2")))
    inside = []
    for at in np.flatnonzero(defective):
        y, x = np.unravel_index(np.argmax(difference[at]), difference[at].shape)
        inside.append(any(x1 <= x <= x2 and y1 <= y <= y2 for x1, y1, x2, y2 in boxes[names[at]]))
    return float(np.mean(inside))


def show(kept: dict[str, list[Figures]]) -> None:
    """One table: a row a data set, mean and spread (largest minus smallest) over the seeds."""
    from rich.console import Console
    from rich.table import Table

    columns = list(dict.fromkeys(key for runs in kept.values() for run in runs for key in run))
    table = Table(
        "data set", *columns, title=f"mean ± half the spread over the seeds; recall at {ALARMS:.0%} false alarms"
    )
    for name, runs in kept.items():
        cells = []
        for key in columns:
            values = [run[key] for run in runs if key in run]
            digits = {"seconds": 0, "graph's gap": 6, "graph's other verdicts": 0}.get(key, 4)
            middle, half = (sum(values) / len(values), (max(values) - min(values)) / 2) if values else (0, 0)
            cells.append(f"{middle:.{digits}f} ±{half:.{digits}f}" if values else "")
        table.add_row(name, *cells)
    Console(width=200).print(table)


def keep(began: datetime, kept: dict[str, list[Figures]], asked: dict[str, object]) -> None:
    """Write the figures with versions and seeds to `benchmarks/results/`, one file for each time the command is run."""
    from train.run import versions

    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"accuracy-{began:%Y%m%d-%H%M%S}.json"
    facts = {"at": began.isoformat(timespec="seconds"), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    path.write_text(json.dumps({**facts, "asked": asked, "packages": versions(), "figures": kept}, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
