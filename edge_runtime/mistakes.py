"""Mistakes in a station file, in the file's own words: where, what was expected there, and what was meant."""

import difflib
import json
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic_core import ErrorDetails

from edge_runtime.table import Table
from edge_runtime.toml_file import Place, TomlFile, by_line
from edge_runtime.words import in_words


def all_of(file: TomlFile, table: type[Table], errors: Iterable[ErrorDetails]) -> list[str]:
    """All mistakes in a file that is a `table`, in its order: those that pydantic found, and what it lets pass."""
    controls = _controls(file)
    told = tuple(mistake.removesuffix(mistake.rpartition(": ")[2]) for mistake in controls)
    others = (explain(file, table, error) for error in errors)
    return sorted({*controls, *(each for each in others if not each.startswith(told))}, key=by_line)


def _controls(file: TomlFile) -> list[str]:
    """The mistakes of texts with control characters, which neither files, hosts nor a line of a log can be called."""
    found = []
    for place, text in _texts((), file.values):
        if (control := re.search(r"[\x00-\x1f\x7f-\x9f]", text)) is not None:
            shown = json.dumps(control[0])[1:-1]
            found.append(file.mistake(place, f"holds the control character {shown}; write it without"))
    return found


def _texts(place: Place, value: object) -> Iterator[tuple[Place, str]]:
    """The texts at `place` and below, each with its place; that of a table's name is the table's."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(place, each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield place, key
            yield from _texts((*place, key), each)


def explain(file: TomlFile, table: type[Table], error: ErrorDetails) -> str:
    """One of pydantic's errors, of a whole file that is a `table`, in the file's own words."""
    place, expected, known = _look_up(error["loc"], table)
    match error["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(place[-1], known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(known)}"
            return file.mistake(place, f"unknown key; {hint}")
        case "missing" if isinstance(error["loc"][-1], str):
            return file.mistake(place, f"is missing; expected {expected}")
        case "missing":
            return file.mistake(place, f"has too few values; expected {expected}")
        case "tuple_type":
            return file.mistake(place, f"must be a list; expected {expected}")
        case "is_instance_of":
            return file.mistake(place, f"must be the text of a path; expected {expected}")
        case "model_type" | "model_attributes_type" | "dict_type":
            return file.mistake(place, f"must be a table; expected {expected or 'a table'}")
        case "union_tag_invalid" | "union_tag_not_found":
            kinds = " or ".join(f'"{kind}"' for kind in known)
            return file.mistake((*place, "kind"), f"expected kind = {kinds}")
    message = in_words(error)
    return file.mistake(place, f"{message}; expected {expected}" if expected else message)


def _look_up(location: tuple[int | str, ...], table: type[Table]) -> tuple[Place, str, list[str]]:
    """Where pydantic's `location` is in the file, what was expected there, and what is known there by name."""
    place: list[str] = []
    expected = ""
    there: Any = table  # the type of what is at `place`
    known: list[str] = []
    for part in location:
        if not isinstance(part, str) or part == "[key]":
            continue
        kinds = {kind: model for model in _tables(there) for kind in _kinds(model)}
        if part in kinds:  # pydantic names the chosen kind on the way
            there, known = kinds[part], []
        elif named := _values_of_dict(there):
            place.append(part)
            there = named
        elif model := next(_tables(there), None):
            place.append(part)
            known = list(model.model_fields)
            field = model.model_fields.get(part)
            expected = _description(field)
            there = field.annotation if field else None
    kinds = {kind: model for model in _tables(there) for kind in _kinds(model)}
    return tuple(place), expected, list(kinds) or known


def _tables(annotation: Any) -> Iterator[type[Table]]:
    """The tables that may stand where `annotation` is asked for."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    elif typing.get_origin(annotation) is not dict:
        for option in typing.get_args(annotation):
            yield from _tables(option)


def _values_of_dict(annotation: Any) -> Any:
    """What a table with names of one's own holds; None where `annotation` is none."""
    return typing.get_args(annotation)[1] if typing.get_origin(annotation) is dict else None


def _kinds(model: type[Table]) -> tuple[str, ...]:
    """What `kind` says in this table, where it is one of several."""
    field = model.model_fields.get("kind")
    return typing.get_args(field.annotation) if field and typing.get_origin(field.annotation) is Literal else ()


def _description(field: Any) -> str:
    """What a field's description says is expected, looking into `X | None`."""
    if field is None:
        return ""
    if field.description:
        return str(field.description)
    for option in getattr(field.annotation, "__args__", ()):
        for note in getattr(option, "__metadata__", ()):
            if getattr(note, "description", None):
                return str(note.description)
    return ""
