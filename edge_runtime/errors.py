"""Every error kenpin raises on purpose.

KenpinError
├── UsageError       the command line asks for something that cannot be
├── PictureError     a picture that cannot be inspected or learnt from
├── DataSetError     a data set that cannot be trained on
├── RunError         a run folder that is missing, half-written or another's
├── BundleError      a bundle that must not inspect
├── EngineError      an engine that cannot run a bundle, or runs it wrongly
├── TuneError        a tune file that does not hold here
├── KeyFileError     a key, certificate or password that cannot be used
├── StoreError       bundles that cannot be kept, found or chosen
│   └── ChoiceError  which bundle is chosen is in doubt
├── StationError     a STATION.toml with mistakes, all of them
├── CameraError      a camera that cannot be used
│   └── CameraLost   one that does not answer, which may come back by itself
├── TriggerError     an inspection that cannot be asked for
├── RecipeError      a label or region that a recipe cannot take
├── OutboxError      verdicts cannot be kept on disk
└── BrokerError      the MQTT broker cannot be reached or refuses

Each is built from its facts and says what to do. Library code raises them; only the command line turns them into one
line on stderr and the exit status they carry.
"""

import errno
from pathlib import Path
from typing import Self

from edge_runtime.file_names import as_text

TRY_AGAIN, MEND_FIRST = 75, 78
"""What a daemon's end tells its service manager, as in sysexits.h: a new start may help (EX_TEMPFAIL), or a person must
mend something first (EX_CONFIG)."""
FOR_A_PERSON = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}
"""What the system refuses because of how a file is named or who may read it: no new start changes that."""


def may_pass(cause: BaseException) -> bool:
    """Whether what the system refuses for `cause` may go well by itself later: a disk, a lock or memory that fails."""
    return isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno not in FOR_A_PERSON)


def remedy(cause: BaseException, otherwise: str) -> str:
    """What to do where a file cannot be used: `otherwise`, unless rights are wanting, or the disk may be well later."""
    if isinstance(cause, PermissionError):
        return "run as the service's user, or give it the right"
    return "check the disk" if may_pass(cause) else otherwise


class KenpinError(Exception):
    """A mistake or a fault that a person can act on.

    `exit_status` is what a command ends with that a person has typed, `service_status` what a daemon does.
    """

    exit_status = 2
    service_status = MEND_FIRST

    def due_to(self, cause: BaseException) -> Self:
        """This error, after which a daemon is started again where its `cause` may pass, and only there."""
        self.service_status = TRY_AGAIN if may_pass(cause) else MEND_FIRST
        return self


class UsageError(KenpinError):
    """The command line asks for something that cannot be."""


LONGEST = 1000
"""Characters of a reason: what a damaged or hostile file says of itself is quoted in it, and may be a book."""


def _one_line(why: str) -> str:
    """`why` as a line that a terminal and a log can hold: its beginning, with what cannot be shown escaped."""
    shown = " ".join(why[: LONGEST + 1].split())
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


class _FileError(KenpinError):
    """Something is wrong with one file or folder; said in one line, whatever is in it."""

    def __init__(self, path: Path | str, why: str) -> None:
        why = _one_line(why)
        name = as_text(path) if isinstance(path, Path) else path
        super().__init__(f"{name!r}: {why}" if not name.isprintable() else f"{name}: {why}")
        self.path, self.why = Path(path), why


class PictureError(_FileError):
    """A picture that cannot be inspected or learnt from."""


class DataSetError(_FileError):
    """A data set that cannot be trained on."""


class RunError(_FileError):
    """A run folder that is missing, half-written or another's."""


class BundleError(_FileError):
    """A bundle that must not inspect: no ONNX, another's ONNX, damaged, not what was trained, or not to be trusted."""


class EngineError(KenpinError):
    """An engine that cannot run a bundle here, or runs it wrongly. `engine`: which, with its setting."""

    service_status = TRY_AGAIN

    def __init__(self, engine: str, why: str) -> None:
        super().__init__(f"{engine}: {why}")
        self.engine, self.why = engine, why


class TuneError(_FileError):
    """A tune file that does not hold here: damaged, another bundle's or machine's, or its choice is refused."""


class KeyFileError(_FileError):
    """A key, certificate or password that cannot be used: missing, another half or kind, or in the way of a new one."""


class StoreError(_FileError):
    """Bundles cannot be kept, found or chosen; the old choice stays."""


class ChoiceError(StoreError):
    """What is kept as the choice is damaged: which bundle is meant is in doubt until a person chooses again."""


class StationError(KenpinError):
    """A STATION.toml with mistakes. `mistakes`: one line each, with its place and what was expected."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class CameraError(_FileError):
    """A camera that cannot be used as the station file has it: a person must mend something."""


class CameraLost(CameraError):  # noqa: N818  # what happened, as people say it
    """A camera that does not answer, or not any more: unplugged, without power, or its network is cut."""

    service_status = TRY_AGAIN


class TriggerError(KenpinError):
    """An inspection that cannot be asked for, here or now."""


class RecipeError(KenpinError):
    """A label or region that a recipe cannot take; the old one stays."""


class OutboxError(_FileError):
    """Verdicts cannot be kept on disk, so no verdict may be given."""

    service_status = TRY_AGAIN

    def due_to(self, cause: BaseException) -> Self:
        """As elsewhere; but what is missing of an outbox is made anew by the next start."""
        return self if isinstance(cause, FileNotFoundError) else super().due_to(cause)


class BrokerError(KenpinError):
    """The MQTT broker cannot be reached or refuses."""

    service_status = TRY_AGAIN

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"broker {host}:{port}: {why}")
        self.host, self.port, self.why = host, port, why
