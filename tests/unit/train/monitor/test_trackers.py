"""train.trackers: functions of people's own get a run's figures, and cannot hurt it."""

import json
import logging
import math

import pytest

from interbert.plugins import load_function
from interbert.recipe import load_recipe
from interbert.train.folder.run_folder import RunFolder
from interbert.train.monitor.monitor import Monitor
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


def test_those_of_the_documents_are_functions(tmp_path):
    (text,) = blocks((ROOT / "docs" / "trackers.md").read_text(), "python")
    (tmp_path / "trackers.py").write_text(text)
    for name in ("wandb", "mlflow"):
        assert load_function(f"{tmp_path}/trackers.py:{name}", "train.trackers")
