"""What the measured points say: pooled over repeats, in a table, and in words that claim no more than they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from train.curve.folder import Measured, Point
from train.curve.points import Supply
from train.judged import wilson

RATES = {
    "false_alarms": ("good", "false alarms"),
    "defect_escapes": ("defect", "escapes of defects"),
    "wrong_part_escapes": ("wrong_part", "escapes of wrong parts"),
}
"""The counts that the words go by: each with the count it is a share of, and its words. Lower is better."""
AREAS = {"defect_auroc": "AUROC of defects", "mismatch_auroc": "AUROC of wrong parts"}
WIDE = 0.15
"""An interval wider than this tells too little to say that a figure has stopped gaining."""


@dataclass(frozen=True)
class Band:
    """A figure and how far it may be off. A rate: its Wilson 95 % interval. An area: the least and most of repeats."""

    middle: float
    low: float
    high: float

    @classmethod
    def of_counts(cls, count: int, total: int) -> Self:
        """The rate `count` of `total`, at least 1."""
        return cls(count / total, *wilson(count, total))

    @classmethod
    def of_repeats(cls, values: Sequence[float]) -> Self:
        """Their mean, least and most."""
        return cls(sum(values) / len(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """A place on the curve, its repeats pooled. `bands`: by name, as in `RATES` and `AREAS`, where it can be told."""

    good: int
    defects: int
    repeats: int
    bands: dict[str, Band]
    seconds: float


@dataclass(frozen=True)
class Axis:
    """One factor, the other as large as it gets. `rows`: by count, ascending; `counts`: of each row."""

    name: str
    counts: tuple[int, ...]
    rows: tuple[Row, ...]


def pool(measured: Sequence[Measured]) -> tuple[Row, ...]:
    """The points by place, ascending in good views, then in defective ones."""
    rows = []
    for good, defects in sorted({(one.good, one.defects) for one in measured}):
        figures = [one.figures for one in measured if (one.good, one.defects) == (good, defects)]
        bands = {}
        for name, (of, _) in RATES.items():
            if total := sum(int(some[of]) for some in figures):
                bands[name] = Band.of_counts(sum(int(some[name]) for some in figures), total)
        for name in AREAS:
            if values := [float(some[name]) for some in figures if name in some]:
                bands[name] = Band.of_repeats(values)
        seconds = [one.seconds for one in measured if (one.good, one.defects) == (good, defects)]
        rows.append(Row(good, defects, len(figures), bands, sum(seconds) / len(seconds)))
    return tuple(rows)


def axes(rows: Sequence[Row], supply: Supply) -> list[Axis]:
    """The axes that are more than the point which both share; of that alone, the one of good views."""
    found = []
    along_good = tuple(row for row in rows if row.defects == supply.defects)
    along_defects = tuple(row for row in rows if row.good == supply.good)
    more_defects = any(row.defects != supply.defects for row in along_defects)
    if any(row.good != supply.good for row in along_good) or not more_defects:
        found.append(Axis("good views a label", tuple(row.good for row in along_good), along_good))
    if more_defects:
        found.append(Axis("defective training views", tuple(row.defects for row in along_defects), along_defects))
    return [axis for axis in found if axis.rows]


def enough(axis: Axis, name: str) -> int:
    """The smallest count from which no larger one has a figure `name` whose interval lies wholly below its own."""
    bands = [row.bands[name] for row in axis.rows]
    return next(
        count for at, count in enumerate(axis.counts) if all(later.high >= bands[at].low for later in bands[at + 1 :])
    )


def answer(axis: Axis) -> list[str]:
    """Whether more pictures gain anything, and from what to what, in sentences; the first is the answer."""
    told = [name for name in RATES if all(name in row.bands for row in axis.rows)]
    first, last = axis.counts[0], axis.counts[-1]
    if len(axis.rows) < 2 or not told:
        return [f"Of the number of {axis.name} nothing can be told yet: that takes two counts and held-out views."]
    enough_of = {name: enough(axis, name) for name in told}
    need = max(enough_of.values())
    wide = [RATES[name][1] for name in told if axis.rows[-1].bands[name].high - axis.rows[-1].bands[name].low > WIDE]
    doubt = f"but intervals are wide ({', '.join(wide)}), so it takes more held-out views to tell"
    if need == last:
        gaining = " and ".join(RATES[name][1] for name in told if enough_of[name] == last)
        sentences = [f"Still gaining at {last} {axis.name} ({gaining}): take more."]
    else:
        level = (
            f"From {first} to {last} {axis.name} no figure gains beyond its interval"
            if need == first
            else f"With {need} {axis.name} the figures stop gaining beyond their intervals"
        )
        sentences = [f"{level}, {doubt}." if wide else f"{level}: more gain little."]
    sentences += [_from_to(axis, name) for name in told]
    for name, words in AREAS.items():
        if all(name in row.bands for row in axis.rows):
            areas = [f"{row.bands[name].middle:.3f} with {count}" for count, row in _ends(axis)]
            sentences.append(f"{words}, which no threshold moves: {', '.join(areas)}.")
    return sentences


def _ends(axis: Axis) -> list[tuple[int, Row]]:
    return [(axis.counts[at], axis.rows[at]) for at in (0, -1)]


def _from_to(axis: Axis, name: str) -> str:
    first, last = axis.rows[0].bands[name], axis.rows[-1].bands[name]
    if last.high < first.low:
        said = "fewer, beyond the intervals"
    elif last.low > first.high:
        said = "more, beyond the intervals"
    else:
        said = "no difference beyond the intervals"
    words = RATES[name][1].capitalize()
    return f"{words}: {first.middle:.1%} with {axis.counts[0]}, {last.middle:.1%} with {axis.counts[-1]}, {said}."


def place(point: Point) -> str:
    """Which training a point is."""
    return f"{point.good} good views a label, {point.defects} defective, repeat {point.repeat + 1}"


def brief(measured: Measured) -> str:
    """A point in a line."""
    (row,) = pool([measured])
    found = [f"{words} {row.bands[name].middle:.1%}" for name, (_, words) in RATES.items() if name in row.bands]
    return f"{place(measured.point)}: {', '.join(found)} ({row.seconds:.0f} s)"


HEADINGS = ("good a label", "defective", "repeats", *(words for _, words in RATES.values()), *AREAS.values())


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table below `HEADINGS`."""
    return (
        *(str(count) for count in (row.good, row.defects, row.repeats)),
        *(_cell(row, name, ".1%", 100, ".1f") for name in RATES),
        *(_cell(row, name, ".3f", 1, ".2f") for name in AREAS),
    )


def _cell(row: Row, name: str, form: str, scale: float, edge: str) -> str:
    """Short enough that a terminal of 80 columns holds the table, two lines a row."""
    if name not in row.bands:
        return "not told"
    band = row.bands[name]
    return f"{band.middle:{form}} {scale * band.low:{edge}}–{scale * band.high:{edge}}"
