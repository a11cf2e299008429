"""The learning rate as a function of the step, so that nothing of a scheduler has to be saved.

Light to import: a dry run asks how many steps an epoch makes.
"""

import math

from interbert.config import Settings, TrainSettings


def schedule(step: int, settings: TrainSettings, epoch_steps: float | None = None) -> float:
    """Factor on the learning rate of the step after `step` finished ones.

    epoch_steps: steps of an epoch, a fraction included; what decays at epochs needs them.
    """
    warmup = round(settings.warmup_share * settings.schedule_steps)
    if step < warmup:
        return (step + 1) / warmup
    left = max(0.0, (settings.schedule_steps - step) / max(1, settings.schedule_steps - warmup))
    match settings.schedule:
        case "linear":
            return left
        case "cosine":
            return (1 - math.cos(math.pi * left)) / 2
        case "constant":
            return 1.0
        case "steps":
            assert epoch_steps is not None, "a schedule by epochs needs to know how long they are"
            return settings.decay_factor ** sum(step >= epoch * epoch_steps for epoch in settings.decay_at)


def epoch_steps_of(settings: Settings, micro_batches: int) -> float:
    """Steps of an epoch of so many micro-batches: rarely a whole number, for steps pass over its end."""
    return micro_batches / settings.micro_batches


def steps_of(settings: Settings, micro_batches: int) -> int:
    """Steps of the whole schedule. micro_batches: of the first epoch; later ones, drawn anew, may differ a little."""
    if settings.train.epochs is None:
        return settings.train.schedule_steps
    steps = settings.train.epochs * epoch_steps_of(settings, micro_batches)
    return max(1, math.ceil(round(steps, 6)))  # the last step may reach a little into the next epoch


def timed(settings: Settings, micro_batches: int) -> Settings:
    """With the steps of what is said in epochs. micro_batches: of one."""
    epoch = max(1, round(epoch_steps_of(settings, micro_batches)))
    changed = {
        "schedule_steps": steps_of(settings, micro_batches),
        "validate_every": settings.train.validate_every or epoch,
    }
    return settings.model_copy(update={"train": settings.train.model_copy(update=changed)})
