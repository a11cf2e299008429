import fcntl
import json
from argparse import Namespace
from pathlib import Path

import pytest
from small_world import write_store

from interbert.files import read_json, write_json
from interbert.ranks.distributed import Ranks
from interbert.recipe import load_recipe
from interbert.tasks.sweep.files import check_files
from interbert.tasks.sweep.plan import plan_sweep
from interbert.tasks.sweep.run import run_sweep
from interbert.tasks.sweep.start import start_sweep
from interbert.tasks.sweep.summary import summarise_sweep, sweep_table
from interbert.train.folder.run_folder import FolderInUse, RunFolder
from interbert.train.task import Kind

GRID = ["train.learning_rate=1e-5,3e-5"]
BASE = {"name": "x", "train": {"learning_rate": 1e-4, "seed": 42, "batch": "64 pairs"}, "data": {"train": []}}


def names(grid, seeds=()):
    return [variant.folder.name for variant in plan_sweep(Path("runs/x"), list(grid), list(seeds))]


class Trainer:
    """Runs that leave what a run leaves; which value by their point and seed, or how they end."""

    def __init__(self, values: dict[str, float | str | Exception], metric=("classify", "accuracy")):
        self.values, self.metric, self.ran = values, metric, []

    def __call__(self, variant) -> int:
        name = variant.folder.name
        self.ran.append(name)
        outcome = self.values[name]
        if isinstance(outcome, Exception):
            raise outcome
        folder = RunFolder(variant.folder)
        folder.make()
        if isinstance(outcome, str):
            folder.write_status(outcome, 3, f"it was {outcome}")
            return {"failed": 1, "preempted": 75}[outcome]
        kind, metric = self.metric
        found = {"kind": kind, "metric": metric, "value": outcome}
        (variant.folder / "results.json").write_text(json.dumps(found))
        folder.write_status("finished", 5, "done")
        return 0


def to_its_end(variant):
    return True


def sweep(folder, trainer, grid=GRID, seeds=(1, 2), base=BASE, ranks=None, trained=to_its_end):
    plan = plan_sweep(folder, list(grid), list(seeds))
    return run_sweep(folder, plan, base, trainer, ranks or Ranks.alone(), trained)


def test_folders_are_named_by_what_differs():
    assert names(GRID, [1, 2]) == [
        "learning_rate=1e-5,seed=1",
        "learning_rate=1e-5,seed=2",
        "learning_rate=3e-5,seed=1",
        "learning_rate=3e-5,seed=2",
    ]
    assert names([], [7]) == ["seed=7"]
    assert names(["train.betas=[0.9,0.95],[0.9,0.99]", "task.head=linear"]) == [
        "betas=_0.9,0.95_,head=linear",
        "betas=_0.9,0.99_,head=linear",
    ]
    assert (
        names(["data.max_regions=1,2", "mismatch.max_regions=3"])[1]
        == "data.max_regions=2,mismatch.max_regions=3"
    )
    (long,) = names(["model.bert=" + "/very" * 60])
    assert len(long) <= 120 and long != names(["model.bert=" + "/very" * 61])[0]


def test_overrides_are_those_of_set():
    variant = plan_sweep(Path("x"), ["train.learning_rate=3e-5", "task.labels=[a,b]"], [4])[0]
    assert variant.overrides == ["train.learning_rate=3e-5", "task.labels=[a,b]", "train.seed=4"]
    assert variant.values == {"train.learning_rate": 3e-5, "task.labels": ["a", "b"]} and variant.seed == 4


@pytest.mark.parametrize(
    ("grid", "seeds", "told"),
    [
        (["learning_rate"], [], "write it as section.key=value,value"),
        (["train.learning_rate=1e-5,"], [], "write it as"),
        (["train.learning_rate=1e-5,0.00001"], [], "0.00001 stands there twice"),
        (["train.clip=1", "train.clip=2"], [], "twice; give all of its values at once"),
        ([], [3, 3], "--seeds 3 3: one of them stands there twice"),
        (["train.seed=1,2"], [], "give --seeds instead"),
        (["task.metric=auc,accuracy"], [], "compared by one figure"),
        (["model.bert=a/b,a:b"], [], "would be in the folder bert=a_b"),
    ],
)
def test_what_makes_no_sweep_is_refused(grid, seeds, told):
    with pytest.raises(ValueError, match=told):
        names(grid, seeds)


def test_a_sweep_runs_all_and_finds_the_best_point(tmp_path, capsys):
    values = dict(zip(names(GRID, [1, 2]), [0.70, 0.80, 0.90, 0.74], strict=True))
    assert sweep(tmp_path, trainer := Trainer(values)) == 0
    assert trainer.ran == list(values)
    found = read_json(tmp_path / "sweep.json")
    assert [point["mean"] for point in found["points"]] == pytest.approx([0.75, 0.82])
    assert [point["deviation"] for point in found["points"]] == pytest.approx(
        [0.0707107, 0.1131371], rel=1e-5
    )
    assert (found["best"], found["best_run"]) == ("learning_rate=3e-5", "learning_rate=3e-5,seed=1")
    told = capsys.readouterr().out
    assert "learning_rate=1e-5  75.0 ± 7.1 %      2 of 2 runs\n" in told
    assert "learning_rate=3e-5  82.0 ± 11.3 %     2 of 2 runs   best\n" in told


def test_the_smallest_error_is_the_best(tmp_path):
    values = {"seed=1": 0.5, "seed=2": 0.25}
    sweep(tmp_path, Trainer(values, ("score", "mean_squared_error")), grid=[])
    found = read_json(tmp_path / "sweep.json")
    assert found["best"] == "" and found["best_run"] == "seed=2"
    assert "as it is  0.375 ± 0.177" in sweep_table(found)


def test_a_failed_run_is_told_the_others_go_on_and_it_is_tried_last(tmp_path, capsys):
    first, second, third, fourth = names(GRID, [1, 2])
    values = {first: 0.5, second: "failed", third: ValueError("no such file"), fourth: 0.6}
    assert sweep(tmp_path, trainer := Trainer(values)) == 1
    assert trainer.ran == [first, second, third, fourth]
    found = read_json(tmp_path / "sweep.json")
    runs = [run for point in found["points"] for run in point["runs"]]
    assert [run["state"] for run in runs] == ["finished", "failed", "failed", "finished"]
    assert [run["reason"] for run in runs][1:3] == ["it was failed", "ValueError: no such file"]
    assert [point["mean"] for point in found["points"]] == [0.5, 0.6]
    assert [point["deviation"] for point in found["points"]] == [None, None]
    told = capsys.readouterr().out
    assert f"{second} failed: it was failed" in told and "1 of 2 runs" in told

    values = dict.fromkeys([second, third, f"{first[:-1]}3", f"{fourth[:-1]}3"], 0.7)
    assert sweep(tmp_path, trainer := Trainer(values), seeds=[1, 2, 3]) == 0
    assert trainer.ran == [f"{first[:-1]}3", f"{fourth[:-1]}3", second, third]


def test_what_is_finished_is_not_run_again(tmp_path):
    values = dict.fromkeys(names(GRID, [1, 2]), 0.5)
    sweep(tmp_path, Trainer(values))
    assert sweep(tmp_path, again := Trainer(values)) == 0 and again.ran == []
    torn = tmp_path / "learning_rate=1e-5,seed=2"
    (torn / "results.json").unlink()
    sweep(tmp_path, again := Trainer(values))
    assert again.ran == [torn.name]


def test_what_was_cut_short_goes_on(tmp_path):
    """As after `--max-steps 5`, now that more are asked for."""
    first, *others = names(GRID, [1, 2])
    sweep(tmp_path, Trainer(dict.fromkeys([first, *others], 0.5)))
    further = Trainer({first: 0.9})

    def trained(variant):
        return variant.folder.name != first or first in further.ran

    before = summarise_sweep(plan_sweep(tmp_path, GRID, [1, 2]), trained)
    assert [run["state"] for run in before["points"][0]["runs"]] == ["cut short", "finished"]
    assert before["points"][0]["mean"] == 0.5 and before["points"][0]["deviation"] is None
    assert sweep(tmp_path, further, trained=trained) == 0 and further.ran == [first]
    assert read_json(tmp_path / "sweep.json")["points"][0]["mean"] == pytest.approx(0.7)


def test_a_sweep_that_was_asked_to_stop_goes_on_where_it_was(tmp_path):
    first, second, third, fourth = names(GRID, [1, 2])
    values = {first: 0.5, second: "preempted"}
    assert sweep(tmp_path, Trainer(values)) == 75
    assert sweep(tmp_path, again := Trainer(dict.fromkeys([second, third, fourth], 0.5))) == 0
    assert again.ran == [second, third, fourth]


def test_another_recipe_in_the_folder_is_refused(tmp_path):
    sweep(tmp_path, Trainer(dict.fromkeys(names(GRID, [1, 2]), 0.5)))
    other = {**BASE, "train": {**BASE["train"], "batch": "32 pairs"}}
    with pytest.raises(
        ValueError, match=r"train.batch is '32 pairs', and was '64 pairs' in the sweep that is there"
    ):
        sweep(tmp_path, Trainer({}), base=other)
    same = {**BASE, "train": {**BASE["train"], "seed": 1, "learning_rate": 1}}
    assert sweep(tmp_path, Trainer({}), base=same) == 0


class OneOfTwo(Ranks):
    """Rank 0, beside another one whose runs end with these codes; or which is dead."""

    def gather(self, value):
        return [value, self.launcher]


def test_a_rank_that_failed_alone_ends_the_sweep(tmp_path):
    values = dict.fromkeys(names(GRID, [1, 2]), 0.5) | {"learning_rate=1e-5,seed=1": "failed"}
    both, alone = (OneOfTwo(0, 1, 0, None, code) for code in (1, 0))
    assert sweep(tmp_path / "a", trainer := Trainer(values), ranks=alone) == 1 and len(trainer.ran) == 1
    assert sweep(tmp_path / "b", trainer := Trainer(values), ranks=both) == 1 and len(trainer.ran) == 4


def test_before_anything_ran():
    summary = summarise_sweep(plan_sweep(Path("nowhere"), GRID, [1]), to_its_end)
    assert summary["best"] is None and [point["mean"] for point in summary["points"]] == [None, None]
    assert [run["state"] for point in summary["points"] for run in point["runs"]] == ["not begun"] * 2
    assert sweep_table(summary).startswith("no run is finished\n")


def test_a_run_that_is_alive_elsewhere_keeps_its_status(tmp_path):
    first, *others = names(GRID, [1, 2])
    alive = RunFolder(tmp_path / first)
    alive.make()
    alive.write_status("running", 7, "training")
    values = dict.fromkeys(others, 0.5) | {first: FolderInUse("it is in use")}
    assert sweep(tmp_path, Trainer(values)) == 1
    assert alive.read_status()["state"] == "running" and alive.read_status()["step"] == 7


@pytest.fixture
def files(tmp_path):
    """Examples, a store and a table of look-alikes; what a sweep has noted of them; and who writes one anew."""

    def written(name: str, seed: int = 0) -> str:
        path = tmp_path / name
        path.unlink(missing_ok=True)
        if name == "a.h5":
            write_store(path, 40, seed=seed)
        else:
            path.write_text(f"{seed}\n")
        return str(path)

    return written


@pytest.mark.parametrize("changed", ["train.jsonl", "val.jsonl", "a.h5", "near.h5"])
def test_a_file_that_has_changed_since_the_first_runs_is_refused(tmp_path, files, changed):
    folder = tmp_path / "swept"
    folder.mkdir()
    with_sets = {"kind": "match", "sets": {"near_table": files("near.h5")}}
    with_examples = {"kind": "score", "examples": files("train.jsonl"), "validation": files("val.jsonl")}
    data = {"train": [files("a.h5")], "validation": [str(tmp_path / "not_yet.h5")]}
    runs = [load_recipe("finetune", task=task, data=data) for task in (with_sets, with_examples)]
    check_files(folder, runs)
    files(changed)
    check_files(folder, runs)  # the same, written again
    files(changed, seed=1)
    with pytest.raises(
        ValueError, match=rf"{changed} has changed since the runs in .*swept began.*put it back"
    ):
        check_files(folder, runs)
    files(changed)
    check_files(folder, runs)


def test_a_run_whose_examples_changed_after_the_one_before_it_fails(tmp_path, files, monkeypatch):
    trained = []

    def run_task(request, ranks):
        trained.append(request.folder.path.name)
        files("train.jsonl", seed=len(trained))
        request.folder.write_status("finished", 1, "done", complete=True)
        write_json(request.folder.path / "results.json", {"kind": "score", "metric": "pearson", "value": 0.5})
        return 0

    monkeypatch.setattr("interbert.tasks.sweep.start.start_ranks", lambda *_: Ranks.alone())
    monkeypatch.setattr("interbert.tasks.sweep.start.StopRequest.listen", lambda _: None)
    monkeypatch.setattr("interbert.tasks.sweep.start.post_witness", lambda _: None)
    monkeypatch.setattr("interbert.train.run.run_task", run_task)
    settings = load_recipe("finetune", task={"kind": "score", "examples": files("train.jsonl")})
    asked = Namespace(
        output_dir=str(tmp_path / "swept"), grid=[], seeds=[1, 2], max_steps=1, deepspeed_config="cpu"
    )
    kind = Kind(lambda settings, _: settings, None, None)
    assert start_sweep(kind, settings, asked, lambda _: settings) == 1
    assert trained == ["seed=1"]
    assert "train.jsonl has changed" in RunFolder(tmp_path / "swept" / "seed=2").read_status()["reason"]


def test_two_starts_of_a_sweep_do_not_work_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("interbert.tasks.sweep.start.start_ranks", lambda *_: Ranks.alone())
    monkeypatch.setattr("interbert.tasks.sweep.start.StopRequest.listen", lambda _: None)
    settings = load_recipe("finetune", task={"kind": "score"})
    asked = Namespace(output_dir=str(tmp_path), grid=[], seeds=[1], max_steps=None, deepspeed_config="cpu")
    with open(tmp_path / ".lock", "a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(FolderInUse, match="is in use by a run that is alive"):
            start_sweep(None, settings, asked, lambda _: settings)
    assert not (tmp_path / "sweep.json").exists()
