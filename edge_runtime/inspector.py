"""From a frame to a verdict: crop, view, bundle, decision."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from uuid_utils import uuid7

from edge_runtime.alignment import Matrix
from edge_runtime.bundle import Bundle, Floats
from edge_runtime.cameras import Frame
from edge_runtime.errors import PictureError
from edge_runtime.picture import Image, is_blank
from edge_runtime.station import Region
from edge_runtime.verdict import Call, Latency, Reason, RegionVerdict, Thresholds, Verdict, decide, utc, worst

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
"""`found` of a wrong part that fits no label."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Inspector:
    """Judges the regions of a frame with one bundle. `limits`: the thresholds that count at this station."""

    bundle: Bundle
    regions: Mapping[str, Region]
    limits: Thresholds
    site: str = "-"
    line: str = "-"
    station: str = "-"

    def inspect(self, frame: Frame, labels: Mapping[str, str], trigger: str, request: str | None = None) -> Verdict:
        """The verdict of `frame`, when `labels` (region → part label) are expected. `request`: who asked for it.

        Never raises for what is in the picture or in the engine: doubt and faults are verdicts, too. `seq` and `prev`
        are the outbox's to give.
        """
        begin = time.perf_counter()
        regions = tuple(self._judge(frame, name, labels[name]) for name in self.regions)
        inspect_ms = (time.perf_counter() - begin) * 1000
        return Verdict(
            id=str(uuid7()),
            site=self.site,
            line=self.line,
            station=self.station,
            seq=0,
            captured_at=utc(frame.captured_ns),
            trigger=trigger,
            request=request,
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

    def _judge(self, frame: Frame, name: str, label: str) -> RegionVerdict:
        """One region's verdict; ERROR where it could not be judged."""
        height, width = frame.pixels.shape[:2] if frame.pixels is not None else (0, 0)
        box = self.regions[name].box or (0, 0, width, height)
        try:
            return self._look(_crop(frame, box), name, label, box)
        except PictureError as error:
            log.warning("region %s: ERROR/bad_image: %s", name, error)
            reason = Reason.BAD_IMAGE
        except Exception:  # engine and OpenCV raise unrelated types; whatever broke, the trigger gets its answer
            log.exception("region %s: ERROR/fault on %s", name, frame.name or f"frame {frame.sequence}")
            reason = Reason.FAULT
        return RegionVerdict(name=name, expected=label, verdict=Call.ERROR, reason=reason, box=box)

    def _look(self, crop: Image, name: str, label: str, box: Box) -> RegionVerdict:
        """Ask the bundle about a crop, uint8 [H, W, C]. Raises PictureError where it shows nothing."""
        view = self.bundle.info.view.view(crop)
        if is_blank(view):
            raise PictureError(f"region {name}", "shows nothing, it is all one brightness; check light, lens and box")
        index = self.bundle.label_index(label)
        findings = self.bundle.inspect(view, index)
        defect, mismatch = _probability(findings.defect_score), _probability(findings.mismatch_score)
        unusual = self.bundle.info.usual[index].beyond(view)
        call, reason = decide(defect, mismatch, self.limits, unusual=bool(unusual))
        if unusual and reason is Reason.UNSURE:
            how = ", ".join(unusual)
            log.warning("region %s: NG/unsure: unlike the views %s was learnt from: %s", name, label, how)
        found, found_score = None, None
        if reason is Reason.WRONG_PART:
            found, found_score = self.bundle.find(view, findings.shortlist)
            found = UNKNOWN if found in (None, label) else found
        return RegionVerdict(
            name=name,
            expected=label,
            verdict=call,
            reason=reason,
            found=found,
            found_score=found_score,
            defect_score=None if math.isnan(defect) else defect,
            mismatch_score=None if math.isnan(mismatch) or self.limits.mismatch is None else mismatch,
            unusual=unusual or None,
            box=box,
            peak=_peak(findings.difference, findings.origin, box),
        )


def _probability(score: float) -> float:
    """The score, or NaN where it is none: a negative number must not pass for a very good one."""
    return score if 0 <= score <= 1 else math.nan


def _crop(frame: Frame, box: Box) -> Image:
    """The pixels of `box`. Raises PictureError where there are none, or the box does not lie within the frame."""
    if frame.pixels is None:
        raise PictureError(frame.name or f"frame {frame.sequence}", frame.trouble or "gave no picture")
    height, width = frame.pixels.shape[:2]
    x, y, w, h = box
    if x + w > width or y + h > height:
        where = frame.name or f"frame {frame.sequence}"
        raise PictureError(where, f"is {width} x {height} pixels, but the region's box is {list(box)}; correct the box")
    return frame.pixels[y : y + h, x : x + w]


def _peak(difference: Floats, origin: Matrix, box: Box) -> tuple[int, int] | None:
    """Where `difference` (float32 [H, W], of the view) is largest, x, y in pixels of the frame.

    `origin` takes its pixels to the view as the frame shows it; what was repeated from beyond is at its border.
    """
    height, width = difference.shape
    row, column = divmod(int(np.argmax(difference)), width)
    if not math.isfinite(difference[row, column]):
        return None
    view_x, view_y = np.clip(origin @ (column, row, 1), 0, (width - 1, height - 1))
    x, y, w, h = box
    return x + int((view_x + 0.5) * w / width), y + int((view_y + 0.5) * h / height)
