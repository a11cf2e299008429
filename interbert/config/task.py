"""What a model is fine-tuned for."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from interbert.config.closed import Closed, PathText
from interbert.files import read_json

Kind = Literal["classify", "score", "choose", "match", "point"]


class SetSettings(Closed):
    """Sets of true and false pairs, drawn anew for each epoch: a true one, and falsified versions of it."""

    captions: Literal["all", "distinctive"] = "all"
    """distinctive: only those that the data marks as true of their image alone. A caption that is true of many images
    makes false pairs that are none."""
    random_captions: int = Field(1, ge=0)
    """The image with a caption of another image."""
    random_images: int = Field(1, ge=0)
    """The caption with another image."""
    near_images: int = Field(1, ge=0)
    """The image with the caption of one that looks alike: from `near_table`."""
    near_table: PathText | None = None
    """Look-alikes, mined by `python -m interbert mine --of images`."""
    near_top: int = Field(100, ge=1)
    """How many look-alikes are candidates."""
    near_captions: int = Field(0, ge=0)
    """The image with a caption that reads like its own but is not true of it: mined as `mismatch.hard_*` says."""
    hardest: int | None = Field(None, ge=1)
    """Learn from only so many false pairs of each set: those that the model as it stands takes most for true."""

    @property
    def false_pairs(self) -> int:
        return self.random_captions + self.random_images + self.near_images + self.near_captions

    @model_validator(mode="after")
    def _some_are_left(self) -> "SetSettings":
        if self.hardest and self.hardest >= self.false_pairs:
            raise ValueError(
                f"hardest is {self.hardest}, of {self.false_pairs} false pairs: draw more than are kept, or leave "
                "hardest out"
            )
        return self


class TaskSettings(Closed):
    """What a model is fine-tuned and judged on."""

    kind: Kind
    """classify: one of some classes, or weights of several. score: a number. choose: one of an example's choices.
    match: which pairs of a set belong together. point: the region that the words mean."""
    examples: PathText | None = None
    """Examples to train on (docs/examples.md). `--examples` fills it."""
    validation: PathText | None = None
    """Examples to be judged on while training and at its end. `--validation` fills it."""
    labels: list[str] = []
    """Names of the classes, in the order of the head's outputs; or the name of a JSON file that lists them. Empty:
    those of the training examples, sorted."""
    head: Literal["linear", "mlp"] = "linear"
    """mlp: a hidden layer of twice the width, GELU and LayerNorm before the last linear layer."""
    loss: Literal["auto", "cross_entropy", "binary", "squared", "triplet"] = "auto"
    """auto: what the kind usually takes. match: binary (each pair for itself), cross_entropy (over a set's pairs) or
    triplet."""
    margin: float = Field(0.2, gt=0)
    """Of the triplet loss, between probabilities."""
    metric: str = "auto"
    """The figure that checkpoints are compared by; auto: what the kind is usually judged by."""
    sets: SetSettings | None = None
    """match: draw sets from the captions of `data.train` instead of reading examples."""
    tags: bool = False
    """Words that the examples' `tags` point at regions also bring what they point at."""
    in_turn: bool = False
    """Steps are of examples of one type each, the types in turn; without, all types are mixed in every step."""
    new_head: bool = False
    """Make the head new although the model has one of another size or of other classes."""

    @field_validator("labels", mode="before")
    @classmethod
    def _listed_in_a_file(cls, labels: Any) -> Any:
        if not isinstance(labels, str):
            return labels
        try:
            return read_json(Path(labels).expanduser())
        except OSError as error:
            raise ValueError(
                f"{labels} cannot be read ({error.strerror}); write [a, b], or a JSON file"
            ) from None

    @field_validator("labels")
    @classmethod
    def _each_once(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) < len(labels):
            twice = next(name for name in labels if labels.count(name) > 1)
            raise ValueError(f"{twice!r} stands there twice; name each class once")
        return labels

    @model_validator(mode="after")
    def _sets_are_matched(self) -> "TaskSettings":
        if self.sets and (self.kind != "match" or self.examples):
            raise ValueError("sets are drawn for kind match, and instead of examples")
        if self.sets and self.validation:
            raise ValueError(
                "sets are judged on stores, not on examples: say data.validation=[STORE] instead of validation"
            )
        if self.sets and self.in_turn:
            raise ValueError(
                "in_turn takes turns among the types of examples, and sets have none: leave it out"
            )
        return self
