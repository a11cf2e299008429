from typing import Literal

from pydantic import Field, model_validator

from interbert.config.closed import Closed


class DistillSettings(Closed):
    """Vectors of texts and of images, each stream run alone, that learn from the model which sees both."""

    trunk: Literal["frozen", "shared"] = "shared"
    """What is below the heads. frozen: stays as it is, and so does every score of the model. shared: learns with
    them, while the match head is held to what it said before."""
    width: int = Field(256, ge=8)
    """Of the vectors."""
    mined: int = Field(3, ge=0)
    """Images of each set that vectors as they were when the run began take for those of its caption."""
    mined_top: int = Field(32, ge=1)
    """How many nearest images these are drawn from."""
    random: int = Field(0, ge=0)
    """Images of each set that are drawn from all. Those of the other sets are contrasted with anyway."""
    captions: Literal["all", "distinctive"] = "all"
    """distinctive: only those that the data marks as true of their image alone."""
    temperature: float = Field(0.05, gt=0)
    """What inner products are divided by."""
    contrast: float = Field(1.0, ge=0)
    """Weight of telling own image and caption from the others of a micro-batch."""
    imitation: float = Field(1.0, ge=0)
    """Weight of ordering a set's images as the whole model does."""
    match: float = Field(1.0, ge=0)
    """Weight of what holds the match head to what it said, where the trunk is shared."""

    @property
    def weights(self) -> dict[str, float]:
        """Of what is learnt at all."""
        asked = {"contrast": self.contrast, "imitation": self.imitation}
        if self.trunk == "shared":
            asked["match"] = self.match
        return {name: weight for name, weight in asked.items() if weight}

    @model_validator(mode="after")
    def _something_is_learnt(self) -> "DistillSettings":
        if not (self.contrast or self.imitation):
            raise ValueError("contrast and imitation are both 0: nothing teaches the vectors")
        if self.imitation and not (self.mined or self.random):
            raise ValueError("imitation orders the images of a set: give mined or random images")
        return self
