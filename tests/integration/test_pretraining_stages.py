"""Pretraining in stages through the real script: the second starts from the first, and knows where it stopped."""

import sys

import pytest
import torch
import yaml

from interbert.model.loading import load_ours


@pytest.fixture(scope="module")
def recipe(runs):
    path = runs.folder / "two_stages.yaml"
    stages = [
        {"name": "broad", "train": {"schedule_steps": 3}},
        {
            "name": "clean",
            "train": {"schedule_steps": 4, "learning_rate": 5e-4},
            "objectives": {"msm": 1.0, "itm": 2.0},
        },
    ]
    path.write_text(yaml.safe_dump({"extends": "scenes", "name": "two_stages", "stages": stages}))
    return path


def start(runs, recipe, name, *more, code=0):
    words = runs.command(name, *more)
    words[words.index("scenes")] = str(recipe)
    words = [word for word in words if word != "train.schedule_steps=100"]
    words = [
        w
        for i, w in enumerate(words)
        if not (w == "--set" and words[i + 1 : i + 2] in ([], ["--set"], ["--max-steps"]))
    ]
    return runs.run([sys.executable, *words], code)


def test_stages_follow_one_another_and_a_stop_changes_nothing(runs, recipe):
    start(runs, recipe, "staged")
    folder = runs.folder / "staged"
    status = runs.status("staged")
    assert (status["state"], status["step"], status["exit_code"]) == ("finished", 7, 0)
    assert status["reason"] == "reached step 7, in stage clean"
    assert [line["step"] for line in runs.metrics("staged/broad") if "loss" in line] == [1, 2, 3]
    trained = [line for line in runs.metrics("staged/clean") if "loss" in line]
    assert [line["step"] for line in trained] == [1, 2, 3, 4] and "loss/mrm" not in trained[0]
    clean = load_ours(folder / "export")
    broad = load_ours(folder / "broad" / "export").state_dict()
    # The second stage asks nothing of this one: it only decays, all of it by one factor.
    ours, theirs = (state["heads.regions.decoder.weight"] for state in (clean.state_dict(), broad))
    factor = (ours * theirs).sum() / theirs.square().sum()
    torch.testing.assert_close(ours, factor * theirs, rtol=1e-5, atol=1e-8)
    assert 0.99 < factor < 1

    said = start(runs, recipe, "staged_stopped", "--max-steps", "5")
    assert "stage 2 of 2: clean" in said
    assert runs.status("staged_stopped")["reason"] == "reached step 5, in stage clean, which has 4"
    assert not (runs.folder / "staged_stopped" / "export").exists()
    said = start(runs, recipe, "staged_stopped")
    assert "stage 1 of 2" not in said and "resumed from" in said
    again = load_ours(runs.folder / "staged_stopped" / "export").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in clean.state_dict().items())
    assert "finished, at step 7" in start(runs, recipe, "staged_stopped")


def test_a_run_that_is_cut_claims_no_later_stage(runs, recipe):
    start(runs, recipe, "staged_cut", "--max-steps", "3")
    assert (
        runs.status("staged_cut")["reason"] == "reached step 3, in stage broad; not trained to the end: clean"
    )
    assert (runs.folder / "staged_cut" / "broad" / "export").is_dir()
    assert not (runs.folder / "staged_cut" / "export").exists()
    assert not (runs.folder / "staged_cut" / "clean").exists()


def test_a_stage_with_other_settings_is_refused_and_trained_again_only_when_asked(runs, recipe):
    """After the first test: both stages are finished."""
    folder = runs.folder / "staged"
    config, export = (folder / "config.yaml").read_text(), (folder / "export").resolve()
    before = load_ours(folder / "export").state_dict()
    tree = yaml.safe_load(recipe.read_text())
    tree["stages"][0]["train"]["learning_rate"] = 7e-4
    other = runs.folder / "two_stages_other.yaml"
    other.write_text(yaml.safe_dump(tree))
    said = start(runs, other, "staged", code=1)
    assert "train.learning_rate: 0.002 then, 0.0007 now" in said and "--resume none" in said
    assert (folder / "config.yaml").read_text() == config and runs.status("staged")["state"] == "finished"

    said = start(runs, other, "staged", "--resume", "none", "--max-steps", "4")
    assert "stage 1 of 2" in said and "stage 2 of 2" in said
    assert "resumed from" not in said and not (folder / "export").exists()
    # The second stage goes on from the new first one: nothing of the earlier runs is taken up.
    start(runs, other, "staged")
    assert [line["step"] for line in runs.metrics("staged/clean") if "loss" in line] == [1, 2, 3, 4]
    after = load_ours(folder / "export").state_dict()
    assert (folder / "export").resolve() == export
    assert not all(torch.equal(value, after[name]) for name, value in before.items())
    assert yaml.safe_load((folder / "config.yaml").read_text())["stages"][0]["train"]["learning_rate"] == 7e-4


def test_bad_stages_are_named(runs, recipe, tmp_path):
    for stages, message in (
        ([{"train": {"schedule_steps": 3}}], r"stages[0]: give a name"),
        ([{"name": "a"}, {"name": "a"}], "only one stage's"),
        ([{"name": "a", "train": {"steps": 3}}], "stages.0.train.steps: no such setting"),
    ):
        (tmp_path / "bad.yaml").write_text(
            yaml.safe_dump({"extends": "scenes", "name": "bad", "stages": stages})
        )
        assert message in start(runs, tmp_path / "bad.yaml", "bad_stages", code=1)
