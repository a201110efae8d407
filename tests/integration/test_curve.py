"""`kenpin-train curve`, by its own command: real trainings, stopped and gone on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train import cli

ROOT = Path(__file__).parents[2]
ASKED = ("curve", "shapes", "--good", "8", "16", "--defects", "--repeats", "1", "--epochs", "1")


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def test_an_interrupted_curve_goes_on_where_it_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "curve"
    process = subprocess.Popen(
        [sys.executable, "-m", "train.cli", *ASKED, "--out", str(out)],
        cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        give_up = time.monotonic() + 120
        while not lines_of(out / "points.jsonl") and process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.05)
        time.sleep(0.5 if lines_of(out / "points.jsonl") else 0)  # it is counted once it is synced
        process.send_signal(signal.SIGTERM)  # as Ctrl-C, which whoever runs these in the background ignores
        printed, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert printed == ""
    assert "training point 1 of 2: 8 good views a label, 96 defective, repeat 1 …" in said
    assert f"points kept in {out}: 1; the same command goes on from there" in said
    assert "Traceback" not in said
    (first,) = lines_of(out / "points.jsonl")

    assert cli.main([*ASKED, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "1 of 2 points are there already" in captured.err
    assert "training point 2 of 2: 16 good views a label" in captured.err
    assert "point 2 of 2: 16 good views a label, 96 defective, repeat 1: false alarms" in captured.err
    assert "AUROC of wrong parts" in captured.out
    assert "good views a label" in captured.out
    assert lines_of(out / "points.jsonl")[0] == first
    assert len(lines_of(out / "points.jsonl")) == 2
    assert {path.name for path in out.iterdir()} == {"curve.json", "points.jsonl", "curve.html", "curve.csv"}

    assert cli.main([*ASKED, "--out", str(out), "--seed", "1"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"kenpin-train: {out}: is a curve of other pictures")
    assert len(lines_of(out / "points.jsonl")) == 2


def test_more_good_views_than_there_are_is_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["curve", "shapes", "--out", str(tmp_path / "curve"), "--good", "500"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("kenpin-train: --good 500: label 'hollow-circle' has only 240 good training views")
    assert list(tmp_path.iterdir()) == []
