"""`kenpin-edge tune`: all that is here is tried, what is wrong is refused by name, and the fastest is kept."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

from edge_runtime import tune
from edge_runtime.bundle import load_bundle
from edge_runtime.cli import main
from edge_runtime.engine import PLAIN, Arrays, Engine, Setting, start
from edge_runtime.tuning import Machine, Row, tune_path
from tests.unit.conftest import Crooked, Pair, write_readable_bundle
from tests.unit.test_edge_cli import Captured, refused, station

OPENVINO = Setting(name="openvino", level=None)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return write_readable_bundle(tmp_path / "part.onnx")


def tuning(part: Path, target: Path | None = None) -> dict[str, Any]:
    """What the command leaves beside `part`."""
    assert main(["tune", str(target or part), "--seconds", "0.1"]) == 0
    kept: dict[str, Any] = json.loads(tune_path(part).read_bytes())
    return kept


def test_the_fastest_is_kept_beside_the_bundle_with_the_machine_and_all_that_was_tried(part: Path) -> None:
    kept = tuning(part)
    assert (kept["schema"], kept["bundle"]) == ("kenpin.tune/1", load_bundle(part).sha256)
    assert kept["machine"] == Machine.here().model_dump()
    assert set(kept["machine"]["engines"]) == {"onnxruntime", "openvino"}
    assert {row["setting"]["name"] for row in kept["rows"]} == {"onnxruntime", "openvino"}
    assert not [row for row in kept["rows"] if row["refused"]]
    medians = [row["median_ms"] for row in kept["rows"]]
    assert medians == sorted(medians)
    (chosen,) = (row for row in kept["rows"] if row["setting"] == kept["choice"])
    assert chosen["median_ms"] <= tune.WORTH * medians[0]
    assert sorted(part.parent.iterdir()) == [part, tune_path(part)], "no draft is left"


def test_the_table_has_a_line_for_each_and_json_is_what_is_kept(part: Path, capsys: Captured) -> None:
    rows = tuning(part)["rows"]
    machine, head, *lines, choice = capsys.readouterr().out.splitlines()
    assert machine == str(Machine.here())
    assert head.split() == ["MEDIAN", "ms", "P99", "ms", "ENGINE"]
    assert len(lines) == len(rows)
    assert choice.startswith("chosen is ")
    assert main(["tune", str(part), "--seconds", "0.1", "--json"]) == 0
    assert capsys.readouterr().out == tune_path(part).read_text()


def test_an_engine_that_disagrees_is_refused_by_name_however_fast(
    part: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def crooked(data: bytes, setting: Setting) -> Engine:
        return start(data, setting) if setting != OPENVINO else Crooked(start(data, PLAIN), 0.01, setting)

    monkeypatch.setattr(tune, "start", crooked)
    rows = tuning(part)["rows"]
    assert rows[-1]["setting"] == OPENVINO.model_dump()
    assert rows[-1]["median_ms"] is None
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  refused"))
    assert line.split(maxsplit=1)[1].startswith("openvino CPU: golden vector 0 gives 0.1000 / 0.2100, trained was 0.1")


def test_an_engine_that_fails_now_and_then_is_refused(part: Path) -> None:
    class Tired(Crooked):
        runs = 0

        def run(self, outputs: Sequence[str], feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
            self.runs += 1
            if self.runs > 20:
                raise RuntimeError("no more\nmemory")
            return super().run(outputs, feeds)

    bundle = load_bundle(part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "start", lambda data, setting: Tired(start(data, PLAIN), 0.0, setting))
        first, second = tune.measured(bundle, [PLAIN, OPENVINO], 0.05)
    assert first.median_ms
    assert second == Row(setting=OPENVINO, refused="fails now and then (no more memory)")


def test_an_engine_that_is_not_installed_is_named_once_with_the_way_to_get_it(
    part: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    tuning(part)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "openvino CPU" in line)
    assert "pip install 'kenpin[edge-openvino]'" in line


def test_a_plainer_one_is_chosen_where_it_is_hardly_slower() -> None:
    plain, one = Row(setting=PLAIN, median_ms=1.02), Row(setting=Setting(threads=1), median_ms=1.0)
    odd = Row(setting=OPENVINO, refused="is not installed")
    assert tune.choice([plain, one, odd]) == PLAIN
    assert tune.choice([plain.model_copy(update={"median_ms": 1.04}), one, odd]) == one.setting


def test_numbers_of_threads_double_up_to_the_cores() -> None:
    counts = {setting.threads for setting in tune.settings(6)}
    assert counts == {None, 1, 2, 4, 6}
    assert {setting.threads for setting in tune.settings(1)} == {None, 1}
    assert tune.settings(6)[0] == PLAIN, "the plainest comes first"


def test_of_a_station_the_bundle_in_use_is_tuned(tmp_path: Path, part: Path) -> None:
    file = station(tmp_path, part)
    newer = write_readable_bundle(tmp_path / "new.onnx", version="2")
    assert main(["bundle", "install", str(file), str(newer)]) == 0
    assert main(["bundle", "use", str(file), "readable", "2"]) == 0
    (home,) = (
        path.parent for path in (tmp_path / "state").rglob("bundle.onnx") if load_bundle(path).info.version == "2"
    )
    assert tuning(home / "bundle.onnx", file)["bundle"] == home.name
    assert not tune_path(part).exists()


def test_a_bundle_that_the_station_does_not_trust_is_not_run(
    tmp_path: Path, part: Path, plant: Pair, capsys: Captured
) -> None:
    file = station(tmp_path, part)
    file.write_text(f'trusted_keys = ["{plant.pub}"]\n{file.read_text()}')
    assert main(["tune", str(file)]) == 2
    assert "is not signed" in refused(capsys)
    assert not tune_path(part).exists()


def test_a_bundle_that_is_not_signed_by_a_trusted_key_is_not_run(
    tmp_path: Path, part: Path, plant: Pair, capsys: Captured
) -> None:
    assert main(["tune", str(part), "--trust", str(plant.pub)]) == 2
    assert "is not signed" in refused(capsys)
    assert not tune_path(part).exists()
    assert main(["tune", str(station(tmp_path, part)), "--trust", str(plant.pub)]) == 2
    assert "whom " in refused(capsys)


def test_what_cannot_be_tuned_or_kept_is_one_line(tmp_path: Path, part: Path, capsys: Captured) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert main(["tune", str(tmp_path / "broken.onnx")]) == 2
    assert "is no ONNX file" in refused(capsys)
    (tmp_path / ".part.onnx.tune.json.draft").mkdir()
    assert main(["tune", str(part), "--seconds", "0.1"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"kenpin-edge: {tune_path(part)}: cannot be written (Is a directory)")
    assert line.endswith("move away what lies there, or run it as a user who may")


def test_a_tune_file_that_cannot_be_written_is_told_before_anything_is_measured(part: Path, capsys: Captured) -> None:
    tune_path(part).mkdir()
    assert main(["tune", str(part), "--seconds", "3600"]) == 2
    assert "part.onnx.tune.json: cannot be written (Is a directory), so nothing has changed" in refused(capsys)
    assert sorted(part.parent.iterdir()) == [part, tune_path(part)], "no draft is left"
