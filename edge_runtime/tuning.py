"""The small file beside a bundle that says which engine ran it fastest on this machine, and the bundle on that engine.

`part.onnx.tune.json`, which `kenpin-edge tune` writes and `docs/tune.md` describes. It is a wish and no authority: what
it chooses inspects only once the golden vectors agree, and where anything is amiss the plain engine goes on.
"""

import contextlib
import importlib.metadata
import logging
import os
import platform
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

import onnxruntime
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from edge_runtime.bundle import Bundle
from edge_runtime.engine import Setting, start
from edge_runtime.errors import EngineError, TuneError

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
"""A tune file is a few kilobytes; what is longer is another's, and not read to its end."""
AGAIN = "run kenpin-edge tune again, or delete it"


def _printable(text: str) -> str:
    """Raises ValueError for what would break a line for people, or their terminal."""
    if not text.isprintable():
        raise ValueError("holds control characters")
    return text


Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]


class _Record(BaseModel):
    # Built at the first use: without a tune file there is none, and a cold start is not longer for it.
    model_config = ConfigDict(frozen=True, extra="ignore", serialize_by_alias=True, defer_build=True)


class Machine(_Record):
    """What a measurement holds for. `cores`: those that this process may use. `engines`: name → version."""

    cpu: Text
    cores: int
    engines: dict[Text, Text]

    def __str__(self) -> str:
        engines = ", ".join(f"{name} {version}" for name, version in self.engines.items())
        return f"{self.cpu}, {self.cores} core{'s' if self.cores > 1 else ''}, {engines}"

    @classmethod
    def here(cls) -> Self:
        """This machine, without loading an engine that is not loaded yet."""
        engines = {"onnxruntime": str(onnxruntime.__version__)}
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            engines["openvino"] = importlib.metadata.version("openvino")
        cpu = "".join(letter for letter in _cpu() if letter.isprintable())[:200]
        return cls(cpu=cpu, cores=len(os.sched_getaffinity(0)), engines=engines)


class Row(_Record):
    """One setting that was tried. Milliseconds for one view; None where it was refused, and `refused` says why."""

    setting: Setting
    median_ms: float | None = None
    p99_ms: float | None = None
    refused: str | None = None


class Tuning(_Record):
    """A tune file. `bundle`: SHA-256 of the bundle that was run. `rows`: all that was tried, the fastest first."""

    schema_: Literal["kenpin.tune/1"] = Field(default="kenpin.tune/1", alias="schema")
    bundle: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    machine: Machine
    measured_at: datetime
    choice: Setting
    rows: tuple[Row, ...]

    def to_json(self) -> bytes:
        """The content of the file: one line."""
        return self.model_dump_json().encode() + b"\n"


def tune_path(bundle: Path) -> Path:
    """Where the tune file of a bundle lies: beside it, its whole name and `.tune.json`."""
    return bundle.with_name(bundle.name + ".tune.json")


def tuned(bundle: Bundle) -> Bundle:
    """`bundle` on the engine that its tune file chose; as it is where there is none, or it runs on that already.

    May take minutes where an engine compiles the graph. Raises TuneError, saying what to do, where the file or its
    choice does not hold here, and BundleError where the bundle itself was changed.
    """
    path = tune_path(bundle.path)
    choice = _choice(path, bundle)
    if choice in (None, bundle.engine.setting):
        return bundle
    log.info("%s: loading %s, as %s says", bundle.path, choice, path.name)
    try:
        return bundle.on(start(bundle.content(), choice))
    except EngineError as error:
        raise TuneError(path, f"its choice is refused, {error}; else {AGAIN}") from error


def _choice(path: Path, bundle: Bundle) -> Setting | None:
    """What the tune file `path` chose for this bundle and machine; None where there is no such file."""
    try:
        with path.open("rb") as file:
            tuning = Tuning.model_validate_json(file.read(MOST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TuneError(path, f"cannot be read ({error.strerror}); {AGAIN}") from error
    except ValidationError as error:
        raise TuneError(path, f"is damaged, or no tune file that this kenpin reads; {AGAIN}") from error
    if tuning.bundle != bundle.sha256:
        raise TuneError(path, f"was measured with another bundle; {AGAIN}")
    if tuning.machine != (here := Machine.here()):
        raise TuneError(path, f"was measured on {tuning.machine}, and this is {here}; {AGAIN}")
    return tuning.choice


def _cpu() -> str:
    """What this machine calls its processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
        return Path("/proc/device-tree/model").read_text().strip("\0\n ")  # what boards have in its place
    except OSError:
        return platform.machine()
