"""Have TensorFlow compute with oneDNN, on processors where its own default is not to.

TensorFlow's wheel turns oneDNN on by itself only where the processor has AVX-512 VNNI or newer. On one with AVX2 alone,
a forward pass of MiniLM took 1.3 to 1.9 times as long without it, and a training step of EfficientNet-Lite0 1.2 times.
TensorFlow reads the switch once, while it is imported: `tfvertical` has to be imported first.
"""

from __future__ import annotations

import os
import platform
import sys

SWITCH = "TF_ENABLE_ONEDNN_OPTS"


def prefer_onednn() -> bool:
    """Set TensorFlow's own switch, unless somebody has or TensorFlow is there already. Returns whether it was set.

    Example:
        >>> prefer_onednn() in (True, False)
        True
    """
    if "tensorflow" in sys.modules or SWITCH in os.environ:
        return False
    os.environ[SWITCH] = "1"
    return True


def hint() -> str | None:
    """What to say to who imported TensorFlow first and computes more slowly for it; None where nothing is lost.

    Example:
        >>> hint() is None or "import tfvertical" in hint()
        True
    """
    wheel_has_it = sys.platform in ("linux", "win32") and platform.machine().lower() in ("x86_64", "amd64")
    if not wheel_has_it or SWITCH in os.environ or onednn():
        return None
    return (
        "TensorFlow was imported before tfvertical and computes without oneDNN on this processor, up to twice as "
        "slowly: import tfvertical first, before keras or tensorflow."
    )


def onednn() -> bool:
    """Whether this process' TensorFlow computes with oneDNN; imports TensorFlow."""
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())
