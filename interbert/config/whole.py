import re
from typing import Literal

from pydantic import field_validator, model_validator

from interbert.config.closed import Closed
from interbert.config.data import DataSettings, MaskSettings, MismatchSettings
from interbert.config.distill import DistillSettings
from interbert.config.model import ModelSettings
from interbert.config.scenes import SceneSettings
from interbert.config.task import TaskSettings
from interbert.config.train import StepSettings, TrainSettings

Objective = Literal["msm", "mlm", "mrm", "moc", "mrfr", "itm"]


class Settings(Closed):
    """A whole run."""

    name: str
    """Name of the recipe; the run's default folder is runs/<name>."""
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    masks: MaskSettings = MaskSettings()
    mismatch: MismatchSettings = MismatchSettings()
    task: TaskSettings | None = None
    """With it the run fine-tunes; without, it pretrains by `objectives`."""
    distill: DistillSettings | None = None
    """With it the run gives a model the vectors that a search begins with (docs/serving.md)."""
    objectives: dict[Objective, float] = {"msm": 1.0, "mrm": 1.0, "itm": 1.0}
    """Objectives and their weights in the loss."""
    train: TrainSettings = TrainSettings()
    step: StepSettings | None = None
    """How large a step is: written into a run's config.yaml, and empty in a recipe."""
    scenes: SceneSettings | None = None
    """With it, a run that is given no data makes the embedded scenes and trains on them."""
    stages: list["Settings"] = []
    """Stages of pretraining: a name each, and what differs from the rest of the recipe (data, objectives, steps …).
    Each starts from the last one's weights, with a schedule of its own."""

    @property
    def micro_batches(self) -> int:
        """Of a step, over all ranks."""
        found = self.step.micro_batches if self.step else self.train.micro_batches
        assert found is not None, "asked for before it was settled"
        return found

    @property
    def token_budget(self) -> int:
        """Most tokens of a micro-batch."""
        found = self.step.token_budget if self.step else self.data.token_budget
        assert found is not None, "asked for before it was settled"
        return found

    @field_validator("objectives")
    @classmethod
    def _weights_count(cls, objectives: dict[Objective, float]) -> dict[Objective, float]:
        """A weight of 0 takes an objective out: what is not asked for needs no head and no data."""
        negative = [name for name, weight in objectives.items() if weight < 0]
        if negative:
            raise ValueError(f"the weight of {negative[0]} is negative; give 0 to leave it out")
        return {name: weight for name, weight in objectives.items() if weight}

    @model_validator(mode="after")
    def _stages_are_told_apart(self) -> "Settings":
        names = [stage.name for stage in self.stages]
        for stage in self.stages:
            if names.count(stage.name) > 1 or not re.fullmatch(r"[\w.-]+", stage.name):
                raise ValueError(
                    f"stages: {stage.name!r} must be a name of letters and digits, and only one stage's"
                )
        return self

    @model_validator(mode="after")
    def _objectives_fit_masks(self) -> "Settings":
        names = set(self.objectives)
        if not names:
            raise ValueError("objectives: name at least one of msm, mlm, mrm, moc, mrfr, itm")
        if {"msm", "mlm"} <= names:
            raise ValueError(
                "objectives: msm and mlm are the same loss under different masks; take one of them"
            )
        text = names & {"msm", "mlm"}
        if text and not self.masks.text.startswith(next(iter(text))):
            raise ValueError(f"masks.text is {self.masks.text!r}, which does not serve the objective {text}")
        return self
