"""What runs a graph: ONNX Runtime on the CPU, unless something else has proven to be faster and as right.

An engine knows nothing of bundles; `Bundle` asks one, and lets it inspect only once it has said what was trained.
"""

import io
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy.typing as npt
import onnxruntime
from pydantic import BaseModel, ConfigDict, Field

from edge_runtime.errors import EngineError

SPINNING = "session.intra_op.allow_spinning"
"""Whether the engine's threads wait for the next run at full load, as they would by default: 16 ms of a core a picture,
at 20 pictures a second on 2 cores, for a verdict that takes 1.5; on a fanless PC that is heat, and all others' time. To
wake them takes 0.1 ms of such a verdict, 1 ms of one of 256 x 256."""
WEIGHTS_ELSEWHERE = "session.model_external_initializers_file_folder_path"
"""Where the engine looks for weights that a model names but does not hold; else it would be the working folder. We let
it look where nothing can be: the bundle is one file, and its SHA-256 and signature must cover all that runs."""

LEVELS = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
"""How far ONNX Runtime may rewrite the graph."""
PROVIDERS = {
    "CPU": ("CPUExecutionProvider",),
    "CUDA": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "TensorRT": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
"""Ours → ONNX Runtime's, which gives to the next what the one before cannot do."""

TOO_LITTLE_MEMORY = ("bad_alloc", "Failed to allocate memory")
"""ONNX Runtime's words for it, from its loader and from its arena: it has no type for that."""

Arrays = Mapping[str, npt.NDArray[Any]]


onnxruntime.set_default_logger_severity(4)  # what is wrong with a file is our one line, not the engine's and ours


class Setting(BaseModel):
    """Which engine runs a graph, and how. The default is the plain one, which is there on every machine.

    `provider`: what computes: "CPU", "CUDA", "TensorRT"; of OpenVINO a device, "CPU" or "GPU". `threads`: how many work
    on one view; None leaves it to the engine. `level`: one of LEVELS; None where the engine has no such thing.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Literal["onnxruntime", "openvino"] = "onnxruntime"
    provider: Annotated[str, Field(pattern="^[A-Za-z0-9_.:,()-]{1,40}$")] = "CPU"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    level: Literal["all", "extended", "basic", "off"] | None = "all"

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.threads else ""
        level = f", level {self.level}" if self.level else ""
        return f"{self.name} {self.provider}{threads}{level}"


PLAIN = Setting()


class Engine(Protocol):
    """A graph, ready to run. `setting`: what runs it, and how; `version`: the engine's own."""

    setting: Setting
    version: str

    def run(self, outputs: Sequence[str], feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        """The named outputs for these inputs, with any batch size; may be called from any thread.

        Raises whatever the engine raises: a dozen unrelated types, some of them plain RuntimeError.
        """
        ...


class OnnxRuntime:
    """ONNX Runtime, on whatever its build offers. `session` also says what is in the file."""

    def __init__(self, data: bytes, setting: Setting = PLAIN) -> None:
        """Make the graph `data` ready. Raises EngineError where it is none, or `setting` cannot be had here."""
        self.setting, self.version = setting, str(onnxruntime.__version__)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # a session has a logger of its own
        options.add_session_config_entry(WEIGHTS_ELSEWHERE, os.devnull)
        options.intra_op_num_threads = setting.threads or 0
        options.add_session_config_entry(SPINNING, "0")
        providers = PROVIDERS.get(setting.provider, (setting.provider,))
        if providers[0] not in onnxruntime.get_available_providers():
            raise EngineError(str(setting), "is not part of the ONNX Runtime that is installed here")
        try:
            options.graph_optimization_level = LEVELS[setting.level or "all"]
            self.session = onnxruntime.InferenceSession(
                data, options, providers=list(providers), enable_fallback=0
            )  # the fallback is the same once more, after words of the engine's own on stdout
        except Exception as error:  # its own types have nothing in common
            raise EngineError(str(setting), one_line(error)) from error
        if (live := self.session.get_providers()[0]) != providers[0]:  # it says nothing of it by itself
            raise EngineError(str(setting), f"cannot be loaded here, ONNX Runtime took {live} instead")

    def run(self, outputs: Sequence[str], feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        """As `Engine` says."""
        return dict(zip(outputs, self.session.run(list(outputs), dict(feeds)), strict=True))


class OpenVino:
    """OpenVINO's own runtime. Give it only what `OnnxRuntime` took: it would follow weights into other files."""

    def __init__(self, data: bytes, setting: Setting) -> None:
        """Make the graph `data` ready. Raises EngineError where `setting` cannot be had here."""
        self.setting = setting
        openvino = _openvino(setting)
        self.version = openvino.__version__.partition("-")[0]
        exactly = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}  # f16 moves scores
        if setting.threads:
            exactly["INFERENCE_NUM_THREADS"] = str(setting.threads)
        try:
            core = openvino.Core()
            graph = core.compile_model(core.read_model(io.BytesIO(data)), setting.provider, exactly)
            self._request = graph.create_infer_request()
        except Exception as error:  # RuntimeError for whatever is wrong
            raise EngineError(str(setting), one_line(error)) from error
        self._turn = threading.Lock()  # a request is one caller's at a time

    def run(self, outputs: Sequence[str], feeds: Arrays) -> dict[str, npt.NDArray[Any]]:
        """As `Engine` says."""
        with self._turn:
            found = self._request.infer(dict(feeds))
        return {name: found[name] for name in outputs}


def start(data: bytes, setting: Setting) -> Engine:
    """The graph `data` on the engine that `setting` names. Raises EngineError where that cannot be had here."""
    return OnnxRuntime(data, setting) if setting.name == "onnxruntime" else OpenVino(data, setting)


def about(engine: Engine) -> dict[str, Any]:
    """What a status says of the engine: its name, version, provider, and threads and level where they are set."""
    return {"version": engine.version, **engine.setting.model_dump(exclude_none=True)}


def openvino_devices() -> list[str]:
    """What OpenVINO can compute on here, as "CPU". Raises EngineError where it is not installed or cannot be loaded."""
    setting = Setting(name="openvino", level=None)
    try:
        return list(_openvino(setting).Core().available_devices)
    except RuntimeError as error:
        raise EngineError(str(setting), one_line(error)) from error


def _openvino(setting: Setting) -> Any:
    """The module, loaded only now: it takes as long as all of kenpin. Raises EngineError where it is not there."""
    # Importing it would report to its maker over the network; where this cannot be imported, it does without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: the import fails
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise EngineError(str(setting), "is not installed; pip install 'kenpin[edge-openvino]'") from error
    except ImportError as error:  # a system library is missing
        raise EngineError(str(setting), one_line(error)) from error
    return openvino


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an engine's exception says that there was too little memory: that says nothing of the graph."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in TOO_LITTLE_MEMORY)


def one_line(error: BaseException) -> str:
    """What an engine's exception says, in one line that is not too long."""
    where = r"Exception from \S+:\d+:"  # OpenVINO's source lines: of no use to the reader
    return re.sub(r"\s+", " ", re.sub(where, "", str(error))).strip()[:120]
