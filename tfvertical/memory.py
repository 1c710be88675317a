"""Keep the memory that a training step frees, instead of giving it back to the kernel at every step.

TensorFlow allocates and frees tensors of megabytes all the time. The C library returns such blocks to the kernel at
once, so that every step has its pages mapped and zeroed anew. Where page faults are dear, as in a virtual machine with
other work on it, the kernel was seen to take 35 to 45 % of the processor for it, and 3 to 4 % with what stands here.
`TFVERTICAL_KEEP_MEMORY=0` leaves the C library as it is.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys

# mallopt(3) of glibc: parameter -> value. Everything comes from one heap that is not trimmed below 2 GB.
_OPTIONS = {
    "M_ARENA_MAX": (-8, 1),
    "M_MMAP_MAX": (-4, 0),
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
    "M_TOP_PAD": (-2, 64 * 2**20),
}


@functools.cache
def keep_freed() -> bool:
    """Tell the C library, once a process. Returns whether it took the advice; elsewhere than on glibc it cannot.

    Example:
        >>> keep_freed() in (True, False)
        True
    """
    if sys.platform != "linux" or os.environ.get("TFVERTICAL_KEEP_MEMORY", "1") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl has none
        return False
    return all([mallopt(parameter, value) == 1 for parameter, value in _OPTIONS.values()])
