"""What NVIDIA apex offers, when it is the right apex.

The package called `apex` on the public index is a web toolkit. Only the exact symbols count, so it can never
be mistaken for NVIDIA's, which is built from its repository.
"""

import importlib
import logging
from functools import cache
from typing import Any

log = logging.getLogger(__name__)

SYMBOLS = {
    "FusedLayerNorm": "apex.normalization",
    "FusedAdam": "apex.optimizers",
    "FusedLAMB": "apex.optimizers",
}


@cache
def apex_symbol(name: str) -> Any | None:
    """NVIDIA apex's FusedLayerNorm, FusedAdam or FusedLAMB, or None; the finding is logged once."""
    module = SYMBOLS[name]
    try:
        symbol = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, RuntimeError) as reason:
        log.info("apex: no %s.%s (%s); torch's own is used", module, name, reason)
        return None
    log.info("apex: %s.%s found; it is used on CUDA devices", module, name)
    return symbol
