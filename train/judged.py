"""What the finished bundle says of the held-out views, and the numbers that follow from it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm, rankdata
from sklearn.metrics import roc_auc_score

from edge_runtime.picture import Image
from edge_runtime.verdict import Reason, Thresholds, decide

TRUTHS = ("good", "defect", "wrong part")
VERDICTS = ("OK", "NG defect", "NG wrong part", "NG unsure")

_SAID = {Reason.MATCH: "OK", Reason.DEFECT: "NG defect", Reason.WRONG_PART: "NG wrong part", Reason.UNSURE: "NG unsure"}

Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Judged:
    """Every question asked of the held-out views: one row a view and an expected label.

    views:          uint8 [N, H, W, C], C is 1 or 3 (BGR), as given
    names:          N sources, one a view; rows of one view share its name
    label:          int64 [N], what it is
    expected:       int64 [N], what the line expects; differs from `label`: a wrong part
    defective:      bool [N]
    defect_score:   float32 [N], calibrated probability; higher is worse
    mismatch_score: float32 [N], calibrated probability; higher is worse
    difference:     float32 [N, H, W], in tolerances
    reconstruction: uint8 [N, H, W, C], the expected part as it should look here
    unusual:        bool [N], lies outside what the expected part was learnt from; None: none does
    seen:           uint8 [N, H, W, C], the views as they were judged, aligned; None: as given
    """

    views: Image
    names: tuple[str, ...]
    label: npt.NDArray[np.int64]
    expected: npt.NDArray[np.int64]
    defective: Flags
    defect_score: Scores
    mismatch_score: Scores
    difference: npt.NDArray[np.float32]
    reconstruction: Image
    unusual: Flags | None = None
    seen: Image | None = None

    @property
    def truth(self) -> Texts:
        """Which of `TRUTHS` each row is, [N]. A defective wrong part is a wrong part."""
        return np.where(self.label != self.expected, "wrong part", np.where(self.defective, "defect", "good"))

    def verdict(self, row: int, limits: Thresholds) -> str:
        """Which of `VERDICTS` the line would give one row, by the line's own rule."""
        unusual = self.unusual is not None and bool(self.unusual[row])
        _, reason = decide(float(self.defect_score[row]), float(self.mismatch_score[row]), limits, unusual=unusual)
        return _SAID[reason]

    def verdicts(self, limits: Thresholds) -> Texts:
        """The same of every row, [N]."""
        return np.array([self.verdict(row, limits) for row in range(len(self.label))], dtype=np.str_)

    def confusion(self, limits: Thresholds) -> npt.NDArray[np.int64]:
        """Rows counted by truth (as in `TRUTHS`) and verdict (as in `VERDICTS`): int64 [3, 4]."""
        truth, verdict = self.truth, self.verdicts(limits)
        return np.array([[np.sum((truth == t) & (verdict == v)) for v in VERDICTS] for t in TRUTHS], dtype=np.int64)

    @property
    def measured(self) -> Flags:
        """Rows whose scores are both numbers, [N]. The others are NG unsure, and stand in no curve."""
        return np.isfinite(self.defect_score) & np.isfinite(self.mismatch_score)

    def defect_question(self) -> tuple[Scores, Flags]:
        """Defect scores of measured rows with the right label, and which of them are defective."""
        asked = self.measured & (self.label == self.expected)
        return self.defect_score[asked], self.defective[asked]

    def mismatch_question(self) -> tuple[Scores, Flags]:
        """Mismatch scores of measured rows, and which of them are wrong parts."""
        return self.mismatch_score[self.measured], (self.label != self.expected)[self.measured]


def metrics(judged: Judged, limits: Thresholds) -> dict[str, float | int]:
    """The held-out numbers, by name. A number that the views cannot tell is absent.

    Counts: `rows`, `good`, `defect`, `wrong_part`, `unsure`, `false_alarms` (good called NG), `defect_escapes` and
    `wrong_part_escapes` (called OK). Where there is one to count: `…_rate` with `…_low` and `…_high`, its Wilson 95 %
    interval (names: `false_alarm`, `defect_escape`, `wrong_part_escape`). `defect_auroc`: good against defective views
    with the right label. `mismatch_auroc`: right labels against wrong ones.
    """
    table = judged.confusion(limits)
    good, defect, wrong_part = (int(n) for n in table.sum(axis=1))
    found: dict[str, float | int] = {
        "rows": int(table.sum()),
        "good": good,
        "defect": defect,
        "wrong_part": wrong_part,
        "unsure": int(table[:, VERDICTS.index("NG unsure")].sum()),
    }
    passed = [int(n) for n in table[:, VERDICTS.index("OK")]]
    for name, count, total in (
        ("false_alarm", good - passed[0], good),
        ("defect_escape", passed[1], defect),
        ("wrong_part_escape", passed[2], wrong_part),
    ):
        found[f"{name}s"] = count
        if total:
            found[f"{name}_rate"] = count / total
            found[f"{name}_low"], found[f"{name}_high"] = wilson(count, total)
    for name, question in (("defect", judged.defect_question()), ("mismatch", judged.mismatch_question())):
        area = auroc(*question)
        if area is not None:
            found[f"{name}_auroc"] = area
    return found


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of the rate behind `count` of `total` (E. B. Wilson, JASA 22, 1927). `total` is at least 1."""
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def auroc(scores: npt.NDArray[np.floating], positive: Flags) -> float | None:
    """How often a positive scores above a negative, ties counting half; None where one of the two is missing."""
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, scores))


def auroc_interval(scores: npt.NDArray[np.floating], positive: Flags) -> tuple[float, float] | None:
    """The 95 % interval of `auroc`, by DeLong's variance; None where one of the two kinds is missing.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, from ranks as in Sun and Xu, IEEE Signal Process. Lett. 21,
    2014. Rows count as independent. Where the two kinds lie wholly apart (or one is a single row) that variance is
    nought and would promise certainty; then it is Wilson's interval of a rate among as many as the rarer kind has, the
    most that an AUROC can vary (Birnbaum and Klose, Ann. Math. Stat. 28, 1957).
    """
    found, rest = scores[positive], scores[~positive]
    if not (found.size and rest.size):
        return None
    ranks = rankdata(scores)
    below = (ranks[positive] - rankdata(found)) / rest.size  # for each positive, the share of negatives below it
    above = 1 - (ranks[~positive] - rankdata(rest)) / found.size
    area, fewer = float(below.mean()), min(found.size, rest.size)
    variance = below.var(ddof=1) / found.size + above.var(ddof=1) / rest.size if fewer > 1 else 0.0
    if not variance:
        return wilson(round(area * fewer), fewer)
    reach = float(norm.ppf(0.975) * np.sqrt(variance))
    return max(0.0, area - reach), min(1.0, area + reach)
