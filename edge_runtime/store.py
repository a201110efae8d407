"""The bundles of a station side by side on disk, and which of them is chosen.

    <data>/bundles/<sha256>/bundle.onnx, about.json, and bundle.onnx.sig, bundle.onnx.tune.json (where it came with one)
    <data>/bundles/choice.json

A bundle's folder appears whole, by one rename, and a choice is replaced whole. Who changes something holds the lock of
`bundles` alone, who loads a bundle shares it: so none is taken away while it is read. `docs/bundles.md` has the rules.
"""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_runtime.bundle import Bundle, BundleInfo, load_bundle, read_bundle
from edge_runtime.disk import sync_folder, unfinished, write_synced, write_whole
from edge_runtime.errors import BundleError, ChoiceError, StoreError, may_pass, remedy

log = logging.getLogger(__name__)

BUNDLE = "bundle.onnx"
SIGNATURE = "bundle.onnx.sig"
"""What `load_bundle` looks for beside a bundle, so the two are installed and removed together."""
TUNING = "bundle.onnx.tune.json"
"""What `tuned` looks for; which engine runs the bundle is decided where it judges."""
ABOUT = "about.json"
SHORT = 12
"""Hex digits of a SHA-256 that a person is shown."""
SHORTEST = 4
"""Fewer hex digits than these may well be a version that was taken for a SHA-256."""
WAIT_S = 120.0
"""How long one who holds the store is waited for: a large bundle that proves itself takes seconds, a copy less."""
LOOK_S = 0.05
"""How often the store is looked at while another holds it."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # it becomes the name of a folder


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Installed(_Record):
    """A bundle in the store. `labels`: the part labels it knows."""

    name: str
    version: str
    sha256: Sha256
    labels: tuple[str, ...]
    installed_at: datetime

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.sha256[:SHORT]}"


class Choice(_Record):
    """Which bundle is to judge.

    `before`: the one used before, for a rollback; None where there is none. `beside`: what STATION.toml named when this
    was chosen. `chosen_at` tells two choices of the same bundle apart.
    """

    sha256: Sha256
    before: Sha256 | None
    beside: str
    chosen_at: datetime


class Store:
    """The store in a station's data folder. Nothing is made there until something is installed.

    Every method but those that say so raises StoreError where the disk refuses; then the old choice stays, and nothing
    is half-written.
    """

    def __init__(self, data: Path, trusted_keys: Sequence[Path] = ()) -> None:
        """The store in the folder `data`; `trusted_keys` as in `load_bundle`."""
        self.folder = data / "bundles"
        self._trusted = trusted_keys
        self.choice_path = self.folder / "choice.json"

    def install(self, file: Path, fits: Callable[[BundleInfo], None]) -> Installed:
        """Copy the bundle `file`, and its signature and tune file where there are such, once it has proven itself.

        `fits` raises where the bundle is not for this station. Raises BundleError for the file. A bundle that is
        installed already is installed again: that mends a damaged copy, and brings its signature up to date.
        """
        bundle = load_bundle(file, self._trusted)  # before the lock: nobody has to wait for a large one
        fits(bundle.info)
        data = read_bundle(file)
        beside = {SIGNATURE: _beside(file, SIGNATURE), TUNING: _beside(file, TUNING)}
        if hashlib.sha256(data).hexdigest() != bundle.sha256:
            raise BundleError(file, "was written to while it was read; install it once it is whole")
        with self._changing():
            draft = self._draft
            draft.mkdir()
            write_synced(draft / BUNDLE, data)
            for name, content in beside.items():
                if content is not None:
                    write_synced(draft / name, content)
            entry = Installed(
                name=bundle.info.name,
                version=bundle.info.version,
                sha256=bundle.sha256,
                labels=bundle.info.labels,
                installed_at=datetime.now(UTC),
            )
            write_synced(draft / ABOUT, entry.model_dump_json().encode())
            home = self.folder / entry.sha256
            if home.exists():
                for part in sorted(draft.iterdir()):
                    part.replace(home / part.name)
                sync_folder(home)
            else:
                sync_folder(draft)
                draft.replace(home)
            sync_folder(self.folder)
            return entry

    def installed(self) -> list[Installed]:
        """What is installed, by name, and the oldest first. A folder without a readable about.json is none."""
        try:
            homes = [home for home in self.folder.iterdir() if home.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from error
        entries = [entry for home in homes if (entry := self.entry(home.name)) is not None]
        return sorted(entries, key=lambda entry: (entry.name, entry.installed_at))

    def entry(self, sha256: str) -> Installed | None:
        """What is installed as `sha256`; None where that is nothing. Raises nothing."""
        try:
            entry = Installed.model_validate_json((self.folder / sha256 / ABOUT).read_bytes())
        except (OSError, ValidationError):
            return None
        return entry if entry.sha256 == sha256 else None

    def find(self, wanted: str, version: str | None = None) -> Installed:
        """The installed bundle with this name and version or, without a version, this beginning of a SHA-256."""
        entries = self.installed()
        if version is not None:
            found = [entry for entry in entries if (entry.name, entry.version) == (wanted, version)]
            what = f"{wanted} {version}"
        else:
            is_sha256 = re.fullmatch(f"[0-9a-f]{{{SHORTEST},64}}", wanted) is not None
            found = [entry for entry in entries if is_sha256 and entry.sha256.startswith(wanted)]
            what = wanted
        if len(found) > 1:
            same = ", ".join(str(entry) for entry in found)
            raise StoreError(self.folder, f"{what} is more than one bundle ({same}); name the one by its sha256")
        if not found:
            known = ", ".join(str(entry) for entry in entries) or "none; see kenpin-edge bundle install --help"
            raise StoreError(self.folder, f"{what} is not installed; name NAME VERSION or sha256 of: {known}")
        return found[0]

    def load(self, sha256: str) -> Bundle:
        """The installed bundle `sha256`, proven once more. Raises BundleError where it is no longer what it was."""
        path = self.folder / sha256 / BUNDLE
        with self._held(fcntl.LOCK_SH):
            bundle = load_bundle(path, self._trusted)
        if bundle.sha256 != sha256:
            raise BundleError(path, "is not the file that was installed; install it again")
        return bundle

    def choice(self) -> Choice | None:
        """What is chosen; None where nothing ever was.

        Raises StoreError where that cannot be read, ChoiceError where it is damaged: no bundle is guessed.
        """
        try:
            return Choice.model_validate_json(self.choice_path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            how = remedy(error, "correct its rights")
            raise StoreError(self.choice_path, f"cannot be read ({error.strerror}); {how}").due_to(error) from error
        except ValidationError as error:
            why = "is damaged, so which bundle is meant is in doubt; choose again with kenpin-edge bundle use"
            raise ChoiceError(self.choice_path, why) from error

    def choose(self, sha256: str, first: str | None, *, beside: str) -> Installed:
        """Name the installed bundle `sha256` as the one to judge; on the disk when this returns.

        `first`: what was used before the first choice. `beside`: what the station file names. A damaged choice gives
        way: to delete it first would let the station file's bundle inspect in between.
        """
        with self._changing():
            entry = self.entry(sha256)
            if entry is None:
                raise StoreError(self.folder, f"{sha256[:SHORT]} is no longer installed; install it again")
            try:
                now = self.choice()
            except ChoiceError:
                now = None
            was, before = (now.sha256, now.before) if now else (first, None)
            if was != sha256:
                before = was
            self._keep(Choice(sha256=sha256, before=before, beside=beside, chosen_at=datetime.now(UTC)))
            return entry

    def put_back(self, refused: Choice, old: Choice | None) -> None:
        """Make `old` the choice again, if `refused` still is: what is chosen since is somebody's newer word."""
        with self._changing():
            if self.choice() != refused:
                return
            if old is not None:
                self._keep(old)
            else:
                self.choice_path.unlink()
                sync_folder(self.folder)

    def remove(self, entry: Installed) -> None:
        """Delete a bundle. Raises StoreError where it is in use, or the one to roll back to."""
        with self._changing():
            choice = self.choice()
            if choice is not None and entry.sha256 in (choice.sha256, choice.before):
                role = "in use" if entry.sha256 == choice.sha256 else "what a rollback goes back to"
                raise StoreError(self.folder, f"{entry} is {role}; use another first")
            (self.folder / entry.sha256).replace(self._gone)
            sync_folder(self.folder)

    def _keep(self, choice: Choice) -> None:
        write_whole(self.choice_path, choice.model_dump_json().encode())

    @property
    def _draft(self) -> Path:
        return self.folder / ".draft"

    @property
    def _gone(self) -> Path:
        return self.folder / ".gone"

    def _sweep(self) -> None:
        """Take away what was not finished, by us or by one that was killed."""
        for leftover in (self._draft, self._gone):
            if leftover.exists():
                shutil.rmtree(leftover)
        unfinished(self.choice_path).unlink(missing_ok=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the store alone, and leave nothing unfinished behind. Raises StoreError where the disk refuses."""
        try:
            if not self.folder.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                sync_folder(self.folder.parent)
            with self._held(fcntl.LOCK_EX):
                self._sweep()
                try:
                    yield
                finally:
                    self._sweep()
        except OSError as error:
            how = "free space, then try again" if may_pass(error) else remedy(error, "correct its rights")
            raise StoreError(self.folder, f"cannot be written ({error.strerror}); {how}") from error

    @contextmanager
    def _held(self, how: int) -> Iterator[None]:
        """Hold the store's lock; it ends with the process, however that ends. Raises StoreError after WAIT_S."""
        try:
            descriptor = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            self._lock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int, how: int) -> None:
        give_up: float | None = None
        while True:
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            except BlockingIOError as error:
                now = time.monotonic()
                if give_up is None:
                    give_up = now + WAIT_S
                    log.warning("%s: waiting for another that reads or changes it", self.folder)
                elif now > give_up:
                    why = f"another has read or changed it for {WAIT_S:.0f} s; let it end, then try again"
                    raise StoreError(self.folder, why).due_to(error) from error
                time.sleep(LOOK_S)
            else:
                return

    def _unreadable(self, error: OSError) -> StoreError:
        how = remedy(error, "correct its rights, or install again")
        return StoreError(self.folder, f"cannot be read ({error.strerror}); {how}").due_to(error)


def _beside(file: Path, name: str) -> bytes | None:
    """What lies beside `file` as `name` lies beside BUNDLE; None where there is no such thing."""
    file = file.with_name(file.name + name.removeprefix(BUNDLE))
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        what = "the bundle's signature" if name == SIGNATURE else "the bundle's tune file"
        raise BundleError(file, f"is a folder, where {what} would lie; move it away") from error
    except OSError as error:
        raise BundleError(file, f"cannot be read ({error.strerror}); correct its rights, or move it away") from error
