"""train.trackers: functions of people's own get a run's figures, and cannot hurt it."""

import json
import logging
import math
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from interbert.plugins import load_function
from interbert.recipe import load_recipe
from interbert.train.folder.run_folder import RunFolder
from interbert.train.monitor.monitor import Monitor
from interbert.train.monitor.trackers import tracker_of
from tests.unit.documents.text import ROOT, blocks

OWN = """
import json
class Own:
    def __init__(self, folder, kept):
        self.kept = kept or "run-1"
        self.file = open(folder / "seen.jsonl", "a", buffering=1)
    def log(self, step, figures):
        if step == 3:
            raise OSError("no network")
        self.file.write(json.dumps([self.kept, step, figures]) + "\\n")
    def close(self):
        self.file.write(json.dumps("closed") + "\\n")
        self.file.close()
def own(folder, settings, kept):
    assert settings["name"] == "scenes"
    return Own(folder, kept)
def broken(folder, settings, kept):
    raise ConnectionError("nobody there")
number = 3
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path}/own.py"


def monitor(folder, step, *specs) -> Monitor:
    settings = load_recipe("scenes", [f"train.trackers={json.dumps(specs)}"])
    return Monitor(RunFolder(folder), settings, step=step, last_step=10)


def seen(folder) -> list:
    return [json.loads(line) for line in (folder / "seen.jsonl").read_text().splitlines()]


def test_a_tracker_gets_the_figures_and_a_resumed_run_goes_on_in_it(spec, tmp_path):
    folder = tmp_path / "run"
    RunFolder(folder).make()
    figures = {"loss": 2.0, "loss/itm": math.nan, "samples_per_second": 5.0}
    first = monitor(folder, 0, f"{spec}:own")
    first.log(1, figures, 1.0)
    first.close()
    (kept, step, told), closed = seen(folder)
    assert (kept, step, closed) == ("run-1", 1, "closed")
    assert (
        told["loss/total"] == 2.0 and math.isnan(told["loss/itm"]) and told["speed/samples_per_second"] == 5.0
    )
    (folder / "trackers.json").write_text(json.dumps({f"{spec}:own": "run-7"}))
    again = monitor(folder, 1, f"{spec}:own")
    again.validation(2, {"validation/loss": 1.0})
    again.close()
    assert seen(folder)[2] == ["run-7", 2, {"validation/loss": 1.0}]
    monitor(folder, 0, f"{spec}:own").close()  # which begins anew
    assert json.loads((folder / "trackers.json").read_text()) == {f"{spec}:own": "run-1"}


def test_a_tracker_that_fails_is_left_out(spec, tmp_path, caplog):
    folder = tmp_path / "run"
    RunFolder(folder).make()
    with caplog.at_level(logging.WARNING):
        own = monitor(folder, 0, f"{spec}:broken", f"{spec}:own")
        for step in (2, 3, 4):
            own.log(step, {"loss": 1.0, "samples_per_second": 1.0}, 1.0)
        own.close()
    assert "nobody there" in caplog.text and "no network" in caplog.text
    assert [line[1] for line in seen(folder)] == [2]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("own.py", "names no function; write FILE.py:FUNCTION"),
        ("nowhere.py:own", "no such file: nowhere.py"),
        ("no.such.module:own", "cannot be imported: ModuleNotFoundError"),
        ("json:dumped", "json has no function dumped, but"),
        ("{spec}:number", "has no function number, but Own, own, broken"),
    ],
)
def test_a_function_that_is_not_there(spec, given, said):
    with pytest.raises(ValueError, match=r"^train\.trackers: ") as refusal:
        load_function(given.format(spec=spec), "train.trackers")
    assert said in str(refusal.value)


def test_the_one_of_the_documents(tmp_path):
    (text,) = blocks((ROOT / "docs" / "trackers.md").read_text(), "python")
    (tmp_path / "trackers.py").write_text(text)
    RunFolder(tmp_path / "run").make()
    own = monitor(tmp_path / "run", 0, f"{tmp_path}/trackers.py:lines")
    own.log(1, {"loss": 2.0, "samples_per_second": 5.0}, 1.0)
    own.close()
    assert "1,loss/total,2.0\n" in (tmp_path / "run" / "figures.csv").read_text()


def test_one_that_could_not_begin_goes_on_in_its_own_later(spec, tmp_path):
    folder = tmp_path / "run"
    RunFolder(folder).make()
    known = {f"{spec}:broken": "run-3", f"{spec}:own": "run-7"}
    (folder / "trackers.json").write_text(json.dumps(known))
    monitor(folder, 1, *known).close()
    assert json.loads((folder / "trackers.json").read_text()) == known


@pytest.fixture
def packages(monkeypatch) -> list:
    """What W&B and MLflow would be told; of the real ones the calls below were seen to be taken."""
    told: list = []

    class WandBRun:
        id = "w1"

        def log(self, data, step):
            told.append(("wandb.log", data, step))

        def finish(self):
            told.append("wandb.finish")

    def init(**given):
        told.append(given)
        return WandBRun()

    class MlflowClient:
        def __init__(self, tracking_uri):
            told.append(tracking_uri)

        def get_experiment_by_name(self, name):
            told.append(name)

        def create_experiment(self, name):
            return "3"

        def create_run(self, experiment_id, run_name):
            told.append((experiment_id, run_name))
            return SimpleNamespace(info=SimpleNamespace(run_id="m1"))

        def update_run(self, run_id, status):
            told.append((run_id, status))

        def log_param(self, run_id, key, value):
            assert run_id == "m1" and len(value) <= 6000
            told.append((key, value))

        def log_metric(self, run_id, key, value, step):
            told.append(("mlflow.log", run_id, key, value, step))

        def set_terminated(self, run_id):
            told.append(("mlflow.end", run_id))

    for name, holds in (("wandb", {"init": init}), ("mlflow", {"MlflowClient": MlflowClient})):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(holds)
        monkeypatch.setitem(sys.modules, name, module)
    for name in (
        "WANDB_API_KEY",
        "WANDB_MODE",
        "WANDB_PROJECT",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_EXPERIMENT_NAME",
    ):
        monkeypatch.delenv(name, raising=False)
    return told


def test_weights_and_biases_and_mlflow_offline(packages, tmp_path):
    folder = tmp_path / "run"
    RunFolder(folder).make()
    first = monitor(folder, 0, "wandb", "mlflow")
    first.log(1, {"loss": 2.0, "samples_per_second": 5.0}, 1.0)
    first.close()
    begun = packages[0]
    assert (begun["mode"], begun["id"], begun["dir"], begun["name"]) == ("offline", None, folder, "run")
    assert begun["config"]["name"] == "scenes"
    assert f"sqlite:///{folder}/mlflow.db" in packages and ("3", "run") in packages
    assert ("model.preset", "tiny") in packages
    assert ("mlflow.log", "m1", "loss/total", 2.0, 1) in packages
    logged = next(one for one in packages if isinstance(one, tuple) and one[0] == "wandb.log")
    assert logged[1]["loss/total"] == 2.0 and logged[2] == 1
    assert packages[-2:] == ["wandb.finish", ("mlflow.end", "m1")]
    packages.clear()
    monitor(folder, 1, "wandb", "mlflow").close()
    assert packages[0]["id"] == "w1" and packages[0]["resume"] == "allow"
    assert ("m1", "RUNNING") in packages and ("3", "run") not in packages


def test_what_someone_said_of_how_to_reach_them_is_kept_to(packages, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    RunFolder(tmp_path).make()
    monitor(tmp_path, 0, "wandb", "mlflow").close()
    assert packages[0]["mode"] is None
    assert {"http://127.0.0.1:5000", "ours"} <= {one for one in packages if isinstance(one, str)}


def test_one_whose_package_is_missing_is_refused_at_once(monkeypatch):
    monkeypatch.setattr("interbert.train.monitor.trackers.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="wandb is not installed: pip install wandb"):
        tracker_of("wandb")
