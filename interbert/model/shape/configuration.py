"""The configuration of a model as Hugging Face's libraries want it."""

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig

from interbert.model.shape.shape import ConfigurationError, Shape


class InterBertConfig(Shape, PreTrainedConfig):
    """What `config.json` holds."""

    model_type = "interbert"
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        *("text_hidden", "region_hidden", "text_pooled", "region_pooled", "match_probability"),
        *("hidden_states", "attentions"),
    ]
    tie_word_embeddings: bool = True

    def __post_init__(self, **others: Any) -> None:
        Shape.__post_init__(self)
        PreTrainedConfig.__post_init__(self, **others)
        if self.task is not None and self.task.get("classes"):
            self.id2label = dict(enumerate(self.task["classes"]))
            self.label2id = {name: number for number, name in self.id2label.items()}

    def __setattr__(self, key: str, value: Any) -> None:
        if key in _OF_STAGES:
            raise ConfigurationError(
                f"{key} follows from `stages`; give those, with layers and heads of each"
            )
        super().__setattr__(key, value)

    @property
    def num_hidden_layers(self) -> int:
        """Of all stages, one after another."""
        return sum(stage.layers for stage in self.encoder_stages)

    @property
    def num_attention_heads(self) -> int:
        """Of the first stage; a stage of images may have another number."""
        return self.encoder_stages[0].heads

    @property
    def intermediate_size(self) -> int:
        """The largest."""
        return max(stage.intermediate_size for stage in self.encoder_stages)

    @property
    def output_attentions(self) -> bool:
        """Our maps are computed beside the attention, whichever implementation that has."""
        return bool(self._output_attentions)

    @output_attentions.setter
    def output_attentions(self, value: bool) -> None:
        """With any implementation."""
        self._output_attentions = value

    def validate_output_attentions(self) -> None:
        """Any implementation will do."""


_OF_STAGES = ("num_hidden_layers", "num_attention_heads", "intermediate_size")


AutoConfig.register(InterBertConfig.model_type, InterBertConfig)
