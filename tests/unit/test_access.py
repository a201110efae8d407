"""What a client shows a broker: files that cannot be used are one line, before anything is connected."""

from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_runtime.access import secure
from edge_runtime.cli import main
from edge_runtime.errors import KeyFileError
from edge_runtime.station import Mqtt


def refused(**wanted: object) -> str:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    with pytest.raises(KeyFileError) as caught:
        secure(client, Mqtt.model_validate({"host": "127.0.0.1", **wanted}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def secret(folder: Path, content: bytes, mode: int = 0o600) -> str:
    path = folder / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_a_certificate_authority_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    said = refused(tls=True, ca=str(tmp_path / "ca.pem"))
    assert f"{tmp_path / 'ca.pem'}: is no file of certificates in PEM" in said
    assert "is no file of certificates in PEM (No such file" in refused(tls=True, ca=str(tmp_path / "nowhere.pem"))


def test_a_certificate_or_key_that_is_none_is_named(tmp_path: Path) -> None:
    pair = {"certificate": str(tmp_path / "cam.pem"), "key": str(tmp_path / "cam.key")}
    (tmp_path / "cam.pem").write_text("no certificate")
    assert refused(tls=True, **pair).startswith(
        f"{tmp_path / 'cam.key'}: is no file; name a certificate and its own key"
    )
    (tmp_path / "cam.key").write_text("no key")
    said = refused(tls=True, **pair)
    assert said.startswith(f"{tmp_path / 'cam.pem'}: cannot be used with {tmp_path / 'cam.key'}")
    assert "without a passphrase" in said


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (b"open\n", 0o644, "can be read by everybody; chmod o-r"),
        (b"\n", 0o600, "must hold the password"),
        (b"", 0o600, "must hold the password"),
        (b"one\ntwo\n", 0o600, "must hold the password, of one line"),
        (b"x" * 70_000, 0o600, "at most 65535 bytes"),
        (b"\xff\xfe", 0o600, "holds no text"),
    ],
)
def test_a_file_that_holds_no_password_is_named(tmp_path: Path, content: bytes, mode: int, told: str) -> None:
    said = refused(user="cam-2", password_file=secret(tmp_path, content, mode))
    assert told in said
    assert said.startswith(f"{tmp_path / 'password'}: ")


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "cannot be read (No such file" in refused(user="cam-2", password_file=str(tmp_path / "nowhere"))


def test_name_and_password_are_given_as_they_are(tmp_path: Path) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    wanted = {"host": "b", "user": "cam-2", "password_file": secret(tmp_path, "geheim ü\r\n".encode())}
    secure(client, Mqtt.model_validate(wanted))
    assert (client.username, client.password) == ("cam-2", "geheim ü")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ca", "ca.pem"], "--ca counts with --tls only"),
        (["--tls", "--certificate", "a.pem"], "--key belongs to certificate: name both or none"),
        (["--tls", "--key", "a.key"], "--key belongs to certificate: name both or none"),
        (["--password-file", "p"], "--password-file is nobody's: name user, too"),
        (["--host", ""], "--host '': cannot be a host; expected the broker's name or address"),
        (["--user", ""], "--user '': is empty; expected a name that the broker knows"),
        (["--tls", "--ca", "nowhere.pem"], "nowhere.pem: is no file of certificates"),
    ],
)
def test_what_watch_is_told_that_cannot_be_is_one_line(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert told in said.err
    assert len(said.err.splitlines()) == 1
