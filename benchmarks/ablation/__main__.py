"""Train with everything, then with one lever taken away at a time, on small sets, and keep the figures."""

import argparse
import dataclasses
import functools
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.accuracy import sets
from benchmarks.accuracy.__main__ import RESULTS, Figures, measure
from edge_runtime.picture import ViewSpec
from train.run import versions
from train.views import DataSet, Views

PLACES, SIDE = 6, 64
FIGURES = ("defect AUROC", "defect recall", "wrong part AUROC", "wrong part recall")
Lever = Callable[[], Any]


def few_boards(seed: int) -> DataSet:
    """Six places of pcb-jig at half their size; three have their defects in the test only."""
    whole = sets.pcb_jig(seed)

    def small(views: Views) -> Views:
        some = views[views.label < PLACES]
        shrunk = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., None] for image in some.images]
        return dataclasses.replace(some, images=np.asarray(shrunk, np.uint8))

    spec = ViewSpec(height=SIDE, width=SIDE, channels=1)
    return dataclasses.replace(
        whole, labels=whole.labels[:PLACES], spec=spec, train=small(whole.train), test=small(whole.test)
    )


SETS = {"shapes-100": sets.SETS["shapes-100"], "digits": sets.digits, "six boards": few_boards}


def no_hinge() -> Any:
    """The wrong label may draw as well as it likes."""
    from train.cvae import ConditionalVAE

    return patch("train.fit.ConditionalVAE", functools.partial(ConditionalVAE, binding=0.0))


def no_explanation() -> Any:
    """Light, focus and misplacement stay in the residual."""
    from keras import ops

    from train.difference import explain

    def nothing(pair: Any) -> tuple[Any, Any, Any]:
        left, amount, likeness = explain(pair)
        return ops.reshape(pair[:, 0], (-1, *left.shape[1:])), ops.zeros_like(amount), likeness

    return patch("train.difference.explain", nothing)


def no_latent() -> Any:
    """The heads see the difference alone."""
    from keras import ops

    def alone(difference: Any, latent: Any) -> Any:
        return ops.concatenate([difference, ops.zeros_like(latent)], axis=1)

    return patch("train.teach.with_latent", alone), patch("train.decision.with_latent", alone)


def one_scale() -> Any:
    """The residual at one pixel only."""
    return patch("train.difference.SMALLEST_LEVEL", 10_000)


def only_kept() -> Any:
    """Tolerances and heads know only the views that the CVAE never saw."""
    from train import fit
    from train.teach import teach

    def fewer(cvae: Any, given: Views, kept: Any, *more: Any) -> Any:
        return teach(cvae, given[kept], kept[kept], *more)

    return patch.object(fit, "teach", fewer)


def no_neighbours() -> Any:
    """A pixel's spread is its own."""
    from train import difference

    def own(variance: Any, views: int) -> Any:
        typical = np.exp(np.log(variance + difference.GREY_LEVEL**2).mean(axis=(1, 2, 3), keepdims=True))
        shrunk = (views * variance + difference.PRIOR_VIEWS * typical) / (views + difference.PRIOR_VIEWS)
        return np.asarray(np.sqrt(shrunk + difference.GREY_LEVEL**2), np.float32)

    return patch.object(difference, "_spread", own)


LEVERS: dict[str, Lever] = {
    "everything": nullcontext,
    "no wrong-label hinge": no_hinge,
    "nothing explained by light, focus, place": no_explanation,
    "no latent beside the difference": no_latent,
    "one scale": one_scale,
    "only views the CVAE never saw": only_kept,
    "no neighbour's spread": no_neighbours,
}


def main() -> int:
    """The command. Returns its exit status."""
    p = argparse.ArgumentParser("python -m benchmarks.ablation", description=__doc__)
    p.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="data sets (all)")
    p.add_argument("--seeds", type=int, default=1, help="how many seeds each (%(default)s)")
    p.add_argument("--epochs", type=int, default=40, help="epochs at most (%(default)s)")
    arguments = p.parse_args()
    began = datetime.now(UTC)
    found: dict[str, dict[str, list[Figures]]] = {}
    for lever, take_away in LEVERS.items():
        for name in arguments.sets:
            for seed in range(arguments.seeds):
                figures = _without(take_away, name, seed, arguments.epochs)
                found.setdefault(lever, {}).setdefault(name, []).append(figures)
                shown = "  ".join(f"{key} {figures[key]:.4f}" for key in FIGURES if key in figures)
                print(f"{lever:42} {name:11} seed {seed}: {shown}", flush=True)
        RESULTS.mkdir(exist_ok=True)
        facts = {"at": began.isoformat(timespec="seconds"), "asked": vars(arguments), "packages": versions()}
        path = RESULTS / f"ablation-{began:%Y%m%d-%H%M%S}.json"
        path.write_text(json.dumps({**facts, "figures": found}, indent=1) + "\n")
    return 0


def _without(take_away: Lever, name: str, seed: int, epochs: int) -> Figures:
    taken = take_away()
    with ExitStack() as stack:
        for context in (patch.dict(sets.SETS, SETS), *(taken if isinstance(taken, tuple) else (taken,))):
            stack.enter_context(context)
        return measure(name, seed, epochs)


if __name__ == "__main__":
    raise SystemExit(main())
