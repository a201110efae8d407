"""What README and docs tell a new user to do is enough."""

import re
from pathlib import Path

import cv2
import numpy as np

from train.datasets import folder

ROOT = Path(__file__).parents[2]


def remarks_on(root: Path, good: int) -> str:
    """What training says of a part with so many good pictures, and no test folder."""
    place = root / str(good) / "A12" / "train" / "good"
    place.mkdir(parents=True)
    rng = np.random.default_rng(good)
    for number in range(good):
        cv2.imwrite(str(place / f"{number}.png"), rng.integers(0, 256, (24, 24), np.uint8))
    data = folder.load(root / str(good), size=None, seed=0, report=lambda _done, _total: None)
    return "\n".join(data.remarks)


def test_as_many_good_pictures_as_the_readme_asks_for_are_enough_without_a_test_folder(tmp_path: Path) -> None:
    told = re.search(r"(\d+) at least", (ROOT / "README.md").read_text())
    assert told, "README names no least number of good pictures"
    least = int(told[1])
    for good in (least, least + 1, least + 2):
        assert "expect false alarms" not in remarks_on(tmp_path, good)
    assert "fewer than 20 good views of A12 to learn from" in remarks_on(tmp_path, least - 3)


def test_who_installs_is_told_of_the_disk_and_not_of_the_download_alone() -> None:
    for name in ("README.md", "Makefile"):
        (line,) = (line for line in (ROOT / name).read_text().splitlines() if "700 MB" in line)
        assert re.search(r"2\.5 GB (of|on) (the )?disk", line), f"{name}: {line}"


def test_nothing_on_the_line_is_installed_by_name_from_an_index_that_has_no_kenpin() -> None:
    """It comes from a checkout or its wheel, as in docs/install-ipc.md."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        by_name = re.findall(r"pip install [^\n`]*'kenpin\b[^\n`]*", page.read_text())
        assert not by_name, f"{page.name}: {by_name}"


def test_an_update_is_installed_as_the_program_was() -> None:
    first, update = (
        re.findall(r"bin/pip install --constraint \S+ ('\S+')", (ROOT / "docs" / page).read_text())
        for page in ("install-ipc.md", "operations.md")
    )
    assert first == update == ["'.[edge]'"]
