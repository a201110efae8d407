"""The log of a command: a person's lines or a machine's objects, and a journal's priorities."""

import io
import json
import logging
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from edge_runtime import logs

ROOT = Path(__file__).parents[2]


def written(form: str, *, journal: bool, level: int = logging.INFO, fault: bool = False, **facts: object) -> str:
    """What a logger of that form writes of one record."""
    stream = io.StringIO()
    log = logging.Logger("edge_runtime.daemon")  # noqa: LOG001  # one of its own, which no other handler hears
    log.addHandler(logs.Handler(stream, form, journal=journal))
    if not fault:
        log.log(level, "verdict %d is kept", 7, extra=facts)
        return stream.getvalue()
    try:
        int("no such\nthing")
    except ValueError:
        log.exception("it failed")
    return stream.getvalue()


def test_a_person_reads_time_level_and_message() -> None:
    line = written("human", journal=False)
    assert line.endswith(" INFO verdict 7 is kept\n")
    datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007  # local, as a person's watch


def test_a_machine_reads_one_object_a_line_with_the_records_own_facts() -> None:
    line = written("json", journal=False, seq=7, region="J4")
    assert line.count("\n") == 1
    said = json.loads(line)
    assert (said["level"], said["message"], said["seq"], said["region"]) == ("info", "verdict 7 is kept", 7, "J4")
    assert said["time"].endswith("Z")
    assert len(said["time"]) == len("2026-11-24T03:12:55.123Z")
    assert datetime.fromisoformat(said["time"]).utcoffset() == timedelta(0)


def test_a_fact_cannot_pass_for_the_message_or_the_time() -> None:
    said = json.loads(written("json", journal=False, time="never", logger="else"))
    assert said["time"] != "never"
    assert said["logger"] == "edge_runtime.daemon"


def test_an_exception_is_one_field_of_one_line() -> None:
    line = written("json", journal=False, fault=True)
    assert line.count("\n") == 1
    said = json.loads(line)
    assert said["message"] == "it failed"
    assert said["exception"].startswith("Traceback")
    assert "\nValueError: invalid literal" in said["exception"]


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_a_journal_is_told_the_priority_and_no_time(level: int, priority: int) -> None:
    name = logging.getLevelName(level)
    assert written("human", journal=True, level=level) == f"<{priority}>{name} verdict 7 is kept\n"


def test_each_line_of_a_traceback_has_its_priority_in_a_journal() -> None:
    lines = written("human", journal=True, fault=True).splitlines()
    assert len(lines) > 4
    assert all(line.startswith("<3>") for line in lines)


def test_the_journal_is_known_by_its_device_and_inode(tmp_path: Path) -> None:
    code = "import os; from edge_runtime import logs; print(logs.is_journal(os.environ))"

    def asked(stream: str) -> str:
        with (tmp_path / "stderr").open("w") as stderr:
            env = os.environ | {"JOURNAL_STREAM": stream, "PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-c", code]
            return subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, env=env, text=True, check=True).stdout

    (tmp_path / "stderr").touch()
    there = (tmp_path / "stderr").stat()
    assert asked(f"{there.st_dev}:{there.st_ino}") == "True\n"
    assert asked("1:2") == "False\n", "somebody above us writes to the journal; we do not"


def test_what_ends_a_station_is_an_object_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_runtime", "run", str(tmp_path / "none.toml"), "--log", "json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["level"] == "error"
    assert "none.toml: cannot be read" in json.loads(line)["message"]
