"""Whatever comes, in whatever order and over however many starts, the pictures stay within their bounds."""

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from uuid_utils import uuid7

from edge_runtime.evidence.store import BLOCK, SHARES, PictureStore
from edge_runtime.verdict import Call

DAY = date(2026, 11, 24)
ROOM = 12 * BLOCK
MOST = 9

puts = st.tuples(st.just("put"), st.sampled_from(Call), st.integers(1, 3 * BLOCK), st.integers(0, 5))
steps = st.lists(
    puts
    | st.tuples(st.just("restart"))
    | st.tuples(st.just("give up"), st.integers(0, ROOM))
    | st.tuples(st.just("day after"), st.integers(0, 4)),
    max_size=40,
)


def on_disk(folder: Path) -> dict[str, int]:
    """Bytes by picture, and none that is half there."""
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.suffix in {".png", ".json"}
            size = -(-path.stat().st_size // BLOCK) * BLOCK
            stem = str(path.relative_to(folder).with_suffix(""))
            sizes[stem] = sizes.get(stem, 0) + size
    return sizes


@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_bounds_hold_whatever_happens(steps: list[tuple[Any, ...]]) -> None:
    with TemporaryDirectory() as name:
        folder, today = Path(name), [DAY]

        def fresh() -> PictureStore:
            return PictureStore(folder, max_bytes=ROOM, max_age_days=3, most=MOST, today=lambda: today[0])

        store = fresh()
        for step in steps:
            before = on_disk(folder)
            match step:
                case ("put", call, size, days):
                    made = f"{today[0] - timedelta(days=days):%Y/%m/%d}/{uuid7()}-{call}"
                    assert store.put(made, {".png": b"p" * size, ".json": b"{}"})
                    assert made in on_disk(folder)
                case ("restart",):
                    store = fresh()
                    store.find()
                    assert on_disk(folder).keys() <= before.keys()
                case ("give up", count):
                    freed = store.give_up(count)
                    assert freed == sum(before.values()) - sum(on_disk(folder).values())
                    assert freed >= count or not on_disk(folder)
                case ("day after", days):
                    today[0] += timedelta(days=days)
                    store.forget_old()
            there = on_disk(folder)
            assert sum(there.values()) <= ROOM
            assert len(there) <= MOST
            assert store.size == sum(there.values())
            assert store.count == len(there)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(Call), min_size=30, max_size=60), st.data())
def test_an_ng_goes_only_where_the_others_have_no_more_than_their_share(calls: list[Call], data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        store = PictureStore(Path(name), max_bytes=20 * BLOCK, today=lambda: DAY)
        for call in calls:
            before = on_disk(Path(name))
            size = data.draw(st.integers(1, 2 * BLOCK))
            store.put(f"{DAY:%Y/%m/%d}/{uuid7()}-{call}", {".png": b"p" * size})
            gone = before.keys() - on_disk(Path(name)).keys()
            if any(each.endswith("-NG") for each in gone):
                for other, share in SHARES.items():
                    held = sum(n for each, n in before.items() if each.endswith(f"-{other}") and each not in gone)
                    assert held <= share * 20 * BLOCK
