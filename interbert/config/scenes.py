from typing import Literal

from pydantic import Field, model_validator

from interbert.config.closed import Closed, PathText

Tongue = Literal["en", "zh"]
Language = Literal["en", "zh", "both"]
World = Literal["vqa", "entailment", "nlvr2", "referring", "text", "vcr"]


class SceneSettings(Closed):
    """The embedded data set, for recipes that make their own data when none is given."""

    language: Language = "en"
    """What captions are in: English, Chinese, or every caption in both."""

    folder: PathText = "data/scenes"
    """Where the stores are written, or found."""
    seed: int = Field(1, ge=0)
    train_images: int = Field(10_000, ge=1)
    validation_images: int = Field(256, ge=1)
    test_images: int = Field(256, ge=2)
    feature_width: int = Field(256, ge=8)
    world: World | None = None
    """Also make examples of this task about the scenes, to train and be judged on."""
    train_examples: int = Field(20_000, ge=1)
    validation_examples: int = Field(2000, ge=1)

    @model_validator(mode="after")
    def _examples_are_english(self) -> "SceneSettings":
        if self.world and self.language != "en":
            raise ValueError(
                f"world is {self.world!r} and language {self.language!r}: examples are asked in English; "
                "leave language out"
            )
        return self
