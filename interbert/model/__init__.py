"""The model: configuration, packed and padded forward, heads."""

from interbert.model.configuration import ConfigurationError, InterBertConfig, Stage
from interbert.model.interbert import InterBertForPreTraining, InterBertModel
from interbert.model.layout import Layout, layout
from interbert.model.outputs import InterBertOutput, PackedOutput

__all__ = [
    "ConfigurationError",
    "InterBertConfig",
    "InterBertForPreTraining",
    "InterBertModel",
    "InterBertOutput",
    "Layout",
    "PackedOutput",
    "Stage",
    "layout",
]
