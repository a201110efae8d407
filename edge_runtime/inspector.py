"""From a frame to a verdict: regions, view, bundle, decision."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from uuid_utils import uuid7

from edge_runtime.alignment import Matrix
from edge_runtime.bundle import Bundle, Floats
from edge_runtime.cameras import Frame
from edge_runtime.commands import Asker
from edge_runtime.engine import one_line
from edge_runtime.framing import Framing, Unfit
from edge_runtime.news import News
from edge_runtime.picture import Image, is_blank
from edge_runtime.regions import Cut
from edge_runtime.verdict import Box, Call, Latency, Reason, RegionVerdict, Thresholds, Verdict, decide, utc, worst

BLANK = "shows nothing, it is all one brightness; check light, lens and where the region is"
"""What is wrong with a view in which there is nothing to judge."""
UNKNOWN = "unknown"
"""`found` of a wrong part that fits no label, and `expected` where nobody knows any more what it was."""
FORGOTTEN = "too old: the recipe has changed so often since then that nobody knows any more what was expected"
"""What is wrong with a frame whose labels are not known."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the bundle saw in a region, for evidence.

    `view`: uint8 [H, W, C], as it was judged; it may share the frame's memory. `reconstruction`: uint8 [H, W, C], what
    the part should look like. `difference`: float32 [H, W] of the two, in tolerances of the part.
    """

    view: Image
    reconstruction: Image
    difference: Floats


@dataclass(frozen=True, slots=True)
class Inspection:
    """A verdict, and what it was made of: `looks`, by region; a region that could not be judged has none."""

    verdict: Verdict
    looks: Mapping[str, Look]


@dataclass(frozen=True)
class Inspector:
    """Judges the regions of a frame with one bundle. `limits`: the thresholds that count at this station.

    `framing` remembers the frame before, so one thread inspects.
    """

    bundle: Bundle
    framing: Framing
    limits: Thresholds
    site: str = "-"
    line: str = "-"
    station: str = "-"
    _news: News = field(default_factory=News, repr=False)

    def inspect(
        self, frame: Frame, labels: Mapping[str, str] | None, trigger: str, asker: Asker | None = None
    ) -> Inspection:
        """The verdict of `frame`, when `labels` (region → part label) are expected, and what was seen.

        `labels` is None where they are not known any more: an ERROR. `asker`: who asked for it.

        Never raises for what is in the picture or in the engine: doubt and faults are verdicts, too. `seq` and `prev`
        are the outbox's to give.
        """
        begin = time.perf_counter()
        judged = self._judge_all(frame, labels)
        inspect_ms = (time.perf_counter() - begin) * 1000
        regions = tuple(region for region, _ in judged)
        verdict = Verdict(
            id=str(uuid7()),
            site=self.site,
            line=self.line,
            station=self.station,
            seq=0,
            captured_at=utc(frame.captured_ns),
            trigger=trigger,
            request=asker.request if asker else None,
            reply_to=asker.reply_to if asker else None,
            verdict=worst([region.verdict for region in regions]),
            bundle=self.bundle.ref,
            thresholds=self.limits,
            regions=regions,
            latency_ms=Latency(
                grab=round(frame.grab_ms, 3),
                inspect=round(inspect_ms, 3),
                total=round(frame.grab_ms + (time.perf_counter() - begin) * 1000, 3),
            ),
            picture=frame.name,
            prev="",
        )
        return Inspection(verdict, {region.name: look for region, look in judged if look is not None})

    def _judge_all(self, frame: Frame, known: Mapping[str, str] | None) -> list[tuple[RegionVerdict, Look | None]]:
        labels = dict.fromkeys(self.framing.regions, UNKNOWN) if known is None else known
        try:
            if known is None:
                frame = self.framing.watch(frame)
                frame = replace(frame, trouble=frame.trouble or FORGOTTEN)
            seen: Mapping[str, Cut | Unfit] = self.framing.look(frame)
        except Exception as error:  # noqa: BLE001  # as below
            return [
                (self._fault(name, labels[name], region.bounds(), error), None)
                for name, region in self.framing.regions.items()
            ]
        return [self._judge(piece, name, labels[name]) for name, piece in seen.items()]

    def _judge(self, piece: Cut | Unfit, name: str, label: str) -> tuple[RegionVerdict, Look | None]:
        """One region's verdict; ERROR where it could not be judged."""
        if isinstance(piece, Unfit):
            return self._unfit(name, label, piece), None
        try:
            view = self.bundle.info.view.view(piece.picture)
            if is_blank(view):
                return self._unfit(name, label, Unfit(BLANK, piece.box)), None
            return self._ask(view, name, label, piece)
        except Exception as error:  # noqa: BLE001  # engine and OpenCV raise unrelated types; each trigger is answered
            return self._fault(name, label, piece.box, error), None

    def _ask(self, view: Image, name: str, label: str, piece: Cut) -> tuple[RegionVerdict, Look]:
        """Ask the bundle about a view, uint8 [H, W, C]."""
        index = self.bundle.label_index(label)
        findings = self.bundle.inspect(view, index)
        defect, mismatch = _probability(findings.defect_score), _probability(findings.mismatch_score)
        unusual = self.bundle.info.usual[index].beyond(view)
        call, reason = decide(defect, mismatch, self.limits, unusual=bool(unusual))
        if unusual and reason is Reason.UNSURE:
            self._news.tell(name, f"NG/unsure: unlike the views {label} was learnt from: {', '.join(unusual)}")
        else:
            self._news.good(name)
        found, found_score = None, None
        if reason is Reason.WRONG_PART:
            found, found_score = self.bundle.find(view, findings.shortlist)
            found = UNKNOWN if found in (None, label) else found
        verdict = RegionVerdict(
            name=name,
            expected=label,
            verdict=call,
            reason=reason,
            found=found,
            found_score=found_score,
            defect_score=None if math.isnan(defect) else defect,
            mismatch_score=None if math.isnan(mismatch) or self.limits.mismatch is None else mismatch,
            unusual=unusual or None,
            box=piece.box,
            corners=piece.corners,
            peak=_peak(findings.difference, findings.origin, piece),
        )
        return verdict, Look(findings.view, findings.reconstruction, findings.difference)

    def _unfit(self, name: str, label: str, unfit: Unfit) -> RegionVerdict:
        self._news.tell(name, f"ERROR/bad_image: {unfit.why}")
        return _error(name, label, Reason.BAD_IMAGE, unfit.why, unfit.box)

    def _fault(self, name: str, label: str, box: Box, error: Exception) -> RegionVerdict:
        self._news.tell(name, f"ERROR/fault: {one_line(error)}", fault=error)
        return _error(name, label, Reason.FAULT, f"{type(error).__name__}: {one_line(error)}", box)


def _error(name: str, label: str, reason: Reason, why: str, box: Box) -> RegionVerdict:
    return RegionVerdict(name=name, expected=label, verdict=Call.ERROR, reason=reason, detail=why, box=box)


def _probability(score: float) -> float:
    """The score, or NaN where it is none: a negative number must not pass for a very good one."""
    return score if 0 <= score <= 1 else math.nan


def _peak(difference: Floats, origin: Matrix, piece: Cut) -> tuple[int, int] | None:
    """Where `difference` (float32 [H, W], of the view) is largest, x, y in pixels of the frame.

    `origin` takes its pixels to the view of `piece`; what was repeated from beyond is at its border.
    """
    height, width = difference.shape
    row, column = divmod(int(np.argmax(difference)), width)
    if not math.isfinite(difference[row, column]):
        return None
    view_x, view_y = (origin @ (column, row, 1)).tolist()
    view_x, view_y = min(max(view_x, 0), width - 1), min(max(view_y, 0), height - 1)
    h, w = piece.picture.shape[:2]
    return piece.in_frame((view_x + 0.5) * w / width, (view_y + 0.5) * h / height)
