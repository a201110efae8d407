"""The report's plots: SVG inside `data:` addresses. No name from a data set is drawn, so none can be misread as markup.

Colours are Okabe and Ito's, which colour-blind readers tell apart; line styles and panels say the same again.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import roc_curve

from train.baselines import Answer
from train.judged import TRUTHS, Flags, Scores, Texts

BLUE, VERMILION, PURPLE, INK = "#0072B2", "#D55E00", "#8E4585", "#222222"
COLOURS = dict(zip(TRUTHS, (BLUE, VERMILION, PURPLE), strict=True))

PANELS = (
    ("loss", (("loss", BLUE),)),
    ("squared error", (("error", BLUE), ("wrong_error", PURPLE))),
    ("KL, nats a view", (("kl", BLUE),)),
)
"""Title of each training panel, and the Keras history keys it shows, training and validation."""

_LOOK: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.hashsalt": "kenpin",  # the same numbers give the same file
}


def loss_curves(history: Mapping[str, Sequence[float]]) -> list[tuple[str, str]]:
    """Title and plot for each of `PANELS` that has a curve. history: one value an epoch."""
    plots = []
    for title, keys in PANELS:
        curves = [(f"{prefix}{key}", colour) for key, colour in keys for prefix in ("", "val_")]
        curves = [(key, colour) for key, colour in curves if history.get(key)]
        if curves:
            plots.append((title, _loss_panel(title, {key: history[key] for key, _ in curves}, dict(curves))))
    return plots


def _loss_panel(title: str, curves: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> str:
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(3.7, 3.1), layout="constrained")
        axes: Axes = figure.subplots()
        for key, values in curves.items():
            style = "--" if key.startswith("val_") else "-"
            mark = "o" if len(values) == 1 else ""
            axes.plot(range(1, len(values) + 1), values, style, marker=mark, color=colours[key], label=key)
        if title == "squared error" and any(value > 0 for values in curves.values() for value in values):
            axes.set_yscale("log")
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        return _address(figure)


def histogram(scores: Scores, truth: Texts, threshold: float | None, name: str) -> str:
    """Scores (float32 [N]) by truth (str [N]), one panel a truth, counts on a log axis so that one view can be seen."""
    shown = [kind for kind in TRUTHS if np.any(truth == kind)]
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(5.6, 0.8 + 1.4 * max(1, len(shown))), layout="constrained")
        panels = figure.subplots(max(1, len(shown)), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, kind in zip(panels, shown, strict=False):
            of_kind = scores[truth == kind]
            axes.hist(of_kind, bins=50, range=(0, 1), color=COLOURS[kind])
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_ylim(bottom=0.7)
            axes.set_title(f"{kind} ({of_kind.size})", loc="left", color=COLOURS[kind], fontsize=10)
            if threshold is not None:
                axes.axvline(threshold, color=INK, linestyle="--")
        if threshold is not None:
            panels[0].set_title(f"-- NG from {threshold:.3g}", loc="right", fontsize=10)
        panels[-1].set(xlabel=f"{name} score", xlim=(-0.01, 1.01))
        figure.supylabel("rows, log scale", fontsize=10)
        return _address(figure)


def roc(scores: Scores, positive: Flags, threshold: float | None, *, negatives: str, positives: str) -> str:
    """Share of positives found over share of negatives stopped, as the threshold moves; a point at `threshold`.

    scores: float32 [N]; positive: bool [N], some of each. The horizontal axis goes by the square root: lines run at
    the few per cent on its left.
    """
    stopped, found, _ = roc_curve(positive, scores)
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(5.6, 4.2), layout="constrained")
        axes: Axes = figure.subplots()
        axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
        chance = np.linspace(0, 1, 100)
        axes.plot(chance, chance, ":", color="#777777", label="by chance")
        axes.plot(stopped, found, color=BLUE, label="as the threshold moves")
        if threshold is not None:
            at = np.mean(scores[~positive] >= threshold), np.mean(scores[positive] >= threshold)
            words = f"at {threshold:.3g}: {at[1]:.1%} found, {at[0]:.1%} stopped"
            axes.plot(*at, "D", color=VERMILION, label=words, clip_on=False, zorder=3)
        axes.set(xlabel=f"{negatives} stopped", ylabel=f"{positives} found", xlim=(0, 1), ylim=(0, 1.01))
        axes.set_xticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], ["0", "1 %", "5 %", "10 %", "25 %", "50 %", "100 %"])
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.legend(loc="lower right")
        return _address(figure)


def against(answers: Mapping[str, Answer], truth: str) -> str:
    """Each method's AUROC on `truth` (of `TRUTHS`) with its interval, a row each; the first method is filled."""
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(5.6, 0.9 + 0.32 * len(answers)), layout="constrained")
        axes: Axes = figure.subplots()
        first = next(iter(answers.values())).auroc
        axes.axvline(first, color=COLOURS[truth], linestyle=":")
        for row, answer in enumerate(answers.values()):
            reach = [[answer.auroc - answer.low], [answer.high - answer.auroc]]
            colour, fill = (INK, "white") if row else (COLOURS[truth], COLOURS[truth])
            axes.errorbar(answer.auroc, row, xerr=reach, fmt="o", color=colour, markerfacecolor=fill, capsize=3)
        axes.set_yticks(range(len(answers)), list(answers))
        axes.set(xlabel="AUROC, 95 % interval", ylim=(len(answers) - 0.5, -0.5))
        axes.set_xlim(right=1.005)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return _address(figure)


@dataclass(frozen=True)
class Line:
    """A figure by count, with the band around it: `middle`, `low` and `high` of each of `counts`."""

    name: str
    colour: str
    counts: Sequence[int]
    middle: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def counted(lines: Sequence[Line], *, x_label: str, share: bool) -> str:
    """Lines and their bands over counts by powers of two, or from 0 on. `share`: they are rates, drawn from 0 on."""
    counts = sorted({count for line in lines for count in line.counts})
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(3.7, 3.1), layout="constrained")
        axes: Axes = figure.subplots()
        if counts[0] > 0:
            axes.set_xscale("log", base=2)
            axes.set_xlim(counts[0] / 1.1, counts[-1] * 1.1)
        else:  # 0 has its place as far left of the next as that is of its double
            axes.set_xscale("symlog", base=2, linthresh=min(counts[1:], default=1))
        for line, style in zip(lines, ("-", "--"), strict=False):
            axes.fill_between(line.counts, line.low, line.high, color=line.colour, alpha=0.2, linewidth=0)
            if len(line.counts) == 1:  # where a band has no width
                axes.vlines(line.counts, line.low, line.high, color=line.colour, alpha=0.4)
            axes.plot(line.counts, line.middle, style, marker="o", color=line.colour, label=line.name)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(title=lines[0].name if share else "AUROC", xlabel=x_label)
        if share:
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        else:
            axes.legend()
        return _address(figure)


def _address(figure: Figure) -> str:
    nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    svg = io.BytesIO()
    figure.savefig(svg, format="svg", metadata=nothing)
    return "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode()
