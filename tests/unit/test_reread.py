"""SIGHUP: what may change without a restart does, whole or not at all."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.cameras import Frame
from edge_runtime.changeover import Changeover
from edge_runtime.framing import Unfit
from edge_runtime.gate import Source
from edge_runtime.messages import Happening
from edge_runtime.recipe import Recipe
from edge_runtime.reread import Reread
from edge_runtime.station import Station
from edge_runtime.store import Store
from tests.marked import LEFT, SIDE, marked_frame

FILE = """site = "s"
line = "l"
station = "c"
bundle = "{bundle}"
data = "state"
[camera]
kind = "folder"
path = "pictures"
rate_hz = 5.0
[region.J4]
expected = "A12"
box = [0, 0, 8, 8]
[mqtt]
host = "127.0.0.1"
[thresholds]
defect = 0.5
"""


class Running:
    """A station that inspects, its file, and what it tells."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.path = folder / "station.toml"
        self.path.write_text(FILE.format(bundle=bundle.path))
        self.told: list[tuple[str, dict[str, object]]] = []
        station = Station.read(self.path)
        store = Store(station.data, station.trusted_keys)
        recipe = Recipe(station.data, station.expected(), bundle.info.labels)
        self.changeover = Changeover(station, store, recipe, bundle, None, lambda own: own)
        self.reread = Reread(self.path, station, self.changeover, self.tell)

    def tell(self, what: Happening) -> None:
        self.told.append((what.kind, what.model_dump(mode="json", exclude={"kind"})))

    def change(self, old: str, new: str) -> None:
        text = self.path.read_text()
        assert old in text
        self.path.write_text(text.replace(old, new))


@pytest.fixture
def running(tmp_path: Path, readable_bundle: Bundle) -> Running:
    return Running(tmp_path, readable_bundle)


def test_thresholds_and_boxes_count_from_the_next_frame_on(running: Running) -> None:
    before = running.changeover.inspector
    running.change("defect = 0.5", "defect = 0.25")
    running.change("box = [0, 0, 8, 8]", "box = [1, 2, 8, 8]")
    running.reread()
    after = running.changeover.inspector
    assert (after.limits.defect, after.framing.regions["J4"].box) == (0.25, (1, 2, 8, 8))
    assert (before.limits.defect, before.framing.regions["J4"].box) == (0.5, (0, 0, 8, 8)), (
        "a frame in hand is judged as it was"
    )
    assert after.bundle is before.bundle
    assert running.told == [("station-reread", {"changed": ["region.J4.box", "thresholds.defect"]})]


@pytest.mark.parametrize(
    ("old", "new"), [("box = [0, 0, 8, 8]", "box = [1, 2, 8, 8]"), ("[thresholds]", "[gate]\ndark = 5\n[thresholds]")]
)
def test_a_camera_that_has_frozen_is_still_frozen_afterwards(
    tmp_path: Path, readable_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    monkeypatch.setattr(Station, "source", Source.SENSOR)
    running = Running(tmp_path, readable_bundle)
    picture = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)

    def refused(number: int) -> bool:
        seen = running.changeover.inspector.framing.look(Frame(picture, 0, number, 0.0, taken=float(number)))
        return isinstance(seen["J4"], Unfit)

    assert [refused(number) for number in range(4)] == [False, False, True, True]
    running.change(old, new)
    running.reread()
    assert running.told[-1][0] == "station-reread"
    assert refused(4), "a picture from before is judged as if it were new"


def test_a_table_that_is_left_out_again_is_the_bundles_own(running: Running) -> None:
    running.change("[thresholds]\ndefect = 0.5\n", "")
    running.reread()
    limits = running.changeover.inspector.limits
    assert limits == running.changeover.inspector.bundle.info.thresholds


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("rate_hz = 5.0", "rate_hz = 6.0", "camera.rate_hz"),
        ('expected = "A12"', 'expected = "B7"', "region.J4.expected"),
        ("[mqtt]", '[region.J5]\nexpected = "B7"\n[mqtt]', "region.J5.expected"),
        ('host = "127.0.0.1"', 'host = "10.0.0.5"', "mqtt.host"),
        ("[mqtt]", "[metrics]\nport = 9464\n[mqtt]", "metrics.host, metrics.port"),
    ],
)
def test_what_needs_a_restart_is_named_and_nothing_beside_it_counts(
    running: Running, old: str, new: str, named: str
) -> None:
    before = running.changeover.inspector
    running.change("defect = 0.5", "defect = 0.25")
    running.change(old, new)
    running.reread()
    assert running.changeover.inspector is before
    ((kind, facts),) = running.told
    assert kind == "station-refused"
    assert str(facts["why"]).startswith(f"{running.path}: needs a restart: ")
    assert set(named.split(", ")) <= set(str(facts["why"]).rpartition(": ")[2].split(", "))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("defect = 0.5", "defect = 7", "defect = 7"),
        ("[camera]", "[camera", "is not TOML"),
        ("defect = 0.5", "defetc = 0.5", 'did you mean "defect"?'),
    ],
)
def test_a_file_with_mistakes_changes_nothing_and_says_why(running: Running, old: str, new: str, why: str) -> None:
    before = running.changeover.inspector
    running.change("box = [0, 0, 8, 8]", "box = [1, 2, 8, 8]")
    running.change(old, new)
    running.reread()
    assert running.changeover.inspector is before
    ((kind, facts),) = running.told
    assert kind == "station-refused"
    assert why in str(facts["why"])


def test_a_file_that_is_gone_changes_nothing(running: Running) -> None:
    before = running.changeover.inspector
    running.path.unlink()
    running.reread()
    assert running.changeover.inspector is before
    assert running.told[0][0] == "station-refused"


def test_what_was_refused_counts_once_it_is_mended(running: Running) -> None:
    running.change("defect = 0.5", "defect = 7")
    running.reread()
    running.change("defect = 7", "defect = 0.25")
    running.reread()
    assert running.changeover.inspector.limits.defect == 0.25
    assert [kind for kind, _ in running.told] == ["station-refused", "station-reread"]


def test_an_unchanged_file_changes_nothing(running: Running) -> None:
    running.reread()
    assert running.told == [("station-reread", {"changed": []})]


class Marked(Running):
    """The same with a mark, whose picture shows what lies at `LEFT` in the reference frame."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.template = folder / "left.png"
        self.show(*LEFT)
        super().__init__(folder, bundle)
        self.change("[mqtt]", f'[mark.left]\ntemplate = "left.png"\nat = {list(LEFT)}\nsearch = 40\n[mqtt]')
        self.reread()
        self.told.clear()

    def show(self, x: int, y: int) -> None:
        """Put another picture in the place of the mark's, under the same name."""
        cv2.imwrite(str(self.template), marked_frame()[y : y + SIDE, x : x + SIDE])

    def refused(self) -> bool:
        """Whether the reference frame is not judged, because the mark is not found in it."""
        seen = self.changeover.inspector.framing.look(Frame(marked_frame(), 0, 1, 0.0))
        return isinstance(seen["J4"], Unfit)


def test_a_marks_new_picture_under_the_same_name_counts(tmp_path: Path, readable_bundle: Bundle) -> None:
    running = Marked(tmp_path, readable_bundle)
    assert not running.refused()
    running.show(250, 180)
    running.reread()
    assert running.refused(), "the picture that was there at the start is still looked for"
    assert running.told == [("station-reread", {"changed": ["mark.left.template"]})]
    running.reread()
    assert running.told[1:] == [("station-reread", {"changed": []})]


def test_a_marks_new_picture_that_cannot_be_used_changes_nothing(tmp_path: Path, readable_bundle: Bundle) -> None:
    running = Marked(tmp_path, readable_bundle)
    running.change("defect = 0.5", "defect = 0.25")
    running.template.write_bytes(running.template.read_bytes()[:-20])
    running.reread()
    ((kind, facts),) = running.told
    assert kind == "station-refused"
    assert "left.png: is cut short" in str(facts["why"])
    assert running.changeover.inspector.limits.defect == 0.5
    assert not running.refused()
