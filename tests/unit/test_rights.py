"""Who forgot `sudo -u kenpin` is told that rights are wanting; a daemon that lacks them is not started for ever."""

import errno
import os
from pathlib import Path

import pytest

from edge_runtime.audit_files import Question, run_audit
from edge_runtime.bundle import load_bundle
from edge_runtime.cameras.config import FolderCamera
from edge_runtime.cameras.folder import FolderReplay
from edge_runtime.errors import (
    MEND_FIRST,
    TRY_AGAIN,
    BundleError,
    CameraError,
    KenpinError,
    KeyFileError,
    OutboxError,
    StationError,
    StoreError,
    UsageError,
)
from edge_runtime.lock import lock_folder
from edge_runtime.outbox import Outbox
from edge_runtime.station import Station
from edge_runtime.store import Store
from edge_runtime.trust import read_public
from tests.rights import bound_by_rights
from tests.stations import UP_TO_CAMERA

TOLD = "(Permission denied); run as the service's user, or give it the right"


def closed(path: Path, *, file: bool = True) -> Path:
    """A file or folder that only another may use."""
    (path.touch if file else path.mkdir)()
    path.chmod(0)
    return path


def test_a_station_file_that_is_closed_to_us_is_no_reason_to_read_the_manual(tmp_path: Path) -> None:
    path = closed(tmp_path / "station.toml")
    with bound_by_rights(), pytest.raises(StationError) as told:
        Station.read(path)
    assert str(told.value) == f"{path}: cannot be read {TOLD}"


def test_what_a_station_names_and_is_closed_to_us_asks_for_rights(tmp_path: Path) -> None:
    bundle, key = closed(tmp_path / "part.onnx"), closed(tmp_path / "plant.pub")
    pictures = closed(tmp_path / "pictures", file=False)
    with bound_by_rights():
        with pytest.raises(BundleError) as bundle_told:
            load_bundle(bundle)
        with pytest.raises(KeyFileError) as key_told:
            read_public(key)
        with pytest.raises(CameraError) as camera_told:
            FolderReplay(FolderCamera(kind="folder", path=pictures, rate_hz=1.0))
    for told in (bundle_told, key_told, camera_told):
        assert str(told.value).endswith(TOLD)
        assert told.value.service_status == MEND_FIRST


@pytest.mark.parametrize("there", [False, True])
def test_data_that_is_closed_to_us_ends_a_daemon_for_good(tmp_path: Path, *, there: bool) -> None:
    data = tmp_path / "state"
    if there:
        with Outbox(data):
            pass
        for path in (data, *data.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    else:
        tmp_path.chmod(0o555)
    with bound_by_rights(), pytest.raises(OutboxError) as told:
        Outbox(data)
    assert str(told.value).endswith(TOLD)
    assert told.value.service_status == MEND_FIRST


@pytest.mark.parametrize("mode", [0, 0o444])
def test_an_outbox_that_another_user_made_ends_a_daemon_for_good(tmp_path: Path, mode: int) -> None:
    data = tmp_path / "state"
    with Outbox(data):
        pass
    for path in (data, *data.rglob("*")):
        path.chmod(0o777)
    (data / "outbox.db").chmod(mode)
    with bound_by_rights(), pytest.raises(OutboxError) as told:
        Outbox(data)
    assert str(told.value).endswith("; run as the service's user, or give it the right")
    assert told.value.service_status == MEND_FIRST


def test_an_outbox_in_use_and_a_disk_that_fails_may_pass(tmp_path: Path) -> None:
    with Outbox(tmp_path), pytest.raises(OutboxError) as told:
        Outbox(tmp_path)
    assert told.value.service_status == TRY_AGAIN
    for number in (errno.EIO, errno.EROFS, errno.ENOSPC, errno.ENOENT):
        fault = OutboxError(tmp_path, "…").due_to(OSError(number, os.strerror(number)))
        assert fault.service_status == TRY_AGAIN, os.strerror(number)


def test_a_store_that_may_not_be_written_asks_for_rights(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir(mode=0o555)
    with bound_by_rights(), pytest.raises(StoreError) as told:
        Store(tmp_path).choose("0" * 64, None, beside="part.onnx")
    assert str(told.value).endswith(("; run as the service's user, or give it the right", "; install it again"))


def test_an_audit_that_may_not_look_says_so_and_calls_nothing_broken(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text(UP_TO_CAMERA + 'kind = "folder"\npath = "pictures"\n', encoding="utf-8")
    with Outbox(tmp_path / "state"):
        pass
    for part in ("outbox.db", "ledger"):
        before = (tmp_path / "state" / part).stat().st_mode
        (tmp_path / "state" / part).chmod(0)
        with bound_by_rights(), pytest.raises(UsageError) as told:
            run_audit(Question([path]))
        assert str(told.value) == f"{tmp_path / 'state' / part}: cannot be read {TOLD}"
        (tmp_path / "state" / part).chmod(before)


def test_a_name_that_is_too_long_is_for_a_person_to_mend(tmp_path: Path) -> None:
    long = tmp_path / ("a" * 5000)
    for use in (load_bundle, read_public, lock_folder):
        with pytest.raises(KenpinError) as told:
            use(long)
        assert "File name too long" in str(told.value)
        assert told.value.service_status == MEND_FIRST
