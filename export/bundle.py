"""Write a bundle: convert, check against what was trained, let the line's own loader prove it, then name it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.bundle import SCORES, Bits, Bundle, BundleInfo, Golden, load_bundle
from edge_runtime.disk import sync_folder, write_synced
from edge_runtime.engine import OnnxRuntime
from edge_runtime.errors import BundleError, RunError
from edge_runtime.picture import Image, ViewSpec
from edge_runtime.trust import signature_path
from edge_runtime.verdict import decide
from export.bill import bill, bill_path
from export.graph import describe, to_onnx
from export.signing import signature
from export.variant import in_float16, in_int8, measure
from train.draft import draft_of
from train.run import HeldOut, Run, load, load_calibration
from train.views import Labels

AGREE_WITHIN = 1e-3
"""Largest gap allowed between a score of the bundle and scikit-learn's on Keras' features."""
MOST_GOLDEN_LABELS = 8
"""Labels with golden vectors of their own; more would make every start slower and prove little more."""
STANDARD_DOMAINS = {"", "ai.onnx"}


Judge = Callable[[Image, Labels], Mapping[str, Any]]
"""From views, uint8 [N, H, W, C], and the labels asked, int64 [N], to the bundle's outputs."""


def export(
    run_folder: Path,
    out: Path,
    *,
    name: str | None,
    version: str,
    key: Ed25519PrivateKey | None = None,
    precision: Literal["float32"] | Bits = "float32",
) -> tuple[Bundle, float]:
    """Write the run in `run_folder` as the bundle `out`, which is no folder; `name` is the data set's where None.

    Its bill, and its signature where `key` signs it, are written beside it. Returns the bundle as the line would load
    it, and the largest gap of a score on the held-out views. Raises RunError for a run that cannot be read, BundleError
    where the bundle does not say what was trained, or in fewer bits says it worse; then nothing is left that was not
    there before.
    """
    run, decision, held_out, figures = load(run_folder)
    calibration = load_calibration(run_folder, run) if precision == "int8" else None
    model = to_onnx(decision, run.view)
    if precision == "float16":
        model = in_float16(model)
    elif calibration is not None:
        model = in_int8(model, calibration)
    _refuse_custom(out, model)
    info = BundleInfo(
        name=name or run.name,
        version=version,
        labels=run.labels,
        view=run.view,
        thresholds=run.thresholds,
        metrics=figures,
        provenance=run.provenance,
        golden=_golden(run, decision.judge),
        usual=run.usual,
        alignment=run.alignment,
    )
    if precision != "float32":
        info = _variant(out, model, run, info, held_out, precision)
    describe(model, info.to_properties())
    data = bytes(model.SerializeToString(deterministic=True))
    try:
        with draft_of(out) as folder:
            draft = folder / out.name
            write_synced(draft, data)
            bundle = load_bundle(draft)
            gap = disagreement(bundle, held_out)
            if precision == "float32" and not gap <= AGREE_WITHIN:
                why = f"its scores are up to {gap:.4f} from what was trained; train again"
                raise BundleError(out, f"not written: {why}")
            try:
                write_synced(bill_path(draft), bill(bundle))
            except ValueError as error:
                raise RunError(run_folder / "run.json", "tells no time of its training; train again") from error
            if key is not None:
                write_synced(signature_path(draft), signature(data, key))
            _name(folder, out)
    except OSError as error:
        why = f"cannot be written ({error.strerror or error}); name a file in a folder that exists"
        raise BundleError(out, why) from error
    return bundle, gap


def _name(folder: Path, out: Path) -> None:
    """Give what lies ready in `folder` its name beside `out`, the bundle last, and end an older one's signature."""
    signed = (folder / signature_path(out).name).exists()
    for written in sorted(folder.iterdir(), key=lambda path: path.name == out.name):
        written.replace(out.with_name(written.name))
    if not signed:
        signature_path(out).unlink(missing_ok=True)
    sync_folder(out.absolute().parent)


def disagreement(bundle: Bundle, held_out: HeldOut) -> float:
    """The largest gap between the bundle's scores on held-out views and Keras and scikit-learn's. NaN where any is."""
    gaps = []
    for row, (view, expected) in enumerate(zip(held_out.views, held_out.expected, strict=True)):
        found = bundle.inspect(view, int(expected))
        gaps += [abs(getattr(found, name) - float(scores[row])) for name, scores in held_out.scores.items()]
    return float(np.max(gaps))


def _variant(
    out: Path, model: onnx.ModelProto, run: Run, info: BundleInfo, held_out: HeldOut, bits: Bits
) -> BundleInfo:
    """What `model` says of itself, in fewer bits than what `info` tells of: how much it differs, its golden vectors.

    Raises BundleError where it loses too much, or calls a golden vector otherwise.
    """
    engine = OnnxRuntime(model.SerializeToString())

    def ask(images: Image, label: Labels) -> dict[str, Any]:
        return engine.run([*SCORES, "features"], {"image": images, "label": label})

    golden = []
    for number, trained in enumerate(info.golden):
        found = _replayed(run, ask, trained.view(info.view), trained.label)
        was, now = (decide(each.defect_score, each.mismatch_score, info.thresholds)[0] for each in (trained, found))
        if was is not now:
            scores = f"{found.defect_score:.4f} / {found.mismatch_score:.4f}"
            before = f"{trained.defect_score:.4f} / {trained.mismatch_score:.4f}"
            why = f"in {bits}, golden vector {number} is {now.value} ({scores}), trained was {was.value} ({before})"
            raise BundleError(out, f"not written: {why}")
        golden.append(found)
    difference = measure(Bundle(out, info, "", engine), held_out, bits)
    return info.model_copy(update={"golden": tuple(golden), "variant": difference})


def _golden(run: Run, judge: Judge) -> tuple[Golden, ...]:
    """For each label a view of integer arithmetic, and one that looks like a part, with what `judge` says of them.

    The latter is the label's own drawing of the first; where views are aligned, the reference as a loose jig shows it:
    a runtime that does not align, or does it otherwise, then disagrees with it.
    """
    golden = []
    for label in range(min(len(run.labels), MOST_GOLDEN_LABELS)):
        pattern = _pattern(run.view, label)
        if run.alignment is None:
            like_a_part = judge(pattern[None], np.array([label], np.int64))["reconstruction"][0]
        else:
            like_a_part = run.alignment.references[label].displaced()
        golden += [_replayed(run, judge, view, label) for view in (pattern, like_a_part)]
    return tuple(golden)


def _replayed(run: Run, judge: Judge, view: Image, label: int) -> Golden:
    """The golden vector of `view`: what `judge` says of it once it is aligned."""
    seen = view if run.alignment is None else run.alignment.align(view, label)[0]
    says = {key: value[0] for key, value in judge(seen[None], np.array([label], np.int64)).items()}
    return Golden.of(view, label, float(says["defect_score"]), float(says["mismatch_score"]), says["features"])


def _pattern(view: ViewSpec, label: int) -> Image:
    """A picture of integer arithmetic, uint8 [H, W, C]: the same on every machine."""
    y, x, c = np.indices((view.height, view.width, view.channels))
    return np.asarray((y * 7 + x * 13 + (y * x) // 5 + c * 29 + label * 31) % 256, np.uint8)


def _refuse_custom(out: Path, model: onnx.ModelProto) -> None:
    """Any ONNX Runtime must run the file, on any device: standard operators only."""
    domains = {node.domain for node in model.graph.node} - STANDARD_DOMAINS
    if domains or model.functions:
        raise BundleError(out, f"not written: needs operators of {', '.join(sorted(domains))}; this is a bug in kenpin")
