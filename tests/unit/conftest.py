"""A bundle whose scores can be read off the picture: for tests of what is made of scores."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.bundle import Bundle, BundleInfo, Golden, Provenance, load_bundle
from edge_runtime.engine import Arrays, Engine, Setting
from edge_runtime.picture import Image, ViewSpec
from edge_runtime.quality import Usual
from edge_runtime.tuning import Machine, Tuning, tune_path
from edge_runtime.verdict import Thresholds
from export.signing import keygen, read_private, sign

READABLE_LABELS = ("A12", "B7", "C3")
View = Callable[..., Image]
SIDE = 16
FULL = 200
"""The pixel value that stands for a score of 1. Above it the score is no probability."""


def _readable_view(defect: int, *mismatches: int) -> Image:
    """A view, uint8 [16, 16, 1], that says: this defect score, and this mismatch score for each label, all × 200."""
    view = np.full((SIDE, SIDE, 1), 100, np.uint8)
    view[0, : 1 + len(mismatches), 0] = (defect, *mismatches)
    view[9, 5] = 255  # where the difference is largest
    return view


def write_readable_bundle(
    path: Path, labels: tuple[str, ...] = READABLE_LABELS, *, version: str = "1", defect: float = 0.5
) -> Path:
    """A real ONNX graph to the bundle's contract: pixel 0 is the defect score, pixel 1 + k the mismatch of label k."""
    constants: dict[str, npt.NDArray[Any]] = {
        "flat_shape": np.array([0, -1], np.int64),
        "first": np.array(0, np.int64),
        "full": np.array(FULL, np.float32),
        "one": np.array(1, np.int64),
        "last_axis": np.array([-1], np.int64),
        "axis_1": np.array([1], np.int64),
        "each": np.arange(len(labels), dtype=np.int64),
        "one_label": np.array([1], np.int64),
        "zero": np.array(0, np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        node("Reshape", ["pixels", "flat_shape"], ["flat_views"]),
        node("Shape", ["label"], ["count"]),
        node("Concat", ["count", "one_label"], ["a_row_a_label"], axis=0),
        node("Expand", ["flat_views", "a_row_a_label"], ["flat"]),
        node("Gather", ["flat_views", "first"], ["any_pixel"], axis=1),
        node("Cast", ["any_pixel"], ["any_number"], to=TensorProto.INT64),
        node("Mul", ["any_number", "zero"], ["zeros"]),
        node("Unsqueeze", ["zeros", "axis_1"], ["a_zero_a_view"]),
        node("Add", ["a_zero_a_view", "each"], ["shortlist"]),
        node("Gather", ["flat", "first"], ["defect_pixel"], axis=1),
        node("Div", ["defect_pixel", "full"], ["defect_score"]),
        node("Add", ["label", "one"], ["place"]),
        node("Unsqueeze", ["place", "axis_1"], ["column"]),
        node("GatherElements", ["flat", "column"], ["mismatch_pixel"], axis=1),
        node("Squeeze", ["mismatch_pixel", "axis_1"], ["mismatch_flat"]),
        node("Div", ["mismatch_flat", "full"], ["mismatch_score"]),
        node("Squeeze", ["pixels", "last_axis"], ["difference"]),
        node("Identity", ["image"], ["reconstruction"]),
        node("Unsqueeze", ["defect_score", "axis_1"], ["feature_1"]),
        node("Div", ["mismatch_pixel", "full"], ["feature_2"]),
        node("Concat", ["feature_1", "feature_2"], ["features"], axis=1),
    ]
    tensor = helper.make_tensor_value_info
    image: list[str | int | None] = ["N", SIDE, SIDE, 1]
    graph = helper.make_graph(
        nodes,
        "readable",
        [tensor("image", TensorProto.UINT8, image), tensor("label", TensorProto.INT64, ["N"])],
        [
            tensor("defect_score", TensorProto.FLOAT, ["N"]),
            tensor("mismatch_score", TensorProto.FLOAT, ["N"]),
            tensor("difference", TensorProto.FLOAT, ["N", SIDE, SIDE]),
            tensor("reconstruction", TensorProto.UINT8, image),
            tensor("features", TensorProto.FLOAT, ["N", 2]),
            tensor("shortlist", TensorProto.INT64, ["N", len(labels)]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    golden = Golden.of(_readable_view(20, 40, 40, 40), 0, 0.1, 0.2, np.array([0.1, 0.2], np.float32))
    info = BundleInfo(
        name="readable",
        version=version,
        labels=labels,
        view=ViewSpec(height=SIDE, width=SIDE, channels=1),
        thresholds=Thresholds(defect=defect, mismatch=0.5 if len(labels) > 1 else None),
        metrics={},
        provenance=Provenance(
            data="none", data_digest=hashlib.sha256().hexdigest(), seed=0, created="", commit="", packages={}
        ),
        golden=(golden,),
        usual=(Usual(low=(-1, -1, -1), high=(1e6, 1e6, 1e6)),) * len(labels),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, info.to_properties())
    onnx.save(model, path)
    return path


def write_tune_file(bundle: Bundle, choice: Setting) -> Path:
    """The tune file of a bundle for this machine, beside it."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    path = tune_path(bundle.path)
    path.write_bytes(
        Tuning(bundle=bundle.sha256, machine=Machine.here(), measured_at=at, choice=choice, rows=()).to_json()
    )
    return path


@dataclass
class Crooked:
    """An engine whose answers are off: in every batch, or only where several views are asked about at once."""

    engine: Engine
    off: float
    setting: Setting
    one: bool = True
    version: str = "0"

    def run(self, outputs: Sequence[str], feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        said = self.engine.run(outputs, feeds)
        if self.one or len(feeds["label"]) > 1:
            said["mismatch_score"] = said["mismatch_score"] + np.float32(self.off)
        return said


@pytest.fixture
def readable_view() -> Callable[..., Image]:
    return _readable_view


@pytest.fixture(scope="session")
def readable_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_readable_bundle(tmp_path_factory.mktemp("readable") / "readable.onnx"))


@dataclass(frozen=True)
class Pair:
    """A pair of key files, and the fingerprint of its public one."""

    key: Path
    pub: Path
    fingerprint: str


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(*keygen(tmp_path_factory.mktemp("keys") / "plant"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(*keygen(tmp_path_factory.mktemp("keys") / "stranger"))


@pytest.fixture
def unsigned(tmp_path: Path, readable_bundle: Bundle) -> Path:
    """A copy of the readable bundle, `part.onnx`, without a signature."""
    return Path(shutil.copy(readable_bundle.path, tmp_path / "part.onnx"))


@pytest.fixture
def signed(unsigned: Path, plant: Pair) -> Path:
    """The same, signed by `plant`."""
    sign(unsigned, read_private(plant.key))
    return unsigned


@pytest.fixture(scope="session")
def odd_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what people name by mistake, .key and .pub: `rsa`, `text`, `folder`, `locked` (a passphrase)."""
    folder = tmp_path_factory.mktemp("odd")
    rsa_key, pem = rsa.generate_private_key(65537, 2048), Encoding.PEM
    locked, pkcs8 = ed25519.Ed25519PrivateKey.generate(), PrivateFormat.PKCS8
    (folder / "rsa.key").write_bytes(rsa_key.private_bytes(pem, pkcs8, NoEncryption()))
    (folder / "rsa.pub").write_bytes(rsa_key.public_key().public_bytes(pem, PublicFormat.SubjectPublicKeyInfo))
    (folder / "locked.key").write_bytes(locked.private_bytes(pem, pkcs8, BestAvailableEncryption(b"secret")))
    for name in ("text.key", "text.pub"):
        (folder / name).write_text("-----BEGIN a key-----\nno key at all\n")
    for name in ("folder.key", "folder.pub"):
        (folder / name).mkdir()
    return folder
