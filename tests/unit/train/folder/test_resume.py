"""What --resume means, decided in one place."""

import shlex

import pytest
import yaml

from interbert.config import SettingsError
from interbert.ranks.distributed import Ranks
from interbert.recipe import load_recipe
from interbert.train.folder.resume import Leg, begin, forget, nothing_left, resume_of, was_restarted
from interbert.train.folder.run_folder import RunFolder, tell_of_stage
from interbert.train.start.stages import legs_of, run_stages


def a_run(path, *sets, step=5, state="finished", export=True) -> Leg:
    settings, folder = load_recipe("scenes", ["train.schedule_steps=5", *sets]), RunFolder(path)
    path.mkdir(parents=True)
    folder.config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    folder.write_status(state, step, "said by a test")
    if export:
        folder.export.mkdir()
    return Leg(settings, folder, 5)


def test_a_finished_run_has_nothing_left(tmp_path):
    run = a_run(tmp_path / "run")
    assert nothing_left(run.folder, [run], [run])
    for lacking in ({"step": 4}, {"state": "preempted"}, {"export": False}):
        other = a_run(tmp_path / "_".join(lacking), **lacking)
        assert not nothing_left(other.folder, [other], [other])


def test_a_run_that_ended_early_has_nothing_left(tmp_path):
    """Else it is loaded, exported and judged again each time that it is started."""
    run = a_run(tmp_path / "run", step=3)
    assert not nothing_left(run.folder, [run], [run])
    run.folder.write_status("finished", 3, "2 rounds of validation brought nothing better", complete=True)
    assert nothing_left(run.folder, [run], [run])
    run.folder.write_status("running", 3, "preparing")
    assert not nothing_left(run.folder, [run], [run])


def test_stages_are_finished_when_the_whole_says_so(tmp_path):
    whole = RunFolder(tmp_path)
    legs = [a_run(tmp_path / "one"), a_run(tmp_path / "two")]
    assert not nothing_left(whole, legs, legs)
    whole.write_status("finished", 10, "both")
    assert nothing_left(whole, legs, legs)


def test_whatever_has_begun_keeps_its_settings(tmp_path):
    begun = a_run(tmp_path / "begun", step=2, state="preempted")
    changed = Leg(load_recipe("scenes", ["train.schedule_steps=5", "train.clip=9"]), begun.folder, 5)
    with pytest.raises(SettingsError, match=r"train.clip: 1.0 then, 9.* now[\s\S]*--resume none"):
        nothing_left(begun.folder, [changed], [changed])
    free = Leg(load_recipe("scenes", ["train.schedule_steps=5", "train.log_every=9"]), begun.folder, 5)
    assert not nothing_left(begun.folder, [free], [free])
    begun.folder.write_status("failed", 0, "before its first step")
    assert not nothing_left(begun.folder, [changed], [changed])


def test_a_saved_step_without_a_checkpoint_is_a_lost_past(tmp_path):
    run = a_run(tmp_path / "run", step=0, state="running")
    run.folder.write_saved(2)
    run.folder.write_failure(1, 3, "a rank was lost")
    with pytest.raises(SettingsError, match=r"speaks of a checkpoint of step 2, but there is none"):
        begin(run.folder, "latest", print)
    assert begin(run.folder, "none", print).checkpoint is None
    assert begin(RunFolder(tmp_path / "new"), "latest", print).state == {}


def test_what_ended_before_its_first_save_begins_again(tmp_path):
    """A node that dies at step 3 must not leave a run that no restart can bring back."""
    run = a_run(tmp_path / "run", step=0, state="running")
    run.folder.write_failure(1, 3, "a rank was lost", "elsewhere")
    assert run.folder.read_status()["step"] == 3
    assert begin(run.folder, "latest", print).checkpoint is None


def test_a_save_does_not_take_back_what_a_rank_said_of_the_end(tmp_path):
    run = a_run(tmp_path / "run", step=0, state="running")
    run.folder.write_failure(1, 3, "out of disk")
    run.folder.write_saved(3)
    assert run.folder.write_failure(2, 3, "connection closed by peer") == "out of disk"


def test_an_earlier_versions_status_tells_of_what_may_have_been_saved(tmp_path):
    (tmp_path / "status.json").write_text('{"state": "failed", "step": 3}')
    with pytest.raises(SettingsError, match=r"a checkpoint of step 3"):
        begin(RunFolder(tmp_path), "latest", print)


def test_a_restarted_run_goes_on_from_what_it_saved_else_from_where_it_began(tmp_path):
    folder = RunFolder(tmp_path)
    for asked, first in (
        ("latest", "latest"),
        ("none", "latest"),
        ("of/another/step_9", "of/another/step_9"),
    ):
        assert resume_of(asked, restarted=False, folder=folder) == asked
        assert resume_of(asked, restarted=True, folder=folder) == first
    (folder.checkpoints / "step_5").mkdir(parents=True)
    assert resume_of("of/another/step_9", restarted=True, folder=folder) == "latest"


def test_what_is_forgotten_is_set_aside_not_deleted(tmp_path):
    run = a_run(tmp_path / "run")
    (run.folder.checkpoints / "step_5").mkdir(parents=True)
    forget([run, Leg(run.settings, RunFolder(tmp_path / "never begun"), 5)])
    assert not run.finished and not run.begun
    assert (run.folder.checkpoints / "left_1" / "step_5").is_dir()
    assert begin(run.folder, "latest", print).checkpoint is None
    assert not (tmp_path / "never begun").exists()


@pytest.mark.parametrize("name", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"])
def test_restarts_are_noticed(name, monkeypatch):
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    monkeypatch.setenv(name, "0")
    assert not was_restarted()
    monkeypatch.setenv(name, "2")
    assert was_restarted()


def test_what_was_set_is_said_as_a_line_to_type(tmp_path):
    earlier = ["train.micro_batches=8", "data.token_budget=3072", "train.learning_rate=1e-4"]
    begun = a_run(tmp_path / "begun", *earlier, step=2, state="preempted")
    now = Leg(load_recipe("scenes", ["train.schedule_steps=5"]), begun.folder, 5)
    with pytest.raises(SettingsError, match=r"set them back \((.*)\), or start anew") as caught:
        nothing_left(begun.folder, [now], [now])
    line = str(caught.value).split("set them back (")[1].split("), or")[0]
    words = [word for word in shlex.split(line) if word != "--set"]
    assert words == ["data.token_budget=3072", "train.learning_rate=0.0001", "train.micro_batches=8"]
    back = Leg(load_recipe("scenes", ["train.schedule_steps=5", *words]), begun.folder, 5)
    assert not nothing_left(begun.folder, [back], [back])


def test_a_config_that_serves_as_a_recipe_keeps_its_step_unless_another_is_asked_for(tmp_path):
    tree = load_recipe("scenes").model_dump(mode="json") | {"step": {"micro_batches": 8, "token_budget": 999}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(tree))
    assert load_recipe(str(config)).micro_batches == 8
    assert load_recipe(str(config), ["train.micro_batches=16"]).micro_batches == 16


def test_the_end_of_a_stage_is_told_of_the_whole(tmp_path):
    whole, stage = RunFolder(tmp_path), RunFolder(tmp_path / "clean")
    whole.write_status("running", 10, "stage clean")
    stage.write_status("failed", 4, "rank 1 hangs", "elsewhere", ["n2", "n3"])
    tell_of_stage(whole, stage, 10)
    status = whole.read_status()
    assert (status["step"], status["reason"]) == (14, "stage clean: rank 1 hangs")
    assert (status["again"], status["hosts"]) == ("elsewhere", "n2,n3")
    stage.write_status("running", 4, "preparing")
    whole.write_status("running", 10, "stage clean")
    tell_of_stage(whole, stage, 10)
    assert whole.read_status()["state"] == "running"


def test_a_rank_that_fails_in_a_stage_waits_for_nobody(tmp_path):
    """The others stand in the step's all-reduce: a meeting here would hang them all."""

    class Lonely(Ranks):
        met = 0

        def main_only(self, action):
            assert self.met < 3, "the failed rank asks the others for something"
            self.met += 1
            return action()

    settings = load_recipe("scenes").model_copy(update={"name": "staged"})
    settings = settings.model_copy(update={"stages": [settings.model_copy(update={"name": "broad"})]})
    whole, legs = RunFolder(tmp_path), legs_of(settings, tmp_path, None)
    (tmp_path / "broad").mkdir()
    stale = tmp_path / "broad" / "failed_rank1.json"
    stale.write_text('{"time": 1.0, "reason": "an earlier start", "again": "elsewhere", "hosts": ["n2"]}')

    def fails(leg):
        assert not stale.exists(), "what an earlier start said about its end"
        leg.folder.write_failure(1, 3, "ValueError: broken on purpose")
        return 1

    ranks = Lonely(0, 2, 0, None, "test")
    assert run_stages(settings, whole, legs, fails, ranks, afresh=False) == 1
    status = whole.read_status()
    assert status["reason"] == "stage broad: ValueError: broken on purpose" and status["again"] == "no"


def test_a_later_stage_that_has_begun_is_compared_whatever_max_steps_says(tmp_path):
    settings = load_recipe("scenes", ["train.schedule_steps=5"])
    stages = [settings.model_copy(update={"name": name}) for name in ("one", "two")]
    staged = settings.model_copy(update={"name": "staged", "stages": stages})
    for leg in legs_of(staged, tmp_path, None):
        leg.folder.path.mkdir()
        leg.folder.config.write_text(yaml.safe_dump(leg.settings.model_dump(mode="json")))
        leg.folder.write_status("preempted", 3, "SIGTERM")
    stages[1] = stages[1].model_copy(update={"train": stages[1].train.model_copy(update={"clip": 9.0})})
    changed = staged.model_copy(update={"stages": stages})
    with pytest.raises(SettingsError, match=r"two belongs to another run"):
        nothing_left(RunFolder(tmp_path), legs_of(changed, tmp_path, 5), legs_of(changed, tmp_path, None))
