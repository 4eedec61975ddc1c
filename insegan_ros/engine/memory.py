"""Memory that a training frees in one step and needs again in the next."""

from __future__ import annotations

import ctypes
import sys

# mallopt(3): when the heap's top goes back to the system, in bytes, and how many blocks may come
# from it one by one.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let this process keep what it frees, where the C library is glibc.

    By default glibc takes every large block from the system and gives it back when it is freed, so
    that all pages of a step's activations are cleared anew at each step. The price is that the
    process stays as large as it once was.
    """
    if not sys.platform.startswith('linux'):
        return
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    # Other C libraries have none.
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
