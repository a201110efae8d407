"""A mistake is told at its line, wherever in the file it stands."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import StationError
from edge_runtime.station import Station

TABLES = {
    "": ['site = "a"', 'line = "b"', 'station = "c"', 'bundle = "d"', 'data = """\n\\\ne"""'],
    "camera": ['kind = "folder"', 'path = "p"', "rate_hz = 1.0"],
    "region.J4": ['expected = "A"', "box = [\n 0,\n 0, # x, y\n 1, 1\n]"],
    "region.J5": ['expected = "A"'],
    "mqtt": ['host = "h"'],
}
filler = st.lists(st.sampled_from(["", "# [mqtt] bogus = 1", "   "]), max_size=3)


@settings(deadline=None)
@given(st.data())
def test_an_unknown_key_is_told_at_its_line(data: st.DataObject) -> None:
    order = ["", *data.draw(st.permutations([table for table in TABLES if table]))]
    guilty = data.draw(st.sampled_from(order))
    lines: list[str] = []
    where = 0
    for table in order:
        lines += data.draw(filler)
        lines += [f"[{table}]"] if table else []
        entries = data.draw(st.permutations(TABLES[table] + (["bogus = 1"] if table == guilty else [])))
        for entry in entries:
            lines += data.draw(filler)
            if entry == "bogus = 1":
                where = len("\n".join([*lines, ""]).split("\n")) if lines else 1
            lines += [entry]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "station.toml")
        path.write_text("\n".join(lines), encoding="utf-8")
        try:
            Station.read(path)
        except StationError as error:
            (mistake,) = error.mistakes
        table = f"[{guilty}] " if guilty else ""
    assert mistake.startswith(f"{path}:{where} {table}bogus = 1: unknown key"), mistake
