"""The model: configuration, packed and padded forward, heads.

The classes are imported when they are asked for: torch and transformers take seconds, and what a model's shape
says can be known without them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interbert.model.base import InterBertModel
    from interbert.model.interbert import InterBertForPreTraining
    from interbert.model.outputs import InterBertOutput
    from interbert.model.shape.configuration import InterBertConfig
    from interbert.model.shape.shape import ConfigurationError, Stage
    from interbert.model.tasks import (
        InterBertForImageTextRetrieval,
        InterBertForMultipleChoice,
        InterBertForQuestionAnswering,
        InterBertForRegionChoice,
        InterBertForSequenceClassification,
        InterBertForVisualReasoning,
    )

_WHERE = {
    "ConfigurationError": "shape.shape",
    "InterBertConfig": "shape.configuration",
    "InterBertForImageTextRetrieval": "tasks",
    "InterBertForMultipleChoice": "tasks",
    "InterBertForPreTraining": "interbert",
    "InterBertForQuestionAnswering": "tasks",
    "InterBertForRegionChoice": "tasks",
    "InterBertForSequenceClassification": "tasks",
    "InterBertForVisualReasoning": "tasks",
    "InterBertModel": "base",
    "InterBertOutput": "outputs",
    "Stage": "shape.shape",
}
__all__ = [
    "ConfigurationError",
    "InterBertConfig",
    "InterBertForImageTextRetrieval",
    "InterBertForMultipleChoice",
    "InterBertForPreTraining",
    "InterBertForQuestionAnswering",
    "InterBertForRegionChoice",
    "InterBertForSequenceClassification",
    "InterBertForVisualReasoning",
    "InterBertModel",
    "InterBertOutput",
    "Stage",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
