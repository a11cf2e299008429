from typing import Any, Literal

from pydantic import model_validator

from interbert.config.closed import Closed, PathText


class ModelSettings(Closed):
    architecture: Literal["interbert", "imagebert", "visualbert", "vlbert", "vilbert"] = "interbert"
    """How words and regions meet; any objective goes with any of them, but vlbert has no match head."""
    preset: Literal["tiny", "small", "base"] = "base"
    """Sizes to start from; see interbert/model/shape/configuration.py."""
    override: dict[str, Any] = {}
    """Fields of the model configuration that differ from the preset."""
    bert: PathText | None = None
    """A BERT (Hugging Face directory, or hub name) whose weights fill the joint and text layers, the words and their
    head, and whose sizes replace the preset's. These parameters learn at `train.inherited_rate`."""
    inherit_from: PathText | None = None
    """A Hugging Face directory of an InterBERT whose weights the run starts from."""

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelSettings":
        if self.bert and self.inherit_from:
            raise ValueError("bert and inherit_from both say where weights come from: give one of them")
        return self
