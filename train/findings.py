"""What the report says of the held-out views in words and tables, and which of them it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.verdict import Thresholds
from train.baselines import ALARMS, BY_DRAWING, Answer, Method
from train.judged import TRUTHS, VERDICTS, Flags, Judged, Scores

MOST_WORST = 12
"""Pictures in each list of worst cases."""

AT = f"{100 * ALARMS:g} %"
"""The false alarms at which methods are compared, as text."""


@dataclass(frozen=True)
class Cell:
    """A count of the confusion table.

    kind: "right", "wrong" (a false alarm or an escape), "other" (stopped for another reason) or "none" (no such row).
    """

    count: int
    share: str
    kind: str
    words: str


@dataclass(frozen=True)
class Choice:
    """A row of `Judged` that is worth showing, and why."""

    row: int
    heading: str


def answer(found: Mapping[str, float | int]) -> list[str]:
    """What `metrics` found, in sentences."""
    sentences = [
        _outcome(found, "good", "good view", "false_alarm", ("raises a false alarm", "raise a false alarm")),
        _outcome(found, "defect", "defective view", "defect_escape", ("is called OK", "are called OK")),
        _outcome(found, "wrong_part", "wrong part", "wrong_part_escape", ("is called OK", "are called OK")),
    ]
    if found["unsure"]:
        sentences.append(
            f"{found['unsure']} of {found['rows']} questions end as NG unsure: the view is darker, brighter, flatter "
            "or less sharp than any the part was learnt from, or a score is no number."
        )
    return [sentence for sentence in sentences if sentence]


def untold(judged: Judged, limits: Thresholds, labels: tuple[str, ...]) -> list[str]:
    """What the held-out views cannot tell, and what would."""
    truth = judged.truth
    words = []
    if not np.any(truth == "good"):
        words.append("How often good parts are stopped cannot be told: no good view was held out.")
    defects_of = set(judged.label[truth == "defect"].tolist())
    without = [name for index, name in enumerate(labels) if index not in defects_of]
    if not defects_of:
        words.append(
            "How many defects escape cannot be told: no defective view was held out. "
            "Put some into <label>/test/defect and train again."
        )
    elif without:
        shown = ", ".join(without[:MOST_WORST]) + (" and others" if len(without) > MOST_WORST else "")
        words.append(f"How many defects of {shown} escape cannot be told: no defective view was held out.")
    if len(labels) < 2:
        words.append("Wrong parts cannot be told: the data set has a single label, so nothing to mix it up with.")
    elif not np.any(truth == "wrong part"):
        words.append("How many wrong parts escape cannot be told: no view was shown under a wrong label.")
    elif limits.mismatch is None:
        words.append("Wrong parts are not looked for: the mismatch score has no threshold.")
    return words


def confusion_rows(judged: Judged, limits: Thresholds) -> list[tuple[str, int, list[Cell]]]:
    """For each of `TRUTHS` its name, its total and a cell for each of `VERDICTS`."""
    right = dict(zip(TRUTHS, VERDICTS, strict=False))
    rows = []
    for truth, counts in zip(TRUTHS, judged.confusion(limits).tolist(), strict=True):
        cells = []
        for verdict, count in zip(VERDICTS, counts, strict=True):
            kind, words = "other", "stopped"
            if verdict == right[truth]:
                kind, words = "right", "right"
            elif truth == "good":
                kind, words = "wrong", "false alarm"
            elif verdict == "OK":
                kind, words = "wrong", "escape"
            share = percent(count / sum(counts)) if count else ""
            cells.append(Cell(count, share, kind if count else "none", words if count else ""))
        rows.append((truth, sum(counts), cells))
    return rows


def label_rows(judged: Judged, limits: Thresholds, labels: tuple[str, ...]) -> list[dict[str, str]]:
    """For each label what became of its views, as text: "3 of 120 (2.5 %)", or a dash where there are none.

    Keys: label, alarms, defects, wrong (escapes, both), taken_for (where most of the wrong parts escaped to).
    """
    truth, passed = judged.truth, judged.verdicts(limits) == "OK"
    rows = []
    for index, name in enumerate(labels):
        mine = judged.label == index
        mixed_up = judged.expected[mine & (truth == "wrong part") & passed]
        most = np.bincount(mixed_up, minlength=len(labels))
        rows.append(
            {
                "label": name,
                "alarms": _share(~passed[mine & (truth == "good")]),
                "defects": _share(passed[mine & (truth == "defect")]),
                "wrong": _share(passed[mine & (truth == "wrong part")]),
                "taken_for": f"{labels[int(most.argmax())]} ({most.max()})" if mixed_up.size else "–",
            }
        )
    return rows


def examples(judged: Judged, labels: tuple[str, ...], label: int) -> list[Choice]:
    """A good view of `label`, a defective one, and the good one again under a wrong label; as far as there are any.

    Each is the middle one by its score: neither the prettiest nor the worst.
    """
    truth, mine, names = judged.truth, judged.label == label, np.array(judged.names)
    good, wrong = mine & (truth == "good"), mine & (truth == "wrong part")
    asked_both_ways = good & np.isin(names, names[wrong])
    first = _middle(asked_both_ways if asked_both_ways.any() else good, judged.defect_score)
    same = wrong & (names == names[first]) if first is not None else np.zeros_like(wrong)
    second = _middle(mine & (truth == "defect"), judged.defect_score)
    third = _middle(same if same.any() else wrong, judged.mismatch_score)
    chosen = []
    if first is not None:
        chosen.append(Choice(first, "A good view"))
    if second is not None:
        chosen.append(Choice(second, "A defective view"))
    if third is not None:
        start = "The same good view" if same.any() else "A view"
        chosen.append(Choice(third, f"{start} where {labels[judged.expected[third]]} is expected"))
    return chosen


def worst_cases(judged: Judged, limits: Thresholds) -> dict[str, list[Choice]]:
    """By truth, up to `MOST_WORST` rows each: escapes from the lowest score up, good views from the highest down.

    A defect goes by its defect score, a wrong part by its mismatch score, a false alarm by the higher of the two.
    """
    truth, passed = judged.truth, judged.verdicts(limits) == "OK"
    alarm = judged.defect_score if limits.mismatch is None else np.maximum(judged.defect_score, judged.mismatch_score)
    alarm = np.where(judged.measured, alarm, np.inf)
    return {
        "defect": _lowest((truth == "defect") & passed, judged.defect_score),
        "wrong part": _lowest((truth == "wrong part") & passed, judged.mismatch_score),
        "good": _lowest((truth == "good") & ~passed, -alarm),
    }


def answers(compared: Sequence[Method]) -> dict[str, dict[str, Answer]]:
    """By truth ("defect", "wrong part") each method's answer; a truth that the views cannot tell is absent."""
    by_truth = {
        "defect": {method.name: method.defect for method in compared},
        "wrong part": {method.name: method.wrong_part for method in compared},
    }
    told = {truth: {name: it for name, it in given.items() if it} for truth, given in by_truth.items()}
    return {truth: given for truth, given in told.items() if given}


def against(compared: Sequence[Method]) -> list[str]:
    """For each question whether a simpler method tells more than the first one, kenpin: then named, and what to do.

    It does by the AUROC, or by the recall where the AUROCs are as good as equal: the views tell no fourth digit.
    """
    words = []
    for truth, given in answers(compared).items():
        ours, *others = given.items()
        if not others:
            continue
        name, best = max(others, key=lambda other: _merit(other[1]))
        figures = f"({best.auroc:.3f} against {ours[1].auroc:.3f})"
        if _merit(best) <= _merit(ours[1]):
            said = "no simpler method tells more; the nearest is"
            if _merit(best) == _merit(ours[1]):
                said = "these views show no gain over a simpler method, which tells as much:"
            words.append(f"On {truth}s, {said} {name} {figures}.")
            continue
        verb = f"{name} tells more {figures}"
        if round(best.auroc, 3) == round(ours[1].auroc, 3):
            share = f"{percent(best.recall)} against {percent(ours[1].recall)}"
            verb = f"{name} tells as much {figures} and finds more at {AT} false alarms ({share})"
        remedy = "the drawing tells it and the heads lose it, so look at the views that taught them"
        if name not in BY_DRAWING:
            remedy = "look at how the parts are drawn above, and try more --epochs,"
        words.append(f"On {truth}s, {verb}: {remedy} before trusting this run.")
    return words


def method_rows(compared: Sequence[Method]) -> list[tuple[str, list[str]]]:
    """For each method its name and, for each question that was told, AUROC with interval and recall, as text."""
    told = answers(compared)
    rows = []
    for method in compared:
        cells = []
        for given in told.values():
            answer = given[method.name]
            cells += [f"{answer.auroc:.3f} ({answer.low:.3f}–{answer.high:.3f})", percent(answer.recall)]
        rows.append((method.name, cells))
    return rows


def percent(share: float) -> str:
    """`share` (0..1) as "1.4 %"; a small one keeps a digit that is not nought, so that it does not read as none."""
    hundredths = 100 * share
    return f"{hundredths:.1f} %" if hundredths >= 1 or not hundredths else f"{hundredths:.1g} %"


def _merit(answer: Answer) -> tuple[float, float]:
    return round(answer.auroc, 3), round(answer.recall, 3)


def _outcome(found: Mapping[str, float | int], truth: str, noun: str, name: str, verbs: tuple[str, str]) -> str:
    total, count = int(found[truth]), int(found[f"{name}s"])
    if not total:
        return ""
    low, high = (percent(found[f"{name}_{end}"]).removesuffix(" %") for end in ("low", "high"))
    share = f"{percent(found[f'{name}_rate'])}, {low}–{high} %"
    return f"Of {total} {noun}{'s' * (total != 1)} {count or 'none'} {verbs[count > 1]} ({share})."


def _share(hit: Flags) -> str:
    if not hit.size:
        return "–"
    return f"{hit.sum()} of {hit.size} ({percent(hit.mean())})"


def _middle(among: Flags, scores: Scores) -> int | None:
    """The row in the middle of `scores` among the flagged ones, or None where there is none."""
    rows = np.flatnonzero(among)
    return int(rows[np.argsort(scores[rows], kind="stable")][(rows.size - 1) // 2]) if rows.size else None


def _lowest(among: Flags, scores: npt.NDArray[np.floating]) -> list[Choice]:
    rows = np.flatnonzero(among)
    order = rows[np.argsort(scores[rows], kind="stable")]
    return [Choice(int(row), f"{place}") for place, row in enumerate(order[:MOST_WORST], start=1)]
