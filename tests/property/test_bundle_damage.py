"""Whatever became of a bundle's file, it is a bundle that keeps its word, or it is refused in one line.

Each file is loaded in another process, with little memory and time: the engine is not ours, and where it ends the
process that must be seen. `tests/unit/test_damaged_bundle.py` holds what was found here, one by one.
"""

import base64
import contextlib
import json
import multiprocessing
import os
import resource
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.bundle import SCORE_TOLERANCE, SCORES, load_bundle
from edge_runtime.errors import LONGEST, BundleError
from tests.unit.conftest import READABLE_LABELS, SIDE, write_readable_bundle

MEMORY = 3 << 30
"""Bytes of address space, most of which are libraries and stacks; a gigabyte for one file would not fit."""
SECONDS = 30.0
"""Longer than any file here takes, on a busy computer, too."""
REFUSED, KEPT = "refused", "kept"


def load(path: Path) -> tuple[str, str]:
    """What becomes of `path`: (REFUSED, why), (KEPT, ""), or what should not be. Also what was printed meanwhile."""
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        try:
            bundle = load_bundle(path)
        except BundleError as error:
            outcome = REFUSED, error.why
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what the test is about
            return type(error).__name__, str(error)
        else:
            outcome = KEPT, ""
            for golden in bundle.info.golden:
                found = bundle.inspect(golden.view(bundle.info.view), golden.label)
                if not all(abs(getattr(found, key) - getattr(golden, key)) <= SCORE_TOLERANCE for key in SCORES):
                    outcome = "broke its word", f"{found} is not {golden}"
            limits = bundle.info.thresholds
            if not (0 <= limits.defect <= 1 and 0 <= (limits.mismatch or 0) <= 1):
                outcome = "has thresholds that are none", str(limits)
            bundle.ref.model_dump_json()
        said.seek(0)
        printed = said.read().decode(errors="replace")
        return ("printed", printed) if printed else outcome


def _small() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Loader:
    """Loads files elsewhere, and goes on with another process where one did not survive."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "x.onnx"
        self.whole = write_readable_bundle(folder / "readable.onnx").read_bytes()
        self._pool: ProcessPoolExecutor | None = None

    def outcome(self, data: bytes | onnx.ModelProto) -> tuple[str, str]:
        """What becomes of a file that holds `data`."""
        self.path.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")  # what was forked would have this process' threads' locks
            self._pool = ProcessPoolExecutor(1, spawn, _small)
        try:
            return self._pool.submit(load, self.path).result(SECONDS)
        except (BrokenProcessPool, TimeoutError) as error:
            self.close()
            return type(error).__name__, "the process did not survive this file, or did not come to an end"

    def holds(self, data: bytes | onnx.ModelProto) -> str:
        """REFUSED or KEPT; fails for everything else."""
        outcome, why = self.outcome(data)
        assert outcome in (REFUSED, KEPT), (outcome, why)
        assert not why or why.isprintable()
        assert len(why) <= LONGEST
        return outcome

    def model(self) -> onnx.ModelProto:
        """The readable bundle, to be damaged."""
        return onnx.load_from_string(self.whole)

    def claiming(self, key: str, value: str) -> onnx.ModelProto:
        """The readable bundle, saying something else of itself."""
        model = self.model()
        kept = {entry.key: entry.value for entry in model.metadata_props} | {f"kenpin.{key}": value}
        del model.metadata_props[:]
        helper.set_model_props(model, kept)
        return model

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._pool is not None:
            for process in self._pool._processes.values():
                process.kill()
            self._pool.shutdown()
            self._pool = None


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    with contextlib.closing(Loader(tmp_path_factory.mktemp("damage"))) as loader:
        yield loader


few = settings(deadline=None, max_examples=120)
many = settings(deadline=None, max_examples=400)


def test_the_whole_file_is_taken(loader: Loader) -> None:
    assert loader.holds(loader.whole) == KEPT


# The file


@many
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere(loader: Loader, share: float) -> None:
    assert loader.holds(loader.whole[: int(share * len(loader.whole))]) == REFUSED


@many
@given(bits=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4))
def test_flipped_bits(loader: Loader, bits: list[float]) -> None:
    damaged = bytearray(loader.whole)
    for share in bits:
        bit = int(share * 8 * len(damaged))
        damaged[bit // 8] ^= 1 << bit % 8
    loader.holds(bytes(damaged))


places = st.floats(0, 1)


@many
@given(first=places, second=places, length=st.integers(1, 512), how=st.sampled_from(["swap", "repeat", "lose", "zero"]))
def test_swapped_repeated_lost_and_empty_blocks(
    loader: Loader, first: float, second: float, length: int, how: str
) -> None:
    whole = loader.whole
    a, b = sorted(int(share * (len(whole) - length)) for share in (first, second))
    block, other = whole[a : a + length], whole[b : b + length]
    damaged = {
        "swap": whole[:a] + other + whole[a + length : max(a + length, b)] + block + whole[b + length :],
        "repeat": whole[:b] + block + whole[b:],
        "lose": whole[:a] + whole[a + length :],
        "zero": whole[:a] + bytes(length) + whole[a + length :],
    }[how]
    loader.holds(damaged)


@few
@given(data=st.binary(max_size=2000))
def test_what_is_no_bundle_at_all(loader: Loader, data: bytes) -> None:
    assert loader.holds(data) == REFUSED


# What it says of itself

numbers = st.sampled_from(["NaN", "Infinity", "-Infinity", "1e999", "-1", "1e308", "9" * 400, "9" * 5000, "0.5", "1"])
texts = st.text(max_size=20) | st.sampled_from(["", "\n", "\x1b[2J", "\ud800", "\0", "x" * 100_000, "é", "👍"])
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
anything = (
    values.map(json.dumps)
    | numbers
    | st.text(max_size=40)
    | st.integers(1, 100_000).flatmap(lambda n: st.sampled_from(["[" * n, '{"a":' * n, "[" * n + "]" * n]))
)
KEYS = (
    *("format", "name", "version", "labels", "view", "thresholds", "metrics"),
    *("provenance", "usual", "alignment", "golden"),
)


@many
@given(key=st.sampled_from(KEYS), value=anything)
def test_a_property_that_says_anything_at_all(loader: Loader, key: str, value: str) -> None:
    loader.holds(loader.claiming(key, value.encode(errors="replace").decode()))


def _bundle_fields() -> dict[str, Any]:
    fields = {entry.key.partition(".")[2]: entry.value for entry in _readable().metadata_props}
    return {key: json.loads(value) for key, value in fields.items() if key not in ("format", "name", "version")}


def _readable() -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        return onnx.load(write_readable_bundle(Path(folder, "readable.onnx")))


FIELDS = _bundle_fields()


def _places(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value."""
    yield way
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*way, key))


def _with(value: Any, way: tuple[str | int, ...], new: Any) -> Any:
    """A copy of a JSON value with another one at a place."""
    if not way:
        return new
    copy = value.copy()
    copy[way[0]] = _with(value[way[0]], way[1:], new)
    return copy


edges = st.sampled_from([-1, 0, 1, 3, 15, 17, 4096, 2**31, 2**63, 2**70, -0.1, 1.1, 1e308, float("nan"), float("inf")])


@many
@given(way=st.sampled_from(list(_places(FIELDS))[1:]), value=edges | values)
def test_one_wrong_value_in_otherwise_sound_metadata(loader: Loader, way: tuple[str, ...], value: object) -> None:
    key, *_ = way
    loader.holds(loader.claiming(key, json.dumps(_with(FIELDS, way, value)[key])))


many_labels = st.integers(1, 100_000).map(lambda count: [f"A{number}" for number in range(count)])


@few
@given(labels=st.lists(texts, max_size=5) | many_labels, twice=st.booleans())
def test_labels_of_any_kind_and_number(loader: Loader, labels: list[str], twice: bool) -> None:
    model = loader.claiming("labels", json.dumps(labels * (1 + twice)))
    loader.holds(model)


# The pictures in it


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, bits: int, colour: int, pixels: bytes) -> bytes:
    """A PNG that says of its pixels what it likes, with checksums that are right."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(pixels)) + _chunk(b"IEND", b"")


def _encoded(suffix: str, *shape: int, dtype: type = np.uint8) -> bytes:
    return cv2.imencode(suffix, np.zeros(shape, dtype))[1].tobytes()


BOMB = _png(2**15, 2**15, 8, 2, bytes(10**7))
pictures = (
    st.sampled_from(
        [
            BOMB,
            _png(2**31 - 1, 2**31 - 1, 16, 6, b""),
            _png(0, 0, 8, 0, b""),
            _encoded(".png", 4096, 4096, 3),
            _encoded(".png", 4096, 4096, 4, dtype=np.uint16),
            _encoded(".png", SIDE, SIDE, 1, dtype=np.uint16),
            *(_encoded(".png", SIDE, SIDE, channels) for channels in (1, 3, 4)),
            _encoded(".png", SIDE // 2, SIDE * 2, 1),
            _encoded(".bmp", SIDE, SIDE, 1),
            _encoded(".jpg", SIDE, SIDE, 1),
            _encoded(".tiff", SIDE, SIDE, 1),
        ]
    ).map(lambda data: base64.b64encode(data).decode())
    | st.binary(max_size=200).map(lambda data: base64.b64encode(data).decode())
    | st.text(max_size=40)
    | texts
)
far = st.sampled_from([0, 1, 16, 4096, 180, -1, float("nan")])


@few
@given(picture=pictures)
def test_a_golden_view_of_any_kind(loader: Loader, picture: str) -> None:
    golden = _with(FIELDS["golden"], (0, "image"), picture)
    assert loader.holds(loader.claiming("golden", json.dumps(golden))) == REFUSED


@few
@given(picture=pictures | st.just(FIELDS["golden"][0]["image"]), shift=far, turn=far, count=st.integers(0, 4))
def test_references_of_any_kind(loader: Loader, picture: str, shift: float, turn: float, count: int) -> None:
    references = [{"image": picture, "shift": shift, "turn": turn, "likeness": 0.5}] * count
    loader.holds(loader.claiming("alignment", json.dumps({"references": references})))


# The graph in it

versions = st.sampled_from([-1, 0, 1, 7, 99, 2**31, 2**62]) | st.integers(-(2**63), 2**63 - 1)


@few
@given(opset=versions, ir=st.just(9) | versions)
def test_a_past_or_future_onnx(loader: Loader, opset: int, ir: int) -> None:
    model = loader.model()
    model.opset_import[0].version, model.ir_version = opset, ir
    loader.holds(model)


@few
@given(
    node=st.integers(0, len(_readable().graph.node) - 1),
    operator=st.sampled_from(["", "Cast", "Identity", "Nope\n", "Loop", "QuickGelu", "FusedConv"])
    | st.text(max_size=8),
    domain=st.sampled_from(["", "com.microsoft", "ai.onnx.ml", "evil\n\x1b[2J"]) | st.text(max_size=8),
    known=st.booleans(),
)
def test_operators_of_others(loader: Loader, node: int, operator: str, domain: str, known: bool) -> None:
    model = loader.model()
    model.graph.node[node].op_type, model.graph.node[node].domain = operator, domain
    if known:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    loader.holds(model)


tensors = st.integers(0, 6)
dimensions = st.sampled_from(["N", "M\n", "", 0, 1, 2, 3, 16, 17, 4096, 2**40, -1, 2**63 - 1])


@few
@given(which=tensors, shape=st.none() | st.lists(dimensions, max_size=5), kind=st.integers(0, 30))
def test_inputs_and_outputs_of_other_shapes_and_types(
    loader: Loader, which: int, shape: list[str | int] | None, kind: int
) -> None:
    model = loader.model()
    tensor = [*model.graph.input, *model.graph.output][which]
    declared = helper.make_tensor_value_info(tensor.name, kind, shape)
    tensor.CopyFrom(declared)
    loader.holds(model)


OUTPUTS = ("defect_score", "mismatch_score", "difference", "reconstruction", "features")


@few
@given(
    output=st.sampled_from(OUTPUTS),
    how=st.sampled_from(["Flatten", "Shape", "Log", "Unsqueeze", "Twice", "Gone", "Half"]),
    declared=st.booleans(),
)
def test_outputs_that_come_out_otherwise(loader: Loader, output: str, how: str, declared: bool) -> None:
    model = loader.model()
    for node in model.graph.node:
        node.output[:] = ["right" if name == output else name for name in node.output]
        node.input[:] = ["right" if name == output else name for name in node.input]
    axis = "axis_1" if how == "Unsqueeze" else None
    changes = {
        "Twice": helper.make_node("Concat", ["right", "right"], [output], axis=0),
        "Gone": helper.make_node("Compress", ["right", "nothing"], [output], axis=0),
        "Half": helper.make_node("Split", ["right"], [output, "other"], axis=-1, num_outputs=2),
    }
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, bool), "nothing"))
    model.graph.node.append(changes.get(how) or helper.make_node(how, ["right", *([axis] if axis else [])], [output]))
    if not declared:
        (tensor,) = (tensor for tensor in model.graph.output if tensor.name == output)
        tensor.type.tensor_type.ClearField("shape")
    loader.holds(model)


@few
@given(
    operator=st.sampled_from(["ConstantOfShape", "Expand", "Tile"]),
    shape=st.lists(st.sampled_from([-1, 0, 1, 2**20, 2**31, 2**40, 2**62]), min_size=1, max_size=4),
    seen=st.booleans(),
)
def test_a_graph_that_asks_for_terabytes(loader: Loader, operator: str, shape: list[int], seen: bool) -> None:
    model = loader.model()
    model.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), "huge"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros([1] * len(shape), np.float32), "little"))
    inputs = ["huge"] if operator == "ConstantOfShape" else ["little", "huge"]
    model.graph.node.append(helper.make_node(operator, inputs, ["vast"]))
    if seen:
        model.graph.output.append(helper.make_tensor_value_info("vast", TensorProto.FLOAT, None))
    loader.holds(model)


@few
@example(dims=[1, 1], kind=7)  # a shortlist of two dimensions
@given(dims=st.lists(st.sampled_from([-1, 0, 1, 3, 2**31, 2**40, 2**62]), max_size=3), kind=st.integers(0, 30))
def test_weights_that_are_not_as_they_say(loader: Loader, dims: list[int], kind: int) -> None:
    for which in range(len(loader.model().graph.initializer)):
        model = loader.model()
        model.graph.initializer[which].dims[:] = dims
        model.graph.initializer[which].data_type = kind
        loader.holds(model)


# The command


@pytest.mark.parametrize("damage", ["cut", "name", "bomb", "nested", "empty", "label"])
def test_score_says_one_line_of_a_damaged_bundle(loader: Loader, tmp_path: Path, damage: str) -> None:
    bomb = _with(FIELDS["golden"], (0, "image"), base64.b64encode(BOMB).decode())
    damaged = {
        "cut": loader.whole[:1000],
        "name": loader.whole.replace(b"reconstruction", b"\xffeconstruction"),
        "bomb": loader.claiming("golden", json.dumps(bomb)).SerializeToString(),
        "nested": loader.claiming("metrics", "[" * 100_000).SerializeToString(),
        "empty": b"",
        "label": loader.claiming("labels", json.dumps(["A\n12", "B7", "C3"])).SerializeToString(),
    }[damage]
    (tmp_path / "x.onnx").write_bytes(damaged)
    (tmp_path / "view.png").write_bytes(_encoded(".png", SIDE, SIDE, 1))
    command = ["score", str(tmp_path / "x.onnx"), str(tmp_path / "view.png"), "--label", READABLE_LABELS[0]]
    ended = subprocess.run(
        [sys.executable, "-m", "edge_runtime", *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"kenpin-edge: {tmp_path}/x.onnx: ")
    assert ended.stderr.count("\n") == 1
