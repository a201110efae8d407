"""The same decision in fewer bits: written only where it is as good as what was trained."""

import shutil
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
    assert max(found.auroc_lost.values()) <= variant.MOST_LOST
    assert found.verdicts_changed <= 0.02 * found.of
    assert trained.info.variant is None
    graph = onnx.load(out).graph
    if narrow is None:
        assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.node}
    else:
        assert any(weight.data_type == narrow for weight in graph.initializer)


def test_a_variant_of_the_same_run_is_the_same_bytes(run_folder: Path, tmp_path: Path) -> None:
    written = []
    for name in ("a.onnx", "b.onnx"):
        assert export_cli.main([str(run_folder), "--out", str(tmp_path / name), "--precision", "int8"]) == 0
        written.append((tmp_path / name).read_bytes())
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
    assert len(kept["views"]) <= 110
    assert len(set(np.bincount(kept["label"]).tolist())) == 1
