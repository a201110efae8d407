"""What will judge a picture, put together as it is looked at: each part only where those before it are sound."""

from collections.abc import Iterator

from edge_runtime.bundle import Bundle
from edge_runtime.cameras import Frame
from edge_runtime.changeover import Changeover, first_bundle
from edge_runtime.checks.camera import Judge
from edge_runtime.checks.finding import Finding
from edge_runtime.checks.software import look_at_bundle, look_at_recipe
from edge_runtime.inspector import Inspector
from edge_runtime.recipe import Recipe
from edge_runtime.station import Station
from edge_runtime.store import Choice, Store
from edge_runtime.verdict import Verdict


class Judging:
    """Bundle, recipe and marks of a station, to be looked at in this order."""

    def __init__(self, station: Station) -> None:
        self._station, self._store = station, Store(station.data, station.trusted_keys)
        self._bundle: tuple[Bundle, Choice | None] | None = None
        self._recipe: Recipe | None = None
        self._inspector: Inspector | None = None

    def bundle(self) -> Iterator[Finding]:
        """Which one, and whether it fits. Raises what `first_bundle` raises."""
        self._bundle = first_bundle(self._station, self._store)
        yield from look_at_bundle(self._station, *self._bundle)

    def recipe(self) -> Iterator[Finding]:
        """What it will expect. Raises RecipeError."""
        if self._bundle is not None:
            self._recipe = Recipe(self._station.data, self._station.expected(), self._bundle[0].info.labels)
            yield from look_at_recipe(self._station, self._recipe)

    def marks(self) -> Iterator[Finding]:
        """Nothing, where each can be looked for. Raises PictureError."""
        if self._bundle is not None and self._recipe is not None:
            life = Changeover(self._station, self._store, self._recipe, *self._bundle, lambda own: own)
            self._inspector = life.inspector
        yield from ()

    @property
    def judge(self) -> Judge | None:
        """Judges a frame as the line would, with what is expected now; None where something is missing for that."""
        inspector, recipe = self._inspector, self._recipe
        if inspector is None or recipe is None:
            return None

        def judged(frame: Frame) -> Verdict:
            return inspector.inspect(frame, recipe.labels(), "check").verdict

        return judged
