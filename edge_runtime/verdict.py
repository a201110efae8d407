"""What kenpin decides of a view, and the verdict it publishes.

`docs/format.md` is this module in words; `Verdict.model_json_schema()` is its JSON Schema.
"""

import hashlib
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the frame."""
Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point]
"""Clockwise from the part's own top left, x, y in pixels of the frame."""


class Call(StrEnum):
    """OK: as expected. NG: not good. ERROR: nothing could be judged, which is never OK."""

    OK = "OK"
    NG = "NG"
    ERROR = "ERROR"


class Reason(StrEnum):
    """Why a call was made."""

    MATCH = "match"
    DEFECT = "defect"
    WRONG_PART = "wrong_part"
    UNSURE = "unsure"
    BAD_IMAGE = "bad_image"
    FAULT = "fault"


class _Wire(BaseModel):
    """Frozen, and ignores fields it does not know, so that a newer station does not stop an older reader."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)


class Thresholds(_Wire):
    """Scores at or above these are NG. `mismatch` is None where there is one label only: wrong parts can't be told."""

    defect: Probability
    mismatch: Probability | None = None


def decide(
    defect_score: float, mismatch_score: float, limits: Thresholds, *, unusual: bool = False
) -> tuple[Call, Reason]:
    """Turn two scores (calibrated probabilities) into a call. OK is what remains when every doubt is gone.

    `unusual`: the view is darker, brighter, flatter or less sharp than any the part was learnt from.
    A wrong part is named as such even if it also looks defective: seen as the expected part, it always does.
    """
    if not (math.isfinite(defect_score) and math.isfinite(mismatch_score)):
        return Call.NG, Reason.UNSURE
    if limits.mismatch is not None and mismatch_score >= limits.mismatch:
        return Call.NG, Reason.WRONG_PART
    if defect_score >= limits.defect:
        return Call.NG, Reason.DEFECT
    if unusual:
        return Call.NG, Reason.UNSURE
    return Call.OK, Reason.MATCH


class BundleRef(_Wire):
    """Which bundle judged. `sha256` is of the file, in hex."""

    name: str
    version: str
    sha256: str


class RegionVerdict(_Wire):
    """What was decided of one region.

    `found`: for a wrong part, the label that fits, or "unknown". `found_score`: the probability that it is the label
    that fits best, whether that is well enough or not. `unusual`: how the view is unlike those that the part was learnt
    from, as of `quality.BEYOND`; None where it is like them. `detail`: what a person should know where nothing was
    judged. `box`: the region in the frame, or the upright rectangle around it, x, y, width, height in pixels;
    `corners`: where it is no upright rectangle, four x, y, clockwise from the part's top left. `peak`: where the
    difference is largest, x, y in pixels of the frame. Scores and peak are None where nothing was judged.
    """

    name: str
    expected: str
    verdict: Call
    reason: Reason
    found: str | None = None
    found_score: Probability | None = None
    defect_score: Probability | None = None
    mismatch_score: Probability | None = None
    unusual: tuple[str, ...] | None = None
    detail: str | None = None
    box: Box
    corners: Corners | None = None
    peak: tuple[int, int] | None = None


class Latency(_Wire):
    """Milliseconds: from trigger to frame, from frame to decision, and from trigger to the verdict ready to be kept."""

    grab: float
    inspect: float
    total: float


class Shed(_Wire):
    """Verdicts `first` to `last` were given up undelivered, for want of room: all of them, and only them.

    `prev`: hash of the one before `first`. `hash`: of `last`. So the chain can be followed across the gap.
    """

    first: int
    last: int
    prev: str
    hash: str


def request_key(reply_to: str | None, request: str | None) -> str | None:
    """What tells a request from all others, and is the same where the broker sends it again; None where nothing does.

    `reply_to`: the topic of its answer; `request`: its correlation data as a text.
    """
    if reply_to is None or request is None:
        return None
    topic = reply_to.encode()
    return hashlib.sha256(len(topic).to_bytes(4) + topic + request.encode()).hexdigest()


class Verdict(_Wire):
    """One inspection, as it is published. `picture` names the file a replayed frame came from."""

    schema_: Literal["kenpin.verdict/1"] = Field(default="kenpin.verdict/1", alias="schema")
    id: str
    site: str
    line: str
    station: str
    seq: int
    captured_at: datetime
    trigger: str
    request: str | None = None
    reply_to: str | None = None
    verdict: Call
    bundle: BundleRef
    thresholds: Thresholds
    regions: tuple[RegionVerdict, ...]
    latency_ms: Latency
    picture: str | None = None
    evidence: str | None = None
    shed: tuple[Shed, ...] | None = None
    prev: str

    def to_json(self) -> bytes:
        """The verdict as it goes to disk and to the broker; fields that say nothing are left out."""
        return self.model_dump_json(exclude_none=True).encode()

    @property
    def request_key(self) -> str | None:
        """Of the request that it answers, see `request_key`."""
        return request_key(self.reply_to, self.request)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Read what `to_json` wrote, here or by a newer station. Raises pydantic's ValidationError."""
        return cls.model_validate_json(data)


def worst(calls: list[Call]) -> Call:
    """The frame's call from its regions': ERROR over NG over OK. No regions at all is an ERROR."""
    for call in (Call.ERROR, Call.NG):
        if call in calls:
            return call
    return Call.OK if calls else Call.ERROR


def utc(nanoseconds: int) -> datetime:
    """Unix time in nanoseconds as an aware UTC datetime, to the microsecond."""
    return datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC)
