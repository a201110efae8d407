"""`[trigger]` of a station file: what asks for a verdict."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from edge_runtime.table import Count, Extent, LocalPath, Table

Patience = Annotated[
    float, Field(gt=0, le=60, description="seconds that a picture may take, above 0 and at most 60; then it is ERROR")
]


class CameraTrigger(Table):
    """Each frame is a trigger: a replay, or a camera that is triggered by the machine."""

    kind: Literal["camera"] = "camera"


class IntervalTrigger(Table):
    """A verdict every `every_s` seconds, and when it is asked for."""

    kind: Literal["interval"]
    every_s: float = Field(ge=0.01, le=86400, description="seconds from trigger to trigger, 0.01 to 86400")
    timeout_s: Patience = 2.0


class RequestTrigger(Table):
    """A verdict when it is asked for, by cmd/inspect."""

    kind: Literal["request"]
    timeout_s: Patience = 2.0


def _shown_where_parts_stand(value: Path | None, info: ValidationInfo) -> Path | None:
    """Where parts stand most of the time, a part would be learnt as the empty zone, and the next ones missed."""
    if value is None and info.data.get("when") == "still":
        raise PydanticCustomError("empty", 'is needed with when = "still"')
    return value


class PresenceTrigger(Table):
    """One verdict for each part that a free-running camera sees.

    `zone`: x, y, width, height in pixels of the frame, where parts show; None: the whole frame. `empty`: a picture of
    the whole frame without a part; None, for passing parts: the first picture counts as empty. `min_area`: share of the
    zone, `contrast`: grey levels of the most different channel; what differs less is no part.
    """

    kind: Literal["presence"]
    when: Literal["still", "passing"] = Field(
        description='"still" (parts are put down, or stop) or "passing" (parts move through the zone)'
    )
    empty: Annotated[LocalPath | None, AfterValidator(_shown_where_parts_stand)] = Field(
        default=None, validate_default=True, description='a picture of the frame without a part, as empty = "empty.png"'
    )
    zone: Annotated[tuple[Count, Count, Extent, Extent], Field(strict=False)] | None = Field(
        default=None, description="[x, y, width, height] in whole pixels, as zone = [0, 0, 640, 360]"
    )
    still_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=0.3, description="seconds above 0, at most 60, that a part stands still before it is judged"
    )
    min_area: Annotated[float, Field(ge=0.001, le=0.9)] = Field(
        default=0.01, description="the least share of the zone that a part covers, from 0.001 to 0.9"
    )
    contrast: Annotated[int, Field(ge=5, le=200)] = Field(
        default=25, description="grey levels, from 5 to 200, by which a part differs from the empty zone"
    )


TriggerConfig = Annotated[
    CameraTrigger | IntervalTrigger | RequestTrigger | PresenceTrigger, Field(discriminator="kind")
]
