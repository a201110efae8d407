"""The same decision in fewer bits: written only where it is as good as what was trained."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_runtime.bundle import load_bundle
from export import bundle as export_bundle
from export import cli as export_cli
from export import variant
from tests.integration.test_training import refused
from train.run import load, load_calibration


@pytest.mark.parametrize(("precision", "narrow"), [("float16", onnx.TensorProto.FLOAT16), ("int8", None)])
def test_a_variant_is_smaller_calls_the_views_alike_and_says_how_it_differs(
    bundle_path: Path,
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    precision: str,
    narrow: int | None,
) -> None:
    out = tmp_path / "part.onnx"
    assert export_cli.main([str(run_folder), "--out", str(out), "--precision", precision]) == 0
    said = capsys.readouterr().out
    assert f"in {precision}: AUROC of defect_score" in said
    bundle, trained = load_bundle(out), load_bundle(bundle_path)
    assert bundle.info.version == f"1-{precision}"
    assert bundle.info.thresholds == trained.info.thresholds
    assert out.stat().st_size < bundle_path.stat().st_size
    found = bundle.info.variant
    assert found is not None
    assert found.precision == precision
    assert set(found.auroc_lost) == {"defect_score", "mismatch_score"}
    assert trained.info.variant is None
    graph = onnx.load(out).graph
    if narrow is None:
        assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.node}
    else:
        assert any(weight.data_type == narrow for weight in graph.initializer)
    bill = json.loads(out.with_suffix(".cdx.json").read_text())
    told = {each["name"]: each["value"] for each in bill["metadata"]["component"]["properties"]}
    assert told["kenpin:precision"] == precision
    assert not any(name.startswith("kenpin:held-out:") for name in told), "those figures are of what was trained"


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_variant_of_the_same_run_is_the_same_bytes(run_folder: Path, tmp_path: Path, precision: str) -> None:
    written = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.onnx"
        command = [sys.executable, "-m", "export.cli", str(run_folder), "--out", str(out), "--precision", precision]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        written.append(out.read_bytes())
    assert written[0] == written[1]


def test_what_the_difference_reads_is_not_narrowed(bundle_path: Path) -> None:
    """Were the view narrowed as well, what is brighter than the calibration's views would be no difference."""
    graph = onnx.load(bundle_path).graph
    maker = {output: node for node in graph.node for output in node.output}
    drawing = set(variant.drawing_nodes(graph))
    assert {"Conv", "ConvTranspose", "MatMul"} <= {node.op_type for node in graph.node if node.name in drawing}

    def behind(name: str) -> set[str]:
        node = maker.get(name)
        return set() if node is None else {node.name}.union(*(behind(each) for each in node.input))

    draws = behind("reconstruction")
    read = {name for node in graph.node if node.name not in draws for name in node.input if name in maker}
    rim = {maker[name].name for name in read} & draws
    assert rim, "the difference reads the view, the drawing and the latent"
    assert not rim & drawing


NARROW = {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8, onnx.TensorProto.UINT8}


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_the_difference_and_the_heads_are_not_narrowed(bundle_path: Path, run_folder: Path, precision: str) -> None:
    """As many narrow tensors as draw, and none behind them; the wide part has its own weights, to the bit."""
    model = onnx.load(bundle_path)
    run, *_ = load(run_folder)
    narrow = (
        variant.in_float16(model)
        if precision == "float16"
        else variant.in_int8(model, load_calibration(run_folder, run))
    )
    graph = onnx.shape_inference.infer_shapes(narrow).graph
    kind = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    maker = {output: node for node in graph.node for output in node.output}

    def behind(name: str, found: set[str]) -> set[str]:
        node = maker.get(name)
        if node is not None and node.name not in found:
            found.add(node.name)
            for each in node.input:
                behind(each, found)
        return found

    draws = behind("reconstruction", set())
    for node in graph.node:
        if node.name not in draws:
            assert node.op_type not in ("QuantizeLinear", "DequantizeLinear")
            assert not {kind.get(name) for name in node.output} & {onnx.TensorProto.FLOAT16}, node.name
    weights = [numpy_helper.to_array(each).tobytes() for each in model.graph.initializer if len(each.dims) == 2]
    kept = {numpy_helper.to_array(each).tobytes() for each in narrow.graph.initializer}
    tables = [each for each in weights if len(each) > 4 * 27 * 27 * 4]
    assert tables
    assert sum(each in kept for each in tables) >= 2, "means and spreads of the tolerances"


def test_the_model_that_is_narrowed_stays_as_it_is(bundle_path: Path, run_folder: Path) -> None:
    model = onnx.load(bundle_path)
    before = model.SerializeToString(deterministic=True)
    run, *_ = load(run_folder)
    variant.in_float16(model)
    variant.in_int8(model, load_calibration(run_folder, run))
    assert model.SerializeToString(deterministic=True) == before


def test_a_variant_that_lost_too_much_is_not_written_and_says_by_how_much(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variant, "MOST_LOST", -0.5)
    out = tmp_path / "part.onnx"
    out.write_text("older")
    line = refused(capsys, export_cli.main, run_folder, "--out", out, "--precision", "float16")
    assert "not written: in float16, its defect_score loses" in line
    assert "more than the -0.5" in line
    assert [path.name for path in tmp_path.iterdir()] == ["part.onnx"]
    assert out.read_text() == "older"


def test_a_variant_whose_scores_have_moved_together_is_not_written(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lose no AUROC, and are all on the other side of their threshold."""
    monkeypatch.setattr(variant, "MOST_CHANGED", -0.001)
    line = refused(capsys, export_cli.main, run_folder, "--out", tmp_path / "x.onnx", "--precision", "float16")
    assert "verdicts on held-out views differ" in line
    assert "that a variant may" in line
    assert list(tmp_path.iterdir()) == []


def test_where_auroc_cannot_be_told_it_says_so(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "run"
    shutil.copytree(run_folder, other)
    kept = dict(np.load(other / "held_out.npz"))
    good = (kept["label"] == kept["expected"]) & ~kept["defective"]
    np.savez_compressed(other / "held_out.npz", **{name: each[good] for name, each in kept.items()})
    assert export_cli.main([str(other), "--out", str(tmp_path / "x.onnx"), "--precision", "float16"]) == 0
    assert "AUROC cannot be told of these views" in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage",
    [
        {"views": np.zeros((4, 20, 20, 1), np.uint8)},
        {"views": np.zeros((4, 27, 27, 1), np.float32)},
        {"label": np.array([0, 1, 2, 9])},
        {"label": np.array([0, 1])},
        {"views": np.zeros((0, 27, 27, 1), np.uint8), "label": np.zeros(0, np.int64)},
    ],
)
def test_calibration_views_that_are_none_are_one_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: dict[str, np.ndarray]
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    views = {"views": np.zeros((4, 27, 27, 1), np.uint8), "label": np.arange(4)}
    np.savez(tmp_path / "run" / "calibration.npz", **(views | damage))  # type: ignore[arg-type]  # numpy/numpy#24148
    line = refused(capsys, export_cli.main, tmp_path / "run", "--out", tmp_path / "x.onnx", "--precision", "int8")
    assert "calibration.npz h" in line


def test_a_variant_that_calls_a_golden_vector_otherwise_is_not_written(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(model: onnx.ModelProto, _calibration: object) -> onnx.ModelProto:
        """Draws nothing any more."""
        for weight in model.graph.initializer:
            if len(weight.dims) == 4:
                weight.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(weight), weight.name))
        return model

    monkeypatch.setattr(export_bundle, "in_int8", forgetful)
    line = refused(capsys, export_cli.main, run_folder, "--out", tmp_path / "part.onnx", "--precision", "int8")
    assert "not written: in int8, golden vector" in line
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_calibration_views_is_one_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run" / "calibration.npz").unlink()
    line = refused(capsys, export_cli.main, tmp_path / "run", "--out", tmp_path / "x.onnx", "--precision", "int8")
    assert "run: has no calibration.npz; name a run folder written by kenpin-train" in line
    assert export_cli.main([str(tmp_path / "run"), "--out", str(tmp_path / "x.onnx")]) == 0


def test_calibration_views_are_good_ones_of_all_labels(run_folder: Path) -> None:
    kept = np.load(run_folder / "calibration.npz")
    assert len(kept["views"]) == 100
    assert len(set(np.bincount(kept["label"]).tolist())) == 1
