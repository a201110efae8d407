"""The demo's line: which held-out pictures come along, in which order, and what the line expects meanwhile."""

import csv
import random
from dataclasses import dataclass
from pathlib import Path

import cv2

from train.datasets import elpv, shapes

RATE_HZ = 12.0

STATION = """\
site = "demo"
line = "L1"
station = "cam-1"
bundle = "part.onnx"
data = "state"

[camera]
kind = "folder"
path = "pictures"
rate_hz = {rate}

[region.part]
expected = "{expected}"

[mqtt]
host = "127.0.0.1"
port = {port}
"""


@dataclass(frozen=True)
class Picture:
    """A picture on the line, and what it really shows."""

    name: str
    label: str
    defective: bool


@dataclass(frozen=True)
class Phase:
    """Pictures that come while the line expects the part `expected`."""

    expected: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Plan:
    """How many pictures of each label come: good and defective as expected, then good ones where another is due."""

    good: int
    defective: int
    wrong: int


PLANS = {"elpv": Plan(good=80, defective=30, wrong=60), "shapes": Plan(good=24, defective=8, wrong=16)}


def lay_out(data: str, run: Path, folder: Path, seed: int = 0) -> list[Phase]:
    """Put held-out pictures of the data set `data` into `folder`, named in the order in which they come.

    Each label's parts come twice: first when they are expected, then, after the changeover to the next label, a few
    more of them: good parts, but wrong ones.
    """
    folder.mkdir()
    rng = random.Random(seed)  # noqa: S311  # an order of pictures, no secret
    with (run / "files.csv").open(newline="") as listed:
        test = [row for row in csv.DictReader(listed) if row["use"] == "test"]
    labels = sorted({row["label"] for row in test})
    views = _shapes_views(seed) if data == "shapes" else None
    plan, phases, number = PLANS[data], [], 0
    for place, label in enumerate(labels):
        good = [row["source"] for row in test if row["label"] == label and row["defective"] == "0"]
        bad = [row["source"] for row in test if row["label"] == label and row["defective"] == "1"]
        rng.shuffle(good)
        rng.shuffle(bad)
        right = [(name, False) for name in good[: plan.good]] + [(name, True) for name in bad[: plan.defective]]
        rng.shuffle(right)
        wrong = [(name, False) for name in good[plan.good : plan.good + plan.wrong]]
        for expected, sources in ((label, right), (labels[(place + 1) % len(labels)], wrong)):
            pictures = []
            for source, defective in sources:
                number += 1
                name = f"{number:04}.png"
                if views is None:
                    (folder / name).symlink_to(elpv.root() / source)
                else:
                    cv2.imwrite(str(folder / name), views[source])
                pictures.append(Picture(name, label, defective))
            phases.append(Phase(expected, tuple(pictures)))
    return phases


def write_station(path: Path, phases: list[Phase], port: int) -> None:
    """The station file of the demo's line."""
    path.write_text(STATION.format(rate=RATE_HZ, expected=phases[0].expected, port=port))


def _shapes_views(seed: int) -> dict[str, "cv2.typing.MatLike"]:
    views = shapes.load(size=None, seed=seed, report=lambda _done, _total: None).test
    return dict(zip(views.names, views.images, strict=True))
