"""`kenpin-edge collect` as its own process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.parts import wait_until
from tests.unit.test_collect import station, views


@contextmanager
def started(station: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A run, which is over afterwards."""
    command = [sys.executable, "-m", "edge_runtime", "collect", str(station), "--label", "A12", "--good", *more]
    out = "--out", str(station.parent / "dataset")
    with subprocess.Popen([*command, *out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("every", [(), ("--every", "0.05")])
def test_ctrl_c_ends_it_with_all_that_was_kept_whole(tmp_path: Path, every: tuple[str, ...]) -> None:
    path = station(tmp_path, 5)
    path.write_text(path.read_text().replace("rate_hz = 500.0", "rate_hz = 100.0\nrepeat = true"))
    with started(path, *every) as process:
        wait_until(lambda: len(views(tmp_path, "A12", "train", "good")) > 5, "views are kept")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    made = views(tmp_path, "A12", "train", "good")
    assert process.returncode == 0, err
    assert out == f"{len(made)} views in {tmp_path}/dataset/A12/train/good\n"
    assert "Traceback" not in err
    assert [each.name for each in made if each.suffix != ".png"] == []


def test_two_at_once_are_one_too_many(tmp_path: Path) -> None:
    path = station(tmp_path, 5)
    path.write_text(path.read_text().replace("rate_hz = 500.0", "rate_hz = 100.0\nrepeat = true"))
    with started(path) as first:
        wait_until(lambda: views(tmp_path, "A12", "train", "good"), "the first keeps views")
        with started(path) as second:
            _, err = second.communicate(timeout=30)
        assert f"is in use by another kenpin-edge (process {first.pid})" in err
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)
        assert first.returncode == 0
