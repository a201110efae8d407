"""Nothing but the very bytes that were signed, with the very signature they got, is taken."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import BundleError
from edge_runtime.trust import check, signature_path
from export.signing import keygen, read_private, signature


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return keygen(tmp_path_factory.mktemp("keys") / "plant")[:2]


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit of it the other way."""
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=200), bit=st.integers(0, 200 * 8 - 1))
def test_any_flipped_bit_of_a_bundle_is_refused(pair: tuple[Path, Path], data: bytes, bit: int) -> None:
    key, pub = pair
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "part.onnx")
        signature_path(bundle).write_bytes(signature(data, read_private(key)))
        check(bundle, data, [pub])
        if data:
            with pytest.raises(BundleError):
                check(bundle, flipped(data, bit), [pub])
        with pytest.raises(BundleError):
            check(bundle, data + b"\0", [pub])


def test_any_flipped_bit_of_a_signature_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    key, pub = pair
    bundle, data = tmp_path / "part.onnx", b"a bundle"
    whole = signature(data, read_private(key))
    for bit in range(8 * len(whole)):  # so few that all of them are tried
        signature_path(bundle).write_bytes(flipped(whole, bit))
        with pytest.raises(BundleError):
            check(bundle, data, [pub])


@settings(deadline=None)
@given(text=st.binary(max_size=300))
def test_whatever_lies_where_the_signature_should_is_refused_in_one_line(pair: tuple[Path, Path], text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "part.onnx")
        signature_path(bundle).write_bytes(text)
        with pytest.raises(BundleError) as refused:
            check(bundle, b"a bundle", [pair[1]])
    assert "\n" not in str(refused.value)
