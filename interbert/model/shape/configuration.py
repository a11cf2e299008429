"""The configuration of a model as Hugging Face's libraries want it."""

from typing import Any

from transformers import PreTrainedConfig

from interbert.model.shape.shape import Shape


class InterBertConfig(Shape, PreTrainedConfig):
    """What `config.json` holds."""

    model_type = "interbert"
    tie_word_embeddings: bool = True

    def __post_init__(self, **others: Any) -> None:
        Shape.__post_init__(self)
        PreTrainedConfig.__post_init__(self, **others)
