"""`report.html`: the one page a vision engineer reads to decide whether a bundle may go to the line.

The page needs no network, no other file and no script. What it says and which views it shows is decided in `findings`,
the numbers are `judged`'s, plots are made in `charts`, pictures in `thumbnails`; how it looks is `report.html.j2`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from edge_runtime.disk import write_whole
from edge_runtime.verdict import Thresholds
from train import charts, findings, thumbnails
from train.baselines import Method
from train.judged import VERDICTS, Judged, Scores, metrics

MOST_LABELS = 12
"""Labels shown in pictures; all of them stand in the table."""

MOST_BYTES = 5_000_000
"""A page above this is drawn again with smaller pictures: it must open on a phone and go by mail."""

_SIDES = (320, 224, 160, 112, 80)  # pixels, tried in this order; at the last a page of the most pictures is 4 MB


@dataclass(frozen=True)
class Case:
    """A row of `Judged`, ready to show. Pictures are `data:` addresses; numbers are text."""

    heading: str
    name: str
    label: str
    expected: str
    verdict: str
    scores: str
    peak: str
    view: str
    drawing: str
    difference: str


@dataclass(frozen=True)
class Plot:
    """A plot as a `data:` address, and its words for those who cannot see it."""

    address: str
    words: str


def write_report(
    path: Path,
    *,
    title: str,
    labels: tuple[str, ...],
    judged: Judged,
    history: Mapping[str, Sequence[float]],
    thresholds: Thresholds,
    facts: Sequence[tuple[str, str]],
    compared: Sequence[Method],
    notes: Sequence[str] = (),
    warning: str = "",
) -> None:
    """Write the report of `judged` to `path`, whole or not at all; a report that is there stays until then.

    labels: the name of each label index. history: Keras' (`loss`, `error`, `kl`, `wrong_error`, each also as `val_…`),
    one value an epoch; any may be missing. facts: what and value, for the table at the end. compared: kenpin and the
    simpler methods, as `train.baselines.compare` gives them. notes: what training could not promise. warning:
    what must be read before all else, if there is such a thing. Raises OSError.
    """
    page = _page(
        title=title,
        labels=labels,
        judged=judged,
        history=history,
        limits=thresholds,
        facts=facts,
        compared=compared,
        notes=notes,
        warning=warning,
    )
    write_whole(path, page.encode())


def _page(
    *,
    title: str,
    labels: tuple[str, ...],
    judged: Judged,
    history: Mapping[str, Sequence[float]],
    limits: Thresholds,
    facts: Sequence[tuple[str, str]],
    compared: Sequence[Method],
    notes: Sequence[str],
    warning: str,
) -> str:
    found = metrics(judged, limits)
    words = {
        "title": title,
        "warning": f"{warning[:1].upper()}{warning[1:]}",
        "answer": findings.answer(found),
        "untold": [*findings.untold(judged, limits, labels), *(f"{note[0].upper()}{note[1:]}." for note in notes)],
        "confusion": findings.confusion_rows(judged, limits),
        "verdicts": VERDICTS,
        "limits": limits,
        "found": found,
        "curves": [Plot(plot, f"Curve of {name}, epoch by epoch") for name, plot in charts.loss_curves(history)],
        "draws_wrong_labels": bool(history.get("wrong_error")),
        "histograms": _histograms(judged, limits),
        "rocs": _rocs(judged, limits, found),
        "against": findings.against(compared),
        "methods": findings.method_rows(compared),
        "questions": list(findings.answers(compared)),
        "against_plots": _against(compared),
        "at": findings.AT,
        "by_label": findings.label_rows(judged, limits, labels),
        "facts": facts,
        "full_scale": f"{thumbnails.FULL_SCALE:g}",
        "scale_bar": thumbnails.scale_bar(),
        "most_labels": MOST_LABELS,
        "most_worst": findings.MOST_WORST,
    }
    parts = [(name, findings.examples(judged, labels, index)) for index, name in enumerate(labels[:MOST_LABELS])]
    worst = findings.worst_cases(judged, limits)
    template = _template()

    def drawn(side: int) -> str:
        def cases(chosen: Sequence[findings.Choice]) -> list[Case]:
            return [_case(judged, limits, labels, choice, side) for choice in chosen]

        return template.render(
            words,
            parts=[(name, cases(chosen)) for name, chosen in parts],
            worst={truth: cases(chosen) for truth, chosen in worst.items()},
        )

    for side in _SIDES:
        page = drawn(side)
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


def _template() -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # a file's name may hold markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("report.html.j2")


def _case(judged: Judged, limits: Thresholds, labels: tuple[str, ...], choice: findings.Choice, side: int) -> Case:
    row = choice.row
    scores = f"defect {_number(judged.defect_score[row])}"
    if limits.mismatch is not None:
        scores += f", mismatch {_number(judged.mismatch_score[row])}"
    return Case(
        heading=choice.heading,
        name=judged.names[row],
        label=labels[judged.label[row]],
        expected=labels[judged.expected[row]],
        verdict=judged.verdict(row, limits),
        scores=scores,
        peak=f"{np.max(judged.difference[row]):.1f}",
        view=thumbnails.thumbnail((judged.views if judged.seen is None else judged.seen)[row], side),
        drawing=thumbnails.thumbnail(judged.reconstruction[row], side),
        difference=thumbnails.heat_map(judged.difference[row], side),
    )


def _number(score: np.float32) -> str:
    return f"{score:.3f}" if np.isfinite(score) else "no number"


def _histograms(judged: Judged, limits: Thresholds) -> list[Plot]:
    truth = judged.truth[judged.measured]
    heads: list[tuple[str, Scores, float | None]] = [("defect", judged.defect_score, limits.defect)]
    if np.any(truth == "wrong part"):
        heads.append(("mismatch", judged.mismatch_score, limits.mismatch))
    return [
        Plot(charts.histogram(scores[judged.measured], truth, limit, name), f"Histogram of {name} scores by truth")
        for name, scores, limit in heads
    ]


def _rocs(judged: Judged, limits: Thresholds, found: Mapping[str, float | int]) -> list[tuple[str, Plot]]:
    """A heading and a plot for each head of which an AUROC can be told."""
    heads = (
        ("defect", "good views", "defects", judged.defect_question(), limits.defect),
        ("mismatch", "right parts", "wrong parts", judged.mismatch_question(), limits.mismatch),
    )
    plots = []
    for name, negatives, positives, (scores, positive), limit in heads:
        if f"{name}_auroc" in found:
            heading = f"{positives.capitalize()} against {negatives}: AUROC {found[f'{name}_auroc']:.4f}"
            address = charts.roc(scores, positive, limit, negatives=negatives, positives=positives)
            plots.append((heading, Plot(address, f"ROC. {heading}")))
    return plots


def _against(compared: Sequence[Method]) -> list[tuple[str, Plot]]:
    """A heading and a plot for each question that kenpin and the simpler methods were asked."""
    plots = []
    for truth, answers in findings.answers(compared).items():
        heading = f"{truth.capitalize()}s against good views"
        words = f"AUROC with interval, method by method. {heading}"
        plots.append((heading, Plot(charts.against(answers, truth), words)))
    return plots
