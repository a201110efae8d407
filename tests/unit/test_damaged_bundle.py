"""What damaged and hostile bundles have taught: one file that is wrong in one way, and its one line.

`tests/property/test_bundle_damage.py` is where most of them were found.
"""

import base64
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from edge_runtime.bundle import MOST_BYTES, Bundle, load_bundle
from edge_runtime.errors import LONGEST, BundleError
from edge_runtime.picture import Image, view_of_png
from edge_runtime.store import Store


@pytest.fixture
def model(readable_bundle: Bundle) -> onnx.ModelProto:
    """The readable bundle, to be damaged."""
    return onnx.load(readable_bundle.path)


def claim(model: onnx.ModelProto, **properties: str) -> None:
    """Let `model` say something else of itself."""
    kept = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, kept | {f"kenpin.{key}": value for key, value in properties.items()})


def refusal(model: onnx.ModelProto, folder: Path) -> str:
    """Why `model` is refused."""
    path = folder / "x.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError) as refused:
        load_bundle(path)
    assert str(refused.value).isprintable()
    assert len(refused.value.why) <= LONGEST
    return refused.value.why


def png(view: Image) -> bytes:
    return cv2.imencode(".png", view)[1].tobytes()


def golden(image: bytes) -> str:
    """A golden vector of that picture."""
    vector = {"label": 0, "defect_score": 0.1, "mismatch_score": 0.2, "features": [0.1, 0.2]}
    return json.dumps([vector | {"image": base64.b64encode(image).decode()}])


def references(image: bytes, *, shift: float = 2) -> str:
    """An alignment of the readable bundle's three labels, onto that picture."""
    reference = {"image": base64.b64encode(image).decode(), "shift": shift, "turn": 2, "likeness": 0}
    return json.dumps({"references": [reference] * 3})


@pytest.mark.parametrize(
    "claims",
    [
        {"format": "2\n" * 10_000},
        {"labels": json.dumps(["A" * 200] * 100_000)},
        {"usual": "[" + "{}," * 10_000 + "{}]"},
        {"thresholds": '{"defect": "\\u001b[31m"}'},
    ],
)
def test_what_a_bundle_says_of_itself_is_quoted_in_one_short_line(
    model: onnx.ModelProto, tmp_path: Path, claims: dict[str, str]
) -> None:
    claim(model, **claims)
    assert "export it again" in refusal(model, tmp_path)


def test_what_the_engine_says_of_a_damaged_name_is_one_line(model: onnx.ModelProto, tmp_path: Path) -> None:
    model.graph.node[3].input[0] = "defect\x7f\npixel\x1b[31m"
    assert r"defect\x7f pixel\x1b[31m" in refusal(model, tmp_path)


@pytest.mark.parametrize(
    ("name", "times"), [(b"kenpin.usual", 1), (b"A12", 1), (b"reconstruction", -1), (b"flat_shape", 1)]
)
def test_a_name_that_is_no_utf8_is_refused_and_the_engine_says_nothing_of_its_own(
    readable_bundle: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: bytes, times: int
) -> None:
    whole = readable_bundle.path.read_bytes()
    path = tmp_path / "x.onnx"
    path.write_bytes(whole.replace(name, b"\xff" + name[1:], times))
    with pytest.raises(BundleError, match=r"is damaged|is no ONNX file that can be run"):
        load_bundle(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", ["[" * 100_000, '{"a":' * 100_000, f'{{"a": {"9" * 10_000}}}'])
def test_json_that_python_gives_up_on_is_damaged(model: onnx.ModelProto, tmp_path: Path, value: str) -> None:
    claim(model, metrics=value)
    assert refusal(model, tmp_path) == "its kenpin.metrics is missing or damaged; export it again"


@pytest.mark.parametrize("name", ["A\n12", "A12\x1b[2J", "\ud800", "A" * 256, ""])
def test_a_label_that_no_verdict_or_log_could_hold_is_refused(
    model: onnx.ModelProto, tmp_path: Path, name: str
) -> None:
    claim(model, labels=json.dumps([name, "B7", "C3"]))
    assert "its kenpin.labels.0 is wrong" in refusal(model, tmp_path)


@pytest.mark.parametrize("key", ["name", "version"])
def test_a_name_that_no_verdict_or_log_could_hold_is_refused(model: onnx.ModelProto, tmp_path: Path, key: str) -> None:
    claim(model, **{key: "harness\nOK"})
    assert f"its kenpin.{key} is wrong" in refusal(model, tmp_path)


def test_a_picture_larger_than_a_view_is_refused_before_it_is_decoded(
    model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = png(np.zeros((16, 4097, 1), np.uint8))
    monkeypatch.delattr(cv2, "imdecode")
    with pytest.raises(ValueError, match="at most 4096 pixels a side"):
        view_of_png(base64.b64encode(bomb).decode())
    claim(model, golden=golden(bomb))
    assert "golden vector 0 cannot be run (is no PNG of a view of at most 4096 pixels" in refusal(model, tmp_path)
    claim(model, alignment=references(bomb))
    assert "at most 4096 pixels a side" in refusal(model, tmp_path)


def test_a_golden_view_of_another_shape_is_refused(
    readable_view: Callable[..., Image], model: onnx.ModelProto, tmp_path: Path
) -> None:
    claim(model, golden=golden(png(readable_view(20, 40, 40, 40))))
    (tmp_path / "whole.onnx").write_bytes(model.SerializeToString())
    load_bundle(tmp_path / "whole.onnx")
    claim(model, golden=golden(png(readable_view(20, 40, 40, 40).reshape(8, 32, 1))))
    assert "golden vector 0 cannot be run (a golden view is (8, 32, 1), not height=16" in refusal(model, tmp_path)


def test_a_damaged_picture_is_refused_and_libpng_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    whole = png(np.arange(256, dtype=np.uint8).reshape(16, 16, 1))
    for place in range(len(whole)):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            with pytest.raises(ValueError, match="PNG"):
                view_of_png(base64.b64encode(damaged).decode())
    head = b"IHDR" + bytes(8) + b"\x08\x00\x00\x00\x00"  # no pixels at all, and a checksum that is right
    nothing = whole[:12] + head + zlib.crc32(head).to_bytes(4) + whole[33:]
    with pytest.raises(ValueError, match="PNG"):
        view_of_png(base64.b64encode(nothing).decode())
    assert capfd.readouterr() == ("", "")


def test_a_file_too_long_for_onnx_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.onnx"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # a hole, which takes no place on the disk
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    for read in (load_bundle, lambda path: Store(tmp_path).install(path, lambda _: None)):
        with pytest.raises(BundleError, match="2,147,483,648 bytes are too many"):
            read(path)


def test_what_is_no_file_is_refused_without_waiting_for_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path / "pipe.onnx", tmp_path, Path("/dev/zero")):
        with pytest.raises(BundleError, match="is no file; name one written by kenpin-export"):
            load_bundle(path)


def test_pictures_of_another_shape_than_the_view_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    for output in ("difference", "reconstruction"):
        changed = onnx.ModelProto.FromString(model.SerializeToString())
        (makes,) = (node for node in changed.graph.node if output in node.output)
        makes.output[0] = "right"
        changed.graph.node.append(onnx.helper.make_node("Reshape", ["right", "flat_shape"], [output]))
        (declared,) = (tensor for tensor in changed.graph.output if tensor.name == output)
        declared.type.tensor_type.ClearField("shape")
        assert "its difference and reconstruction are" in refusal(changed, tmp_path)


def test_a_graph_that_takes_one_view_only_is_refused_before_the_first_wrong_part(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    assert "or takes one view only" in refusal(model, tmp_path)


def test_more_labels_than_can_be_asked_at_once_are_refused(model: onnx.ModelProto, tmp_path: Path) -> None:
    labels = [f"A{number}" for number in range(22)]
    usual = [{"low": [0, 0, 0], "high": [255, 255, 255]}] * len(labels)
    view = {"height": 4096, "width": 4096, "channels": 3}
    claim(model, labels=json.dumps(labels), usual=json.dumps(usual), view=json.dumps(view))
    assert "has 22 labels, too many for views of" in refusal(model, tmp_path)


def test_a_reference_that_would_be_searched_far_beyond_the_view_is_refused(
    readable_view: Callable[..., Image], model: onnx.ModelProto, tmp_path: Path
) -> None:
    part = png(readable_view(20, 40, 40, 40))
    claim(model, alignment=references(part, shift=16))
    (tmp_path / "whole.onnx").write_bytes(model.SerializeToString())
    load_bundle(tmp_path / "whole.onnx")
    claim(model, alignment=references(part, shift=17))
    assert "its kenpin.alignment does not fit" in refusal(model, tmp_path)


def test_what_the_engine_has_to_say_of_impossible_weights_is_one_line_too(
    model: onnx.ModelProto, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model.graph.initializer[0].dims[:] = [2**31, 2**31]
    assert "is no ONNX file that can be run" in refusal(model, tmp_path)
    assert capfd.readouterr() == ("", "")
