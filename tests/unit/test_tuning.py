"""A tune file is followed where it holds; where it does not, one line says so and the plain engine judges."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_runtime import tuning
from edge_runtime.bundle import Bundle, load_bundle
from edge_runtime.cli import main
from edge_runtime.engine import PLAIN, Engine, Setting, start
from edge_runtime.errors import BundleError, TuneError
from edge_runtime.store import Store
from edge_runtime.tuning import Machine, Tuning, tune_path, tuned
from tests.unit.conftest import Crooked, View, write_readable_bundle, write_tune_file

OPENVINO = Setting(name="openvino", level=None)
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return load_bundle(write_readable_bundle(tmp_path / "part.onnx"))


def test_without_a_tune_file_a_bundle_stays_on_the_plain_engine(bundle: Bundle) -> None:
    assert tuned(bundle) is bundle
    assert bundle.engine.setting == PLAIN


@pytest.mark.parametrize("choice", [OPENVINO, Setting(threads=1, level="basic")], ids=str)
def test_the_chosen_engine_runs_the_bundle(bundle: Bundle, choice: Setting) -> None:
    write_tune_file(bundle, choice)
    fast = tuned(bundle)
    assert (fast.engine.setting, fast.ref) == (choice, bundle.ref)


def test_where_the_plain_engine_was_the_fastest_nothing_is_loaded_again(bundle: Bundle) -> None:
    write_tune_file(bundle, PLAIN)
    assert tuned(bundle) is bundle


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda kept: kept.update(bundle="0" * 64), "was measured with another bundle"),
        (lambda kept: kept["machine"].update(cpu="Abacus 9"), r"was measured on Abacus 9, .*, and this is "),
        (lambda kept: kept["machine"].update(cores=4096), "was measured on .*4096 cores"),
        (lambda kept: kept["machine"]["engines"].update(openvino="1999.1"), r"was measured on .*openvino 1999\.1"),
        (lambda kept: kept["machine"]["engines"].pop("openvino"), "was measured on "),
        (lambda kept: kept.update(schema="kenpin.tune/2"), "no tune file that this kenpin reads"),
        (lambda kept: kept["choice"].update(name="abacus"), "no tune file that this kenpin reads"),
        (lambda kept: kept["choice"].update(threads=0), "no tune file that this kenpin reads"),
        (lambda kept: kept["choice"].update(threads=10**9), "no tune file that this kenpin reads"),
        (lambda kept: kept["choice"].update(level="most"), "no tune file that this kenpin reads"),
        (lambda kept: kept["choice"].update(provider="CUDA"), "its choice is refused, onnxruntime CUDA, level all"),
        (lambda kept: kept["choice"].update(provider="x\ny"), "no tune file that this kenpin reads"),
        (lambda kept: kept["machine"].update(cpu="x\ny"), "no tune file that this kenpin reads"),
        (
            lambda kept: kept["choice"].update(name="openvino", provider="Abacus"),
            "its choice is refused, openvino Aba",
        ),
        (lambda kept: kept.pop("choice"), "no tune file that this kenpin reads"),
        (lambda kept: kept.clear(), "no tune file that this kenpin reads"),
    ],
)
def test_a_tune_file_that_does_not_hold_here_is_one_line_that_says_what_to_do(
    bundle: Bundle, change: Change, why: str
) -> None:
    path = write_tune_file(bundle, PLAIN)
    kept = json.loads(path.read_text())
    change(kept)
    path.write_text(json.dumps(kept))
    with pytest.raises(TuneError, match=why) as refused:
        tuned(bundle)
    assert str(refused.value).startswith(f"{path}: ")
    assert str(refused.value).endswith("run kenpin-edge tune again, or delete it")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\x00\xff", b"[" * 100_000, b" " * (2 << 20) + b"{}"])
def test_a_damaged_tune_file_is_one_line(bundle: Bundle, content: bytes) -> None:
    tune_path(bundle.path).write_bytes(content)
    with pytest.raises(TuneError, match="is damaged, or no tune file that this kenpin reads; run kenpin"):
        tuned(bundle)


def test_a_tune_file_that_cannot_be_read_is_one_line(bundle: Bundle) -> None:
    tune_path(bundle.path).mkdir()
    with pytest.raises(TuneError, match=r"cannot be read \(Is a directory\)"):
        tuned(bundle)


def test_a_chosen_engine_that_no_longer_says_what_was_trained_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crooked(data: bytes, setting: Setting) -> Engine:
        return Crooked(start(data, PLAIN), 0.01, setting)

    write_tune_file(bundle, OPENVINO)
    monkeypatch.setattr(tuning, "start", crooked)
    with pytest.raises(TuneError, match=r"its choice is refused, openvino CPU: golden vector 0 gives .* else run"):
        tuned(bundle)


def test_another_engine_is_given_only_what_proved_itself(bundle: Bundle) -> None:
    write_tune_file(bundle, OPENVINO)
    write_readable_bundle(bundle.path, version="2")
    with pytest.raises(BundleError, match="was changed while it was in use"):
        tuned(bundle)


def test_the_store_keeps_a_tune_file_with_its_bundle(bundle: Bundle, tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    store.install(bundle.path, lambda _: None)
    assert tuned(store.load(bundle.sha256)).engine.setting == PLAIN
    write_tune_file(bundle, OPENVINO)
    store.install(bundle.path, lambda _: None)
    assert tuned(store.load(bundle.sha256)).engine.setting == OPENVINO


@pytest.mark.parametrize("choice", [None, OPENVINO, Setting(provider="CUDA")], ids=str)
def test_score_gives_its_verdicts_whatever_the_tune_file_says(
    bundle: Bundle,
    tmp_path: Path,
    readable_view: View,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    choice: Setting | None,
) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), readable_view(20, 20, 180, 180))
    if choice:
        write_tune_file(bundle, choice)
    assert main(["score", str(bundle.path), str(tmp_path / "good.png"), "--label", "A12"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "OK"
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == (choice is not None and choice.provider == "CUDA")
    assert all(line.startswith("judging with onnxruntime CPU, level all: ") for line in warnings)


def test_a_tune_file_says_what_it_was_written_with(bundle: Bundle) -> None:
    kept = Tuning.model_validate_json(write_tune_file(bundle, OPENVINO).read_bytes())
    assert (kept.choice, kept.bundle, kept.machine) == (OPENVINO, bundle.sha256, Machine.here())
