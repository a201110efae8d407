"""Hypothesis strategies for what kenpin's tests have in common."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from edge_runtime.quality import BEYOND
from edge_runtime.verdict import BundleRef, Call, Latency, Reason, RegionVerdict, Thresholds, Verdict

probabilities = st.floats(0, 1)
doubtful_scores = st.floats(allow_nan=True, allow_infinity=True, width=32)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
pixels = st.integers(0, 10_000)
milliseconds = st.floats(0, 1e6)

thresholds = st.builds(Thresholds, defect=probabilities, mismatch=st.none() | probabilities)
regions = st.builds(
    RegionVerdict,
    name=names,
    expected=names,
    verdict=st.sampled_from(Call),
    reason=st.sampled_from(Reason),
    found=st.none() | names,
    defect_score=st.none() | probabilities,
    mismatch_score=st.none() | probabilities,
    unusual=st.none() | st.lists(st.sampled_from([word for pair in BEYOND for word in pair])).map(tuple),
    detail=st.none() | names,
    box=st.tuples(pixels, pixels, pixels, pixels),
    corners=st.none() | st.tuples(*[st.tuples(st.floats(0, 1e4), st.floats(0, 1e4))] * 4),
    peak=st.none() | st.tuples(pixels, pixels),
)
verdicts = st.builds(
    Verdict,
    schema=st.just("kenpin.verdict/1"),
    id=st.uuids().map(str),
    site=names,
    line=names,
    station=names,
    seq=st.integers(0, 2**53),
    captured_at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    trigger=st.sampled_from(["camera", "score"]),
    request=st.none() | names,
    verdict=st.sampled_from(Call),
    bundle=st.builds(BundleRef, name=names, version=names, sha256=names),
    thresholds=thresholds,
    regions=st.lists(regions, max_size=3).map(tuple),
    latency_ms=st.builds(Latency, grab=milliseconds, inspect=milliseconds, total=milliseconds),
    picture=st.none() | names,
    evidence=st.none() | names,
    prev=names,
)
