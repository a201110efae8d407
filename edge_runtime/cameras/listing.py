"""`kenpin-edge cameras`: what answers here, and how a station file names it."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_runtime.cameras import aravis_library, pylon
from edge_runtime.errors import CameraError
from edge_runtime.picture import printable

_DEVICES = Path("/sys/class/video4linux")
_BY_ID = Path("/dev/v4l/by-id")


@dataclass(frozen=True, slots=True)
class Listed:
    """A camera that answers. `kind`, and `key` = `value`: what stands in [camera]; `what` it says of itself."""

    kind: str
    key: str
    value: str
    what: str

    @property
    def table(self) -> str:
        """What to write into the station file, on one line."""
        return f'kind = "{self.kind}", {self.key} = "{self.value}"'


def show(*, as_json: bool) -> None:
    """Print the cameras that answer, one a line; what could not be asked is said on stderr."""
    cameras: list[Listed] = []
    for kind, look in _KINDS.items():
        try:
            cameras += look()
        except CameraError as error:
            sys.stderr.write(f"{kind}: not looked for: {error.why}\n")
    for camera in cameras:
        sys.stdout.write(f"{json.dumps(asdict(camera))}\n" if as_json else f"{camera.table}   # {camera.what}\n")
    if not cameras:
        sys.stderr.write(
            'no camera answers; network streams (kind = "stream") are not looked for, they have an address\n'
        )


def v4l2(devices: Path = _DEVICES, by_id: Path = _BY_ID) -> Iterator[Listed]:
    """Video devices that Linux knows, each by a name that stays when it is plugged in again, where there is one."""
    lasting = {link.resolve().name: link for link in sorted(by_id.iterdir())} if by_id.is_dir() else {}
    for device in sorted(devices.iterdir()) if devices.is_dir() else ():
        if _text(device / "index") not in ("", "0"):
            continue  # the same camera once more, for its metadata
        path = lasting.get(device.name, Path("/dev") / device.name)
        yield Listed("v4l2", "device", str(path), _text(device / "name"))


def _text(path: Path) -> str:
    try:
        return printable(path.read_text(errors="replace").strip())
    except OSError:
        return ""


def _aravis() -> Iterator[Listed]:
    for each in aravis_library.found():
        yield Listed("aravis", "id", printable(each.id), printable(f"{each.vendor} {each.model} at {each.address}"))


def _pylon() -> Iterator[Listed]:
    module, _ = pylon.library()
    for each in module.TlFactory.GetInstance().EnumerateDevices():
        what = f"{each.GetModelName()} ({each.GetDeviceClass()})"
        yield Listed("pylon", "serial", printable(each.GetSerialNumber()), printable(what))


_KINDS: dict[str, Callable[[], Iterator[Listed]]] = {"v4l2": v4l2, "aravis": _aravis, "pylon": _pylon}
