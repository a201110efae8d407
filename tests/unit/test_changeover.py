"""The change to another bundle: proven first, refused with a reason, and never to one that was not meant."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.changeover import Changeover, first_bundle
from edge_runtime.engine import PLAIN, Setting, about
from edge_runtime.errors import BundleError, StationError, StoreError
from edge_runtime.messages import Happening
from edge_runtime.recipe import Recipe
from edge_runtime.station import Station
from edge_runtime.store import Installed, Store
from tests.unit.conftest import READABLE_LABELS, write_readable_bundle, write_tune_file


@dataclass
class Line:
    """A station in a folder, and the bundles that are made for it; the daemon without camera and broker."""

    folder: Path
    thresholds: str = ""
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(self.folder / "state")

    def station(self, bundle: str = "part.onnx") -> Station:
        path = self.folder / "station.toml"
        path.write_text(
            f'site = "s"\nline = "l"\nstation = "c"\nbundle = "{bundle}"\ndata = "state"\n'
            '[camera]\nkind = "folder"\npath = "pictures"\nrate_hz = 5.0\n'
            f'[region.J4]\nexpected = "A12"\n[mqtt]\nhost = "127.0.0.1"\n{self.thresholds}'
        )
        return Station.read(path)

    def bundle(self, version: str, labels: tuple[str, ...] = READABLE_LABELS, *, defect: float = 0.5) -> Installed:
        path = write_readable_bundle(self.folder / "new.onnx", labels, version=version, defect=defect)
        return self.store.install(path, lambda _: None)

    def choose(self, entry: Installed) -> None:
        self.store.choose(entry.sha256, None, beside="part.onnx")

    def begin(self) -> tuple[Changeover, Recipe]:
        station = self.station()
        station.data.mkdir(exist_ok=True)
        bundle, choice = first_bundle(station, self.store)
        recipe = Recipe(station.data, station.expected(), bundle.info.labels)
        return Changeover(station, self.store, recipe, bundle, choice, lambda same: same), recipe

    def tell(self, what: Happening) -> None:
        self.told.append((what.kind, what.model_dump(exclude={"kind"}, exclude_none=True)))


@pytest.fixture
def line(tmp_path: Path) -> Line:
    write_readable_bundle(tmp_path / "part.onnx", version="1")
    return Line(tmp_path)


def damage(line: Line, entry: Installed) -> None:
    path = line.store.folder / entry.sha256 / "bundle.onnx"
    path.write_bytes(path.read_bytes()[:-50])


def test_where_nothing_was_chosen_the_station_files_bundle_inspects(line: Line) -> None:
    line.bundle("2")
    bundle, choice = first_bundle(line.station(), line.store)
    assert (bundle.path, choice) == (line.folder / "part.onnx", None)


def test_what_was_chosen_inspects_after_a_restart(line: Line) -> None:
    line.choose(line.bundle("2"))
    bundle, choice = first_bundle(line.station(), line.store)
    assert bundle.info.version == "2"
    assert choice == line.store.choice()


def test_a_chosen_bundle_that_is_damaged_is_not_replaced_by_another(line: Line) -> None:
    line.choose(line.bundle("1"))
    line.choose(entry := line.bundle("2"))
    damage(line, entry)
    with pytest.raises(BundleError, match="no other takes its place: install it again, or kenpin-edge bundle rollback"):
        first_bundle(line.station(), line.store)


def test_a_station_file_that_names_another_file_since_leaves_no_guess(line: Line) -> None:
    line.choose(line.bundle("2"))
    with pytest.raises(StoreError, match=r"readable 2 .* named 'part\.onnx'; now it names 'part-9\.onnx'.*in doubt"):
        first_bundle(line.station("part-9.onnx"), line.store)
    line.store.choice_path.unlink()
    write_readable_bundle(line.folder / "part-9.onnx", version="9")
    assert first_bundle(line.station("part-9.onnx"), line.store)[0].info.version == "9"


def test_a_chosen_bundle_that_does_not_fit_the_station_does_not_inspect(line: Line) -> None:
    line.choose(line.bundle("2", ("B7", "C3")))
    with pytest.raises(StationError, match=r"not a label of readable-2 \(B7, C3\)"):
        first_bundle(line.station(), line.store)


def test_another_bundle_is_changed_to_once_and_told_with_the_one_before(line: Line) -> None:
    changeover, _ = line.begin()
    was = changeover.inspector.bundle.ref.model_dump()
    changeover.look(line.tell)
    assert line.told == []
    line.choose(entry := line.bundle("2"))
    changeover.look(line.tell)
    changeover.look(line.tell)
    now = {"name": "readable", "version": "2", "sha256": entry.sha256}
    assert line.told == [("bundle-switched", {"bundle": now, "was": was})]
    assert changeover.inspector.bundle.ref.model_dump() == now


def test_thresholds_follow_the_bundle_unless_the_station_states_its_own(line: Line) -> None:
    line.thresholds = "[thresholds]\nmismatch = 0.7\n"
    changeover, _ = line.begin()
    line.choose(line.bundle("2", defect=0.3))
    changeover.look(line.tell)
    assert (changeover.inspector.limits.defect, changeover.inspector.limits.mismatch) == (0.3, 0.7)


def assert_refused(line: Line, changeover: Changeover, entry: Installed, why: str) -> None:
    """The old bundle stays, is the choice again, and one event says why."""
    before, choice = changeover.inspector, line.store.choice()
    line.choose(entry)
    for _ in range(3):
        changeover.look(line.tell)
    assert changeover.inspector is before
    assert line.store.choice() == choice
    ((kind, facts),) = line.told
    assert kind == "bundle-refused"
    assert facts["bundle"] == before.bundle.ref.model_dump()
    assert facts["wanted"] == {"name": entry.name, "version": entry.version, "sha256": entry.sha256}
    assert why in facts["why"]
    assert "\n" not in facts["why"]


def test_a_damaged_bundle_is_refused_and_the_old_one_stays_also_after_a_restart(line: Line) -> None:
    line.choose(line.bundle("2"))
    changeover, _ = line.begin()
    damage(line, entry := line.bundle("3"))
    assert_refused(line, changeover, entry, "is no ONNX file that can be run")
    assert line.begin()[0].inspector.bundle.info.version == "2"


def test_what_is_refused_and_chosen_again_is_looked_at_again(line: Line) -> None:
    changeover, _ = line.begin()
    damage(line, entry := line.bundle("2"))
    assert_refused(line, changeover, entry, "is no ONNX file")
    line.choose(line.bundle("2"))
    changeover.look(line.tell)
    assert [kind for kind, _ in line.told] == ["bundle-refused", "bundle-switched"]


def test_a_bundle_that_does_not_know_what_is_expected_now_is_refused(line: Line) -> None:
    changeover, recipe = line.begin()
    recipe.change({"J4": "C3"})
    entry = line.bundle("2", ("A12", "B7"))
    assert_refused(line, changeover, entry, "region J4 expects 'C3', which readable-2 does not know (A12, B7)")
    recipe.change({"J4": "C3"})  # what the old bundle knows still counts


def test_a_bundle_that_does_not_know_the_station_files_labels_is_refused(line: Line) -> None:
    changeover, recipe = line.begin()
    recipe.change({"J4": "C3"})
    assert_refused(line, changeover, line.bundle("2", ("B7", "C3")), "not a label of readable-2 (B7, C3)")


def test_after_a_change_only_the_new_bundles_labels_can_be_set(line: Line) -> None:
    changeover, recipe = line.begin()
    line.choose(line.bundle("2", ("A12", "D4")))
    changeover.look(line.tell)
    recipe.change({"J4": "D4"})
    with pytest.raises(Exception, match="unknown label 'C3'; the bundle knows: A12, D4"):
        recipe.change({"J4": "C3"})


def test_a_fault_while_loading_is_told_and_the_old_one_stays(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    changeover, _ = line.begin()
    entry = line.bundle("2")

    def fail(_store: Store, _sha256: str) -> Bundle:
        raise MemoryError("no room for another session")

    monkeypatch.setattr(Store, "load", fail)
    assert_refused(line, changeover, entry, "fault at the station: no room for another session")


@pytest.mark.parametrize("damaged", [False, True])
def test_stopping_does_not_wait_for_a_bundle_that_proves_itself_and_then_nothing_is_switched_or_told(
    line: Line, monkeypatch: pytest.MonkeyPatch, *, damaged: bool
) -> None:
    changeover, _ = line.begin()
    before, entry = changeover.inspector, line.bundle("2")
    if damaged:
        damage(line, entry)
    proving, go_on = threading.Event(), threading.Event()
    really: Callable[[Store, str], Bundle] = Store.load

    def slowly(store: Store, sha256: str) -> Bundle:
        proving.set()
        assert go_on.wait(30)
        return really(store, sha256)

    monkeypatch.setattr(Store, "load", slowly)
    monkeypatch.setattr("edge_runtime.changeover.STOP_S", 0.1)
    line.choose(entry)
    with changeover.watching(line.tell):
        assert proving.wait(30)
        (thread,) = (thread for thread in threading.enumerate() if thread.name == "changeover")
    assert thread.is_alive(), "stopping waited for the bundle"
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()
    assert changeover.inspector is before
    assert line.told == []
    choice = line.store.choice()
    assert choice is not None
    assert choice.sha256 == entry.sha256, "it counts at the next start"


def test_a_choice_that_becomes_unreadable_is_told_once_and_the_old_one_stays(line: Line) -> None:
    line.choose(line.bundle("2"))
    changeover, _ = line.begin()
    line.store.choice_path.write_text("{")
    for _ in range(3):
        changeover.look(line.tell)
    ((kind, facts),) = line.told
    assert (kind, "wanted" in facts) == ("bundle-refused", False)
    assert "is damaged" in facts["why"]
    assert changeover.inspector.bundle.info.version == "2"


def test_a_deleted_choice_counts_from_the_next_start_on(line: Line) -> None:
    line.choose(line.bundle("2"))
    changeover, _ = line.begin()
    line.store.choice_path.unlink()
    changeover.look(line.tell)
    assert changeover.inspector.bundle.info.version == "2"
    assert line.begin()[0].inspector.bundle.info.version == "1"


def test_a_deleted_choice_does_not_come_back_when_a_later_one_is_refused(line: Line) -> None:
    line.choose(line.bundle("2"))
    changeover, _ = line.begin()
    line.store.choice_path.unlink()
    changeover.look(line.tell)
    damage(line, entry := line.bundle("3"))
    assert_refused(line, changeover, entry, "is no ONNX file")
    assert line.store.choice() is None


def test_a_choice_made_while_another_is_refused_is_not_put_back(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    changeover, _ = line.begin()
    refused, following = line.bundle("2"), line.bundle("3")
    line.choose(refused)
    really: Callable[[Store, str], Bundle] = Store.load

    def load(store: Store, sha256: str) -> Bundle:
        if sha256 == refused.sha256:
            line.choose(following)
            raise BundleError("bundle.onnx", "is damaged")
        return really(store, sha256)

    monkeypatch.setattr(Store, "load", load)
    changeover.look(line.tell)
    changeover.look(line.tell)
    assert [kind for kind, _ in line.told] == ["bundle-refused", "bundle-switched"]
    assert changeover.inspector.bundle.sha256 == following.sha256


OPENVINO = Setting(name="openvino", level=None)


def test_the_engine_that_was_chosen_takes_over_once_and_is_told(line: Line) -> None:
    changeover, _ = line.begin()
    slow = changeover.inspector.bundle
    write_tune_file(slow, OPENVINO)
    for _ in range(2):
        changeover.speed_up(line.tell)
    ((kind, facts),) = line.told
    now = changeover.inspector.bundle
    assert (now.engine.setting, now.ref) == (OPENVINO, slow.ref)
    assert (kind, facts) == ("engine-switched", {"engine": about(now.engine), "was": about(slow.engine)})
    assert facts["was"]["level"] == "all"
    assert set(facts["engine"]) == {"name", "version", "provider"}


def test_an_engine_that_is_refused_leaves_the_plain_one_and_is_told(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    changeover, _ = line.begin()
    before = changeover.inspector
    path = write_tune_file(before.bundle, Setting(provider="CUDA"))
    changeover.speed_up(line.tell)
    ((kind, facts),) = line.told
    assert (kind, facts["engine"]) == ("engine-refused", about(before.bundle.engine))
    assert facts["why"].startswith(f"{path}: its choice is refused, onnxruntime CUDA")
    assert changeover.inspector is before
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert record.message == f"c goes on with onnxruntime CPU, level all: {facts['why']}"


def test_a_bundle_that_is_changed_to_judges_at_once_and_then_on_its_chosen_engine(line: Line) -> None:
    changeover, _ = line.begin()
    entry = line.bundle("2")
    write_tune_file(line.store.load(entry.sha256), OPENVINO)
    line.choose(entry)
    changeover.look(line.tell)
    assert [kind for kind, _ in line.told] == ["bundle-switched", "engine-switched"]
    assert changeover.inspector.bundle.info.version == "2"
    assert changeover.inspector.bundle.engine.setting == OPENVINO


def test_a_bundle_that_is_changed_to_judges_on_the_plain_engine_where_its_tune_file_is_damaged(line: Line) -> None:
    changeover, _ = line.begin()
    entry = line.bundle("2")
    (line.store.folder / entry.sha256 / "bundle.onnx.tune.json").write_text("{")
    line.choose(entry)
    changeover.look(line.tell)
    assert [kind for kind, _ in line.told] == ["bundle-switched", "engine-refused"]
    assert changeover.inspector.bundle.engine.setting == PLAIN
