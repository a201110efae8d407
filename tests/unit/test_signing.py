"""`kenpin-export keygen`, `sign` and `verify`, by their command lines."""

import stat
from pathlib import Path

import pytest

from edge_runtime.errors import KeyFileError
from edge_runtime.trust import signature_path
from export.cli import main
from export.signing import keygen
from tests.unit.conftest import Pair

Captured = pytest.CaptureFixture[str]


def refused(captured: Captured, *arguments: object) -> str:
    """The one line with which the command refuses `arguments`."""
    assert main([str(argument) for argument in arguments]) == 2
    out, err = captured.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return str(line).removeprefix("kenpin-export: ")


def done(captured: Captured, *arguments: object) -> str:
    """The one line that the command says when it is done."""
    assert main([str(argument) for argument in arguments]) == 0
    out, err = captured.readouterr()
    assert err == ""
    (line,) = out.splitlines()
    return str(line)


def test_a_new_pair_signs_and_verifies(unsigned: Path, tmp_path: Path, capsys: Captured) -> None:
    key, pub = tmp_path / "plant.key", tmp_path / "plant.pub"
    made = done(capsys, "keygen", tmp_path / "plant")
    assert "not encrypted" in made
    name = made.split()[-1]
    sig = signature_path(unsigned)
    assert done(capsys, "sign", unsigned, "--key", key) == f"{sig}: readable 1 signed by the key {name[:16]}…"
    verified = done(capsys, "verify", unsigned, "--key", pub)
    assert verified == f"{unsigned}: signed by the key {name[:16]}… and unchanged"


def test_the_private_key_is_its_owners_alone_and_the_public_one_anybodys(plant: Pair) -> None:
    assert stat.S_IMODE(plant.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(plant.pub.stat().st_mode) & 0o444
    assert plant.key.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    assert plant.pub.read_text().startswith("-----BEGIN PUBLIC KEY-----\n")


@pytest.mark.parametrize("there", ["plant.key", "plant.pub"])
def test_a_key_is_never_replaced_and_nothing_is_left_behind(tmp_path: Path, capsys: Captured, there: str) -> None:
    (tmp_path / there).write_text("precious")
    line = refused(capsys, "keygen", tmp_path / "plant")
    assert line == f"{tmp_path / there}: exists, and a key is never replaced; name another, as plant-2"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "precious")]


def test_keys_in_a_folder_that_is_not_there_are_refused(tmp_path: Path, capsys: Captured) -> None:
    assert "plant.key: cannot be written (No such file" in refused(capsys, "keygen", tmp_path / "nowhere" / "plant")


@pytest.mark.parametrize("name", ["", "..", ".", "keys/"])
def test_what_names_no_key_is_refused(name: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["keygen", name])
    assert "is no name of a key; expected one as plant" in capsys.readouterr().err


def test_a_name_with_dots_stays_whole(tmp_path: Path) -> None:
    assert [path.name for path in keygen(tmp_path / "plant.2026")[:2]] == ["plant.2026.key", "plant.2026.pub"]
    with pytest.raises(KeyFileError):
        keygen(tmp_path / "plant.2026")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.key", "cannot be read (No such file or directory); name a key written by kenpin-export keygen"),
        ("folder.key", "cannot be read (Is a directory); name a key written by kenpin-export keygen"),
        ("text.key", "is no private key; name one written by kenpin-export keygen"),
        ("rsa.key", "is no Ed25519 key; name one written by kenpin-export keygen"),
        ("rsa.pub", "is a public key, which is for checking only; name the private one, as plant.key"),
        ("locked.key", "is encrypted, which kenpin does not read; name one written by kenpin-export keygen"),
    ],
)
def test_what_cannot_sign_is_refused_and_an_older_signature_stays(
    signed: Path, odd_keys: Path, capsys: Captured, name: str, why: str
) -> None:
    before = signature_path(signed).read_bytes()
    assert refused(capsys, "sign", signed, "--key", odd_keys / name) == f"{odd_keys / name}: {why}"
    assert signature_path(signed).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.pub", "cannot be read (No such file or directory); name a key written by kenpin-export keygen"),
        ("text.pub", "is no public key; name one written by kenpin-export keygen"),
        ("rsa.pub", "is no Ed25519 key; name one written by kenpin-export keygen"),
        ("rsa.key", "is a private key, which is for signing only; name the public one, as plant.pub"),
        ("locked.key", "is a private key, which is for signing only; name the public one, as plant.pub"),
    ],
)
def test_what_cannot_verify_is_refused(signed: Path, odd_keys: Path, capsys: Captured, name: str, why: str) -> None:
    assert refused(capsys, "verify", signed, "--key", odd_keys / name) == f"{odd_keys / name}: {why}"


def test_the_public_key_does_not_sign_nor_the_private_one_verify(signed: Path, plant: Pair, capsys: Captured) -> None:
    assert "is a public key" in refused(capsys, "sign", signed, "--key", plant.pub)
    assert "is a private key" in refused(capsys, "verify", signed, "--key", plant.key)


def test_verify_says_why_not(signed: Path, plant: Pair, stranger: Pair, capsys: Captured) -> None:
    assert "trusted is only" in refused(capsys, "verify", signed, "--key", stranger.pub)
    signed.write_bytes(signed.read_bytes() + b"\0")
    assert "is not the file that the key" in refused(capsys, "verify", signed, "--key", plant.pub)
    signature_path(signed).unlink()
    assert "is not signed" in refused(capsys, "verify", signed, "--key", plant.pub)
    signed.unlink()
    assert "part.onnx: cannot be read (No such file" in refused(capsys, "verify", signed, "--key", plant.pub)


@pytest.mark.parametrize("content", [None, b"no model at all"])
def test_what_would_not_inspect_is_not_signed(
    tmp_path: Path, plant: Pair, capsys: Captured, content: bytes | None
) -> None:
    path = tmp_path / "part.onnx"
    if content is not None:
        path.write_bytes(content)
    assert refused(capsys, "sign", path, "--key", plant.key).startswith(f"{path}: ")
    assert not signature_path(path).exists()


def test_a_signature_that_cannot_be_written_leaves_nothing(signed: Path, plant: Pair, capsys: Captured) -> None:
    signature_path(signed).unlink()
    signature_path(signed).mkdir()
    assert "part.onnx.sig" in refused(capsys, "sign", signed, "--key", plant.key)
    assert {path.name for path in signed.parent.iterdir()} == {"part.onnx", "part.onnx.sig"}


@pytest.mark.parametrize("arguments", [["sign", "part.onnx"], ["verify", "part.onnx"], ["keygen"]])
def test_a_command_without_what_it_needs_is_one_line(arguments: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kenpin-export {arguments[0]}: error: ")
    assert line.endswith(f"; see kenpin-export {arguments[0]} --help")


@pytest.mark.parametrize("command", ["keygen", "sign", "verify"])
def test_every_help_has_an_example(command: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "example" in capsys.readouterr().out
