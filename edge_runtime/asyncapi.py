"""The AsyncAPI 3 document of all topics, as a station sees them: what it sends, what it receives, what it answers."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from edge_runtime import broker, inbox, messages, packets
from edge_runtime.messages import Condition, EventHead, Happening, InspectWish, LabelSet, Refusal, SetLabel, Status
from edge_runtime.schemas import Schema, schema_of
from edge_runtime.verdict import BundleRef, Call, Latency, Reason, RegionVerdict, Thresholds, Verdict

BINDING = "0.2.0"
WHERE: dict[str, str] = {"site": "plant-a", "line": "L3", "station": "cam-2"}
PARAMETERS: dict[str, Schema] = {
    "prefix": {"description": "[mqtt] prefix of the station file, of one or more levels", "default": "kenpin"},
    "site": {"description": "the plant", "examples": ["plant-a"]},
    "line": {"description": "the line", "examples": ["L3"]},
    "station": {"description": "the station", "examples": ["cam-2"]},
}
AT = datetime(2026, 11, 24, 3, 12, 55, 123456, UTC)
ID = "0193b2f4-6a10-7c31-9d53-0242ac120002"
BUNDLE = BundleRef(name="harness", version="7", sha256="5e" * 32)
ENGINE = messages.EngineRef(name="onnxruntime", version="1.23.2", provider="CPU", level="all")
RECIPE = {"J4": "B7", "J5": "A12"}

VERDICT = Verdict(
    id=ID,
    **WHERE,
    seq=10482,
    captured_at=AT,
    trigger="mqtt",
    request="robot-7-000123",
    verdict=Call.NG,
    bundle=BUNDLE,
    thresholds=Thresholds(defect=0.5, mismatch=0.5),
    regions=(
        RegionVerdict(
            name="J4",
            expected="A12",
            verdict=Call.NG,
            reason=Reason.WRONG_PART,
            found="B7",
            found_score=0.97,
            defect_score=0.99,
            mismatch_score=0.98,
            box=(812, 400, 256, 256),
            peak=(901, 455),
        ),
    ),
    latency_ms=Latency(grab=3.1, inspect=4.0, total=8.2),
    prev="0" * 64,
)
STATUS = Status(
    **dict(Condition(state=messages.State.INSPECTING, bundle=BUNDLE, engine=ENGINE, recipe=RECIPE)), at=AT, **WHERE
)
OFFLINE = Status(state=messages.State.OFFLINE, **WHERE)
TO_MEND = Status(state=messages.State.OFFLINE, why="part.onnx: is no bundle", **WHERE)
HEAD = EventHead(id=ID, at=AT, **WHERE)
HAPPENINGS: tuple[Happening, ...] = (
    messages.BundleSwitched(bundle=BUNDLE, was=BundleRef(name="harness", version="6", sha256="6f" * 32)),
    messages.BundleRefused(
        bundle=BUNDLE, wanted=messages.Wanted(sha256="7a" * 32), why="a golden vector disagrees: not what was trained"
    ),
    messages.EngineSwitched(
        engine=messages.EngineRef(name="openvino", version="2025.3", provider="CPU", threads=2), was=ENGINE
    ),
    messages.EngineRefused(engine=ENGINE, why="OpenVINO is not installed"),
    messages.CameraLost(why="rtsp://10.0.3.12/1: does not answer"),
    messages.CameraBack(away_s=12.5),
    messages.VerdictsShed(count=120, first=9000, last=9119),
    messages.OutboxDamaged(why="database disk image is malformed", moved_to="outbox.damaged-20261124T031255Z.db"),
    messages.EvidenceStopped(why="the disk is full"),
    messages.EvidenceResumed(missed=17),
    messages.RecipeChanged(recipe=RECIPE, was={"J4": "A12", "J5": "B7"}, by="topic"),
    messages.RecipeRefused(
        recipe=RECIPE,
        why="unknown label 'D4'; the bundle knows: A12, B7, C3",
        regions=("J4", "J5"),
        labels=("A12", "B7", "C3"),
    ),
    messages.StationReread(changed=("region.J4.box", "thresholds.defect")),
    messages.StationRefused(why="station.toml: needs a restart: camera.rate_hz"),
    messages.MetricsRefused(why="127.0.0.1:9464: Address already in use"),
    messages.Checked(),
)
INSPECT = InspectWish(request="robot-7-000123")
SET_LABEL = SetLabel(region="J4", label="B7", request="mes-17")
LABEL_SET = LabelSet(region="J4", label="B7", was="A12", request="mes-17")
UNKNOWN = SetLabel(region="J4", label="D4", request="mes-18")
REFUSED = Refusal(error="unknown label 'D4'; the bundle knows: A12, B7, C3", request="mes-18")
"""What answers `UNKNOWN`."""


def document() -> Schema:
    """All of it."""
    kinds: dict[str, Any] = {
        "Verdict": Verdict,
        "Status": Status,
        "EventHead": EventHead,
        "InspectWish": InspectWish,
        "SetLabel": SetLabel,
        "RecipeWish": messages.RecipeWish,
        "LabelSet": LabelSet,
        "Refusal": Refusal,
    } | {type(what).__name__: type(what) for what in HAPPENINGS}
    known: Schema = {}
    for name, kind in kinds.items():
        schema = schema_of(kind, "#/components/schemas/{model}")
        known |= schema.pop("$defs", {}) | {name: {key: schema[key] for key in schema if key != "$schema"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "kenpin station",
            "version": "1",
            "description": "One inspection station on its MQTT broker. docs/format.md has the rules, docs/mqtt.md how "
            "it is used. With MQTT 3.1.1 the payloads are the same, and nothing stands beside them.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "parameters": PARAMETERS,
            "schemas": dict(sorted(known.items())),
            "messages": _messages(),
        },
    }


def _server() -> Schema:
    return {
        "host": "broker.example:8883",
        "protocol": "mqtts",
        "protocolVersion": "5",
        "bindings": {
            "mqtt": {
                "cleanSession": False,
                "lastWill": {
                    "topic": "kenpin/plant-a/L3/cam-2/status",
                    "qos": 1,
                    "retain": True,
                    "message": OFFLINE.to_json().decode(),
                },
                "keepAlive": broker.KEEPALIVE_S,
                "sessionExpiryInterval": broker.SESSION_S,
                "maximumPacketSize": inbox.MAX_PACKET_BYTES,
                "bindingVersion": BINDING,
            }
        },
    }


def _channel(leaf: str, about: str, *names: str) -> Schema:
    return {
        "address": "{prefix}/{site}/{line}/{station}/" + leaf,
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS},
    }


def _channels() -> Schema:
    answers = ("verdict", "labelSet", "refusal")
    return {
        "verdict": _channel("verdict", "Verdicts in order of seq; some come again, with the same id.", "verdict"),
        "status": _channel("status", "Retained; `offline` is the last will.", "status"),
        "event": _channel("event", "What happened.", *map(_event_name, HAPPENINGS)),
        "inspect": _channel("cmd/inspect", "Judge the next picture. Must not be retained.", "inspect"),
        "setLabel": _channel("cmd/set-label", "Expect another part. Must not be retained.", "setLabel"),
        "recipe": _channel("recipe", "Retained: which part is expected in which region.", "recipe"),
        "answer": _channel("answer", "Answers to commands without a response topic.", *answers),
        "response": {
            "address": None,
            "description": "Answers to commands: the response topic that each names.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in answers},
        },
    }


def _operations() -> Schema:
    def operation(action: str, channel: str, summary: str, *, retain: bool = False, **more: Any) -> Schema:
        bindings = {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": BINDING}}
        whole = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}
        return whole | {"bindings": bindings} | more

    def reply(*names: str) -> Schema:
        return {
            "address": {
                "location": "$message.header#/responseTopic",
                "description": "Where there is none, and the payload has `request`: the channel `answer`. "
                f"Expires after {packets.ANSWER_S} s.",
            },
            "channel": {"$ref": "#/channels/response"},
            "messages": [{"$ref": f"#/channels/response/messages/{name}"} for name in names],
        }

    return {
        "publishVerdict": operation("send", "verdict", "Each verdict, until the broker acknowledges it."),
        "publishStatus": operation("send", "status", "How the station is, when that changes.", retain=True),
        "publishEvent": operation("send", "event", "What happened."),
        "inspect": operation(
            "receive", "inspect", "Answered with the verdict, or a refusal.", reply=reply("verdict", "refusal")
        ),
        "setLabel": operation(
            "receive", "setLabel", "Counts from the next picture on.", reply=reply("labelSet", "refusal")
        ),
        "followRecipe": operation(
            "receive", "recipe", "Obeyed whole or not at all; answered by an event.", retain=True
        ),
        "answer": operation("send", "answer", "To those who cannot name a response topic."),
    }


def _messages() -> Schema:
    correlation = {"type": "string", "description": "Comes back with the answer; another for each request."}
    asks = {
        "type": "object",
        "description": "MQTT 5 properties.",
        "properties": {
            "responseTopic": {"type": "string", "description": "Where the answer goes; without wildcards."},
            "correlationData": correlation,
        },
    }
    answers = {"type": "object", "properties": {"correlationData": correlation}}
    correlated = {"headers": asks, "correlationId": {"location": "$message.header#/correlationData"}}
    found = {
        "verdict": _message("Verdict", VERDICT) | {"headers": answers},
        "status": _message("Status", STATUS, OFFLINE, TO_MEND),
        "inspect": _message("InspectWish", {}, INSPECT) | correlated,
        "setLabel": _message("SetLabel", SET_LABEL, UNKNOWN) | correlated,
        "recipe": _message("RecipeWish", RECIPE),
        "labelSet": _message("LabelSet", LABEL_SET) | {"headers": answers},
        "refusal": _message("Refusal", REFUSED) | {"headers": answers},
    }
    for what in HAPPENINGS:
        name = type(what).__name__
        parts = [{"$ref": "#/components/schemas/EventHead"}, {"$ref": f"#/components/schemas/{name}"}]
        example = HEAD.model_dump(mode="json") | _plain(what)
        found[_event_name(what)] = _message(name, example) | {"payload": {"allOf": parts}}
    return found


def _message(name: str, *examples: BaseModel | dict[str, Any]) -> Schema:
    json_text = {"payloadFormatIndicator": 1, "contentType": "application/json", "bindingVersion": BINDING}
    return {
        "name": name,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"mqtt": json_text},
        "examples": [{"payload": _plain(example)} for example in examples],
    }


def _plain(example: BaseModel | dict[str, Any]) -> dict[str, Any]:
    return example.model_dump(mode="json", exclude_none=True) if isinstance(example, BaseModel) else example


def _event_name(what: Happening) -> str:
    """`bundle-switched` as `bundleSwitched`."""
    first, *rest = what.kind.split("-")
    return first + "".join(map(str.capitalize, rest))
