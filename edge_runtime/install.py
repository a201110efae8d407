"""`kenpin-edge bundle`: install, list, use, roll back and remove the bundles of a station."""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.errors import BundleError, ChoiceError, RecipeError, StationError, StoreError
from edge_runtime.recipe import Recipe
from edge_runtime.station import Station
from edge_runtime.store import SHORT, Choice, Installed, Store

log = logging.getLogger(__name__)


def install(path: Path, file: Path) -> None:
    """Install `file` for the station file `path`, and print its reference: name, version, beginning of its SHA-256.

    Raises StationError, BundleError or StoreError; then nothing was installed.
    """
    station, store = _open(path)
    _say(str(store.install(file, station.check_against)))


def show(path: Path, *, as_json: bool) -> None:
    """Print what is installed, one bundle a line. Raises StationError or StoreError.

    ChoiceError, too, but after that: to choose again needs a name that only this list shows.
    """
    station, store = _open(path)
    entries, damage = store.installed(), None
    try:
        choice = store.choice()
    except ChoiceError as error:
        choice, damage = None, error
    if as_json:
        for entry in entries:
            _say(json.dumps(entry.model_dump(mode="json") | _roles(entry, choice)))
    else:
        _say_table(entries, choice)
    if damage is not None:
        raise damage
    if choice is None and not as_json:
        _say(f"nothing was chosen: the station file's {station.bundle_named} inspects")


def _say_table(entries: Sequence[Installed], choice: Choice | None) -> None:
    rows = [("NAME", "VERSION", "SHA256", "INSTALLED (UTC)", "")] if entries else []
    for entry in entries:
        roles = ", ".join(role.replace("_", " ") for role, is_so in _roles(entry, choice).items() if is_so)
        when = f"{entry.installed_at:%Y-%m-%d %H:%M}"
        rows.append((entry.name, entry.version, entry.sha256[:SHORT], when, roles))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _say("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def use(path: Path, wanted: str, version: str | None) -> None:
    """Choose the installed bundle that `Store.find` finds; a running daemon changes to it.

    Raises StationError, BundleError, RecipeError or StoreError where it must not inspect here; then the old one stays.
    """
    station, store = _open(path)
    _choose(station, store, store.find(wanted, version).sha256)


def rollback(path: Path) -> None:
    """Choose the bundle that was used before; once more chooses the present one again. Raises as `use`."""
    station, store = _open(path)
    choice = store.choice()
    if choice is None or choice.before is None:
        raise StoreError(store.folder, "no bundle was used before; see kenpin-edge bundle list")
    _choose(station, store, choice.before)


def remove(path: Path, wanted: str, version: str | None) -> None:
    """Delete an installed bundle, but not the one in use or to roll back to. Raises StationError or StoreError."""
    _, store = _open(path)
    entry = store.find(wanted, version)
    store.remove(entry)
    _say(f"{entry} is removed")


def _open(path: Path) -> tuple[Station, Store]:
    station = Station.read(path)
    return station, Store(station.data, station.trusted_keys)


def _choose(station: Station, store: Store, sha256: str) -> None:
    """Choose a bundle that proves itself, and knows what this station expects now."""
    bundle = store.load(sha256)
    station.check_against(bundle.info)
    was = _in_use(station, store)
    if was is not None and was.sha256 != sha256:
        recipe = Recipe(station.data, station.expected(), was.labels)
        try:  # the daemon asks again when it changes
            recipe.check_against(f"{bundle.info.name}-{bundle.info.version}", bundle.info.labels)
        except RecipeError as error:
            how = f"where no daemon runs, delete {recipe.path}: the station file's labels count again"
            raise RecipeError(f"{error}; {how}") from error
    entry = store.choose(sha256, was.sha256 if was else None, beside=station.bundle_named)
    _say(f"{entry} is chosen")


def _in_use(station: Station, store: Store) -> Installed | None:
    """The bundle in use until now. The station file's is installed, to roll back to it: its file may be replaced."""
    try:
        if (choice := store.choice()) is not None:
            return store.entry(choice.sha256)
        return store.install(station.bundle, station.check_against)
    except ChoiceError:
        why = f"{store.choice_path} is damaged, so which bundle was used is in doubt"
    except (BundleError, StationError) as error:
        why = "; ".join(str(error).splitlines())
    log.warning("there will be nothing to roll back to: %s", why)
    return None


def _roles(entry: Installed, choice: Choice | None) -> dict[str, bool]:
    chosen, before = (choice.sha256, choice.before) if choice else (None, None)
    return {"in_use": entry.sha256 == chosen, "previous": entry.sha256 == before}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
