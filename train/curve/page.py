"""`curve.html` and `curve.csv`: the curve as far as it is measured, for a person and for other programs."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import jinja2

from edge_runtime.disk import write_whole
from train import charts
from train.curve.findings import AREAS, HEADINGS, RATES, Axis, Row, answer, axes, cells, pool
from train.curve.folder import Common, CurveFolder, Point
from train.curve.points import Supply
from train.judged import TRUTHS

COLOURS = dict(zip(RATES, (charts.COLOURS[truth] for truth in TRUTHS), strict=True)) | {
    "defect_auroc": charts.COLOURS["defect"],
    "mismatch_auroc": charts.COLOURS["wrong part"],
}


def publish(folder: CurveFolder, supply: Supply, asked: Sequence[Point]) -> None:
    """Write the page and the table of the points in `folder`, each whole or not at all. Raises OSError.

    `asked`: the points it will have when nothing stops it.
    """
    rows = pool(folder.measured)
    write_whole(folder.path / "curve.csv", table(rows).encode())
    whole = page(rows, folder.common, supply, missing=len(set(asked) - folder.points))
    write_whole(folder.path / "curve.html", whole.encode())


def table(rows: Sequence[Row]) -> str:
    """The rows as CSV: each figure with `_low` and `_high`; empty where it can't be told."""
    text = io.StringIO()
    out = csv.writer(text)
    names = [*RATES, *AREAS]
    edges = [f"{name}{edge}" for name in names for edge in ("", "_low", "_high")]
    out.writerow(["good_a_label", "defective", "repeats", "seconds", *edges])
    for row in rows:
        bands = [row.bands.get(name) for name in names]
        numbers = [n for band in bands for n in ((band.middle, band.low, band.high) if band else ("", "", ""))]
        out.writerow([row.good, row.defects, row.repeats, round(row.seconds, 1), *numbers])
    return text.getvalue()


def page(rows: Sequence[Row], common: Common, supply: Supply, *, missing: int) -> str:
    """The page of `rows`; `missing`: points that are still to come."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # a data set's name may hold markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("curve.html.j2").render(
        title=f"How many pictures? {common.data}",
        missing=missing,
        axes=[(axis.name, answer(axis), _plots(axis)) for axis in axes(rows, supply)],
        headings=HEADINGS,
        rows=[cells(row) for row in rows],
        facts=[
            ("data set", f"{common.data}, digest {common.data_digest[:16]}"),
            ("views there are", f"at least {supply.good} good of each label, {supply.defects} defective in all"),
            ("view", f"{common.view.width}×{common.view.height} pixels"),
            ("seconds a training", ", ".join(f"{row.seconds:.0f}" for row in rows)),
            *(
                (name.replace("_", " "), value)
                for name, value in common.settings.items()
                if name != "tiles" and value is not None
            ),
            *common.packages.items(),
        ],
    )


def _plots(axis: Axis) -> list[tuple[str, str]]:
    """Title and plot of each figure that can be told on this axis, and one plot for both areas."""
    plots = []
    for name, (_, words) in RATES.items():
        if lines := _lines(axis, {name: words}):
            plots.append((words, charts.counted(lines, x_label=axis.name, share=True)))
    if lines := _lines(axis, AREAS):
        plots.append(("AUROC", charts.counted(lines, x_label=axis.name, share=False)))
    return plots


def _lines(axis: Axis, names: dict[str, str]) -> list[charts.Line]:
    lines = []
    for name, words in names.items():
        rows = zip(axis.counts, axis.rows, strict=True)
        told = [(count, row.bands[name]) for count, row in rows if name in row.bands]
        if told:
            counts, bands = zip(*told, strict=True)
            edges = ([getattr(band, edge) for band in bands] for edge in ("middle", "low", "high"))
            lines.append(charts.Line(words, COLOURS[name], counts, *edges))
    return lines
