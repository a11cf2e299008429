"""interbert: pretrain and fine-tune BERT-initialised vision-and-language models on region features."""

import importlib
from typing import TYPE_CHECKING, Any

from interbert.auto import watch

if TYPE_CHECKING:
    from interbert.inference.calls import answer, score
    from interbert.inference.regions import ImageRegions

__version__ = "0.2.0"

_CALLS = {
    "ImageRegions": "interbert.inference.regions",
    "answer": "interbert.inference.calls",
    "score": "interbert.inference.calls",
}
"""What is imported when it is asked for."""
__all__ = ["ImageRegions", "__version__", "answer", "score"]


def __getattr__(name: str) -> Any:
    if name not in _CALLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_CALLS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


watch()
