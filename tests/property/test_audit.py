"""Whoever changes a log of verdicts is found out, whatever is changed."""

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from edge_runtime.audit import Audited, Finding, audit, collect
from edge_runtime.chain import GENESIS, Head, place
from edge_runtime.verdict import Verdict
from tests.property.strategies import verdicts


@st.composite
def chains(draw: st.DrawFn, least: int = 3) -> list[bytes]:
    """The lines of one station's log; it may begin in the middle of the chain."""
    head = Head(draw(st.integers(0, 1000)), "ab" * 32)
    if head.seq == 0:
        head = Head(0, GENESIS)
    lines = []
    for verdict in draw(st.lists(verdicts, min_size=least, max_size=12, unique_by=lambda verdict: verdict.id)):
        own = verdict.model_copy(update={"site": "a", "line": "1", "station": "x"})
        _, line, head = place(own, head, ())
        lines.append(line)
    return lines


def verify(lines: list[bytes], only: str | None = None, **asked: Any) -> tuple[list[Audited], list[Finding]]:
    logs, findings = collect(((("log", number), line) for number, line in enumerate(lines, 1)), only)
    return [audit(log, **asked) for log in logs.values()], findings


def found_in(lines: list[bytes], **asked: Any) -> list[Finding]:
    audited, findings = verify(lines, **asked)
    return sorted([*findings, *(each for found in audited for each in found.findings)], key=lambda each: each.at)


def seq_of(line: bytes) -> int:
    return int(json.loads(line)["seq"])


@given(chains(least=1))
def test_an_untouched_log_is_whole(lines: list[bytes]) -> None:
    assert found_in(lines) == []
    (audited,), _ = verify(lines)
    assert (audited.verdicts, audited.first) == (len(lines), seq_of(lines[0]))
    assert audited.head == Head.of(seq_of(lines[-1]), lines[-1])


@given(chains(), st.data())
def test_an_altered_verdict_is_found_and_named(lines: list[bytes], data: st.DataObject) -> None:
    # In a log of several stations the first verdict under another name is another station's, and the log begins later.
    only = data.draw(st.sampled_from(["a/1/x", None]))
    index = data.draw(st.integers(0 if only else 1, len(lines) - 2))
    line = bytearray(lines[index])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    changed = bytes(line).replace(b"\n", b"")
    findings = found_in([*lines[:index], changed, *lines[index + 1 :]], only=only)
    assert findings, changed
    # An altered number or name makes it another's: then its place is empty, and the one after that is named.
    named = {(finding.seq, finding.place) for finding in findings}
    seq = seq_of(lines[index])
    assert any(found == seq or place in (f"log:{index + 1}", f"log:{index + 2}") for found, place in named), named


@given(chains(), st.data())
def test_altered_contents_are_named_first_with_number_id_and_place(lines: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(lines) - 2))
    verdict = Verdict.from_json(lines[index])
    forged = verdict.model_copy(update={"picture": data.draw(st.text(max_size=5))})
    assume(forged != verdict)
    first = found_in([*lines[:index], forged.to_json(), *lines[index + 1 :]])[0]
    if index < len(lines) - 2:
        assert (first.kind, first.seq, first.id, first.place) == (
            "altered",
            verdict.seq,
            verdict.id,
            f"log:{index + 1}",
        )
    else:  # nobody vouches for the last one, so it is one of the two
        assert first.kind == "altered"
        assert f"log:{index + 1}" in first.why


@given(chains(), st.data())
def test_removed_verdicts_are_found_and_named(lines: list[bytes], data: st.DataObject) -> None:
    begin = data.draw(st.integers(1, len(lines) - 2))
    end = data.draw(st.integers(begin + 1, len(lines) - 1))
    (finding,) = found_in(lines[:begin] + lines[end:])
    assert (finding.kind, finding.seq) == ("removed", seq_of(lines[begin]))
    assert finding.place == f"log:{begin + 1}"


@given(chains(), st.data())
def test_an_inserted_verdict_is_found_and_named(lines: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(1, len(lines) - 1))
    before = lines[index - 1]
    forged = data.draw(verdicts).model_copy(update={"site": "a", "line": "1", "station": "x"})
    _, line, _ = place(forged, Head.of(seq_of(before), before), ())
    findings = found_in([*lines[:index], line, *lines[index:]])
    if index < len(lines) - 1:
        assert (findings[0].kind, findings[0].place, findings[0].id) == ("inserted", f"log:{index + 1}", forged.id)
    else:  # of two that could be the last, none is vouched for
        assert findings[0].kind == "inserted"


@given(chains(), st.data())
def test_a_reordered_log_is_found(lines: list[bytes], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(lines))
    assume(list(shuffled) != lines)
    assert found_in(list(shuffled))[0].kind == "reordered"


@given(chains(), st.data())
def test_a_rewritten_end_is_found_by_who_noted_the_head(lines: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(1, len(lines) - 1))
    before = lines[index - 1]
    head, rewritten = Head.of(seq_of(before), before), lines[:index]
    for line in lines[index:]:
        forged = Verdict.from_json(line).model_copy(update={"picture": "forged"})
        _, new, head = place(forged, head, ())
        rewritten.append(new)
    assume(rewritten != lines)
    noted = Head.of(seq_of(lines[-1]), lines[-1])
    assert found_in(rewritten) == [], "without it a consistent forgery is whole"
    (finding,) = found_in(rewritten, anchor=noted)
    assert (finding.kind, finding.seq) == ("rewritten", noted.seq)


@given(chains(), st.data())
def test_a_removed_end_is_found_by_who_noted_the_head_or_asks_for_the_range(
    lines: list[bytes], data: st.DataObject
) -> None:
    cut = lines[: data.draw(st.integers(1, len(lines) - 1))]
    last = seq_of(lines[-1])
    (finding,) = found_in(cut, anchor=Head.of(last, lines[-1]))
    assert (finding.kind, finding.seq) == ("removed", seq_of(cut[-1]) + 1)
    (finding,) = found_in(cut, last=last)
    assert (finding.kind, finding.seq) == ("missing", seq_of(cut[-1]) + 1)


@given(chains(), st.data())
def test_what_came_twice_is_fine(lines: list[bytes], data: st.DataObject) -> None:
    """After an interruption some come again, in order, and may begin before what a subscriber had seen."""
    log: list[bytes] = []
    position = data.draw(st.integers(0, len(lines) - 1))
    reached = position
    while reached < len(lines):
        end = data.draw(st.integers(max(position, reached) + 1, len(lines)))
        log += lines[position:end]
        reached = end
        position = data.draw(st.integers(0, end))
    assert found_in(log) == []


@given(st.data())
def test_stations_in_one_log_do_not_disturb_each_other(data: st.DataObject) -> None:
    heads = {"x": Head(0, GENESIS), "y": Head(0, GENESIS)}
    lines = []
    for verdict in data.draw(st.lists(verdicts, min_size=1, max_size=15)):
        who = data.draw(st.sampled_from("xy"))
        own = verdict.model_copy(update={"site": "a", "line": "1", "station": who})
        _, line, heads[who] = place(own, heads[who], ())
        lines.append(line)
    assert found_in(lines) == []


@given(st.lists(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), max_size=5))
def test_no_line_is_so_odd_that_it_is_not_simply_named(lines: list[bytes]) -> None:
    assert [finding.kind for finding in found_in(lines)] == ["unreadable"] * len(lines)
