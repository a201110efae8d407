"""The same decision in fewer bits: what draws is narrowed, the difference and the heads stay as they were.

A drawing that is off by half a grey level moves no verdict, a sum of squares in so few bits would. ONNX Runtime's own
quantizer and converter do the work, with standard operators that OpenVINO and TensorRT read as well; whether the result
is as good as what was trained is measured, not hoped.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edge_runtime.bundle import Bits, Bundle, Variant
from edge_runtime.errors import BundleError
from edge_runtime.verdict import decide
from export.graph import tidy
from train.judged import auroc
from train.run import Calibration, HeldOut

INT8_OPERATORS = ("Conv", "ConvTranspose", "Mul", "Sigmoid")
"""Convolutions, and what lies between them. The latent, of which 8 bits are too few for a part that lies unusually, is
made and read by the matrix products."""


MOST_LOST = 0.002
"""AUROC that a variant may be worse by."""
MOST_CHANGED = 0.02
"""Share of the held-out questions on which its verdict may be another. AUROC does not see scores that move together,
away from the thresholds that stay where they were."""


def in_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with what draws in 16 bits, which GPUs are made for."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    drawing = set(drawing_nodes(model.graph))
    wide = [node.name for node in model.graph.node if node.name not in drawing]
    narrow: onnx.ModelProto = convert_float_to_float16(_copy(model), keep_io_types=True, node_block_list=wide)
    _without_detours(narrow)
    tidy(narrow)
    return narrow


def _without_detours(model: onnx.ModelProto) -> None:
    """Let what reads a float32 tensor that was made float16 and float32 again read the tensor itself.

    The converter leads every tensor of the nodes that stay wide through such a detour, where small sums vanish.
    """
    graph = model.graph
    inferred = onnx.shape_inference.infer_shapes(model).graph
    wide = {
        value.name
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    straight = {
        name: casts[back.input[0]].input[0]
        for name, back in casts.items()
        if name in wide and back.input[0] in casts and casts[back.input[0]].input[0] in wide
    }
    for node in graph.node:
        node.input[:] = [straight.get(name, name) for name in node.input]
    for end in graph.output:
        if end.name in straight:
            casts[end.name].input[:] = [straight[end.name]]


def in_int8(model: onnx.ModelProto, calibration: Calibration) -> onnx.ModelProto:
    """`model` with what draws in 8 bits, each number reaching as far as it did on the views of `calibration`.

    Weights have a scale a channel, and 7 bits: with 8, processors without VNNI saturate.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Views(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime ships no types
        def __init__(self) -> None:
            self.rows = iter(zip(calibration.views, calibration.label, strict=True))

        def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
            view, label = next(self.rows, (None, None))
            return None if view is None else {"image": view[None], "label": np.array([label], np.int64)}

    with tempfile.TemporaryDirectory() as folder, _silent():
        out = Path(folder) / "int8.onnx"
        quantize_static(
            _copy(model),
            out,
            Views(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(INT8_OPERATORS),
            nodes_to_quantize=drawing_nodes(model.graph),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        narrow = onnx.load(out)
    tidy(narrow)
    return narrow


def measure(bundle: Bundle, held_out: HeldOut, precision: Bits) -> Variant:
    """How the variant `bundle` differs from what was trained, on the held-out views.

    Raises BundleError where it lost more AUROC than `MOST_LOST`, gives another verdict on more than `MOST_CHANGED`, or
    has no score.
    """
    found = [bundle.inspect(view, int(asked)) for view, asked in zip(held_out.views, held_out.expected, strict=True)]
    scores = {name: np.array([getattr(each, name) for each in found]) for name in held_out.scores}
    if not all(((each >= 0) & (each <= 1)).all() for each in scores.values()):  # NaN is neither
        raise BundleError(bundle.path, f"not written: in {precision}, some held-out views have no score")
    lost = _lost(held_out, scores)
    for name, loss in lost.items():
        if loss > MOST_LOST:
            why = f"in {precision}, its {name} loses {loss:.4f} AUROC, {loss - MOST_LOST:.4f} more than the {MOST_LOST}"
            raise BundleError(bundle.path, f"not written: {why} that a variant may")
    was, now = (
        [
            decide(*pair, bundle.info.thresholds)[0]
            for pair in zip(of["defect_score"], of["mismatch_score"], strict=True)
        ]
        for of in (held_out.scores, scores)
    )
    changed, most = sum(a is not b for a, b in zip(was, now, strict=True)), int(MOST_CHANGED * len(was))
    if changed > most:
        why = (
            f"in {precision}, {changed} of {len(was)} verdicts on held-out views differ, {changed - most} more than the"
        )
        raise BundleError(bundle.path, f"not written: {why} {most} that a variant may")
    return Variant(precision=precision, auroc_lost=lost, verdicts_changed=changed, of=len(was))


def _lost(held_out: HeldOut, scores: dict[str, npt.NDArray[Any]]) -> dict[str, float]:
    """AUROC that `scores` lost, by name; what the views cannot tell is left out."""
    right = held_out.label == held_out.expected
    lost = {}
    for name, rows, positive in (
        ("defect_score", right, held_out.defective),
        ("mismatch_score", np.ones_like(right), ~right),
    ):
        before, after = (auroc(of[name][rows], positive[rows]) for of in (held_out.scores, scores))
        if before is not None and after is not None:
            lost[name] = before - after
    return lost


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Both tools leave their marks in what they are given."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def drawing_nodes(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that draw, in order, but for those at the rim, of whose tensors the difference reads some."""
    maker = {output: node for node in graph.node for output in node.output}
    inside: set[str] = set()
    waiting = ["reconstruction"]
    while waiting:
        node = maker.get(waiting.pop())
        if node is not None and node.name not in inside:
            inside.add(node.name)
            waiting += node.input
    read = {name for node in graph.node if node.name not in inside for name in node.input} | {"reconstruction"}
    return [node.name for node in graph.node if node.name in inside and read.isdisjoint([*node.input, *node.output])]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The quantizer advises everyone to run a preparation that the converter has already done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
