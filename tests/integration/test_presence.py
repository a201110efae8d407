"""One verdict for each part that a video shows, through the daemon; and the sheet that shows which frames those are."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.verdict import Verdict
from tests.integration.parts import Line, Mosquitto, Subscriber, wait_until
from tests.integration.quick import J5, of, quick_line
from tests.integration.test_line import DONE

PASSING = '[trigger]\nkind = "presence"\nwhen = "passing"'
PARTS = 3


def film(line: Line) -> None:
    """Discs that cross a belt one after the other, as pictures."""
    line.pictures.mkdir()
    rng = np.random.default_rng(7)
    number = 0
    for _ in range(PARTS):
        for x in range(-40, 360, 10):
            picture = rng.integers(58, 63, (120, 320), np.uint8)
            cv2.circle(picture, (x, 60), 25, 200, -1)
            cv2.imwrite(str(line.pictures / f"{number:04d}.png"), picture)
            number += 1
    line.trigger = PASSING


def test_a_part_that_passes_is_judged_once(line: Line, subscriber: Subscriber) -> None:
    film(line)
    assert line.start().wait(60) == DONE, line.log()
    wait_until(lambda: len(subscriber.verdicts()) == PARTS, f"{PARTS} verdicts arrive")
    verdicts = [Verdict.from_json(message.payload) for message in subscriber.verdicts()]
    assert {verdict.trigger for verdict in verdicts} == {"presence"}
    assert [int(str(verdict.picture)[:4]) // 40 for verdict in verdicts] == [0, 1, 2], "each in a frame of its own part"
    assert all(15 <= int(str(verdict.picture)[:4]) % 40 <= 24 for verdict in verdicts), "near the middle"


def test_the_sheet_shows_what_would_be_judged(line: Line) -> None:
    film(line)
    sheet = line.folder / "sheet.png"
    command = [sys.executable, "-m", "edge_runtime", "presence", str(line.write()), "--out", str(sheet)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{PARTS} parts would be judged; see {sheet}\n"), done.stderr
    assert cv2.imread(str(sheet)) is not None


def test_a_station_that_looks_for_no_parts_has_no_sheet(line: Line, tmp_path: Path) -> None:
    line.draw(1)
    command = [sys.executable, "-m", "edge_runtime", "presence", str(line.write()), "--out", str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'set kind = "presence"' in done.stderr


def test_a_station_that_looks_for_parts_in_the_dark_says_so_with_one_error_and_its_status(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    line = quick_line(tmp_path / "line", broker.port, trigger=J5 + PASSING)
    cv2.imwrite(str(line.pictures / "0.png"), np.full((16, 16), 3, np.uint8))
    line.start()
    try:
        wait_until(lambda: subscriber.states()[-1:] == ["blind"], "the status says so")
        assert "inspecting" not in subscriber.states()
        (verdict,) = of(subscriber, "verdict")
        assert {region["detail"][:5] for region in verdict["regions"]} == {"dark:"}
        line.stop()
    finally:
        line.end()
