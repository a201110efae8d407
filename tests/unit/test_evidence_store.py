"""Pictures on disk, within bounds."""

import errno
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from uuid_utils import uuid7

from edge_runtime.evidence.pile import Kept, Pile
from edge_runtime.evidence.store import BLOCK, PictureStore, _sizes
from edge_runtime.verdict import Call

DAY = date(2026, 11, 24)
FILES = {".jpg": b"j" * 10, ".json": b"{}", ".png": b"p" * BLOCK}
"""Three blocks."""
SIZE = 3 * BLOCK


def names(call: Call = Call.NG, day: date = DAY) -> Iterator[str]:
    while True:
        yield f"{day:%Y/%m/%d}/{uuid7()}-{call}"


def store(folder: Path, pictures: int, **more: int) -> PictureStore:
    """A store with room for so many."""
    return PictureStore(folder, max_bytes=pictures * SIZE, today=lambda: DAY, **more)


def kept(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.png"))


def put(store: PictureStore, count: int, call: Call = Call.NG, day: date = DAY) -> list[str]:
    made = [name for name, _ in zip(names(call, day), range(count), strict=False)]
    assert all(store.put(name, FILES) for name in made)
    return made


def test_the_oldest_goes_when_the_room_is_used_up_and_its_folder_with_it(tmp_path: Path) -> None:
    pictures = store(tmp_path, 3)
    put(pictures, 1, day=DAY - timedelta(days=1))
    late = put(pictures, 3)
    assert kept(tmp_path) == sorted(late)
    assert [path.name for path in (tmp_path / "2026" / "11").iterdir()] == ["24"]
    assert (pictures.size, pictures.count) == (3 * SIZE, 3)


def test_ok_goes_before_error_and_error_before_ng(tmp_path: Path) -> None:
    pictures = store(tmp_path, 10)
    bad = put(pictures, 2, Call.NG)
    put(pictures, 4, Call.ERROR)
    put(pictures, 4, Call.OK)
    more = put(pictures, 5, Call.NG)
    left = kept(tmp_path)
    assert set(bad + more) <= set(left)
    assert sum(name.endswith("OK") for name in left) == 1
    assert sum(name.endswith("ERROR") for name in left) == 2


def test_errors_of_a_blind_camera_push_out_no_ng_beyond_their_share(tmp_path: Path) -> None:
    pictures = store(tmp_path, 10)
    put(pictures, 10, Call.NG)
    put(pictures, 100, Call.ERROR)
    assert [sum(name.endswith(call) for name in kept(tmp_path)) for call in ("NG", "ERROR")] == [7, 3]


def test_a_store_full_of_ng_still_takes_an_ok_sample(tmp_path: Path) -> None:
    pictures = store(tmp_path, 20)
    put(pictures, 20, Call.NG)
    put(pictures, 9, Call.OK)
    assert sum(name.endswith("OK") for name in kept(tmp_path)) == 3


def test_a_new_process_finds_what_is_there_keeps_it_within_bounds_and_deletes_halves(tmp_path: Path) -> None:
    made = put(store(tmp_path, 9), 5)
    half = tmp_path / f"{made[-1]}x"
    half = half.with_name(half.name[:-1] + ".png.part")
    half.write_bytes(b"half")
    (tmp_path / f"{made[0]}.png").write_bytes(b"")  # as a power cut leaves a file
    stranger = tmp_path / "2026" / "11" / "24" / "notes.txt"
    stranger.write_text("mine")
    again = store(tmp_path, 3)
    again.find()
    assert kept(tmp_path) == sorted(made[2:])
    assert (again.size, again.count) == (3 * SIZE, 3)
    assert not half.exists()
    assert stranger.read_text() == "mine"
    put(again, 1)
    assert again.count == 3


def test_old_pictures_go_at_the_next_day(tmp_path: Path) -> None:
    today = [DAY]
    pictures = PictureStore(tmp_path, max_bytes=100 * SIZE, max_age_days=2, today=lambda: today[0])
    put(pictures, 1, day=DAY - timedelta(days=2))
    fresh = put(pictures, 1)
    pictures.forget_old()
    assert pictures.count == 2
    today[0] += timedelta(days=1)
    pictures.forget_old()
    assert kept(tmp_path) == fresh
    assert pictures.size == SIZE


def test_without_an_age_a_clock_that_leaps_deletes_nothing(tmp_path: Path) -> None:
    pictures = PictureStore(tmp_path, max_bytes=100 * SIZE, today=lambda: date(2099, 1, 1))
    put(pictures, 3)
    pictures.forget_old()
    assert pictures.count == 3


def test_a_clock_before_any_calendar_deletes_nothing(tmp_path: Path) -> None:
    pictures = PictureStore(tmp_path, max_bytes=100 * SIZE, max_age_days=900_000, today=lambda: DAY)
    put(pictures, 1)
    pictures.forget_old()
    assert pictures.count == 1


def test_it_gives_up_the_oldest_ok_first_then_error_then_ng(tmp_path: Path) -> None:
    pictures = store(tmp_path, 100)
    bad = put(pictures, 3, Call.NG)
    put(pictures, 2, Call.OK)
    errors = put(pictures, 2, Call.ERROR)
    assert pictures.give_up(2 * SIZE - 1) == 2 * SIZE
    assert kept(tmp_path) == sorted(bad + errors)
    assert pictures.give_up(3 * SIZE) == 3 * SIZE
    assert kept(tmp_path) == sorted(bad[1:])
    assert pictures.give_up(10**12) == 2 * SIZE
    assert pictures.give_up(1) == 0
    assert pictures.size == 0


def test_a_picture_larger_than_the_room_is_refused_and_nothing_makes_way_for_it(tmp_path: Path) -> None:
    pictures = store(tmp_path, 2)
    made = put(pictures, 2)
    assert not pictures.put(next(names()), {".png": bytes(3 * SIZE)})
    assert kept(tmp_path) == sorted(made)


def test_many_small_pictures_are_bounded_by_their_number(tmp_path: Path) -> None:
    pictures = store(tmp_path, 1000, most=5)
    made = put(pictures, 8)
    assert kept(tmp_path) == sorted(made[3:])


def test_what_somebody_else_deleted_is_no_fault(tmp_path: Path) -> None:
    pictures = store(tmp_path, 2)
    first = put(pictures, 2)[0]
    (tmp_path / f"{first}.png").unlink()
    put(pictures, 2)
    assert pictures.count == 2


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    pictures = store(tmp_path, 9)
    name = next(names())
    (tmp_path / f"{name}.png").mkdir(parents=True)  # in the way of the last file
    with pytest.raises(OSError, match="directory"):
        pictures.put(name, FILES)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert pictures.count == 0


def test_names_begin_with_the_day_so_that_they_sort_by_time() -> None:
    from edge_runtime.evidence.store import name_of
    from tests.evidence import verdict

    at = datetime(2026, 11, 24, 3, 12, 55, tzinfo=UTC)
    made = verdict(Call.NG, captured_at=at)
    assert name_of(made) == f"2026/11/24/{made.id}-NG"


def test_a_flood_of_ng_leaves_the_newest_of_them_and_no_more_ok_samples_than_their_share(tmp_path: Path) -> None:
    """As `docs/evidence.md` has it: an hour of NG pushes out what was NG before, once the OK ones have made room."""
    pictures = store(tmp_path, 20)
    put(pictures, 8, Call.OK)
    rare = put(pictures, 3, Call.NG)
    flood = put(pictures, 15, Call.NG)
    assert set(rare + flood) <= set(kept(tmp_path)), "an NG went though OK samples had more than their share"
    flood += put(pictures, 40, Call.NG)
    left = kept(tmp_path)
    assert [name for name in left if name.endswith("NG")] == flood[-18:]
    assert sum(name.endswith("OK") for name in left) == 2


def test_the_clock_set_back_or_not_each_picture_goes_at_its_age(tmp_path: Path) -> None:
    today = [DAY]
    pictures = PictureStore(tmp_path, max_bytes=100 * SIZE, max_age_days=2, today=lambda: today[0])
    late = put(pictures, 2, day=DAY + timedelta(days=2))
    put(pictures, 2)
    today[0] += timedelta(days=3)
    pictures.forget_old()
    assert kept(tmp_path) == sorted(late)
    assert (pictures.size, pictures.count) == (2 * SIZE, 2)


def test_a_disk_that_fails_at_the_start_has_each_picture_counted_once_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store(tmp_path, 9), 2, day=DAY - timedelta(days=1))
    put(store(tmp_path, 9), 2)
    again = store(tmp_path, 9)
    with monkeypatch.context() as broken:
        broken.setattr("edge_runtime.evidence.store._sizes", failing_at("24"))
        with pytest.raises(OSError, match="Input/output"):
            again.find()
    again.find()
    assert (again.size, again.count) == (4 * SIZE, 4)


def failing_at(day: str) -> Callable[[Path], dict[str, int]]:
    """Reads a day as the store does; EIO at that one, which no disk here gives."""

    def read(folder: Path) -> dict[str, int]:
        if folder.name == day:
            raise OSError(errno.EIO, "Input/output error")
        return _sizes(folder)

    return read


def test_what_is_kept_is_known_in_little_memory_however_long_it_comes_and_goes() -> None:
    pile = Pile(Call.NG)
    name = next(names())
    tracemalloc.start()
    try:
        for number in range(20_000):
            pile.add(Kept(name, number))
            if len(pile) > 1000:
                assert pile.oldest == Kept(name, number - 1000)
                pile.drop_oldest()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert (len(pile), pile.bytes) == (1000, sum(range(19_000, 20_000)))
    assert held < 120 * 1000
