"""What asks for the best of something has something to be judged on, and is judged by a figure that there is."""

import pytest
from tuned import ONE_RANK, opened

from interbert.config import Settings, SettingsError
from interbert.ranks.stop import StopRequest
from interbert.recipe import load_recipe
from interbert.tasks.finetuning.sets import SetTuning
from interbert.tasks.pretraining.task import Pretraining
from interbert.train.engine.deepspeed_config import read_engine_config
from interbert.train.folder.run_folder import RunFolder
from interbert.train.prepare import Meant, Request, settle_request
from interbert.train.start.judged import refuse_unjudged


def meant(folder, held_out: int = 0, **train) -> Meant:
    """A run of the trainer's own, as far as it comes before a model is built."""
    task = opened(folder, "classify", held_out=held_out, train=train, data={"token_budget": None})
    engine, run = read_engine_config("cpu", task.settings), RunFolder(folder / "run")
    stop = StopRequest(run.stop_file)
    request = Request(task.settings, lambda *_: task, engine, run, "none", 1, None, stop)
    return settle_request(request, ONE_RANK)


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ({"best": "accuracy"}, "train.best is 'accuracy'.*--set train.best=$"),
        ({"stop_after": 2}, "train.stop_after is 2.*--set train.stop_after=$"),
        ({"export": "best"}, "train.export is 'best'.*--validation FILE, or --set train.export=last$"),
    ],
)
def test_the_best_of_nothing_is_refused_before_training(tmp_path, train, told):
    with pytest.raises(SettingsError, match=told):
        meant(tmp_path, **train)
    assert meant(tmp_path, 4, **train).judge is not None
    assert meant(tmp_path).judge is None


def test_a_figure_that_validation_will_not_have_is_refused_before_training(tmp_path):
    with pytest.raises(SettingsError, match=r"train.best is 'auc'.*give one of loss, accuracy, macro_f1, "):
        meant(tmp_path, 4, best="auc")
    assert meant(tmp_path, 4, best="macro_f1").judge.figure == "accuracy"


def test_stores_are_what_pretraining_and_sets_are_judged_on():
    settings: Settings = load_recipe("scenes", ["train.export=best"])
    for task in (Pretraining, SetTuning):
        with pytest.raises(SettingsError, match=r"give --set data.validation=\[STORE\]"):
            refuse_unjudged(settings, task.judged_by)
    refuse_unjudged(load_recipe("scenes"), Pretraining.judged_by)
