"""STATION.toml: what one daemon looks at, what it expects there, and where its verdicts go.

The file is read once and checked whole. Every mistake is reported, with its place and what was expected; an unknown key
is a mistake, because a misspelt one would otherwise mean a default that nobody chose. `docs/station.md` is this module
in words.
"""

import re
import stat
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from edge_runtime.bundle import BundleInfo
from edge_runtime.cameras.config import CameraConfig
from edge_runtime.errors import StationError
from edge_runtime.evidence.config import EvidenceLimits
from edge_runtime.gate import GateLimits, Source
from edge_runtime.marks import Mark
from edge_runtime.metrics.config import MetricsConfig
from edge_runtime.mistakes import all_of
from edge_runtime.regions import Region
from edge_runtime.table import LocalPath, Table
from edge_runtime.toml_file import TomlFile, by_line
from edge_runtime.triggers.config import CameraTrigger, TriggerConfig
from edge_runtime.verdict import Thresholds


def _safe_level(value: str) -> str:
    """Only what is one level of an MQTT topic, and means nothing else to a broker."""
    if not value or value.startswith("$") or re.search(r"[+#/\x00-\x1f\x7f]", value):
        raise PydanticCustomError("topic", "cannot be a level of an MQTT topic")
    return value


def _safe_prefix(value: str) -> str:
    for level in value.split("/"):
        _safe_level(level)
    return value


def _host(value: str) -> str:
    """Only what the resolver takes without raising errors of its own."""
    try:
        value.encode("idna")
    except UnicodeError:
        value = ""
    if not value or re.search(r"[\s/]", value) or value.count(":") == 1:  # one colon is a port; two or more are IPv6
        raise PydanticCustomError("host", "cannot be a host")
    return value


def _no_file(value: Path) -> Path:
    """Only what is a folder or can be made one; a file there is a slip of the pen, or another's."""
    for there in (value, *value.parents):
        try:
            mode = there.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # who may not look there is told so by what writes there
            break
        if not stat.S_ISDIR(mode):
            raise PydanticCustomError("folder", "no folder: {there} is a file", {"there": str(there)})
        break
    return value


def _some_keys(value: tuple[Path, ...]) -> tuple[Path, ...]:
    """An empty list would trust nobody, or anybody: which of the two is not for us to guess."""
    if not value:
        raise PydanticCustomError("keys", "names no key; without this line, bundles are not checked for a signature")
    return value


TopicLevel = Annotated[
    str,
    AfterValidator(_safe_level),
    Field(max_length=64, description='a name of 1 to 64 characters, without "/", "+" or "#", and no "$" in front'),
]
SOURCES = {"folder": Source.REPLAY, "video": Source.REPLAY, "stream": Source.STREAM}
"""By the kind of camera; one that is not here gives each picture as its sensor took it."""
Name = Annotated[str, Field(min_length=1, max_length=64)]
Threshold = Annotated[float, Field(ge=0, le=1, description="a probability from 0 to 1; scores at or above it are NG")]


def _usual_port(value: object, info: ValidationInfo) -> object:
    """What a broker listens on where nothing is said."""
    return value if value is not None else 8883 if info.data.get("tls") else 1883


def _over_tls(value: Path | None, info: ValidationInfo) -> Path | None:
    """What only TLS asks for."""
    if value is not None and not info.data.get("tls"):
        raise PydanticCustomError("tls", "counts with tls = true only")
    return value


def _with_certificate(value: Path | None, info: ValidationInfo) -> Path | None:
    if (value is None) != (info.data.get("certificate") is None):
        raise PydanticCustomError("pair", "belongs to certificate: name both or none")
    return value


def _with_user(value: Path | None, info: ValidationInfo) -> Path | None:
    if value is not None and info.data.get("user") is None:
        raise PydanticCustomError("pair", "is nobody's: name user, too")
    return value


class Mqtt(Table):
    """The broker. Topics are `<prefix>/<site>/<line>/<station>/...`.

    `tls`: with certificates, the broker's signed by `ca` or, where None, by whom the system trusts; this client's own
    in `certificate` and `key`. `user`, with the password in `password_file`: as whom, besides.
    `version`: of the protocol.
    """

    tls: bool = Field(default=False, description="true (the broker is reached over TLS) or false")
    host: Annotated[str, AfterValidator(_host)] = Field(
        description='the broker\'s name or address, as host = "127.0.0.1"'
    )
    port: Annotated[int, BeforeValidator(_usual_port)] = Field(
        default=None, validate_default=True, ge=1, le=65535, description="a port from 1 to 65535"
    )
    ca: Annotated[LocalPath | None, AfterValidator(_over_tls)] = Field(
        default=None, description='a file of certificates in PEM, as ca = "plant-ca.pem"'
    )
    certificate: Annotated[LocalPath | None, AfterValidator(_over_tls)] = Field(
        default=None, description='a certificate in PEM, as certificate = "cam-2.pem"'
    )
    key: Annotated[LocalPath | None, AfterValidator(_with_certificate)] = Field(
        default=None, validate_default=True, description='the certificate\'s key in PEM, as key = "cam-2.key"'
    )
    user: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description='a name that the broker knows, as user = "cam-2"'
    )
    password_file: Annotated[LocalPath | None, AfterValidator(_with_user)] = Field(
        default=None, description='a file that holds the password, as password_file = "cam-2.password"'
    )
    version: Literal["5", "3.1.1"] = Field(default="5", description='"5" or "3.1.1": the MQTT that is spoken')
    prefix: Annotated[str, AfterValidator(_safe_prefix)] = Field(
        default="kenpin", max_length=200, description='levels as "kenpin" or "plant/kenpin", without "+" or "#"'
    )


class StationThresholds(Table):
    """The station's own thresholds; None leaves the bundle's."""

    defect: Threshold | None = None
    mismatch: Threshold | None = None


def _followed(marks: dict[str, Mark], info: ValidationInfo) -> dict[str, Mark]:
    """A whole frame can follow no mark: wherever it moved to, a part of it would be missing."""
    regions: dict[str, Region] = info.data.get("region", {})
    whole = [name for name, region in regions.items() if region.box is None and region.corners is None]
    if marks and whole:
        raise PydanticCustomError(
            "followed", "moves regions, but {names} has neither box nor corners", {"names": ", ".join(whole)}
        )
    return marks


class Station(Table):
    """A whole STATION.toml. `data`: the folder for outbox and recipe. Paths are as the file's folder makes them.

    `trusted_keys`: files of the public keys one of which must have signed the bundle; none: anyone may have.
    """

    site: TopicLevel
    line: TopicLevel
    station: TopicLevel
    bundle: LocalPath = Field(description='a file written by kenpin-export, as bundle = "part.onnx"')
    trusted_keys: Annotated[tuple[LocalPath, ...], Field(strict=False), AfterValidator(_some_keys)] = Field(
        default=(), description='public keys written by kenpin-export keygen, as trusted_keys = ["plant.pub"]'
    )
    data: Annotated[LocalPath, AfterValidator(_no_file)] = Field(
        description='a folder of this station\'s own, as data = "state"'
    )
    camera: CameraConfig = Field(description='a table with kind = "..."')
    trigger: TriggerConfig = Field(default=CameraTrigger(), description='a table with kind = "..."')
    region: dict[Name, Region] = Field(
        min_length=1, description='one or more tables like [region.J4] with expected = "..."'
    )
    mark: Annotated[dict[Name, Mark], AfterValidator(_followed)] = Field(
        default={}, max_length=2, description="one or two tables like [mark.left] with template, at and search"
    )
    gate: GateLimits = Field(default=GateLimits(), description="a table with limits of a frame's quality")
    evidence: EvidenceLimits = Field(
        default=EvidenceLimits(), description="a table with which pictures are kept, and within what bounds"
    )
    mqtt: Mqtt = Field(description='a table with host = "..."')
    thresholds: StationThresholds = Field(default=StationThresholds(), description="a table with defect and mismatch")

    metrics: MetricsConfig | None = Field(default=None, description="a table with port = 9464")

    _file: TomlFile = PrivateAttr()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check the file `path`. Raises StationError with all of its mistakes."""
        file = TomlFile.read(path)
        try:
            station = cls.model_validate(file.values, context={"folder": path.parent})
        except ValidationError as error:
            raise StationError(all_of(file, cls, error.errors())) from error
        if mistakes := all_of(file, cls, ()):
            raise StationError(mistakes)
        station._file = file  # noqa: SLF001  # our own, made here
        return station

    @property
    def bundle_named(self) -> str:
        """The bundle as the file has it, which stays the same where the station's folder is moved."""
        return str(self._file.values["bundle"])

    @property
    def address(self) -> str:
        """`<prefix>/<site>/<line>/<station>`: what its topics begin with, and no other station's do."""
        return "/".join((self.mqtt.prefix, self.site, self.line, self.station))

    def topic(self, leaf: str) -> str:
        """The topic of this station's `leaf`: `verdict`, `status` or `cmd/<name>`."""
        return f"{self.address}/{leaf}"

    @property
    def source(self) -> Source:
        """What a picture that comes again means at this station's camera."""
        lines = getattr(self.camera, "lines", None)  # a replay has none
        live = Source.LINES if lines is not None and lines.cut == "presence" else Source.SENSOR
        return SOURCES.get(self.camera.kind, live)

    @property
    def place(self) -> str:
        """Site, line and station, as the log has them."""
        return f"{self.site}/{self.line}/{self.station}"

    def expected(self) -> dict[str, str]:
        """Region → the part label that the file expects there."""
        return {name: region.expected for name, region in self.region.items()}

    def check_against(self, info: BundleInfo) -> None:
        """Raise StationError, with every mistake, where the station asks for what the bundle cannot tell."""
        known = ", ".join(info.labels)
        bundle = f"{info.name}-{info.version}"
        mistakes = [
            self._file.mistake(("region", name, "expected"), f"not a label of {bundle} ({known})")
            for name, region in self.region.items()
            if region.expected not in info.labels
        ]
        if self.thresholds.mismatch is not None and info.thresholds.mismatch is None:
            why = f"wrong parts can't be told by {bundle}, which knows one label only; remove this line"
            mistakes.append(self._file.mistake(("thresholds", "mismatch"), why))
        if mistakes:
            raise StationError(sorted(mistakes, key=by_line))

    def limits(self, shipped: Thresholds) -> Thresholds:
        """The thresholds that count here: the station's own where it states them, else the bundle's (`shipped`)."""
        own = self.thresholds
        return Thresholds(
            defect=shipped.defect if own.defect is None else own.defect,
            mismatch=shipped.mismatch if own.mismatch is None else own.mismatch,
        )
