"""The whole decision as one ONNX graph, with what the bundle says of itself."""

from collections.abc import Mapping

import onnx
import tensorflow as tf
import tf2onnx

from edge_runtime.bundle import INPUTS, OUTPUTS
from edge_runtime.picture import ViewSpec
from train.decision import Decision

OPSET = 18
"""The newest that ONNX Runtime 1.14 (JetPack 6's oldest) and OpenVINO 2023 both run."""


def to_onnx(decision: Decision, view: ViewSpec) -> onnx.ModelProto:
    """`decision` as a graph from INPUTS to OUTPUTS for any number of views of the size `view`."""
    signature = [
        tf.TensorSpec((None, view.height, view.width, view.channels), tf.uint8, name="image"),
        tf.TensorSpec((None,), tf.int64, name="label"),
    ]

    def decide(image: tf.Tensor, label: tf.Tensor) -> list[tf.Tensor]:
        answers = decision(image, label)
        return [tf.identity(answers[name], name=name) for name in OUTPUTS]

    model: onnx.ModelProto
    model, _ = tf2onnx.convert.from_function(
        tf.function(decide, input_signature=signature), input_signature=signature, opset=OPSET
    )
    _name_ends(model.graph)
    model.producer_name, model.producer_version, model.doc_string = "kenpin", "", ""
    model.graph.name, model.graph.doc_string = "kenpin", ""
    onnx.checker.check_model(model, full_check=True)
    return model


def describe(model: onnx.ModelProto, properties: Mapping[str, str]) -> None:
    """Write metadata properties into `model`, in a fixed order."""
    onnx.helper.set_model_props(model, dict(sorted(properties.items())))


def _name_ends(graph: onnx.GraphProto) -> None:
    """Give the graph's inputs and outputs the names of the format; the converter has its own."""
    names = {end.name: wanted for end, wanted in zip(graph.input, INPUTS, strict=True)}
    names |= {end.name: wanted for end, wanted in zip(graph.output, OUTPUTS, strict=True)}
    for end in (*graph.input, *graph.output):
        end.name = names[end.name]
    for node in graph.node:
        for ends in (node.input, node.output):
            for place, name in enumerate(ends):
                ends[place] = names.get(name, name)
