"""Make a pair of keys, and sign bundles with the private one. What the line checks is in `edge_runtime/trust.py`."""

import base64
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge_runtime.bundle import Bundle, open_bundle, read_bundle
from edge_runtime.disk import write_whole
from edge_runtime.errors import BundleError, KeyFileError
from edge_runtime.trust import Signature, fingerprint, read_key_file, signature_path


def keygen(name: Path) -> tuple[Path, Path, str]:
    """Write a new pair of Ed25519 keys as PEM: `<name>.key`, its owner's alone and not encrypted, and `<name>.pub`.

    Returns both paths and the fingerprint. Raises KeyFileError where one exists, which is never replaced: the lines
    that trust an older key would refuse what a new one signs. Nothing is left behind then.
    """
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    key, pub = (name.with_name(name.name + suffix) for suffix in (".key", ".pub"))
    _write_new(key, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    try:
        _write_new(pub, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    except BaseException:
        key.unlink()
        raise
    return key, pub, fingerprint(public)


def read_private(path: Path) -> Ed25519PrivateKey:
    """The private key in the PEM file `path`. Raises KeyFileError where it is missing, public, another's or no key."""
    data = read_key_file(path)
    if b"PUBLIC KEY-----" in data:
        raise KeyFileError(path, "is a public key, which is for checking only; name the private one, as plant.key")
    if b"ENCRYPTED" in data:
        raise KeyFileError(path, "is encrypted, which kenpin does not read; name one written by kenpin-export keygen")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(path, "is no private key; name one written by kenpin-export keygen") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(path, "is no Ed25519 key; name one written by kenpin-export keygen")
    return key


def signature(data: bytes, key: Ed25519PrivateKey) -> bytes:
    """What the signature file of a bundle with the content `data` holds."""
    raw = base64.b64encode(key.sign(data)).decode()
    return Signature(schema="kenpin.signature/1", key=fingerprint(key.public_key()), signature=raw).to_json()


def sign(path: Path, key: Ed25519PrivateKey) -> Bundle:
    """Write the signature of the bundle `path` beside it, replacing an older one, and return the bundle.

    Only what would inspect is signed. Raises BundleError where the file is missing, or does not prove itself.
    """
    data = read_bundle(path)
    bundle = open_bundle(path, data)
    place = signature_path(path)
    try:
        write_whole(place, signature(data, key))
    except OSError as error:
        raise BundleError(
            place, f"cannot be written ({error.strerror or error}); correct the folder's rights"
        ) from error
    return bundle


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write `path`, which must not exist yet, with the permissions `mode` from its first moment."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise KeyFileError(path, "exists, and a key is never replaced; name another, as plant-2") from error
    except OSError as error:
        raise KeyFileError(path, f"cannot be written ({error.strerror}); name one in a folder that exists") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise
