"""Time the whole decision against the bare reconstruction, engine against engine, and the search for a wrong part.

All that is compared runs in turn, one call each, so that whatever else the machine does hits all alike; ratios are
medians of the pairs. Weights are untrained: what a graph computes does not change how long it takes.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from train.decision import Decision

RESULTS = Path(__file__).parents[1] / "results"
SIZES = (27, 64, 128, 256)
BATCHES = (1, 8, 64)
LABELS = (2, 24, 100)
SEARCHED = 64
"""Pixels a side of the views in which a wrong part is searched."""
VIEWS = 8
"""Good views a label: as many support vectors as a small training has."""

Call = Callable[[], object]
Row = dict[str, Any]


def main() -> int:
    """The command. Returns its exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    p = argparse.ArgumentParser("python -m benchmarks.speed", description=__doc__)
    p.add_argument("--seconds", type=float, default=4.0, help="for each comparison (%(default)s)")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="of each engine (%(default)s)")
    arguments = p.parse_args()
    began, rows = datetime.now(UTC), list[Row]()

    def add(found: list[Row]) -> None:
        rows.extend(found)
        for row in found:
            print(_line(row), flush=True)

    for side in SIZES:
        decision = untrained(side, labels=4)
        for batch in BATCHES if side == 128 else (1,):
            add(
                compare(f"{side}x{side}, batch {batch}", engines(decision, batch, arguments.threads), arguments.seconds)
            )
    for count in LABELS:
        add(compare(f"which of {count} labels", searches(count), arguments.seconds))
    keep(began, vars(arguments), rows)
    return 0


def untrained(side: int, labels: int) -> "Decision":
    """A decision about square grey views of `labels` parts, from a CVAE that has learnt nothing."""
    import keras

    from train.cvae import ConditionalVAE
    from train.fit import Settings
    from train.teach import Wish, teach
    from train.tiles import WHOLE, Sight
    from train.views import Views

    settings, rng = Settings(), np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    cvae = ConditionalVAE(
        height=side, width=side, channels=1, labels=labels, latent=settings.latent, filters=settings.filters, seed=0
    )
    count = labels * VIEWS
    looks, label = rng.integers(60, 190, (labels, side, side, 1)), np.repeat(np.arange(labels), VIEWS)
    images = (looks[label] + rng.integers(-20, 20, (count, side, side, 1))).astype(np.uint8)
    names = tuple(str(number) for number in range(count))
    views = Views(images, label, np.zeros(count, np.bool_), names, names)
    kept = np.arange(count) % 2 == 0
    none = views[np.zeros(count, np.bool_)]
    return teach(cvae, views, kept, none, Wish(0.02, None), 0, Sight(None, WHOLE)).decision


def engines(decision: "Decision", batch: int, threads: int) -> dict[str, Call]:
    """Calls by name, the bare reconstruction first: it is what the others are measured by."""
    import tensorflow as tf
    from onnx.utils import Extractor

    from edge_runtime.bundle import INPUTS, SCORES
    from edge_runtime.engine import Setting, start
    from edge_runtime.picture import ViewSpec
    from export.graph import to_onnx

    cvae = decision.cvae
    model = to_onnx(decision, ViewSpec(height=cvae.height, width=cvae.width, channels=cvae.channels))
    feeds: dict[str, npt.NDArray[Any]] = {
        "image": np.random.default_rng(0).integers(0, 256, (batch, cvae.height, cvae.width, 1), np.uint8),
        "label": np.arange(batch, dtype=np.int64) % 4,
    }
    bare = Extractor(model).extract_model(list(INPUTS), ["reconstruction"]).SerializeToString()
    whole = model.SerializeToString()
    plain, openvino = Setting(threads=threads), Setting(name="openvino", threads=threads, level=None)
    started = {
        "bare reconstruction, ONNX Runtime": (start(bare, plain), ["reconstruction"]),
        "whole decision, scores, ONNX Runtime": (start(whole, plain), list(SCORES)),
        "bare reconstruction, OpenVINO": (start(bare, openvino), ["reconstruction"]),
        "whole decision, scores, OpenVINO": (start(whole, openvino), list(SCORES)),
    }
    compiled = tf.function(decision.__call__)
    image, label = tf.constant(feeds["image"]), tf.constant(feeds["label"])
    return {
        **{name: partial(engine.run, outputs, feeds) for name, (engine, outputs) in started.items()},
        "whole decision, compiled tf.function": partial(_score, compiled, image, label),
    }


def _score(decide: Any, image: Any, label: Any) -> object:
    return decide(image, label)["defect_score"].numpy()


def searches(count: int) -> dict[str, Call]:
    """Calls by name: one verdict, then the search for a wrong part by shortlist and among all labels."""
    import tempfile

    from edge_runtime.bundle import Bundle, BundleInfo, Provenance
    from edge_runtime.engine import OnnxRuntime
    from edge_runtime.picture import ViewSpec
    from edge_runtime.quality import Usual
    from edge_runtime.verdict import Thresholds
    from export.graph import to_onnx

    decision, spec = untrained(SEARCHED, count), ViewSpec(height=SEARCHED, width=SEARCHED, channels=1)
    info = BundleInfo.model_construct(
        name="speed", version="1", labels=tuple(map(str, range(count))), view=spec,
        thresholds=Thresholds(defect=0.5, mismatch=0.5), metrics={}, golden=(), alignment=None,
        usual=(Usual(low=(0, 0, 0), high=(255, 255, 255)),) * count,
        provenance=Provenance(data="", data_digest="", seed=0, created="", commit="", packages={}),
    )  # fmt: skip
    bundle = Bundle(Path(tempfile.gettempdir()), info, "", OnnxRuntime(to_onnx(decision, spec).SerializeToString()))
    view = np.random.default_rng(0).integers(0, 256, (SEARCHED, SEARCHED, 1), np.uint8)
    shortlist, everything = bundle.inspect(view, 0).shortlist, np.arange(count)
    return {
        "one verdict": lambda: bundle.inspect(view, 0),
        f"and the search, {len(shortlist)} labels drawn": lambda: bundle.find(view, bundle.inspect(view, 0).shortlist),
        "and the search, all labels drawn": lambda: bundle.find(
            view, everything + 0 * bundle.inspect(view, 0).shortlist[0]
        ),
    }


def compare(what: str, calls: dict[str, Call], seconds: float) -> list[Row]:
    """One row a call: median and p99 in milliseconds, and the median ratio to the first, pair by pair."""
    for call in calls.values():
        for _ in range(3):  # engines allocate, and functions compile, when they are first called
            call()
    took: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(took[next(iter(took))]) < 10:
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            took[name].append((time.perf_counter() - began) * 1000)
    first = np.array(next(iter(took.values())))
    return [
        {
            "compared": what,
            "what": name,
            "median_ms": float(np.median(ms)),
            "p99_ms": float(np.quantile(ms, 0.99)),
            "ratio": float(np.median(np.array(ms) / first)),
            "calls": len(ms),
        }
        for name, ms in took.items()
    ]


def _line(row: Row) -> str:
    figures = f"median {row['median_ms']:8.2f} ms   p99 {row['p99_ms']:8.2f} ms   ratio {row['ratio']:6.2f}"
    return f"{row['compared']:20} {row['what']:40} {figures}"


def keep(began: datetime, asked: dict[str, object], rows: list[Row]) -> None:
    """Write the rows with versions to `benchmarks/results/`."""
    from importlib.metadata import version

    from train.run import versions

    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"speed-{began:%Y%m%d-%H%M%S}.json"
    facts = {"at": began.isoformat(timespec="seconds"), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    packages = versions() | {"openvino": version("openvino")}
    path.write_text(json.dumps({**facts, "asked": asked, "packages": packages, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
