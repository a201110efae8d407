"""Bundles side by side on disk: whole or not there, and one of them chosen."""

import errno
import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_runtime.bundle import Bundle, BundleInfo, load_bundle
from edge_runtime.errors import BundleError, ChoiceError, StationError, StoreError
from edge_runtime.store import Choice, Installed, Store
from export.signing import read_private, sign
from tests.unit.conftest import Pair, write_readable_bundle


def any_station(_info: BundleInfo) -> None:
    """Takes every bundle."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


def bundle(tmp_path: Path, version: str) -> Path:
    return write_readable_bundle(tmp_path / f"part-{version}.onnx", version=version)


def install(store: Store, tmp_path: Path, version: str) -> Installed:
    return store.install(bundle(tmp_path, version), any_station)


def left_behind(store: Store) -> list[str]:
    """What lies in the store that is neither a bundle nor the choice."""
    known = {entry.sha256 for entry in store.installed()} | {"choice.json"}
    return sorted(path.name for path in store.folder.iterdir() if path.name not in known)


def test_asking_an_empty_store_makes_nothing(store: Store) -> None:
    assert store.installed() == []
    assert store.choice() is None
    with pytest.raises(StoreError, match=r"readable 1 is not installed.*: none; see kenpin-edge bundle install"):
        store.find("readable", "1")
    assert not store.folder.exists()


def test_what_is_installed_is_found_by_name_and_version_or_by_sha256(store: Store, tmp_path: Path) -> None:
    first, second = (install(store, tmp_path, version) for version in ("1", "2"))
    assert store.installed() == [first, second]
    assert store.find("readable", "2") == second
    assert store.find(first.sha256[:12]) == first
    assert store.load(second.sha256).info.version == "2"
    assert left_behind(store) == []


@pytest.mark.parametrize(("ending", "what"), [(".tune.json", "tune file"), (".sig", "signature")])
def test_a_folder_beside_a_bundle_in_a_files_place_is_told_as_what_it_is(
    store: Store, tmp_path: Path, ending: str, what: str
) -> None:
    file = bundle(tmp_path, "1")
    beside = file.with_name(file.name + ending)
    beside.mkdir()
    with pytest.raises(BundleError) as caught:
        store.install(file, any_station)
    assert str(caught.value) == f"{beside}: is a folder, where the bundle's {what} would lie; move it away"
    assert not store.folder.exists()


def test_a_store_that_trusts_keys_takes_and_loads_signed_bundles_only(tmp_path: Path, plant: Pair) -> None:
    store, file = Store(tmp_path / "state", [plant.pub]), bundle(tmp_path, "1")
    with pytest.raises(BundleError, match=r"part-1\.onnx.*not signed"):
        store.install(file, any_station)
    assert store.installed() == []
    sign(file, read_private(plant.key))
    entry = store.install(file, any_station)
    assert store.load(entry.sha256).sha256 == entry.sha256
    (store.folder / entry.sha256 / "bundle.onnx.sig").unlink()
    with pytest.raises(BundleError, match="not signed"):
        store.load(entry.sha256)


def test_what_is_not_installed_is_refused_with_what_is(store: Store, tmp_path: Path) -> None:
    first = install(store, tmp_path, "1")
    for wanted in (("readable", "9"), ("other", "1"), ("readable", None), (first.sha256[:3], None)):
        with pytest.raises(StoreError, match=f"is not installed; .*: readable 1 {first.sha256[:12]}"):
            store.find(*wanted)


def test_two_bundles_of_one_name_and_version_are_told_apart_by_sha256(store: Store, tmp_path: Path) -> None:
    first = install(store, tmp_path, "1")
    other = store.install(write_readable_bundle(tmp_path / "b.onnx", defect=0.4), any_station)
    with pytest.raises(StoreError, match=f"more than one bundle .*{first.sha256[:12]}"):
        store.find("readable", "1")
    assert store.find(other.sha256[:12]) == other


def test_a_signature_is_kept_with_its_bundle_and_brought_up_to_date(store: Store, tmp_path: Path) -> None:
    file = bundle(tmp_path, "1")
    home = store.folder / store.install(file, any_station).sha256
    assert not (home / "bundle.onnx.sig").exists()
    for signature in (b"first", b"second"):
        (tmp_path / "part-1.onnx.sig").write_bytes(signature)
        store.install(file, any_station)
        assert (home / "bundle.onnx.sig").read_bytes() == signature


def test_installing_again_mends_a_damaged_copy(store: Store, tmp_path: Path) -> None:
    entry = install(store, tmp_path, "1")
    kept = store.folder / entry.sha256 / "bundle.onnx"
    kept.write_bytes(kept.read_bytes()[:-50])
    with pytest.raises(BundleError):
        store.load(entry.sha256)
    install(store, tmp_path, "1")
    assert store.load(entry.sha256).sha256 == entry.sha256


def test_another_bundle_in_the_place_of_the_installed_one_is_refused(store: Store, tmp_path: Path) -> None:
    entry = install(store, tmp_path, "1")
    (store.folder / entry.sha256 / "bundle.onnx").write_bytes(bundle(tmp_path, "2").read_bytes())
    with pytest.raises(BundleError, match="is not the file that was installed"):
        store.load(entry.sha256)


def test_a_bundle_that_does_not_prove_itself_is_named_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(bundle(tmp_path, "1").read_bytes()[:-50])
    with pytest.raises(BundleError, match=r"broken\.onnx: "):
        store.install(broken, any_station)
    with pytest.raises(BundleError, match=r"missing\.onnx: cannot be read"):
        store.install(tmp_path / "missing.onnx", any_station)
    assert not store.folder.exists()


def test_a_file_that_is_written_to_while_it_is_installed_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = bundle(tmp_path, "1"), bundle(tmp_path, "2").read_bytes()

    def overtaken(path: Path, trusted: Sequence[Path]) -> Bundle:
        proven = load_bundle(path, trusted)
        file.write_bytes(other)
        return proven

    monkeypatch.setattr("edge_runtime.store.load_bundle", overtaken)
    with pytest.raises(BundleError, match=r"part-1\.onnx: was written to while it was read"):
        store.install(file, any_station)
    assert store.installed() == []


def test_nobody_waits_for_a_bundle_that_proves_itself_before_it_is_installed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, following = install(store, tmp_path, "1"), bundle(tmp_path, "2")

    def slowly(path: Path, trusted: Sequence[Path]) -> Bundle:
        if path == following:
            assert Store(tmp_path / "state").load(first.sha256).sha256 == first.sha256
        return load_bundle(path, trusted)

    monkeypatch.setattr("edge_runtime.store.load_bundle", slowly)
    monkeypatch.setattr("edge_runtime.store.WAIT_S", 0.1)
    store.install(following, any_station)


def test_who_waits_for_the_store_says_so_and_gives_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = install(store, tmp_path, "1")
    monkeypatch.setattr("edge_runtime.store.WAIT_S", 0.1)
    holder = os.open(store.folder, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(StoreError, match=r"bundles: another has read or changed it for .*, then try again"):
        store.load(entry.sha256)
    os.close(holder)
    assert caplog.messages == [f"{store.folder}: waiting for another that reads or changes it"]
    assert store.load(entry.sha256).sha256 == entry.sha256


def test_a_bundle_that_is_not_for_the_station_is_not_installed(store: Store, tmp_path: Path) -> None:
    def refuse(info: BundleInfo) -> None:
        raise StationError([f"not with {info.name}"])

    with pytest.raises(StationError, match="not with readable"):
        store.install(bundle(tmp_path, "1"), refuse)
    assert store.installed() == []


def test_a_choice_remembers_the_one_before(store: Store, tmp_path: Path) -> None:
    one, two, three = (install(store, tmp_path, version).sha256 for version in "123")

    def choose(sha256: str) -> tuple[str, str | None]:
        store.choose(sha256, one, beside="part.onnx")
        choice = store.choice()
        assert choice is not None
        assert choice.beside == "part.onnx"
        return choice.sha256, choice.before

    assert choose(two) == (two, one)
    assert choose(three) == (three, two)
    assert choose(three) == (three, two), "the same again does not forget the one before"
    assert choose(two) == (two, three)


def test_what_is_gone_cannot_be_chosen(store: Store, tmp_path: Path) -> None:
    entry = install(store, tmp_path, "1")
    store.remove(entry)
    with pytest.raises(StoreError, match="is no longer installed"):
        store.choose(entry.sha256, None, beside="part.onnx")
    assert store.choice() is None


def test_neither_the_one_in_use_nor_the_one_before_can_be_removed(store: Store, tmp_path: Path) -> None:
    one, two, three = (install(store, tmp_path, version) for version in "123")
    store.choose(one.sha256, None, beside="part.onnx")
    store.choose(two.sha256, None, beside="part.onnx")
    with pytest.raises(StoreError, match="is what a rollback goes back to"):
        store.remove(one)
    with pytest.raises(StoreError, match="is in use"):
        store.remove(two)
    store.remove(three)
    assert store.installed() == [one, two]
    assert left_behind(store) == []


def test_a_refused_choice_is_put_back_unless_another_was_made_since(store: Store, tmp_path: Path) -> None:
    chosen: list[Choice | None] = [None]
    for version in "123":
        store.choose(install(store, tmp_path, version).sha256, None, beside="part.onnx")
        chosen.append(store.choice())
    none, first, second, third = chosen
    assert second is not None
    assert third is not None
    store.put_back(second, first)
    assert store.choice() == third, "what was chosen since is a newer word"
    store.put_back(third, first)
    assert store.choice() == first
    assert first is not None
    store.put_back(first, none)
    assert store.choice() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": "../../x", "before": null, "beside": "p"}', "\xff"])
def test_a_damaged_choice_is_not_guessed(store: Store, tmp_path: Path, text: str) -> None:
    install(store, tmp_path, "1")
    store.choice_path.write_text(text, encoding="latin-1")
    with pytest.raises(ChoiceError, match=r"choice\.json: is damaged.*; choose again with kenpin-edge bundle use"):
        store.choice()


def test_a_choice_that_cannot_be_read_is_not_called_damaged_and_stays(store: Store, tmp_path: Path) -> None:
    entry = install(store, tmp_path, "1")
    store.choice_path.mkdir()
    for ask in (store.choice, lambda: store.choose(entry.sha256, None, beside="part.onnx")):
        with pytest.raises(StoreError, match=r"choice\.json: cannot be read \(Is a directory\); correct its rights$"):
            ask()
    assert store.choice_path.is_dir()


def test_a_bundle_is_not_removed_while_it_is_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = install(store, tmp_path, "1")
    gone_while_read = []
    remover = threading.Thread(target=store.remove, args=(entry,))

    def slowly(path: Path, _trusted: Sequence[Path]) -> object:
        remover.start()
        remover.join(0.2)  # it must be waiting for us; were it not, this is time enough to delete
        gone_while_read.append(not path.exists())
        return loaded

    loaded = store.load(entry.sha256)
    monkeypatch.setattr("edge_runtime.store.load_bundle", slowly)
    assert store.load(entry.sha256) is loaded
    remover.join(10)
    assert gone_while_read == [False]
    assert store.installed() == []


def test_a_disk_that_fills_up_at_any_step_leaves_the_old_choice_and_nothing_half_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = install(store, tmp_path, "1")
    store.choose(old.sha256, None, beside="part.onnx")
    before = store.choice()
    (tmp_path / "part-2.onnx.sig").write_bytes(b"signature")
    syncs, full_at = 0, 0
    really = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == full_at and os.path.isfile(f"/proc/self/fd/{descriptor}"):  # noqa: PTH113  # a file's content
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    refusals = []
    for step in range(1, 10):
        syncs, full_at = 0, step
        try:
            new = install(store, tmp_path, "2")
            store.choose(new.sha256, None, beside="part.onnx")
        except StoreError as error:
            refusals.append(str(error))
            assert store.choice() == before
            for entry in store.installed():
                assert store.load(entry.sha256).sha256 == entry.sha256
        assert left_behind(store) == []
        full_at = 0
        store.choose(old.sha256, None, beside="part.onnx")
        before = store.choice()
    assert len(refusals) == 4, "bundle, signature, about and choice were each refused once"
    assert all("No space left on device); free space" in refusal for refusal in refusals)


def test_what_a_kill_left_behind_is_swept_away(store: Store, tmp_path: Path) -> None:
    install(store, tmp_path, "1")
    for leftover in (".draft", ".gone"):
        (store.folder / leftover).mkdir()
        (store.folder / leftover / "bundle.onnx").write_bytes(b"half")
    (store.folder / ".choice.json.draft").write_bytes(b"{")
    assert [entry.version for entry in store.installed()] == ["1"]
    install(store, tmp_path, "2")
    assert left_behind(store) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"a file where a folder should be")
    with pytest.raises(StoreError, match=r"bundles: cannot be written \(Not a directory\)"):
        install(Store(tmp_path / "state"), tmp_path, "1")
