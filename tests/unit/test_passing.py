"""What may pass by itself does not stop a station until a person comes: a disk, a lock, memory."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_runtime.bundle import load_bundle, read_bundle
from edge_runtime.changeover import first_bundle
from edge_runtime.errors import MEND_FIRST, TRY_AGAIN, BundleError, KenpinError, StoreError
from edge_runtime.recipe import Recipe
from edge_runtime.station import Station
from edge_runtime.store import BUNDLE, Store
from edge_runtime.trust import read_public
from tests.unit.conftest import write_readable_bundle

FAILING = "/proc/self/mem"
"""A file that is there and open to us, and gives an input/output error to who reads it from its beginning."""

READERS: dict[str, Callable[[Path], object]] = {
    "recipe.json": lambda path: Recipe(path.parent, {"J4": "A12"}, ("A12",)),
    "part.onnx": read_bundle,
    "plant.pub": read_public,
    "bundles/choice.json": lambda path: Store(path.parents[1]).choice(),
}


def refused(read: Callable[[], object]) -> KenpinError:
    with pytest.raises(KenpinError) as refused:
        read()
    return refused.value


@pytest.mark.parametrize("name", READERS)
def test_a_disk_that_fails_may_pass_and_nobody_is_told_to_delete_what_lies_there(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(FAILING)
    error = refused(lambda: READERS[name](path))
    assert error.service_status == TRY_AGAIN
    assert "cannot be read (Input/output error)" in str(error)
    assert str(error).endswith("; check the disk")


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_needs_a_person(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir(parents=True)
    assert refused(lambda: READERS[name](tmp_path / name)).service_status == MEND_FIRST


def test_an_error_that_may_pass_makes_no_other_of_its_kind_pass(tmp_path: Path) -> None:
    (tmp_path / "failing.onnx").symlink_to(FAILING)
    assert refused(lambda: read_bundle(tmp_path / "failing.onnx")).service_status == TRY_AGAIN
    assert refused(lambda: read_bundle(tmp_path / "missing.onnx")).service_status == MEND_FIRST


def test_a_store_that_another_holds_for_too_long_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.store.WAIT_S", 0.1)
    (tmp_path / "bundles").mkdir()
    other = os.open(tmp_path / "bundles", os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        error = refused(lambda: Store(tmp_path).load("0" * 64))
    finally:
        os.close(other)
    assert (type(error), error.service_status) == (StoreError, TRY_AGAIN)


def test_a_chosen_bundle_that_a_disk_does_not_give_need_not_be_installed_again(tmp_path: Path) -> None:
    store, path = Store(tmp_path / "state"), tmp_path / "station.toml"
    path.write_text(
        'site = "s"\nline = "l"\nstation = "c"\nbundle = "part.onnx"\ndata = "state"\n'
        '[camera]\nkind = "folder"\npath = "."\n[region.J4]\nexpected = "A12"\n[mqtt]\nhost = "127.0.0.1"\n'
    )
    entry = store.install(write_readable_bundle(tmp_path / "part.onnx"), lambda _info: None)
    store.choose(entry.sha256, None, beside="part.onnx")
    kept = store.folder / entry.sha256 / BUNDLE
    kept.unlink()
    kept.symlink_to(FAILING)
    error = refused(lambda: first_bundle(Station.read(path), store))
    assert error.service_status == TRY_AGAIN
    assert "install it again" not in str(error)


def test_too_little_memory_says_nothing_of_a_bundle_and_may_pass(tmp_path: Path) -> None:
    """One that asks for more than any machine has, since a test cannot take this one's."""
    path = write_readable_bundle(tmp_path / "part.onnx")
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**45], np.int64), "many"))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["many"], ["much"]))
    model.graph.node.append(helper.make_node("ReduceMax", ["much"], ["most"], keepdims=0))
    node = next(node for node in model.graph.node if node.output[0] == "defect_score")
    node.output[0] = "score"
    model.graph.node.append(helper.make_node("Add", ["score", "most"], ["defect_score"]))
    onnx.save(model, path)
    error = refused(lambda: load_bundle(path))
    assert isinstance(error, BundleError)
    assert error.service_status == TRY_AGAIN
    assert "too little memory" in error.why
