import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_runtime.bundle import INPUTS, OUTPUTS, load_bundle
from edge_runtime.engine import Arrays, OnnxRuntime
from edge_runtime.errors import BundleError


def changed(bundle_path: Path, out: Path, **properties: str | None) -> Path:
    """A copy of the bundle with some of its metadata properties changed, or taken away (None)."""
    model = onnx.load(bundle_path)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    for key, value in properties.items():
        kept[f"kenpin.{key}"] = value if value is not None else ""
        if value is None:
            del kept[f"kenpin.{key}"]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, out)
    return out


def test_a_bundle_keeps_the_formats_inputs_and_outputs(bundle_path: Path) -> None:
    session = OnnxRuntime(bundle_path.read_bytes()).session
    assert {tensor.name for tensor in session.get_inputs()} == set(INPUTS)
    assert [tensor.name for tensor in session.get_outputs()] == list(OUTPUTS)
    bundle = load_bundle(bundle_path)
    view = np.zeros((27, 27, 1), np.uint8)
    found = bundle.inspect(view, 0)
    assert found.difference.shape == (27, 27)
    assert found.reconstruction.shape == (27, 27, 1)
    assert found.reconstruction.dtype == np.uint8


def test_only_standard_operators_are_in_it(bundle_path: Path) -> None:
    model = onnx.load(bundle_path)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert [opset.domain for opset in model.opset_import if opset.domain not in ("", "ai.onnx")] in ([], ["ai.onnx.ml"])
    assert not model.functions
    assert not any(node.op_type.startswith("Random") for node in model.graph.node)


def test_a_batch_says_what_its_views_say_one_by_one(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    views = np.random.default_rng(0).integers(0, 256, (5, 27, 27, 1), np.uint8)
    labels = np.array([0, 1, 2, 3, 0])
    together = bundle.engine.run(["defect_score", "features"], {"image": views, "label": labels})
    for row in range(5):
        alone = bundle.inspect(views[row], int(labels[row]))
        # A matrix product adds up in another order in a batch; noise is far from all that was learnt.
        assert together["defect_score"][row] == pytest.approx(alone.defect_score, abs=1e-4)
        np.testing.assert_allclose(together["features"][row], alone.features, atol=1e-3)


def test_a_graph_that_answers_for_other_labels_than_are_asked_names_no_part(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    run = bundle.engine.run

    class Short:
        setting, version = bundle.engine.setting, bundle.engine.version

        def run(self, outputs: Sequence[str], feeds: Arrays) -> dict[str, Any]:
            return {name: found[:1] for name, found in run(outputs, feeds).items()}

    view = np.zeros((27, 27, 1), np.uint8)
    with pytest.raises(BundleError, match="gives 1 scores for 2 labels"):
        replace(bundle, engine=Short()).find(view, np.array([1, 2]))


def test_an_unknown_label_is_refused_with_those_it_knows(bundle_path: Path) -> None:
    with pytest.raises(BundleError, match=r"'A13'; it knows: hollow-circle, hollow-rectangle"):
        load_bundle(bundle_path).label_index("A13")


def test_a_file_that_is_no_onnx_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model at all")
    with pytest.raises(BundleError, match="is no ONNX file") as refused:
        load_bundle(tmp_path / "x.onnx")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""


def test_a_truncated_bundle_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    whole = bundle_path.read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "x.onnx").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(BundleError):
            load_bundle(tmp_path / "x.onnx")


def test_anothers_onnx_is_refused(tmp_path: Path) -> None:
    tensor = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Identity", ["a"], ["b"])
    float_type = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph([node], "g", [tensor("a", float_type, [1])], [tensor("b", float_type, [1])])
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(BundleError, match="not a kenpin bundle"):
        load_bundle(tmp_path / "x.onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"x\.onnx: cannot be read"):
        load_bundle(tmp_path / "x.onnx")


def test_a_newer_format_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has format '2'"):
        load_bundle(changed(bundle_path, tmp_path / "x.onnx", format="2"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", None),
        ("labels", "[]"),
        ("view", "{"),
        ("thresholds", '{"defect": 7}'),
        ("golden", "[]"),
        ("name", ""),
        ("alignment", "null"),
        ("variant", "null"),
        ("variant", '{"precision": "int4", "auroc_lost": {}, "verdicts_changed": 0, "of": 1}'),
        ("variant", '{"precision": "int8", "auroc_lost": {}, "verdicts_changed": -5, "of": 1}'),
    ],
)
def test_missing_or_malformed_metadata_are_named(
    bundle_path: Path, tmp_path: Path, key: str, value: str | None
) -> None:
    with pytest.raises(BundleError, match=f"kenpin.{key}"):
        load_bundle(changed(bundle_path, tmp_path / "x.onnx", **{key: value}))


@pytest.mark.parametrize("score", ["defect_score", "mismatch_score"])
@pytest.mark.parametrize("off", [0.01, -0.01])
def test_a_bundle_that_does_not_say_what_was_trained_does_not_inspect(
    bundle_path: Path, tmp_path: Path, score: str, off: float
) -> None:
    golden = [vector.model_dump() for vector in load_bundle(bundle_path).info.golden]
    golden[-1][score] += off
    with pytest.raises(BundleError, match="golden vector"):
        load_bundle(changed(bundle_path, tmp_path / "x.onnx", golden=json.dumps(golden)))


def test_changed_weights_are_noticed(bundle_path: Path, tmp_path: Path) -> None:
    model = onnx.load(bundle_path)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights = np.frombuffer(largest.raw_data, np.float32).copy()
    weights *= 1.05
    largest.raw_data = weights.tobytes()
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(BundleError, match="golden vector"):
        load_bundle(tmp_path / "x.onnx")


def test_weights_in_another_file_are_not_followed(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(bundle_path)
    onnx.save(model, tmp_path / "x.onnx", save_as_external_data=True, location="weights.bin")
    assert (tmp_path / "weights.bin").stat().st_size > 10_000
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="is no ONNX file that can be run"):
        load_bundle(tmp_path / "x.onnx")


def test_a_golden_view_that_is_no_picture_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    golden = [vector.model_dump() for vector in load_bundle(bundle_path).info.golden]
    golden[0]["image"] = base64.b64encode(b"no picture").decode()
    with pytest.raises(BundleError, match="golden vector 0 cannot be run"):
        load_bundle(changed(bundle_path, tmp_path / "x.onnx", golden=json.dumps(golden)))
