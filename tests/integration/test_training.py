"""The training box, by its own commands: what they leave behind, and what they say to a mistake."""

import csv
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from edge_runtime.bundle import load_bundle
from export import cli as export_cli
from export.signing import keygen
from train import cli as train_cli
from train.datasets import shapes
from train.run import load

ROOT = Path(__file__).parents[2]


def refused(capsys: pytest.CaptureFixture[str], main: object, *arguments: object) -> str:
    """The one line that a command refuses its arguments with, after what it says of its progress."""
    assert callable(main)
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    lines = [line for line in captured.err.splitlines() if line.startswith(("kenpin-train:", "kenpin-export:"))]
    assert len(lines) == 1
    return lines[0]


def folder_of(root: Path, labels: tuple[str, ...], good: int, defective: int = 0) -> Path:
    """A data set folder of real `shapes` pictures."""
    rng = np.random.default_rng(5)
    for label in labels:
        for kind, count in (("good", good), ("defect", defective)):
            for number in range(count):
                path = root / label / "train" / kind / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), shapes.draw(label, rng, defective=kind == "defect"))
    return root


def test_a_run_folder_holds_all_that_an_engineer_and_an_export_need(run_folder: Path) -> None:
    names = {path.name for path in run_folder.iterdir()}
    assert names == {
        "run.json", "model.weights.h5", "decision.npz", "held_out.npz", "calibration.npz",
        "files.csv", "history.json", "metrics.json", "report.html",
    }  # fmt: skip
    figures = json.loads((run_folder / "metrics.json").read_text())
    assert figures["mismatch_auroc"] > 0.9
    assert figures["baselines"][0]["method"] == "kenpin"
    assert all(it["defect"] and it["wrong_part"] for it in figures["baselines"])
    history = json.loads((run_folder / "history.json").read_text())
    assert history["error"][-1] < history["error"][0] / 3
    with (run_folder / "files.csv").open(newline="") as listed:
        rows = list(csv.DictReader(listed))
    assert {row["use"] for row in rows} == {"train", "test"}
    assert all(len(row["sha256"]) == 64 for row in rows)


def test_the_label_binds(run_folder: Path) -> None:
    """Drawn under a wrong label, a view fits much worse: that is what the project stands on."""
    _, decision, held_out, _ = load(run_folder)
    data = shapes.load(size=None, seed=0, report=lambda _done, _total: None).test
    view = data.images[data.good].astype(np.float32) / 255
    label = data.label[data.good]
    right = ((np.asarray(decision.cvae.reconstruct(view, label)) - view) ** 2).mean(axis=(1, 2, 3))
    wrong = ((np.asarray(decision.cvae.reconstruct(view, (label + 1) % 4)) - view) ** 2).mean(axis=(1, 2, 3))
    assert np.median(wrong / right) > 2
    assert len(held_out.views) > 0


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate((7, 7, 8)):
        out = tmp_path / str(number)
        command = [sys.executable, "-m", "train.cli", "shapes", "--out", str(out), "--epochs", "1", "--seed", str(seed)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        arrays = np.load(out / "decision.npz")
        digests.append(hashlib.sha256(b"".join(arrays[key].tobytes() for key in sorted(arrays.files))).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_a_single_label_trains_exports_and_says_that_wrong_parts_cannot_be_told_and_that_defects_escape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = folder_of(tmp_path / "parts", ("solid-circle",), good=24)
    assert train_cli.main([str(data), "--out", str(tmp_path / "run"), "--epochs", "2"]) == 0
    said = capsys.readouterr().err
    assert "wrong parts can't be told" in said
    assert "no defective training views" in said
    warning = said.splitlines()[-1]
    assert warning.startswith("note: most defects may escape: "), "two epochs teach no defect"
    head, _, _ = (tmp_path / "run" / "report.html").read_text().partition("What became of the views")
    assert "Most defects may escape: " in head
    assert export_cli.main([str(tmp_path / "run"), "--out", str(tmp_path / "x.onnx")]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == warning
    bundle = load_bundle(tmp_path / "x.onnx")
    assert bundle.info.thresholds.mismatch is None
    assert bundle.inspect(np.zeros((27, 27, 1), np.uint8), 0).mismatch_score == 0


def test_colour_pictures_of_any_shape_go_all_the_way(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, colour in (("red", (30, 30, 200)), ("yellow", (30, 200, 200))):
        for number in range(16):
            picture = np.zeros((60, 90, 3), np.uint8)
            cv2.circle(picture, tuple(int(v) for v in rng.integers(25, 35, 2)), 18, colour, -1)
            path = tmp_path / "parts" / label / "train" / "good" / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture + rng.integers(0, 20, picture.shape, np.uint8))
    run, out = tmp_path / "run", tmp_path / "x.onnx"
    assert train_cli.main([str(tmp_path / "parts"), "--out", str(run), "--epochs", "3", "--size", "48"]) == 0
    assert export_cli.main([str(run), "--out", str(out)]) == 0
    spec = load_bundle(out).info.view
    assert (spec.height, spec.width, spec.channels) == (32, 48, 3)


def test_a_missing_data_set_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, train_cli.main, tmp_path / "nowhere", "--out", tmp_path / "run")
    assert "nowhere: is no folder" in line
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_png_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = folder_of(tmp_path / "parts", ("solid-circle", "hollow-circle"), good=10)
    cut = data / "solid-circle/train/good/3.png"
    cut.write_bytes(cut.read_bytes()[:200])
    line = refused(capsys, train_cli.main, data, "--out", tmp_path / "run")
    assert "solid-circle/train/good/3.png: is cut short" in line
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_an_empty_label_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder_of(tmp_path / "parts", ("solid-circle",), good=10)
    (data / "B7").mkdir()
    assert "has 0 good pictures of 'B7'" in refused(capsys, train_cli.main, data, "--out", tmp_path / "run")


def test_an_older_run_is_not_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("kept")
    assert "exists" in refused(capsys, train_cli.main, "shapes", "--out", tmp_path / "run")
    assert "exists" in refused(capsys, train_cli.main, "shapes", "--out", tmp_path / "run", "--overwrite")
    assert (tmp_path / "run" / "precious.txt").read_text() == "kept"


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--max-false-alarm", "80%"], ["--size", "big"]])
def test_arguments_out_of_range_are_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        train_cli.main(["shapes", "--out", str(tmp_path / "run"), *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_same_run_is_exported_to_the_same_bytes(run_folder: Path, tmp_path: Path) -> None:
    """Whatever the order in which the converter's process finds things in its sets."""
    written = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.onnx"
        command = [sys.executable, "-m", "export.cli", str(run_folder), "--out", str(out)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        written.append(out.read_bytes())
    assert written[0] == written[1]
    model = onnx.load_from_string(written[0])
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]


def test_an_export_of_no_run_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, export_cli.main, tmp_path / "nowhere", "--out", tmp_path / "x.onnx")
    assert "is no folder" in line
    (tmp_path / "empty").mkdir()
    assert "has no run.json" in refused(capsys, export_cli.main, tmp_path / "empty", "--out", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_an_export_that_does_not_agree_with_what_was_trained_is_not_written(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "run"
    other.mkdir()
    for path in run_folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    kept = dict(np.load(other / "held_out.npz"))
    kept["defect_score"] = kept["defect_score"] + np.float32(0.002)
    np.savez_compressed(other / "held_out.npz", **kept)
    line = refused(capsys, export_cli.main, other, "--out", tmp_path / "x.onnx")
    assert "not written: its scores are up to 0.002" in line
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_export_with_a_key_is_signed_at_once(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, pub, _ = keygen(tmp_path / "plant")
    out = tmp_path / "part.onnx"
    assert export_cli.main([str(run_folder), "--out", str(out), "--key", str(key)]) == 0
    assert ", signed, " in capsys.readouterr().out
    load_bundle(out, [pub])
    assert {path.name for path in tmp_path.iterdir()} == {
        "plant.key", "plant.pub", "part.onnx", "part.onnx.sig", "part.cdx.json",
    }  # fmt: skip
    assert export_cli.main([str(run_folder), "--out", str(out)]) == 0
    assert not out.with_name("part.onnx.sig").exists(), "the signature of an older bundle is none of this one"


def test_every_export_has_its_bill(bundle_path: Path) -> None:
    bundle = load_bundle(bundle_path)
    text = bundle_path.with_suffix(".cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    told = json.loads(text)
    assert told["metadata"]["component"]["hashes"][0]["content"] == bundle.sha256
    assert told["metadata"]["timestamp"] == bundle.info.provenance.created
    packages = {component["name"]: component["version"] for component in told["components"][1:]}
    assert packages == bundle.info.provenance.packages


def test_a_run_that_tells_no_time_of_training_is_not_exported_and_leaves_an_older_bundle(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    path, out = tmp_path / "run" / "run.json", tmp_path / "x.onnx"
    run = json.loads(path.read_text())
    run["provenance"]["created"] = "last spring"
    path.write_text(json.dumps(run))
    out.write_text("older")
    assert "run.json: tells no time of its training" in refused(capsys, export_cli.main, path.parent, "--out", out)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "x.onnx"}
    assert out.read_text() == "older"


@pytest.mark.parametrize("name", ["decision.npz", "held_out.npz", "model.weights.h5", "run.json"])
def test_a_damaged_run_folder_is_one_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for path in run_folder.iterdir():
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(data[: len(data) // 2] if path.name == name else data)
    refused(capsys, export_cli.main, tmp_path, "--out", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_the_demo_refuses_a_taken_port_before_it_trains() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = subprocess.run(
            [sys.executable, "-m", "demo", "--data", "shapes", "--port", str(port)],
            cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert found.returncode == 2
    assert found.stderr.strip() == (
        f"demo: broker 127.0.0.1:{port}: the demo's broker cannot listen there (Address already in use); "
        f"choose another: make demo PORT={port + 1}"
    )
    assert found.stdout == ""
