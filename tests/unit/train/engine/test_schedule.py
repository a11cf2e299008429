import pytest

from interbert.config import Settings, StepSettings, TrainSettings
from interbert.train.engine.schedule import epoch_steps_of, schedule, steps_of


def factors(kind: str, *steps: int, **others) -> list[float]:
    settings = TrainSettings(schedule_steps=100, warmup_share=0.1, schedule=kind, **others)
    return [schedule(step, settings, epoch_steps=12.5) for step in steps]


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant", "steps"])
def test_every_schedule_warms_up(kind):
    assert factors(kind, 0, 4, 9, 10, decay_at=[2]) == pytest.approx([0.1, 0.5, 1.0, 1.0])


def test_what_follows_the_warm_up():
    assert factors("linear", 55, 100, 101) == pytest.approx([0.5, 0, 0])
    assert factors("cosine", 25, 55, 85, 100, 101) == pytest.approx([0.9330127, 0.5, 0.0669873, 0, 0])
    assert factors("constant", 55, 100, 101) == [1, 1, 1]


def test_steps_fall_with_the_first_step_of_an_epoch():
    falls = {"decay_at": [2, 4.5], "decay_factor": 0.2}
    assert factors("steps", 24, 25, 56, 57, 1000, **falls) == pytest.approx([1, 0.2, 0.2, 0.04, 0.04])


def test_without_warm_up_the_first_step_has_the_whole_rate():
    settings = TrainSettings(schedule_steps=100, warmup_share=0)
    assert schedule(0, settings) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedule": "steps"}, r"say them, as \[12, 16\]"),
        ({"decay_at": [16, 12]}, "decay_at must rise"),
        ({"decay_at": [2, 2]}, "decay_at must rise"),
    ],
)
def test_epochs_at_which_a_rate_falls_must_make_sense(wrong, said):
    with pytest.raises(ValueError, match=said):
        TrainSettings(**wrong)


@pytest.mark.parametrize(("epochs", "steps"), [(None, 100), (1, 13), (2, 25), (0.5, 7), (0.01, 1), (4.0, 50)])
def test_epochs_make_steps(epochs, steps):
    settings = Settings(
        name="x",
        train=TrainSettings(epochs=epochs, schedule_steps=100),
        step=StepSettings(micro_batches=4, token_budget=64),
    )
    assert steps_of(settings, 50) == steps
    assert epoch_steps_of(settings, 50) == 12.5
