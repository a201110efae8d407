"""What came out of the line, against what was put on it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from demo.line import Phase, Picture
from edge_runtime.verdict import Call, Reason, Verdict

TRUTHS = ("good", "defect", "wrong part")
SAID = ("OK", "NG defect", "NG wrong_part", "NG unsure", "NG bad_image", "ERROR")


@dataclass(frozen=True)
class Outcome:
    """Counts by truth and verdict, and latencies in milliseconds. `lost`: pictures without a verdict."""

    counts: Counter[tuple[str, str]]
    milliseconds: tuple[float, ...]
    lost: int

    def share(self, truth: str, said: str) -> float:
        """Which share of the pictures that are `truth` got the verdict `said`; NaN where there was none."""
        total = sum(count for (is_, _), count in self.counts.items() if is_ == truth)
        return self.counts[truth, said] / total if total else float("nan")

    @property
    def shows_all(self) -> bool:
        """Whether no verdict was lost and OK, NG/defect and NG/wrong part were all seen where they belong."""
        right = zip(TRUTHS, SAID[:3], strict=True)
        return not self.lost and all(self.counts[pair] for pair in right)


def outcome(log: Path, phases: list[Phase]) -> Outcome:
    """Compare the subscriber's log with the line's plan. What the line expected is in each verdict."""
    pictures = {picture.name: picture for phase in phases for picture in phase.pictures}
    verdicts = [Verdict.from_json(line) for line in log.read_text().splitlines()]
    counts = Counter((_truth(pictures[v.picture or ""], v), _said(v)) for v in verdicts)
    lost = len(pictures.keys() - {v.picture for v in verdicts})
    return Outcome(counts, tuple(v.latency_ms.total for v in verdicts), lost)


def show(found: Outcome, console: Console) -> None:
    """Print the counts, the shares that matter and the latency."""
    table = Table(title="what came along (rows) and what the line said (columns)", title_justify="left")
    table.add_column("")
    used = [said for said in SAID if any(found.counts[truth, said] for truth in TRUTHS)]
    for said in used:
        table.add_column(said, justify="right")
    for truth in TRUTHS:
        table.add_row(truth, *(str(found.counts[truth, said]) for said in used))
    console.print(table)
    console.print(
        f"wrong parts found   {found.share('wrong part', 'NG wrong_part'):6.1%}\n"
        f"defects found       {1 - found.share('defect', 'OK'):6.1%}\n"
        f"false alarms        {1 - found.share('good', 'OK'):6.1%}\n"
        f"latency             {np.median(found.milliseconds):.1f} ms median, "
        f"{np.percentile(found.milliseconds, 99):.1f} ms p99, from trigger to verdict\n"
        f"verdicts lost       {found.lost:6}",
        highlight=False,
    )


def _truth(picture: Picture, verdict: Verdict) -> str:
    if verdict.regions[0].expected != picture.label:
        return "wrong part"
    return "defect" if picture.defective else "good"


def _said(verdict: Verdict) -> str:
    region = verdict.regions[0]
    if region.verdict is Call.NG:
        return f"NG {region.reason}"
    return "OK" if region.reason is Reason.MATCH and region.verdict is Call.OK else "ERROR"
