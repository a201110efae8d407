"""A draft is gone when its process ends, and what a killed process left is gone at the next."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from train.cli import _put
from train.draft import STALE_S, draft_of

ROOT = Path(__file__).parents[2]


def left_behind(path: Path, age_s: float) -> Path:
    path.mkdir()
    (path / "run.json").write_text("half")
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("name", ["run", "run[1]*", "part.onnx"])
def test_old_drafts_of_the_same_output_go_and_nothing_else_does(tmp_path: Path, name: str) -> None:
    gone = left_behind(tmp_path / f".{name}.draft-abcd1234", STALE_S + 60)
    stay = {
        left_behind(tmp_path / f".{name}.draft-young123", STALE_S - 60),  # it may be another process' own
        left_behind(tmp_path / ".other.draft-abcd1234", STALE_S + 60),
        left_behind(tmp_path / f".{name}.mine", STALE_S + 60),
        left_behind(tmp_path / f".{name}.draft-notes", STALE_S + 60),
        left_behind(tmp_path / f".{name}.draft-2.draft-abcd1234", STALE_S + 60),  # of another output's
        left_behind(tmp_path / name, STALE_S + 60),
    }
    with draft_of(tmp_path / name) as draft:
        assert draft.parent == tmp_path
        assert not gone.exists()
    assert set(tmp_path.iterdir()) == stay


def test_what_is_renamed_out_of_a_draft_stays(tmp_path: Path) -> None:
    with draft_of(tmp_path / "run") as draft:
        (draft / "run.json").write_text("whole")
        draft.rename(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with draft_of(tmp_path / "part.onnx") as draft:
        (draft / "part.onnx").write_text("whole")
        (draft / "part.onnx").replace(tmp_path / "part.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "part.onnx"}


def test_a_training_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "train.cli", "shapes", "--out", str(tmp_path / "run")],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stderr is not None
        assert "loading TensorFlow" in process.stderr.readline()  # it has seen that it can write there
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("overwrite", "there", "place"), [
    (False, None, "run"),
    (True, "run.json", "run"),
    (False, "run.json", "run-2"),
    (True, "notes.txt", "run-2"),
])  # fmt: skip
def test_what_came_to_the_runs_place_meanwhile_is_not_lost_and_neither_is_the_run(
    tmp_path: Path, overwrite: bool, there: str | None, place: str
) -> None:
    out = tmp_path / "run"
    if there:
        out.mkdir()
        (out / there).write_text("old")
    with draft_of(out) as draft:
        (draft / "run.json").write_text("new")
        assert _put(draft, out, overwrite) == tmp_path / place
    assert (tmp_path / place / "run.json").read_text() == "new"
    assert place == "run" or (out / str(there)).read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"run", place}
