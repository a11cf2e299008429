"""What --resume means, decided in one place."""

import pytest
import yaml

from interbert.config import SettingsError, load_recipe
from interbert.train.resume import Leg, begin, forget, nothing_left, was_restarted
from interbert.train.run_folder import RunFolder


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
    assert nothing_left(run.folder, [run])
    for lacking in ({"step": 4}, {"state": "preempted"}, {"export": False}):
        other = a_run(tmp_path / "_".join(lacking), **lacking)
        assert not nothing_left(other.folder, [other])


def test_stages_are_finished_when_the_whole_says_so(tmp_path):
    whole = RunFolder(tmp_path)
    legs = [a_run(tmp_path / "one"), a_run(tmp_path / "two")]
    assert not nothing_left(whole, legs)
    whole.write_status("finished", 10, "both")
    assert nothing_left(whole, legs)


def test_whatever_has_begun_keeps_its_settings(tmp_path):
    begun = a_run(tmp_path / "begun", step=2, state="preempted")
    changed = Leg(load_recipe("scenes", ["train.schedule_steps=5", "train.clip=9"]), begun.folder, 5)
    with pytest.raises(SettingsError, match=r"train.clip: 1.0 then, 9.* now[\s\S]*--resume none"):
        nothing_left(begun.folder, [changed])
    free = Leg(load_recipe("scenes", ["train.schedule_steps=5", "train.log_every=9"]), begun.folder, 5)
    assert not nothing_left(begun.folder, [free])
    begun.folder.write_status("failed", 0, "before its first step")
    assert not nothing_left(begun.folder, [changed])


def test_a_step_without_a_checkpoint_is_a_lost_past(tmp_path):
    run = a_run(tmp_path / "run", step=3, state="failed")
    with pytest.raises(SettingsError, match=r"speaks of step 3, but there is no checkpoint"):
        begin(run.folder, "latest", print)
    assert begin(run.folder, "none", print).checkpoint is None
    assert begin(RunFolder(tmp_path / "new"), "latest", print).state == {}


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
