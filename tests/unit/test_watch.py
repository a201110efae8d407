"""The table that `kenpin-edge watch` prints."""

import pytest
from rich.cells import cell_len

from edge_runtime.verdict import Call, Reason, RegionVerdict
from edge_runtime.watch import HEADER, _row
from tests.evidence import verdict

LONG = "J" * 64
CJK = "検品" * 32


def row(name: str, expected: str, found: str | None) -> str:
    region = RegionVerdict(
        name=name, expected=expected, verdict=Call.NG, reason=Reason.WRONG_PART, found=found, box=(0, 0, 9, 9)
    )
    return _row(verdict(Call.NG, (region,)), region).plain


@pytest.mark.parametrize(
    ("name", "expected", "found"),
    [
        ("J4", "A12", None),
        ("検品", "品番-7", "品番-8"),
        (LONG, LONG, LONG),
        (CJK, CJK, CJK),
        (CJK, "A12", CJK),
        ("J4", CJK, "B7"),
    ],
)
def test_columns_stand_below_their_heads_whatever_the_names(name: str, expected: str, found: str | None) -> None:
    line = row(name, expected, found)
    before, _, _ = line.partition("NG ")
    assert cell_len(before) == cell_len(HEADER.partition("verdict")[0])


def test_of_long_names_the_end_of_the_station_and_both_parts_are_seen() -> None:
    assert "…" not in row("J4", "A12", "B7")
    assert "  A12 → B7  " in row("J4", "A12", "B7")
    assert f"…{LONG[:15]}-9  " in row(LONG + "-9", "A12", None)
    assert "… → B7  " in row("J4", LONG, "B7")
    both = row("J4", LONG, "B" * 64)
    assert "JJJJ… → BBBB" in both
    assert both.count("…") == 2
