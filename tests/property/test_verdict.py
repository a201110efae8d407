"""What holds of every decision and every verdict."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.verdict import Call, Thresholds, Verdict, decide, worst
from tests.property.strategies import doubtful_scores, thresholds, verdicts


@given(doubtful_scores, doubtful_scores, thresholds)
def test_ok_is_only_what_is_finite_and_below_every_threshold(
    defect: float, mismatch: float, limits: Thresholds
) -> None:
    call, _ = decide(defect, mismatch, limits)
    sure = math.isfinite(defect) and math.isfinite(mismatch)
    below = defect < limits.defect and (limits.mismatch is None or mismatch < limits.mismatch)
    assert (call is Call.OK) == (sure and below)


@given(st.sampled_from([math.nan, math.inf, -math.inf]), doubtful_scores, thresholds)
def test_a_score_that_is_no_number_is_never_ok(bad: float, other: float, limits: Thresholds) -> None:
    assert decide(bad, other, limits)[0] is not Call.OK
    assert decide(other, bad, limits)[0] is not Call.OK


@given(st.lists(st.sampled_from(Call)))
def test_a_frame_is_ok_only_when_it_has_regions_and_all_are(calls: list[Call]) -> None:
    assert (worst(calls) is Call.OK) == (bool(calls) and set(calls) == {Call.OK})


@given(verdicts)
def test_a_verdict_comes_back_as_it_went_out_in_one_line(verdict: Verdict) -> None:
    sent = verdict.to_json()
    assert b"\n" not in sent
    assert Verdict.from_json(sent) == verdict
    assert Verdict.from_json(sent).to_json() == sent


@given(verdicts, st.dictionaries(st.text().map("new_{}".format), st.integers() | st.text(), max_size=3))
def test_fields_of_a_newer_station_are_ignored_everywhere(verdict: Verdict, news: dict[str, object]) -> None:
    newer = json.loads(verdict.to_json()) | news
    for inner in ("bundle", "thresholds", "latency_ms"):
        newer[inner] |= news
    newer["regions"] = [region | news for region in newer["regions"]]
    assert Verdict.from_json(json.dumps(newer)) == verdict
