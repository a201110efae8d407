"""What happens to who lacks rights, also where the tests run as root, whom nothing is forbidden."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = 0x20080522  # of <linux/capability.h>: three masks of 32 bits, twice
_NOTHING_FORBIDDEN = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def bound_by_rights() -> Iterator[None]:
    """Within this, what a file's mode forbids its owner is forbidden to this thread, as it is to all but root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, before = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, before) == 0
    less = type(before)(*before)
    less[0] &= ~_NOTHING_FORBIDDEN
    assert libc.capset(header, less) == 0
    try:
        yield
    finally:
        assert libc.capset(header, before) == 0
