"""`kenpin-train curve`: from a data set to a curve folder, point by point."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.console import Parser, guarded, version
from train.cli import add_settings, settings_of, whole
from train.curve.folder import Common, CurveFolder, Point, check

if TYPE_CHECKING:
    from train.curve.findings import Row
    from train.fit import Settings
    from train.progress import Bars
    from train.views import DataSet

WIDEST = 200
"""Columns of the table where nothing says how wide the reader's page is."""

DESCRIPTION = """\
Tell how many pictures are enough: train on fewer of them and on more, judge the same held-out views each time, and
write CURVE/curve.html, where false alarms and escapes stand against the number of good views a label and of defective
views.

DATASET is a folder or a built-in data set, as for kenpin-train (see kenpin-train --help). Each point is a whole
training, and stands on disk when it is done. Stopped or killed, the same command goes on where it was; with more counts
or more repeats it measures only what is new. curve.html and curve.csv can be read while it runs.
"""
EXAMPLES = """\
examples:
  kenpin-train curve shapes --out curve
  kenpin-train curve pictures --out curve --good 8 16 32 64 --defects 0 5 20 --repeats 5
  kenpin-train curve pictures --out curve --good 8 32 --defects --repeats 1      (a first look; no defective counts)

exit status: 0 all points measured, 2 a mistake in what was asked (one line says which), 130 interrupted (what is
measured is kept)
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    p = Parser(
        "kenpin-train curve",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--version", action="version", version=version(), help="tell kenpin's version, and end")
    p.add_argument("dataset", metavar="DATASET", help="folder, or the name of a built-in data set")
    p.add_argument("--out", metavar="CURVE", type=Path, required=True, help="curve folder to write, or to go on with")
    p.add_argument(
        "--good",
        type=whole(8, 1_000_000),
        nargs="*",
        metavar="N",
        help="good views a label, each with all defective views; without a number: leave these points out "
        "(8, doubling, up to all that every label has)",
    )
    p.add_argument(
        "--defects",
        type=whole(0, 1_000_000),
        nargs="*",
        metavar="N",
        help="defective views of all labels together, each with all good views; without a number: leave these points "
        "out (0, 10, all)",
    )
    p.add_argument(
        "--repeats",
        type=whole(1, 100),
        default=3,
        metavar="N",
        help="trainings of each count, on views chosen anew (%(default)s)",
    )
    add_settings(p)
    return p


def main(argv: list[str]) -> int:
    """The command. Returns its exit status."""
    arguments = parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's greeting is no news to the engineer
    return guarded("kenpin-train", "train", lambda: curve(arguments))


def curve(arguments: argparse.Namespace) -> int:
    """Measure every point that is asked for and not there yet; show all that are there."""
    from train import datasets

    check(arguments.out)
    datasets.check(arguments.dataset)
    print("loading TensorFlow …", file=sys.stderr)
    # Only now: they take seconds to import, and neither --help nor a mistyped path should wait for them.
    from train.curve.findings import answer, axes, pool
    from train.curve.points import Supply, points
    from train.progress import Bars
    from train.run import versions

    settings = settings_of(arguments)
    with Bars() as bars:
        data = datasets.load(
            arguments.dataset,
            size=arguments.size,
            seed=settings.seed,
            report=bars.counter("reading pictures"),
            tiles=settings.tiles,
        )
        supply = Supply.of(data)
        asked = points(supply, arguments.good, arguments.defects, arguments.repeats)
        bars.say(
            f"{data.name}: {len(data.labels)} labels, at least {supply.good} good views of each, {supply.defects} "
            f"defective ones in all; {len(data.test)} held out"
        )
        for remark in data.remarks:
            bars.say(f"note: {remark}")
        with CurveFolder(arguments.out, Common.of(data, settings, versions())) as folder:
            _measure(folder, data, settings, asked, bars)
        rows = pool(folder.measured)
    _show(rows)
    for axis in axes(rows, supply):
        print("\n  ".join(answer(axis)))
    print(f"read {arguments.out / 'curve.html'}")
    return 0


def _measure(folder: CurveFolder, data: "DataSet", settings: "Settings", asked: Sequence[Point], bars: "Bars") -> None:
    """Measure the points of `asked` that `folder` lacks, and publish the curve after each."""
    from train.curve.findings import brief, place
    from train.curve.page import publish
    from train.curve.points import Supply, measure

    supply = Supply.of(data)
    waiting = [point for point in asked if point not in folder.points]
    if folder.torn:
        bars.say("note: the last line of points.jsonl was torn, as a kill leaves it; its point is measured again")
    if folder.measured:
        bars.say(f"{len(asked) - len(waiting)} of {len(asked)} points are there already")
    report, epochs = bars.counter("points"), bars.epochs(settings.epochs, plain_steps=0)
    report(len(asked) - len(waiting), len(asked))
    publish(folder, supply, asked)
    if waiting:  # a training may take an hour, and where no terminal shows a bar it says nothing until it is done
        bars.say(f"training point {len(asked) - len(waiting) + 1} of {len(asked)}: {place(waiting[0])} …")
    began = time.monotonic()
    try:
        for done, point in enumerate(waiting, start=1):
            measured = measure(data, point, settings, [epochs])
            folder.append(measured)
            publish(folder, supply, asked)
            left = len(waiting) - done
            number = len(asked) - left
            report(number, len(asked))
            wait = timedelta(seconds=round((time.monotonic() - began) / done * left))
            bars.say(f"point {number} of {len(asked)}: {brief(measured)}" + (f"; about {wait} left" if left else ""))
    except KeyboardInterrupt:
        bars.say(f"points kept in {folder.path}: {len(folder.measured)}; the same command goes on from there")
        raise


def _show(rows: "Sequence[Row]") -> None:
    """The table of the page, on stdout: wide as it needs where that is no terminal."""
    from rich.console import Console
    from rich.table import Table

    from train.curve.findings import HEADINGS, cells

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDEST)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for heading in HEADINGS:
        table.add_column(heading)
    for row in rows:
        table.add_row(*cells(row))
    console.print(table)
