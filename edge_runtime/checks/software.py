"""Bundle, engine and recipe: what will judge, and what it will expect."""

from collections.abc import Iterator

from edge_runtime.bundle import Bundle
from edge_runtime.checks.finding import Finding, ok, warn
from edge_runtime.errors import KenpinError
from edge_runtime.recipe import Recipe
from edge_runtime.station import Station
from edge_runtime.store import SHORT, Choice
from edge_runtime.tuning import tuned


def look_at_bundle(station: Station, bundle: Bundle, choice: Choice | None) -> Iterator[Finding]:
    """What is loaded, and so has proven itself and fits; whether it is trusted; the engine that its tune file chose."""
    name = f"{bundle.info.name}-{bundle.info.version} ({bundle.sha256[:SHORT]})"
    whose = ", chosen by kenpin-edge bundle use" if choice else ""
    yield ok("bundle", f"{name}{whose}: its golden vectors agree, and it fits the station")
    if station.trusted_keys:
        yield ok("signature", "by a trusted key")
    else:
        yield warn("signature", "is not checked", "name trusted_keys in the station file, so that only the plant's run")
    try:
        engine = tuned(bundle).engine
    except KenpinError as error:
        yield warn("engine", f"{bundle.engine.setting}: {error}")
    else:
        yield ok("engine", str(engine.setting))


def look_at_recipe(station: Station, recipe: Recipe) -> Iterator[Finding]:
    """Which part will be expected where."""
    expected = station.expected()
    for region, label in recipe.labels().items():
        commanded = "" if label == expected[region] else f", as set over MQTT, not {expected[region]}"
        yield ok("recipe", f"{region} expects {label}{commanded}")
