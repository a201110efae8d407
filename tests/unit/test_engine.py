"""Engines: all say the same of the same view, or are refused."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_runtime.bundle import OUTPUTS, Bundle, load_bundle
from edge_runtime.engine import Arrays, OnnxRuntime, OpenVino, Setting, openvino_devices, start
from edge_runtime.errors import BundleError, EngineError
from tests.unit.conftest import READABLE_LABELS, SIDE, Crooked

OPENVINO = Setting(name="openvino", level=None)
ROOT = Path(__file__).parents[2]
SETTINGS = [
    Setting(threads=1),
    Setting(threads=2, level="extended"),
    Setting(level="basic"),
    Setting(level="off"),
    OPENVINO,
    OPENVINO.model_copy(update={"threads": 1}),
]


def views(count: int) -> Arrays:
    random = np.random.default_rng(7)
    labels = random.integers(0, len(READABLE_LABELS), count)
    return {"image": random.integers(0, 256, (count, SIDE, SIDE, 1), np.uint8), "label": labels}


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("count", [1, 5])
def test_every_engine_says_the_same_of_the_same_views(readable_bundle: Bundle, setting: Setting, count: int) -> None:
    engine = start(readable_bundle.content(), setting)
    said, expected = (asked.run(list(OUTPUTS), views(count)) for asked in (engine, readable_bundle.engine))
    assert list(said) == list(OUTPUTS)
    for name, wanted in expected.items():
        assert (said[name].dtype, said[name].shape) == (wanted.dtype, wanted.shape), name
        np.testing.assert_allclose(said[name], wanted, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_bundle_on_another_engine_is_the_same_bundle(readable_bundle: Bundle, setting: Setting) -> None:
    other = readable_bundle.on(start(readable_bundle.content(), setting))
    assert (other.ref, other.engine.setting) == (readable_bundle.ref, setting)
    assert other.engine.version[:1].isdigit()


def test_on_a_real_bundle_openvino_says_what_onnx_runtime_says(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    other = bundle.on(start(bundle.content(), OPENVINO))
    for golden in bundle.info.golden:
        view = golden.view(bundle.info.view)
        said, expected = other.inspect(view, golden.label), bundle.inspect(view, golden.label)
        assert said.defect_score == pytest.approx(expected.defect_score, abs=1e-4)
        assert said.mismatch_score == pytest.approx(expected.mismatch_score, abs=1e-4)
        np.testing.assert_allclose(said.difference, expected.difference, atol=1e-2)


def test_openvino_answers_many_threads_at_once_each_with_its_own(readable_bundle: Bundle) -> None:
    engine = start(readable_bundle.content(), OPENVINO)
    asked = views(64)
    rows = [{name: array[row : row + 1] for name, array in asked.items()} for row in range(64)]
    with ThreadPoolExecutor(8) as pool:
        alone = [said["features"][0] for said in pool.map(lambda row: engine.run(["features"], row), rows)]
    np.testing.assert_allclose(alone, readable_bundle.engine.run(["features"], asked)["features"], atol=1e-5)


@pytest.mark.parametrize("off", [0.01, -0.01, float("nan")])
def test_an_engine_that_does_not_say_what_was_trained_is_refused_by_name(readable_bundle: Bundle, off: float) -> None:
    with pytest.raises(EngineError, match=r"^openvino CPU: golden vector 0 gives 0\.1000 / .*trained was 0\.1"):
        readable_bundle.on(Crooked(readable_bundle.engine, off, OPENVINO))


def test_an_engine_that_is_wrong_only_about_many_views_at_once_is_refused(readable_bundle: Bundle) -> None:
    with pytest.raises(EngineError, match=r"which part golden vector 0 shows, it finds A12 \(0\.79.*not A12 \(0\.80"):
        readable_bundle.on(Crooked(readable_bundle.engine, 0.01, OPENVINO, one=False))


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        (Setting(provider="CUDA"), "onnxruntime CUDA, level all: is not part of"),
        (Setting(provider="TensorRT"), "onnxruntime TensorRT.*is not part of"),
        (Setting(provider="Abacus"), "Abacus"),
        (Setting(name="openvino", provider="Abacus", level=None), "Abacus"),
    ],
)
def test_what_this_machine_does_not_have_is_one_line(readable_bundle: Bundle, setting: Setting, why: str) -> None:
    with pytest.raises(EngineError, match=why) as refused:
        start(readable_bundle.content(), setting)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("engine", [OnnxRuntime, OpenVino])
@pytest.mark.parametrize("content", [b"", b"no model at all"])
def test_what_is_no_graph_is_one_line_for_every_engine(engine: type[OnnxRuntime | OpenVino], content: bytes) -> None:
    with pytest.raises(EngineError) as refused:
        engine(content, OPENVINO)
    assert "\n" not in str(refused.value)
    assert "src/" not in str(refused.value)


def test_an_engine_that_is_not_installed_says_how_to_install_it(
    readable_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    for attempt in (lambda: start(readable_bundle.content(), OPENVINO), openvino_devices):
        with pytest.raises(EngineError, match=r"is not installed; pip install 'kenpin\[edge-openvino\]'"):
            attempt()


def test_weights_in_another_file_are_followed_by_no_engine_wherever_the_graph_names_them(
    readable_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO would take those of a Constant, too; so it is only given what ONNX Runtime has taken."""
    model = onnx.load(readable_bundle.path)
    (full,) = (tensor for tensor in model.graph.initializer if tensor.name == "full")
    model.graph.initializer.remove(full)
    (tmp_path / "weights.bin").write_bytes(full.raw_data)
    full.ClearField("raw_data")
    full.data_location = onnx.TensorProto.EXTERNAL
    full.external_data.add(key="location", value="weights.bin")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["full"], value=full))
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="is no ONNX file that can be run"):
        load_bundle(tmp_path / "x.onnx")


def test_a_file_that_was_changed_since_it_proved_itself_is_not_given_to_another_engine(unsigned: Path) -> None:
    bundle = load_bundle(unsigned)
    unsigned.write_bytes(unsigned.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="was changed while it was in use"):
        bundle.content()


@pytest.mark.parametrize("setting", ["Setting()", "Setting(name='openvino', level=None)"])
def test_no_engine_reports_to_its_maker(readable_bundle: Bundle, tmp_path: Path, setting: str) -> None:
    code = (
        "import sys; from pathlib import Path; from edge_runtime.engine import Setting, start\n"
        f"start(Path({str(readable_bundle.path)!r}).read_bytes(), {setting})\n"
        "print([name for name, module in sys.modules.items() if 'openvino_telemetry' in name and module])"
    )
    home = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    home |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == [], "their reporters keep an identity of this machine in the home folder"


def test_between_two_pictures_the_engine_uses_no_core() -> None:
    """ONNX Runtime's threads wait for the next run at full load by default, some ten milliseconds each time."""
    weights = numpy_helper.from_array(np.ones((512, 512), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [512, 512]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    engine = OnnxRuntime(model.SerializeToString(), Setting(threads=2))
    used_s = 0.0
    for _ in range(20):
        engine.run(["y"], {"x": np.ones((512, 512), np.float32)})
        before = time.process_time()
        time.sleep(0.03)
        used_s += time.process_time() - before
    assert used_s < 0.1
