"""A TOML file whose mistakes can be told with their line.

`tomllib` tells no line numbers, and the libraries that keep them (tomlkit and its like) read the file a second time by
rules of their own. `_lines` finds them with `tomllib` itself, statement by statement.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from edge_runtime.errors import StationError, remedy

Place = tuple[str, ...]
"""The keys that lead to a value, from the top of the file."""


class TomlFile:
    """The file's values and the line of each."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.values = tomllib.loads(text)
        self.lines = dict(reversed(list(_lines(text))))  # a table over several headers begins at its first

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file `path`. Raises StationError where it is missing or no TOML."""
        text = ""
        try:
            text = path.read_text(encoding="utf-8-sig")
            return cls(path, text)
        except OSError as error:
            how = remedy(error, "docs/station.md has an example to start from")
            raise StationError([f"{path}: cannot be read ({error.strerror}); {how}"]).due_to(error) from error
        except UnicodeDecodeError as error:
            raise StationError([f"{path}: is not UTF-8 text; save it as UTF-8"]) from error
        except tomllib.TOMLDecodeError as error:
            what, line, column = re.fullmatch(r"(.*?)(?: \(at (?:line (\d+), column (\d+)|.*)\))?", str(error)).groups()  # type: ignore[union-attr]  # matches any text
            where = f":{line}" if line else ""
            near = f" at column {column}" if column else " at the end of the file"
            if (named := _twice(what, text, int(line or 0))) is not None:
                raise StationError([f"{path}{where}: {named} stands twice; keep one"]) from error
            raise StationError([f"{path}{where}: is not TOML: {what[0].lower()}{what[1:]}{near}"]) from error

    def mistake(self, place: Place, why: str) -> str:
        """One line: `station.toml:14 [region.J4] expected = "A13": why`, as near as the file has a line for `place`."""
        line = next((self.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.lines), None)
        value: Any = self.values
        for key in place:
            value = value.get(key) if isinstance(value, dict) else None
        table, key = (place, "") if isinstance(value, dict) else (place[:-1], place[-1])
        text = "" if value is None or isinstance(value, dict) else f" = {json.dumps(value, default=str)}"
        text = re.sub(r"://\S*@", "://…@", text)  # a password in an address stays in the file
        what = " ".join(part for part in (f"[{'.'.join(table)}]" if table else "", f"{key}{text}") if part)
        return f"{self.path}:{line or ''} {what}: {why}"


def _twice(what: str, text: str, line: int) -> str | None:
    """Which key or table stands twice in `text`, where that is `what` is wrong in or before `line`; else None."""
    if (table := re.match(r"Cannot declare \((.*?),?\) twice", what)) is not None:
        keys = re.findall("'([^']*)'", table[1])
        return f"[{'.'.join(keys)}]"
    if what.startswith("Cannot overwrite a value"):
        for before in reversed(text.split("\n")[:line]):  # a value may go over lines
            if (key := re.match(r"\s*([^\s#\[=][^=]*?)\s*=", before)) is not None:
                return key[1]
    return None


def by_line(mistake: str) -> tuple[int, str]:
    """Sort mistakes as an engineer goes through the file."""
    found = re.match(r".*?:(\d+) ", mistake)
    return (int(found[1]) if found else 0, mistake)


def _lines(text: str) -> Iterator[tuple[Place, int]]:
    """Each key of a valid TOML `text` and the line, from 1, of the statement that sets it.

    A statement is as many lines as `tomllib` needs to make sense of it: one, or more for a list or a text over lines.
    """
    table: Place = ()
    statement, first = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not statement:
            first = number
        statement += line + "\n"
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        places = list(_places(values))
        if statement.lstrip().startswith("["):
            table = max(places, key=len)
            places = [table[:n] for n in range(1, len(table) + 1)]
            yield from ((place, first) for place in places)
        else:
            yield from (((*table, *place), first) for place in places)
        statement = ""


def _places(value: object) -> Iterator[Place]:
    """All key paths in nested tables."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[0]
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (key,)
            yield from ((key, *place) for place in _places(inner))
