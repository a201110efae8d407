"""`kenpin-edge cameras` and `kenpin-edge grab`, as a line engineer types them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.cameras.listing import Listed, v4l2
from edge_runtime.cli import main
from edge_runtime.picture import read_picture
from tests.cameras.gige import Plug, Process
from tests.stations import UP_TO_CAMERA

DOCS = Path(__file__).parents[2] / "docs" / "cameras.md"


def station(folder: Path, camera: str) -> str:
    (folder / "station.toml").write_text(UP_TO_CAMERA + camera)
    return str(folder / "station.toml")


def test_cameras_that_answer_are_listed_as_a_station_file_names_them(
    plug: Plug, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plug()
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    assert main(["cameras"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert 'kind = "aravis", id = "Aravis-Fake-KP01"   # Aravis Fake at 127.0.0.1' in listed
    assert 'kind = "pylon", serial = "0815-0000"   # Emulation (BaslerCamEmu)' in listed
    assert main(["cameras", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"kind": "pylon", "key": "serial", "value": "0815-0000", "what": "Emulation (BaslerCamEmu)"} in found


def test_a_library_that_is_missing_is_said_and_the_others_are_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pypylon", None)
    assert main(["cameras"]) == 0
    assert "pylon: not looked for: needs the maker's library; install it with: pip install" in capsys.readouterr().err


def test_a_video_device_is_listed_by_the_name_that_stays_and_once(tmp_path: Path) -> None:
    devices, by_id = tmp_path / "video4linux", tmp_path / "by-id"
    for name, index, said in (("video0", "0", "Maker Cam"), ("video1", "1", "Maker Cam"), ("video2", "0", "Grabber")):
        (devices / name).mkdir(parents=True)
        (devices / name / "index").write_text(f"{index}\n")
        (devices / name / "name").write_text(f"{said}\n")
    by_id.mkdir()
    (by_id / "usb-Maker_Cam-index0").symlink_to(devices / "video0")
    assert list(v4l2(devices, by_id)) == [
        Listed("v4l2", "device", str(by_id / "usb-Maker_Cam-index0"), "Maker Cam"),
        Listed("v4l2", "device", "/dev/video2", "Grabber"),
    ]
    assert list(v4l2(tmp_path / "nowhere", tmp_path / "nowhere")) == []


def test_one_picture_is_taken_with_the_stations_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    path = station(tmp_path, 'kind = "pylon"\npixel_format = "BayerRG12"\nroi = [64, 32, 320, 240]\n')
    out = tmp_path / "picture.png"
    assert main(["grab", path, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 320 x 240 pixels, colour\n"
    assert read_picture(out).shape == (240, 320, 3)


def test_a_trigger_that_does_not_come_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYLON_CAMEMU", "1")
    path = station(tmp_path, 'kind = "pylon"\ntrigger = "Line1"\n')
    assert main(["grab", path, "--out", str(tmp_path / "a.png"), "--seconds", "0.3"]) == 2
    said = capsys.readouterr().err
    assert said == "kenpin-edge: the pylon camera: gave no picture within 0.3 s; does it wait for its trigger?\n"
    assert not (tmp_path / "a.png").exists()


def test_a_replay_whose_only_picture_is_damaged_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"no picture")
    path = station(tmp_path, 'kind = "folder"\npath = "pictures"\n')
    assert main(["grab", path, "--out", str(tmp_path / "a.png")]) == 2
    assert "a.png: is no picture that can be decoded" in capsys.readouterr().err


def test_what_cannot_be_written_is_said_before_the_camera_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = station(tmp_path, 'kind = "aravis"\nid = "nobody"\n')
    for out in (tmp_path / "a.jpg", tmp_path / "nowhere" / "a.png"):
        assert main(["grab", path, "--out", str(out)]) == 2
        assert "name a .png file in a folder that is there" in capsys.readouterr().err


def test_what_the_documentation_says_of_trying_it_without_a_camera_is_what_is_seen(tmp_path: Path, plug: Plug) -> None:
    section = DOCS.read_text(encoding="utf-8").partition("## Trying it without a camera\n")[2].partition("\n## ")[0]
    gige, basler = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    shown = "".join(re.findall(r"```\n(\$.*?)```", section, re.DOTALL))
    camera: Process | None = None
    environment = {name: value for name, value in os.environ.items() if name != "PYLON_CAMEMU"}
    seen: list[str] = []
    (tmp_path / "try.toml").write_text(gige)
    for command in re.findall(r"^\$ (.*)$", shown, re.MULTILINE):
        seen.append(f"$ {command}")
        if command.endswith("&"):
            camera = plug()
            seen.append("ready")
        elif command == "kill %1":
            assert camera is not None
            camera.kill()
            camera.wait()
        elif command == "export PYLON_CAMEMU=1":
            environment["PYLON_CAMEMU"] = "1"
            (tmp_path / "try.toml").write_text(gige.partition("[camera]")[0] + basler)
        elif command == "unset PYLON_CAMEMU":
            del environment["PYLON_CAMEMU"]
        else:
            typed = [sys.executable, "-m", *command.replace("kenpin-edge", "edge_runtime").split()]
            done = subprocess.run(typed, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            seen += (done.stdout + done.stderr).splitlines()
    told = shown.splitlines()
    assert [line for line in seen if line in told] == told, "other cameras of this machine may be listed, too"
