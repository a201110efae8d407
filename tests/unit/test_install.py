"""`kenpin-edge bundle`: what is installed, chosen and rolled back, and one line where that cannot be."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.cli import main
from edge_runtime.recipe import Recipe
from edge_runtime.store import Store
from tests.unit.conftest import READABLE_LABELS, write_readable_bundle
from tests.unit.test_edge_cli import Captured, refused, station


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A station file, whose own bundle has version 1."""
    return station(tmp_path, write_readable_bundle(tmp_path / "part.onnx", version="1"))


def bundle(tmp_path: Path, version: str, labels: tuple[str, ...] = READABLE_LABELS) -> Path:
    return write_readable_bundle(tmp_path / f"part-{version}.onnx", labels, version=version)


def run(*words: str | Path) -> int:
    return main(["bundle", *map(str, words)])


def listed(file: Path, captured: Captured) -> list[dict[str, Any]]:
    captured.readouterr()
    assert run("list", file, "--json") == 0
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def roles(file: Path, captured: Captured) -> dict[str, str]:
    """Version → what it is: "in_use", "previous" or ""."""
    return {
        row["version"]: "".join(role for role in ("in_use", "previous") if row[role]) for row in listed(file, captured)
    }


def test_install_prints_a_reference_that_use_takes(file: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run("install", file, bundle(tmp_path, "2")) == 0
    name, version, sha256 = capsys.readouterr().out.split()
    assert (name, version, len(sha256)) == ("readable", "2", 12)
    assert roles(file, capsys) == {"2": ""}, "what is installed is not yet in use"
    assert run("use", file, sha256) == 0
    assert capsys.readouterr().out == f"readable 2 {sha256} is chosen\n"
    assert run("use", file, name, version) == 0


def test_a_rollback_after_the_first_use_goes_back_to_the_station_files_bundle_even_if_its_file_is_replaced(
    file: Path, tmp_path: Path, capsys: Captured
) -> None:
    run("install", file, bundle(tmp_path, "2"))
    assert run("use", file, "readable", "2") == 0
    assert roles(file, capsys) == {"1": "previous", "2": "in_use"}
    write_readable_bundle(tmp_path / "part.onnx", version="9")
    assert run("rollback", file) == 0
    assert roles(file, capsys) == {"1": "in_use", "2": "previous"}
    assert run("rollback", file) == 0
    assert roles(file, capsys) == {"1": "previous", "2": "in_use"}


def test_the_list_is_a_table_for_people(file: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run("list", file) == 0
    assert capsys.readouterr().out == f"nothing was chosen: the station file's {tmp_path / 'part.onnx'} inspects\n"
    run("install", file, bundle(tmp_path, "2"))
    run("use", file, "readable", "2")
    capsys.readouterr()
    assert run("list", file) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "VERSION", "SHA256", "INSTALLED", "(UTC)"]
    assert {tuple(first.split()[:2]), tuple(second.split()[:2])} == {("readable", "1"), ("readable", "2")}
    assert {line.split("  ")[-1] for line in (first, second)} == {"previous", "in use"}


def test_what_cannot_be_used_is_one_line_and_changes_nothing(file: Path, tmp_path: Path, capsys: Captured) -> None:
    run("install", file, bundle(tmp_path, "2"))
    capsys.readouterr()
    assert run("use", file, "readable", "3") == 2
    assert "readable 3 is not installed; name NAME VERSION or sha256 of: readable 2 " in refused(capsys)
    assert run("rollback", file) == 2
    assert "no bundle was used before" in refused(capsys)
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert run("install", file, tmp_path / "broken.onnx") == 2
    assert f"{tmp_path / 'broken.onnx'}: is no ONNX file" in refused(capsys)
    assert run("install", file, bundle(tmp_path, "4", ("B7", "C3"))) == 2
    assert "not a label of readable-4 (B7, C3)" in refused(capsys)
    assert roles(file, capsys) == {"2": ""}


def test_a_bundle_that_is_damaged_in_the_store_is_not_chosen(file: Path, tmp_path: Path, capsys: Captured) -> None:
    run("install", file, bundle(tmp_path, "2"))
    (row,) = listed(file, capsys)
    (tmp_path / "state" / "bundles" / row["sha256"] / "bundle.onnx").write_bytes(b"no model")
    assert run("use", file, "readable", "2") == 2
    assert "is no ONNX file" in refused(capsys)
    assert Store(tmp_path / "state").choice() is None


def test_a_bundle_that_does_not_know_what_is_expected_now_is_not_chosen(
    file: Path, tmp_path: Path, capsys: Captured
) -> None:
    run("install", file, bundle(tmp_path, "2", ("A12", "B7")))
    Recipe(tmp_path / "state", {"J4": "A12"}, READABLE_LABELS).change({"J4": "C3"})
    capsys.readouterr()
    assert run("use", file, "readable", "2") == 2
    assert "region J4 expects 'C3', which readable-2 does not know (A12, B7)" in refused(capsys)
    assert Store(tmp_path / "state").choice() is None


def test_a_rollback_from_a_damaged_bundle_whose_label_was_set_names_a_way_out_that_needs_no_daemon(
    file: Path, tmp_path: Path, capsys: Captured
) -> None:
    known = (*READABLE_LABELS, "D4")
    run("install", file, bundle(tmp_path, "2", known))
    run("use", file, "readable", "2")
    Recipe(tmp_path / "state", {"J4": "A12"}, known).change({"J4": "D4"})
    sha256 = Store(tmp_path / "state").find("readable", "2").sha256
    (tmp_path / "state" / "bundles" / sha256 / "bundle.onnx").write_bytes(b"no model")
    capsys.readouterr()
    assert run("rollback", file) == 2
    kept = tmp_path / "state" / "recipe.json"
    assert "region J4 expects 'D4', which readable-1 does not know" in (line := refused(capsys))
    assert line.endswith(f"; where no daemon runs, delete {kept}: the station file's labels count again")
    kept.unlink()
    assert run("rollback", file) == 0
    assert roles(file, capsys) == {"1": "in_use", "2": "previous"}


def test_a_station_file_whose_bundle_is_lost_can_still_use_another(
    file: Path, tmp_path: Path, capsys: Captured
) -> None:
    run("install", file, bundle(tmp_path, "2"))
    (tmp_path / "part.onnx").unlink()
    assert run("use", file, "readable", "2") == 0
    assert roles(file, capsys) == {"2": "in_use"}
    assert run("rollback", file) == 2


def test_a_damaged_choice_is_replaced_without_being_deleted_first(
    file: Path, tmp_path: Path, capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    for version in ("2", "3"):
        run("install", file, bundle(tmp_path, version))
    run("use", file, "readable", "2")
    choice = tmp_path / "state" / "bundles" / "choice.json"
    choice.write_text("{")
    capsys.readouterr()
    assert run("rollback", file) == 2
    assert "choice.json: is damaged" in refused(capsys)
    assert run("use", file, "readable", "9") == 2
    assert choice.read_text() == "{", "what cannot be used replaces nothing"
    assert run("use", file, "readable", "3") == 0
    assert "nothing to roll back to" in caplog.text
    assert roles(file, capsys) == {"1": "", "2": "", "3": "in_use"}


def test_a_damaged_choice_is_told_beside_the_list_from_which_to_choose_again(
    file: Path, tmp_path: Path, capsys: Captured
) -> None:
    run("install", file, bundle(tmp_path, "2"))
    run("use", file, "readable", "2")
    (tmp_path / "state" / "bundles" / "choice.json").write_text("{")
    for form in ([], ["--json"]):
        capsys.readouterr()
        assert run("list", file, *form) == 2
        out, err = capsys.readouterr()
        assert all(word in out for word in ("readable", "2", "1")), out
        assert "in use" not in out
        assert "nothing was chosen" not in out
        (line,) = err.splitlines()
        assert line.endswith(
            "choice.json: is damaged, so which bundle is meant is in doubt; choose again with kenpin-edge bundle use"
        )


def test_only_what_is_neither_in_use_nor_before_is_removed(file: Path, tmp_path: Path, capsys: Captured) -> None:
    for version in ("2", "3"):
        run("install", file, bundle(tmp_path, version))
    run("use", file, "readable", "2")
    capsys.readouterr()
    assert run("remove", file, "readable", "2") == 2
    assert "is in use; use another first" in refused(capsys)
    assert run("remove", file, "readable", "1") == 2
    assert "is what a rollback goes back to" in refused(capsys)
    assert run("remove", file, "readable", "3") == 0
    assert roles(file, capsys) == {"1": "previous", "2": "in_use"}


def test_a_full_disk_is_one_line_and_the_old_choice_stays(file: Path, tmp_path: Path, capsys: Captured) -> None:
    run("install", file, bundle(tmp_path, "2"))
    run("use", file, "readable", "2")
    before = listed(file, capsys)
    full = tmp_path / "part-3.onnx"
    bundle(tmp_path, "3")

    def nearly_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = [sys.executable, "-m", "edge_runtime", "bundle", "install", str(file), str(full)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=nearly_full, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "bundles: cannot be written (File too large); free space" in line
    assert listed(file, capsys) == before
    assert not (tmp_path / "state" / "bundles" / ".draft").exists()


@pytest.mark.parametrize("action", ["", "install", "list", "use", "rollback", "remove"])
def test_every_help_has_an_example(action: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bundle", *action.split(), "--help"])
    assert ended.value.code == 0
    assert "example: kenpin-edge bundle" in capsys.readouterr().out
