"""The line runs what a trusted key signed, and nothing else; each refusal is one line that says what to do."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import onnxruntime
import pytest

from edge_runtime import trust
from edge_runtime.bundle import load_bundle
from edge_runtime.cli import main
from edge_runtime.errors import BundleError
from edge_runtime.trust import read_public, signature_path
from tests.unit.conftest import Pair, View

Captured = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]


def refusal(bundle: Path, *keys: Path) -> str:
    """The one line with which the bundle is refused where `keys` are trusted."""
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle, keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(bundle: Path, **fields: object) -> None:
    """Change fields of the bundle's signature file."""
    path = signature_path(bundle)
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_bundle_signed_by_any_of_the_trusted_keys_runs(signed: Path, plant: Pair, stranger: Pair) -> None:
    assert load_bundle(signed, [stranger.pub, plant.pub]).info.name == "readable"


def test_without_trusted_keys_any_bundle_runs(unsigned: Path) -> None:
    assert load_bundle(unsigned).info.name == "readable"


def test_an_unsigned_bundle_is_refused_with_the_remedy(unsigned: Path, plant: Pair) -> None:
    line = refusal(unsigned, plant.pub)
    assert line == f"{unsigned}: is not signed: part.onnx.sig is missing beside it; write it with kenpin-export sign"


def test_a_bundle_signed_by_another_key_is_refused_with_both_names(signed: Path, plant: Pair, stranger: Pair) -> None:
    line = refusal(signed, stranger.pub)
    assert f"signed by the key {plant.fingerprint[:16]}…" in line
    assert f"trusted is only {stranger.fingerprint[:16]}…" in line


def test_a_key_that_only_claims_to_be_trusted_is_refused(signed: Path, stranger: Pair) -> None:
    rewrite(signed, key=stranger.fingerprint)
    assert "is not the file that the key" in refusal(signed, stranger.pub)


def test_a_changed_bundle_is_refused(signed: Path, plant: Pair) -> None:
    data = bytearray(signed.read_bytes())
    data[len(data) // 2] ^= 1
    signed.write_bytes(data)
    assert f"{signed}: is not the file that the key {plant.fingerprint[:16]}… signed" in refusal(signed, plant.pub)


def test_the_signature_of_another_bundle_is_refused(signed: Path, unsigned: Path, plant: Pair) -> None:
    other = signed.with_name("other.onnx")
    other.write_bytes(unsigned.read_bytes() + b"\x72\x00")  # an empty metadata entry
    signature_path(signed).rename(signature_path(other))
    assert "or other.onnx.sig belongs to another" in refusal(other, plant.pub)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_a_truncated_signature_is_refused(signed: Path, plant: Pair, share: float) -> None:
    path = signature_path(signed)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * (len(whole) - 1))])
    assert refusal(signed, plant.pub).startswith(f"{path}: is damaged, or no signature")


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": "kenpin.signature/2"},
        {"signature": base64.b64encode(b"x" * 63).decode()},
        {"signature": "no base64"},
        {"signature": 7},
        {"key": "plant"},
        {"key": None},
    ],
)
def test_what_is_no_signature_is_refused(signed: Path, plant: Pair, fields: dict[str, object]) -> None:
    rewrite(signed, **fields)
    assert "is damaged, or no signature that this kenpin reads" in refusal(signed, plant.pub)


def test_a_signature_has_one_spelling(signed: Path, plant: Pair) -> None:
    text = json.loads(signature_path(signed).read_text())["signature"]
    other = text[:-3] + chr(ord(text[-3]) + 1) + text[-2:]  # the last digit's low bits are not of the 64 bytes
    assert base64.b64decode(other) == base64.b64decode(text)
    rewrite(signed, signature=other)
    assert "is damaged" in refusal(signed, plant.pub)


def test_fields_of_a_newer_kenpin_are_ignored(signed: Path, plant: Pair) -> None:
    rewrite(signed, at="2026-11-24T03:12:55Z")
    load_bundle(signed, [plant.pub])


def test_a_signature_that_cannot_be_read_is_named(signed: Path, plant: Pair) -> None:
    path = signature_path(signed)
    path.unlink()
    path.mkdir()
    assert refusal(signed, plant.pub).startswith(f"{path}: cannot be read (Is a directory)")


def test_what_was_checked_is_what_runs_even_if_the_file_is_swapped_in_between(
    signed: Path, plant: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, honest = trust.check, load_bundle(signed).sha256

    def check_then_swap(path: Path, data: bytes, trusted_keys: Sequence[Path]) -> str:
        found = check(path, data, trusted_keys)
        path.write_bytes(b"another's")
        return found

    monkeypatch.setattr(trust, "check", check_then_swap)
    assert load_bundle(signed, [plant.pub]).sha256 == honest


def test_the_engine_never_sees_what_is_not_trusted(
    unsigned: Path, plant: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_a, **_k: pytest.fail("the engine saw it"))
    refusal(unsigned, plant.pub)


def test_the_fingerprint_is_of_the_keys_der_form(plant: Pair) -> None:
    der = base64.b64decode("".join(plant.pub.read_text().splitlines()[1:-1]))
    assert hashlib.sha256(der).hexdigest() == plant.fingerprint


def test_the_signature_is_plain_ed25519_over_the_files_bytes(signed: Path, plant: Pair) -> None:
    raw = base64.b64decode(json.loads(signature_path(signed).read_text())["signature"])
    read_public(plant.pub).verify(raw, signed.read_bytes())


def test_cryptography_is_loaded_only_where_keys_are_named(signed: Path, plant: Pair) -> None:
    code = (
        "import sys, pathlib, edge_runtime.daemon, edge_runtime.score; from edge_runtime.bundle import load_bundle\n"
        "for keys in ([], [pathlib.Path(sys.argv[2])]):\n"
        "    load_bundle(pathlib.Path(sys.argv[1]), keys); print('cryptography' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(signed), str(plant.pub)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def station(bundle: Path, *keys: Path) -> Path:
    """A station file that trusts `keys`, beside the bundle; its camera's folder is missing."""
    path = bundle.with_name("station.toml")
    path.write_text(
        f'site = "s"\nline = "l"\nstation = "c"\nbundle = "{bundle.name}"\ndata = "state"\n'
        f"trusted_keys = {json.dumps([str(key) for key in keys])}\n"
        '[camera]\nkind = "folder"\npath = "nowhere"\nrate_hz = 5.0\n'
        '[region.J4]\nexpected = "A12"\n[mqtt]\nhost = "127.0.0.1"\n'
    )
    return path


def said(captured: Captured) -> str:
    """The one line that was said; nothing may have been printed."""
    out, err = captured.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return str(line)


def test_a_daemon_refuses_an_unsigned_bundle_before_it_makes_anything(
    unsigned: Path, plant: Pair, capsys: Captured
) -> None:
    assert main(["run", str(station(unsigned, plant.pub))]) == 78
    assert said(capsys).startswith(f"kenpin-edge: {unsigned}: is not signed: ")
    assert not (unsigned.parent / "state").exists()


def test_a_daemon_takes_a_signed_bundle(signed: Path, plant: Pair, capsys: Captured) -> None:
    assert main(["run", str(station(signed, plant.pub))]) == 78
    assert "nowhere: cannot be read as a folder of pictures" in said(capsys)  # the next thing it looks at


@pytest.mark.parametrize("name", ["missing.pub", "plant.key", "rsa.pub", "text.pub", "folder.pub"])
def test_a_daemon_does_not_start_with_a_key_it_cannot_use(
    signed: Path, plant: Pair, odd_keys: Path, capsys: Captured, name: str
) -> None:
    key = plant.key if name == "plant.key" else odd_keys / name
    assert main(["run", str(station(signed, plant.pub, key))]) == 78
    assert said(capsys).startswith(f"kenpin-edge: {key}: ")


def test_score_judges_only_with_what_it_is_told_to_trust(
    signed: Path, plant: Pair, stranger: Pair, readable_view: View, capsys: Captured
) -> None:
    picture = signed.with_name("good.png")
    cv2.imwrite(str(picture), readable_view(20, 20, 180, 180))
    score = ["score", str(signed), str(picture), "--label", "A12"]
    assert main([*score, "--trust", str(stranger.pub)]) == 2
    assert "is signed by the key" in said(capsys)
    assert main([*score, "--trust", str(stranger.pub), "--trust", str(plant.pub)]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "OK"
