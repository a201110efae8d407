"""The whole decision as one ONNX graph, with what the bundle says of itself."""

from collections.abc import Mapping

import onnx
import tensorflow as tf
import tf2onnx

from edge_runtime.bundle import INPUTS, OUTPUTS
from edge_runtime.picture import ViewSpec
from train.decision import Decision

PER_VIEW = {"image", "shortlist"}
"""Ends with one row a view; the others have one a label that is asked, and one view may be asked under many."""

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
    tidy(model)
    return model


def tidy(model: onnx.ModelProto) -> None:
    """Take from `model` all that a converter wrote of its own: the same decision, the same bytes."""
    _in_fixed_order(model.graph)
    for node in model.graph.node:
        if not node.domain:
            node.ClearField("domain")  # of some nodes it is said to be "", of others it is not said
    del model.opset_import[:]  # converters name operator sets that no node is of
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    model.producer_name, model.producer_version, model.doc_string = "kenpin", "", ""
    model.graph.name, model.graph.doc_string = "kenpin", ""
    onnx.checker.check_model(model, full_check=True)


def describe(model: onnx.ModelProto, properties: Mapping[str, str]) -> None:
    """Write metadata properties into `model`, in a fixed order."""
    onnx.helper.set_model_props(model, dict(sorted(properties.items())))


def _name_ends(graph: onnx.GraphProto) -> None:
    """Give the graph's inputs and outputs the names of the format; the converter has its own."""
    names = {end.name: wanted for end, wanted in zip(graph.input, INPUTS, strict=True)}
    names |= {end.name: wanted for end, wanted in zip(graph.output, OUTPUTS, strict=True)}
    for end in (*graph.input, *graph.output):
        end.name = names[end.name]
        end.type.tensor_type.shape.dim[0].dim_param = "N" if end.name in PER_VIEW else "M"
    for node in graph.node:
        for ends in (node.input, node.output):
            for place, name in enumerate(ends):
                ends[place] = names.get(name, name)


def _in_fixed_order(graph: onnx.GraphProto) -> None:
    """Order and name nodes, weights and tensors by how the outputs are computed: the same decision, the same bytes.

    The converter's own order and names depend on the process it runs in.
    """
    maker = {output: node for node in graph.node for output in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    names = {end.name: end.name for end in (*graph.input, *graph.output)}
    nodes: list[onnx.NodeProto] = []
    used: list[onnx.TensorProto] = []
    waiting = [(output.name, False) for output in reversed(graph.output)]
    placed: set[int] = set()
    while waiting:  # depth first, without recursion: a graph may be deeper than Python's stack
        name, ready = waiting.pop()
        if name in weights:
            if name not in names:
                names[name] = f"weight_{len(used)}"
                used.append(weights[name])
            continue
        node = maker.get(name)
        if node is None or id(node) in placed:
            continue
        if not ready:
            waiting += [(name, True), *((each, False) for each in reversed(node.input))]
            continue
        placed.add(id(node))
        node.name = f"{node.op_type}_{len(nodes)}"
        for number, output in enumerate(node.output):
            names.setdefault(output, f"{node.name}_{number}")
        nodes.append(node)
    for node in nodes:
        node.input[:] = [names.get(each, each) for each in node.input]
        node.output[:] = [names[each] for each in node.output]
    for weight in used:
        weight.name = names[weight.name]
    kept = (
        [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes],
        [onnx.TensorProto.FromString(w.SerializeToString()) for w in used],
    )
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept[0])
    graph.initializer.extend(kept[1])
