"""What is timed: a decision that has learnt nothing, as graphs and as a bundle. Weights change no time."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import INPUTS, Bundle, BundleInfo, Golden, Provenance, open_bundle
from edge_runtime.engine import OnnxRuntime
from edge_runtime.picture import ViewSpec
from edge_runtime.quality import Usual
from edge_runtime.verdict import Thresholds
from export.graph import describe, to_onnx
from export.variant import in_float16, in_int8
from train.cvae import ConditionalVAE
from train.decision import Decision
from train.fit import Settings
from train.promise import Wish
from train.run import Calibration
from train.teach import teach
from train.tiles import WHOLE, Sight
from train.views import Views

VIEWS = 8
"""Good views a label: as many support vectors as a small training has."""

Feeds = dict[str, npt.NDArray[Any]]


def untrained(side: int, labels: int) -> tuple[Decision, Views]:
    """A decision about square grey views of `labels` parts, from a CVAE that has learnt nothing, and its views."""
    import keras

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
    return teach(cvae, views, kept, none, Wish(0.02, None), 0, Sight(None, WHOLE)).decision, views


def graphs(decision: Decision, views: Views) -> dict[str, bytes]:
    """ONNX files by name: the bare reconstruction, the whole decision, and the latter in fewer bits."""
    from onnx.utils import Extractor

    cvae = decision.cvae
    model = to_onnx(decision, ViewSpec(height=cvae.height, width=cvae.width, channels=cvae.channels))
    found = {
        "bare": Extractor(model).extract_model(list(INPUTS), ["reconstruction"]),
        "whole": model,
        "float16": in_float16(model),
        "int8": in_int8(model, Calibration(views.images[:16], views.label[:16])),
    }
    return {name: graph.SerializeToString() for name, graph in found.items()}


def feeds(side: int, batch: int, labels: int) -> Feeds:
    """Views, and the labels asked."""
    images = np.random.default_rng(0).integers(0, 256, (batch, side, side, 1), np.uint8)
    return {"image": images, "label": np.arange(batch, dtype=np.int64) % labels}


def bundle_of(decision: Decision, labels: int) -> Bundle:
    """A bundle in a file of its own, with one golden vector: what plain ONNX Runtime says."""
    side = decision.cvae.height
    spec = ViewSpec(height=side, width=side, channels=1)
    model = to_onnx(decision, spec)
    asked = feeds(side, 1, labels)
    says = OnnxRuntime(model.SerializeToString()).run(["defect_score", "mismatch_score", "features"], asked)
    defect, mismatch = (float(says[name][0]) for name in ("defect_score", "mismatch_score"))
    info = BundleInfo(
        name="speed",
        version="1",
        labels=tuple(map(str, range(labels))),
        view=spec,
        thresholds=Thresholds(defect=0.5, mismatch=0.5),
        metrics={},
        golden=(Golden.of(asked["image"][0], 0, defect, mismatch, says["features"][0]),),
        usual=(Usual(low=(0, 0, 0), high=(255, 255, 2000)),) * labels,
        provenance=Provenance(data="", data_digest="", seed=0, created="", commit="", packages={}),
    )
    describe(model, info.to_properties())
    path = Path(tempfile.mkdtemp(prefix="kenpin-speed-")) / "part.onnx"
    path.write_bytes(model.SerializeToString())
    return open_bundle(path, path.read_bytes())


def operations(graph: bytes, batch: int) -> int:
    """Floating-point operations of a graph's convolutions and matrix products, for `batch` views; the rest is small."""
    import onnx

    model = onnx.load_from_string(graph)
    for end in model.graph.input:
        end.type.tensor_type.shape.dim[0].dim_value = batch
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shape = {
        value.name: [place.dim_value or batch for place in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }
    weight = {each.name: list(each.dims) for each in inferred.initializer}
    total = 0
    for node in inferred.node:
        kernel = weight.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type == "Conv" and kernel:  # one product a weight of its filter, for each number that it makes
            total += 2 * int(np.prod(shape[node.output[0]])) * int(np.prod(kernel[1:]))
        elif node.op_type == "ConvTranspose" and kernel:  # for each number that it takes
            total += 2 * int(np.prod(shape[node.input[0]])) * int(np.prod(kernel[1:]))
        elif node.op_type == "MatMul" and kernel:
            total += 2 * int(np.prod(shape[node.output[0]])) * kernel[-2]
    return total
