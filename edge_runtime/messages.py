"""Every message on every topic but the verdict (`verdict.py`), as the code that sends or takes it makes it.

`docs/format.md` is this module in words; `docs/schemas` and `docs/asyncapi.yaml` are generated from it. What a station
sends may get new fields, so readers ignore those they do not know. What it is told must be meant, so unknown fields are
refused.
"""

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from edge_runtime.verdict import BundleRef

NAME_LENGTH = 255
"""Characters of a region, a label or a request: as a bundle's labels."""

Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]
Labels = dict[str, str]
"""Region → expected part label."""


class _Message(BaseModel):
    """What a station says."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, serialize_by_alias=True)

    def to_json(self) -> bytes:
        """As it is sent; fields that say nothing are left out."""
        return self.model_dump_json(exclude_none=True).encode()


class _Wish(BaseModel):
    """What a station is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# Status


class State(StrEnum):
    """What a station does. `stopped`: a clean end. `offline`: the last will, connection or process was lost."""

    INSPECTING = "inspecting"
    IDLE = "idle"
    BLIND = "blind"
    STOPPED = "stopped"
    OFFLINE = "offline"


class EngineRef(_Message):
    """What runs the bundle."""

    name: str
    version: str
    provider: str
    threads: int | None = None
    level: str | None = None


class CameraCount(_Message):
    """The camera's count since the start. `missed`: triggers without a picture; `dropped`: frames not looked at."""

    frames: int
    dropped: int
    missed: int
    reconnects: int


class Head(_Message):
    """The newest verdict of the chain: what an auditor holds a record against. `hash`: SHA-256 of its JSON, in hex."""

    seq: int
    hash: str


class Ledger(_Message):
    """That no verdict is lost, as numbers: triggers = verdicts, and verdicts = acknowledged + waiting + shed.

    `shed`: given up because the outbox was full. `balanced`: whether it adds up.
    """

    triggers: int
    verdicts: int
    acknowledged: int
    waiting: int
    shed: int
    balanced: bool
    head: Head | None = None


class Condition(_Message):
    """How a station is. `since`: when it came into this `state`, UTC."""

    state: State
    since: datetime | None = None
    bundle: BundleRef | None = None
    engine: EngineRef | None = None
    recipe: Labels | None = None
    camera: CameraCount | None = None
    ledger: Ledger | None = None


class Status(Condition):
    """Topic `status`, retained. `at`: when it was so; the last will has neither this nor what else changes.

    `why`: with `offline`, what a person must mend before the station can inspect, if that is known.
    """

    schema_: Literal["kenpin.status/1"] = Field(default="kenpin.status/1", alias="schema")
    site: str
    line: str
    station: str
    at: datetime | None = None
    why: str | None = None


# Events


class BundleSwitched(_Message):
    """Another bundle judges from now on. `was`: the one before."""

    kind: Literal["bundle-switched"] = "bundle-switched"
    bundle: BundleRef
    was: BundleRef


class Wanted(_Message):
    """The bundle that was chosen, as far as it is known."""

    sha256: str
    name: str | None = None
    version: str | None = None


class BundleRefused(_Message):
    """A chosen bundle must not judge; `bundle` goes on. `wanted` is left out where the choice cannot be read."""

    kind: Literal["bundle-refused"] = "bundle-refused"
    bundle: BundleRef
    wanted: Wanted | None = None
    why: str


class EngineSwitched(_Message):
    """Another engine runs the bundle from now on. `was`: the one before."""

    kind: Literal["engine-switched"] = "engine-switched"
    engine: EngineRef
    was: EngineRef


class EngineRefused(_Message):
    """The engine that a tune file chose must not run the bundle; `engine` goes on."""

    kind: Literal["engine-refused"] = "engine-refused"
    engine: EngineRef
    why: str


class CameraLost(_Message):
    """The camera does not answer any more; it is tried again until it does."""

    kind: Literal["camera-lost"] = "camera-lost"
    why: str


class CameraBack(_Message):
    """The camera is back. `away_s`: seconds without it."""

    kind: Literal["camera-back"] = "camera-back"
    away_s: float


class VerdictsShed(_Message):
    """`count` verdicts were given up, undelivered, because the outbox is full: of seq `first` to `last`."""

    kind: Literal["verdicts-shed"] = "verdicts-shed"
    count: int
    first: int
    last: int


class OutboxDamaged(_Message):
    """The outbox's database was damaged and moved aside, as `moved_to`; inspection goes on."""

    kind: Literal["outbox-damaged"] = "outbox-damaged"
    why: str
    moved_to: str | None = None


class EvidenceStopped(_Message):
    """No pictures are kept any more; verdicts go on."""

    kind: Literal["evidence-stopped"] = "evidence-stopped"
    why: str


class EvidenceResumed(_Message):
    """Pictures are kept again. `missed`: how many were left out meanwhile."""

    kind: Literal["evidence-resumed"] = "evidence-resumed"
    missed: int


class RecipeChanged(_Message):
    """Other labels are expected from the next picture on. `recipe`: all of it now; `was`: what changed, before.

    `by`: a command, the retained topic, or a bundle that knows what was refused until now.
    """

    kind: Literal["recipe-changed"] = "recipe-changed"
    recipe: Labels
    was: Labels
    by: Literal["command", "topic", "bundle"]


class RecipeRefused(_Message):
    """The retained recipe is refused whole; `recipe` stays. `regions`, `labels`: those that are known."""

    kind: Literal["recipe-refused"] = "recipe-refused"
    recipe: Labels
    why: str
    regions: tuple[str, ...]
    labels: tuple[str, ...]


class StationReread(_Message):
    """The station file was read again. `changed`: what counts anew, as "region.J4.box"."""

    kind: Literal["station-reread"] = "station-reread"
    changed: tuple[str, ...]


class StationRefused(_Message):
    """The station file was read again, and nothing of it counts anew."""

    kind: Literal["station-refused"] = "station-refused"
    why: str


class MetricsRefused(_Message):
    """The port for figures cannot be had; the station inspects without."""

    kind: Literal["metrics-refused"] = "metrics-refused"
    why: str


class Checked(_Message):
    """`kenpin-edge check` has looked whether events may be published. Nothing happened."""

    kind: Literal["check"] = "check"


Happening = Annotated[
    BundleSwitched
    | BundleRefused
    | EngineSwitched
    | EngineRefused
    | CameraLost
    | CameraBack
    | VerdictsShed
    | OutboxDamaged
    | EvidenceStopped
    | EvidenceResumed
    | RecipeChanged
    | RecipeRefused
    | StationReread
    | StationRefused
    | MetricsRefused
    | Checked,
    Field(discriminator="kind"),
]
"""What happened, as the kind of an event and its facts."""


class EventHead(_Message):
    """Topic `event`: this, and the facts of a `Happening` beside it. `id`: a UUID version 7."""

    schema_: Literal["kenpin.event/1"] = Field(default="kenpin.event/1", alias="schema")
    id: str
    site: str
    line: str
    station: str
    at: datetime


def event(head: EventHead, what: Happening) -> bytes:
    """An event as it is sent."""
    facts = head.model_dump(mode="json", exclude_none=True) | what.model_dump(mode="json", exclude_none=True)
    return json.dumps(facts).encode()


# Commands, and what answers them


class InspectWish(_Wish):
    """Topic `cmd/inspect`: judge the next picture. An empty payload is the same as `{}`."""

    request: Name | None = None


class SetLabel(_Wish):
    """Topic `cmd/set-label`. `region` may be left out where the station has one only."""

    label: Name
    region: Name | None = None
    request: Name | None = None


class RecipeWish(RootModel[dict[Name, Name]]):
    """Topic `recipe`, retained: region → label. Regions that are not named keep theirs."""

    model_config = ConfigDict(frozen=True, strict=True)

    root: dict[Name, Name] = Field(min_length=1)


class LabelSet(_Message):
    """A region expects `label` from the next picture on. `was`: the label before."""

    ok: Literal[True] = True
    region: str
    label: str
    was: str
    request: str | None = None


class Refusal(_Message):
    """A command was refused, and nothing has changed. `error`: why, and what to do, for people."""

    ok: Literal[False] = False
    error: str
    request: str | None = None
