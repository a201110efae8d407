"""`kenpin-edge`: a user's mistake is one clear line and exit status 2; nothing half-done is left behind."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.cli import main
from edge_runtime.picture import Image
from tests.unit.conftest import View

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def picture(tmp_path: Path, readable_view: View) -> Path:
    path = tmp_path / "good.png"
    cv2.imwrite(str(path), readable_view(20, 20, 180, 180))
    return path


def refused(captured: Captured) -> str:
    """The one line that was said; nothing may have been printed."""
    out, err = captured.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("kenpin-edge: ")
    return line


def test_score_prints_one_verdict_a_line(readable_bundle: Bundle, picture: Path, capsys: Captured) -> None:
    assert main(["score", str(readable_bundle.path), str(picture), str(picture), "--label", "A12"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["schema"] == "kenpin.verdict/1"
    assert (first["verdict"], first["trigger"], first["picture"]) == ("OK", "score", str(picture))
    assert (first["site"], first["line"], first["station"], first["prev"]) == ("-", "-", "-", "")
    assert (first["seq"], second["seq"]) == (1, 2)


def test_score_ends_with_0_whatever_the_verdicts(readable_bundle: Bundle, picture: Path, capsys: Captured) -> None:
    assert main(["score", str(readable_bundle.path), str(picture), "--label", "B7"]) == 0
    (region,) = json.loads(capsys.readouterr().out)["regions"]
    assert (region["verdict"], region["reason"], region["found"]) == ("NG", "wrong_part", "A12")


def test_score_names_every_broken_picture_and_prints_nothing(
    readable_bundle: Bundle, picture: Path, tmp_path: Path, capsys: Captured
) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(picture.read_bytes()[:-20])
    missing = tmp_path / "missing.png"
    assert main(["score", str(readable_bundle.path), *map(str, (picture, cut, missing)), "--label", "A12"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [str(cut), str(missing)]


def test_score_refuses_a_label_that_the_bundle_does_not_know(
    readable_bundle: Bundle, picture: Path, capsys: Captured
) -> None:
    assert main(["score", str(readable_bundle.path), str(picture), "--label", "A13"]) == 2
    assert "does not know the label 'A13'; it knows: A12, B7, C3" in refused(capsys)


@pytest.mark.parametrize("content", [None, b"", b"no onnx at all"])
def test_score_refuses_what_is_no_bundle(
    tmp_path: Path, picture: Path, capsys: Captured, content: bytes | None
) -> None:
    path = tmp_path / "part.onnx"
    if content is not None:
        path.write_bytes(content)
    assert main(["score", str(path), str(picture), "--label", "A12"]) == 2
    assert str(path) in refused(capsys)


def station(folder: Path, bundle: Path, pictures: str = "pictures", expected: str = "A12") -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'site = "s"\nline = "l"\nstation = "c"\nbundle = "{bundle}"\ndata = "state"\n'
        f'[camera]\nkind = "folder"\npath = "{pictures}"\nrate_hz = 5.0\n'
        f'[region.J4]\nexpected = "{expected}"\n[mqtt]\nhost = "127.0.0.1"\n'
    )
    return path


def test_run_tells_every_mistake_in_the_station_file_on_a_line_of_its_own(tmp_path: Path, capsys: Captured) -> None:
    path = station(tmp_path, tmp_path / "part.onnx")
    path.write_text(path.read_text().replace("path =", "paths =").replace("host", "hots"))
    assert main(["run", str(path)]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 4
    assert all(line.startswith(f"kenpin-edge: {path}:") for line in err.splitlines())


def test_run_refuses_an_unknown_label_before_it_makes_anything(
    tmp_path: Path, readable_bundle: Bundle, capsys: Captured
) -> None:
    assert main(["run", str(station(tmp_path, readable_bundle.path, expected="A13"))]) == 78
    assert "not a label of readable-1 (A12, B7, C3)" in refused(capsys)
    assert not (tmp_path / "state").exists()


def test_run_refuses_a_missing_folder_of_pictures(tmp_path: Path, readable_bundle: Bundle, capsys: Captured) -> None:
    assert main(["run", str(station(tmp_path, readable_bundle.path, pictures="nowhere"))]) == 78
    assert "nowhere: cannot be read as a folder of pictures" in refused(capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["watch", "--port", "0"],
        ["watch", "--port", "x"],
        ["watch", "--count", "0"],
        ["watch", "--prefix", "#"],
        ["tune"],
        ["tune", "part.onnx", "--seconds", "0"],
        ["tune", "part.onnx", "--seconds", "nan"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("command", [[], ["run"], ["score"], ["tune"], ["watch"]])
def test_every_help_has_an_example(command: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "example" in capsys.readouterr().out


def test_a_daemon_loads_nothing_of_the_training_box_nor_of_the_terminal() -> None:
    code = (
        "import sys, edge_runtime.cli, edge_runtime.daemon, edge_runtime.score; "
        "print([name for name in ('tensorflow', 'keras', 'sklearn', 'matplotlib', 'scipy', 'rich', 'openvino', "
        "'train', 'export') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_picture_in_another_size_and_colour_is_scored_whole(
    readable_bundle: Bundle, tmp_path: Path, capsys: Captured
) -> None:
    pixels: Image = np.random.default_rng(1).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "colour.bmp"), pixels)
    assert main(["score", str(readable_bundle.path), str(tmp_path / "colour.bmp"), "--label", "A12"]) == 0
    assert json.loads(capsys.readouterr().out)["regions"][0]["box"] == [0, 0, 300, 200]


STOPPED_WHILE_A_BUNDLE_PROVES_ITSELF = """
import sys, threading
from pathlib import Path
from edge_runtime import daemon
from edge_runtime.bundle import load_bundle
from edge_runtime.cli import main

proven = threading.Event()

def prove():
    while True:
        load_bundle(Path(sys.argv[1]))
        proven.set()

def run(_station, _manager):
    threading.Thread(target=prove, name="changeover", daemon=True).start()
    assert proven.wait(60)

daemon.run = run
sys.exit(main(["run", "station.toml"]))
"""


def test_a_clean_stop_ends_with_0_also_while_a_bundle_proves_itself(readable_bundle: Bundle) -> None:
    command = [sys.executable, "-c", STOPPED_WHILE_A_BUNDLE_PROVES_ITSELF, str(readable_bundle.path)]
    for _ in range(5):  # the engine aborts in about every second one if Python ends the thread
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
