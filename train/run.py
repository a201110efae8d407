"""The run folder: all that a training leaves behind, and all that an export needs. No pickle in it.

| file              | what                                                                                   |
|-------------------|----------------------------------------------------------------------------------------|
| `run.json`        | labels, view, thresholds, alignment, settings, provenance: the typed `Run`             |
| `model.weights.h5`| the CVAE's weights, the same file for every Keras backend                              |
| `decision.npz`    | tolerances and heads                                                                   |
| `held_out.npz`    | held-out views, what they are, expected labels, and Keras' and scikit-learn's scores   |
| `calibration.npz` | some good training views: between which values numbers of few bits must reach          |
| `files.csv`       | every view used: its use, label, source and SHA-256                                    |
| `history.json`    | losses by epoch                                                                        |
| `metrics.json`    | held-out figures                                                                       |
| `report.html`     | all of it for a person                                                                 |
"""

import csv
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import DEVNULL, CalledProcessError, check_output
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_runtime.alignment import Alignment
from edge_runtime.bundle import Provenance
from edge_runtime.errors import RunError
from edge_runtime.picture import Image, ViewSpec
from edge_runtime.quality import Usual
from edge_runtime.verdict import Thresholds
from train.cvae import ConditionalVAE
from train.decision import Decision
from train.difference import Tolerances
from train.fit import Fitted, Settings
from train.heads import Head
from train.judged import Judged
from train.promise import Promise
from train.shortlist import Shortlist
from train.tiles import Tiles
from train.views import DataSet, Labels, Mask, strata_choice

PACKAGES = (
    "kenpin",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "scikit-learn",
    "numpy",
    "onnx",
    "onnxruntime",
    "tf2onnx",
    "opencv-python-headless",
)
WEIGHTS = "model.weights.h5"
MOST_HELD_OUT = 1000
"""Questions kept for the export to check itself on."""
MOST_CALIBRATION = 100
"""Good training views kept, of all labels alike."""

Arrays = dict[str, npt.NDArray[Any]]


class Run(BaseModel):
    """`run.json`: what was trained, on what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["kenpin.run/2"] = "kenpin.run/2"
    name: str
    labels: tuple[str, ...]
    view: ViewSpec
    thresholds: Thresholds
    usual: tuple[Usual, ...]
    alignment: Alignment | None = None
    cvae: dict[str, Any]
    settings: dict[str, bool | int | float | None]
    tiles: Tiles
    promise: Promise
    seconds: dict[str, float]
    remarks: tuple[str, ...]
    provenance: Provenance


def describe(data: DataSet, fitted: Fitted, settings: Settings, created: str) -> Run:
    """What `run.json` says of a training. `created`: ISO time."""
    return Run(
        name=data.name,
        labels=data.labels,
        view=data.spec,
        thresholds=fitted.thresholds,
        usual=fitted.usual,
        alignment=fitted.alignment,
        cvae=fitted.decision.cvae.settings(),
        settings={key: value for key, value in asdict(settings).items() if key != "tiles"},
        tiles=settings.tiles,
        promise=fitted.promise,
        seconds=fitted.seconds,
        remarks=(*data.remarks, *fitted.remarks),
        provenance=Provenance(
            data=data.name,
            data_digest=data.digest,
            seed=settings.seed,
            created=created,
            commit=_commit(),
            packages=versions(),
        ),
    )


def save(folder: Path, run: Run, data: DataSet, fitted: Fitted, judged: Judged, figures: dict[str, Any]) -> None:
    """Write everything but the report into the existing `folder`."""
    (folder / "run.json").write_text(run.model_dump_json(indent=2), encoding="utf-8")
    fitted.decision.cvae.save_weights(folder / WEIGHTS)
    np.savez_compressed(folder / "decision.npz", **_to_arrays(fitted.decision))  # type: ignore[arg-type]  # numpy/numpy#24148
    chosen = np.random.default_rng(0).permutation(len(judged.label))[:MOST_HELD_OUT]
    np.savez_compressed(
        folder / "held_out.npz",
        views=judged.views[chosen],
        expected=judged.expected[chosen],
        label=judged.label[chosen],
        defective=judged.defective[chosen],
        defect_score=judged.defect_score[chosen],
        mismatch_score=judged.mismatch_score[chosen],
    )
    good = data.train[data.train.good]
    shown = good[strata_choice(good, min(1.0, MOST_CALIBRATION / len(good)), 1, seed=0)]
    np.savez_compressed(folder / "calibration.npz", views=shown.images, label=shown.label)
    (folder / "history.json").write_text(json.dumps(fitted.history))
    (folder / "metrics.json").write_text(json.dumps(figures, indent=2))
    with (folder / "files.csv").open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(("use", "label", "defective", "source", "sha256"))
        for use, views in (("train", data.train), ("test", data.test)):
            for row in zip(views.label, views.defective, views.names, views.digests, strict=True):
                rows.writerow((use, data.labels[row[0]], int(row[1]), row[2], row[3]))


@dataclass(frozen=True)
class HeldOut:
    """Held-out views and what Keras and scikit-learn said of them: the figures an export must agree with.

    `views`: uint8 [N, H, W, C]. `label`, `expected`: int64 [N], what each is, and as what it was judged. `defective`:
    bool [N]. `scores`: float32 [N] each, by output name.
    """

    views: Image
    label: Labels
    expected: Labels
    defective: Mask
    scores: dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Calibration:
    """Good training views, uint8 [N, H, W, C], and their labels, int64 [N]."""

    views: Image
    label: Labels


def read(folder: Path) -> Run:
    """What a run folder says of itself. Raises RunError where it is none, or that is missing or damaged."""
    with _complaints(folder):
        return Run.model_validate_json((folder / "run.json").read_bytes())


def load(folder: Path) -> tuple[Run, Decision, HeldOut, dict[str, Any]]:
    """Read a run folder: what it says of itself, the decision, the held-out views, the figures.

    Raises RunError where it is none, or a part is missing or damaged.
    """
    run = read(folder)
    with _complaints(folder):
        arrays, kept = _read(folder / "decision.npz"), _read(folder / "held_out.npz")
        figures = json.loads((folder / "metrics.json").read_text())
        cvae = ConditionalVAE(**run.cvae)
        zeros = np.zeros((1, cvae.height, cvae.width, cvae.channels), np.float32)
        cvae({"view": zeros, "label": np.zeros(1, np.int64)})
        cvae.load_weights(folder / WEIGHTS)
        decision = _from_arrays(cvae, arrays, run.tiles)
        _check_fit(run, decision)
        if not len(kept["views"]):
            raise ValueError("held_out.npz holds no views")
        held_out = HeldOut(
            kept["views"],
            kept["label"],
            kept["expected"],
            kept["defective"],
            {name: kept[name] for name in ("defect_score", "mismatch_score")},
        )
    return run, decision, held_out, figures


def load_calibration(folder: Path, run: Run) -> Calibration:
    """The calibration views of a run folder, as the decision takes them. Raises RunError where they are none."""
    with _complaints(folder):
        kept = _read(folder / "calibration.npz")
        views, label = kept["views"], kept["label"]
        shape = (len(label), run.view.height, run.view.width, run.view.channels)
        if views.shape != shape or views.dtype != np.uint8 or label.dtype != np.int64 or not len(label):
            raise ValueError("calibration.npz holds no views of this training")
        if not 0 <= label.min() <= label.max() < len(run.labels):
            raise ValueError(f"calibration.npz has views of other labels than its {len(run.labels)}")
        if run.alignment is not None:
            views = np.stack([run.alignment.align(view, int(of))[0] for view, of in zip(views, label, strict=True)])
        return Calibration(views, label)


@contextmanager
def _complaints(folder: Path) -> Iterator[None]:
    """Whatever may be wrong with a run `folder`, as RunError."""
    try:
        yield
    except FileNotFoundError as error:
        missing = Path(error.filename).name if error.filename else WEIGHTS
        raise RunError(folder, f"has no {missing}; name a run folder written by kenpin-train") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(folder / "run.json", f"{first['msg']}; train again with this kenpin") from error
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise RunError(folder, f"is damaged ({str(error).splitlines()[0]}); train again") from error


def _check_fit(run: Run, decision: Decision) -> None:
    """Raise ValueError where the parts of a run folder are not of one training."""
    labels, spec = len(run.labels), run.view
    shape = (labels * run.tiles.count, *run.tiles.size(spec), spec.channels)
    cvae = decision.cvae
    if (cvae.labels, cvae.height, cvae.width, cvae.channels) != shape:
        raise ValueError(f"its parts are not of one training of {labels} labels")
    if not decision.tolerances.fits(*shape):
        raise ValueError(f"its tolerances are not of a training of {labels} labels")
    if run.alignment is not None and not run.alignment.fits(spec, labels):
        raise ValueError(f"its alignment is not of a training of {labels} labels")


def _read(path: Path) -> Arrays:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
        return dict(arrays)


def _to_arrays(decision: Decision) -> Arrays:
    tolerances = decision.tolerances
    arrays: Arrays = {"centre": tolerances.centre, "scale": tolerances.scale, "far": np.asarray(decision.far)}
    for level, (mean, spread) in enumerate(zip(tolerances.mean, tolerances.spread, strict=True)):
        arrays[f"mean_{level}"], arrays[f"spread_{level}"] = mean, spread
    for name, head in (("defect", decision.defect), ("mismatch", decision.mismatch)):
        if head is not None:
            arrays |= {f"{name}_{key}": np.asarray(value) for key, value in asdict(head).items()}
    return arrays | {f"shortlist_{key}": np.asarray(value) for key, value in asdict(decision.shortlist).items()}


def _from_arrays(cvae: ConditionalVAE, arrays: Arrays, tiles: Tiles) -> Decision:
    levels = sum(key.startswith("mean_") for key in arrays)
    tolerances = Tolerances(
        tuple(arrays[f"mean_{level}"] for level in range(levels)),
        tuple(arrays[f"spread_{level}"] for level in range(levels)),
        arrays["centre"],
        arrays["scale"],
    )

    def head(name: str) -> Head:
        numbers = (float(arrays[f"{name}_{key}"]) for key in ("bias", "slope", "offset"))
        return Head(arrays[f"{name}_support"], arrays[f"{name}_weight"], *numbers)

    mismatch = head("mismatch") if "mismatch_support" in arrays else None
    shortlist = Shortlist(arrays["shortlist_weight"], arrays["shortlist_bias"], int(arrays["shortlist_length"]))
    return Decision(cvae, tolerances, head("defect"), mismatch, float(arrays["far"]), shortlist, tiles)


def versions() -> dict[str, str]:
    """The installed version of each of `PACKAGES` that is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # TensorFlow comes under two names, and a checkout may not be installed
    return found


def _commit() -> str:
    """The commit that last touched this trainer, or "" where it is not run from a checkout of its own."""
    last = ["git", "log", "-1", "--format=%H", "--", "."]  # says nothing of a folder that a surrounding repo ignores
    try:
        return check_output(  # noqa: S603  # a fixed command
            last, cwd=Path(__file__).parent, text=True, stderr=DEVNULL
        ).strip()
    except (OSError, CalledProcessError):
        return ""
