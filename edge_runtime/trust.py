"""Whom the line trusts: what a signature file says, and whether a bundle is what a trusted key signed.

`docs/format.md` states the format; `export/signing.py` makes keys and signs. Imported only where keys are named, since
`cryptography` takes a moment to load and most of a cold start is moments.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from edge_runtime.errors import BundleError, KeyFileError, remedy

MOST_BYTES = 4096
"""A key or signature file is a few hundred bytes; what is longer is another's, and not read to its end."""
SIGNATURE_BYTES = 64
SHORT = 16
"""Digits of a fingerprint in an error: as many as one compares by eye."""


def _a_signature(text: str) -> str:
    """Only the base64 that a writer makes of 64 bytes: one signature has one spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != SIGNATURE_BYTES or base64.b64encode(raw).decode() != text:
        raise ValueError("is no Ed25519 signature in base64")
    return text


class Signature(BaseModel):
    """A signature file. `key`: fingerprint of the key that signed. `signature`: 64 bytes in base64."""

    model_config = ConfigDict(frozen=True, extra="ignore", serialize_by_alias=True)

    schema_: Literal["kenpin.signature/1"] = Field(alias="schema")
    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    signature: Annotated[str, AfterValidator(_a_signature)]

    def to_json(self) -> bytes:
        """The content of the file: one line."""
        return self.model_dump_json().encode() + b"\n"


def signature_path(bundle: Path) -> Path:
    """Where the signature of a bundle lies: beside it, its whole name and `.sig`."""
    return bundle.with_name(bundle.name + ".sig")


def fingerprint(key: Ed25519PublicKey) -> str:
    """The name of a key: SHA-256, in hex, of its DER form. `openssl pkey -pubin -outform DER | sha256sum` says it."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def read_public(path: Path) -> Ed25519PublicKey:
    """The public key in the PEM file `path`. Raises KeyFileError where it is missing, private, another's or no key."""
    data = read_key_file(path)
    if b"PRIVATE KEY-----" in data:
        raise KeyFileError(path, "is a private key, which is for signing only; name the public one, as plant.pub")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(path, "is no public key; name one written by kenpin-export keygen") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(path, "is no Ed25519 key; name one written by kenpin-export keygen")
    return key


def read_key_file(path: Path) -> bytes:
    """At most MOST_BYTES of `path`. Raises KeyFileError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        how = remedy(error, "name a key written by kenpin-export keygen")
        raise KeyFileError(path, f"cannot be read ({error.strerror}); {how}").due_to(error) from error


def check(path: Path, data: bytes, trusted_keys: Sequence[Path]) -> str:
    """The fingerprint of the key in `trusted_keys` that signed `data`, the content of the bundle `path`.

    Nothing is said of the file as it may be later: use `data`. Raises BundleError, saying what to do, where it is not
    signed, by another key, or not what was signed, and KeyFileError for a key that cannot be used.
    """
    keys = {fingerprint(key): key for key in map(read_public, trusted_keys)}
    signature = _read_signature(path)
    key = keys.get(signature.key)
    if key is None:
        trusted = ", ".join(f"{known[:SHORT]}…" for known in keys)
        raise BundleError(
            path,
            f"is signed by the key {signature.key[:SHORT]}…, and trusted is only {trusted}; "
            "sign it again with a trusted one, or trust that key, too, if it is yours",
        )
    try:
        key.verify(base64.b64decode(signature.signature), data)
    except InvalidSignature as error:
        raise BundleError(
            path,
            f"is not the file that the key {signature.key[:SHORT]}… signed: it was changed, or "
            f"{signature_path(path).name} belongs to another; install both again as they were written",
        ) from error
    return signature.key


def _read_signature(bundle: Path) -> Signature:
    """The signature file of `bundle`. Raises BundleError where it is missing or none."""
    path = signature_path(bundle)
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES)
    except FileNotFoundError as error:
        raise BundleError(
            bundle, f"is not signed: {path.name} is missing beside it; write it with kenpin-export sign"
        ) from error
    except OSError as error:
        how = remedy(error, "the bundle's signature must be there")
        raise BundleError(path, f"cannot be read ({error.strerror}); {how}").due_to(error) from error
    try:
        return Signature.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(
            path, "is damaged, or no signature that this kenpin reads; sign the bundle again with kenpin-export sign"
        ) from error
