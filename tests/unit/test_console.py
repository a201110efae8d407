"""A command line that makes no sense is one line that says what to do, whichever of the commands it was meant for."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from edge_runtime import cli as edge
from export import cli as export
from train import cli as train

ROOT = Path(__file__).parents[2]
Captured = pytest.CaptureFixture[str]


def refused(captured: Captured, main: Callable[[list[str]], int], arguments: str) -> str:
    """The one line that was said; nothing may have been printed."""
    with pytest.raises(SystemExit) as ended:
        main(arguments.split(" "))
    assert ended.value.code == 2
    out, err = captured.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


@pytest.mark.parametrize(
    ("main", "arguments", "command"),
    [
        (train.main, "shapes", "kenpin-train"),
        (train.main, "shapes --out run --size big", "kenpin-train"),
        (train.main, "curve shapes --out curve --repeats 0", "kenpin-train curve"),
        (export.main, "run", "kenpin-export"),
        (edge.main, "fly", "kenpin-edge"),
        (edge.main, "watch --port 0", "kenpin-edge watch"),
        (edge.main, "watch two\nlines", "kenpin-edge watch"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_help_is(
    main: Callable[[list[str]], int], arguments: str, command: str, capsys: Captured
) -> None:
    line = refused(capsys, main, arguments)
    assert line.startswith(f"{command}: error: ")
    assert line.endswith(f"; see {command} --help")


@pytest.mark.parametrize(
    ("main", "arguments", "hint"),
    [
        (train.main, "shapes --out run --max-flase-alarm 1%", "--max-flase-alarm (did you mean --max-false-alarm?)"),
        (train.main, "shapes --otu=run", "--otu (did you mean --out?)"),
        (train.main, "curve shapes --out curve --god 8", "--god (did you mean --good?)"),
        (export.main, "run --out part.onnx --nmae part", "--nmae (did you mean --name?)"),
        (export.main, "sign part.onnx --kye plant.key", "--kye (did you mean --key?)"),
        (edge.main, "watch --prot 1884", "--prot (did you mean --port?)"),
    ],
)
def test_a_misspelt_option_is_told_the_nearest(
    main: Callable[[list[str]], int], arguments: str, hint: str, capsys: Captured
) -> None:
    assert f"unknown option {hint}" in refused(capsys, main, arguments)


def test_an_option_like_no_other_is_named_without_a_guess(capsys: Captured) -> None:
    line = refused(capsys, train.main, "shapes --out run --bogus")
    assert "unrecognized arguments: --bogus;" in line


def test_the_beginning_of_an_option_is_not_called_misspelt(capsys: Captured) -> None:
    assert "ambiguous option: --max" in refused(capsys, train.main, "shapes --out run --max 1%")


@pytest.mark.parametrize("out", ["bad.txt", "part", "folder/", ".onnx"])
def test_an_export_into_what_is_no_onnx_file_is_refused(out: str, capsys: Captured) -> None:
    line = refused(capsys, export.main, f"run --out {out}")
    assert f"argument --out: {out!r} does not end in .onnx; name a file, as part.onnx" in line


@pytest.mark.parametrize("command", ["train.cli", "train.cli curve", "export.cli", "edge_runtime"])
def test_every_command_tells_kenpins_version_in_one_line(command: str) -> None:
    asked = [sys.executable, "-m", *command.split(), "--version"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"kenpin {version('kenpin')}\n", "")


def test_an_export_whose_version_was_forgotten_does_not_end_as_if_it_were_done(capsys: Captured) -> None:
    assert "argument --version: expected one argument" in refused(capsys, export.main, "run --out x.onnx --version")


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        ("train.cli", "nowhere --out run", "kenpin-train: nowhere: is no folder"),
        ("train.cli", "empty --out run", "kenpin-train: empty: has no label folders"),
        ("train.cli", "curve nowhere --out curve", "kenpin-train: nowhere: is no folder"),
        ("export.cli", "nowhere --out part.onnx", "kenpin-export: nowhere: is no folder"),
        ("export.cli", "empty --out part.onnx", "kenpin-export: empty: has no run.json"),
        ("export.cli", "trained --out empty/nodir/x.onnx", "kenpin-export: empty/nodir/x.onnx: cannot be written"),
        ("export.cli", "trained --out folder.onnx", "kenpin-export: folder.onnx: is a folder"),
        ("export.cli", "trained --out /proc/x.onnx", "kenpin-export: /proc/x.onnx: cannot be written"),
        ("export.cli", "trained --out part.onnx --key nowhere.key", "kenpin-export: nowhere.key: cannot be read"),
    ],
)
def test_what_is_not_there_is_told_before_tensorflow_is_loaded(
    module: str, arguments: str, said: str, tmp_path: Path
) -> None:
    for folder in ("empty", "folder.onnx", "trained"):
        (tmp_path / folder).mkdir()
    (tmp_path / "trained" / "run.json").touch()
    code = (
        f"import sys, {module} as command; status = command.main(sys.argv[1:])\n"
        "print(status, [name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    asked = [sys.executable, "-c", code, *arguments.split()]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        asked, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "2 []\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"empty", "folder.onnx", "trained", "trained/run.json"}
