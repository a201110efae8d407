"""What pydantic finds wrong with a value, in a word that follows the value's name; of code it says nothing."""

import re
from typing import Any

from pydantic_core import ErrorDetails

_THINGS = ((str, "characters"), (dict, "entries"))


def in_words(error: ErrorDetails) -> str:
    """As "is missing", "must be a table", "has more than 64 characters"."""
    limits: dict[str, Any] = error.get("ctx", {})
    things = next((name for kind, name in _THINGS if isinstance(error["input"], kind)), "values")
    match error["type"]:
        case "extra_forbidden":
            return "is not known here"
        case "missing":
            return "is missing"
        case "json_invalid":
            return f"is no JSON ({limits.get('error', 'damaged')})"
        case "string_type":
            return "must be a text"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object"
        case "string_too_long" | "too_long":
            return f"has more than {limits['max_length']} {things}"
        case "string_too_short" | "too_short":
            return "is empty" if limits["min_length"] == 1 else f"has fewer than {limits['min_length']} {things}"
        case "string_pattern_mismatch":
            return "has another form"
    message = re.sub(r"^Input should be", "must be", error["msg"])
    return message[0].lower() + message[1:]
