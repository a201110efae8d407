"""`[trigger]` of a station file: what asks for a verdict."""

from typing import Annotated, Literal

from pydantic import Field

from edge_runtime.table import Table

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


TriggerConfig = Annotated[CameraTrigger | IntervalTrigger | RequestTrigger, Field(discriminator="kind")]
