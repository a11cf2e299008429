"""What launch/distill.py refuses before it opens anything, and what `interbert distill` hands over to it."""

import importlib.util
import sys
from pathlib import Path

import pytest

from interbert.__main__ import main
from interbert.recipe import load_recipe

SCRIPTS = Path(__file__).parents[3] / "launch"


def script_of(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def asked(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["launch/distill.py", "--deepspeed_config", "cpu", *words])
        script = script_of("distill")
        return script.distill(script.parse_arguments())

    return ask


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no model to learn from: give --model DIR"),
        (["--model", "nowhere"], "needs data"),
        (["--recipe", "scenes_distill"], "no such folder: runs/scenes/export; make pretrain leaves it"),
        (["--recipe", "scenes"], "does not distil"),
        (["--recipe", "scenes_distill", "--set", "distill.width=2"], "greater than or equal to 8"),
    ],
)
def test_what_is_refused(asked, words, told):
    with pytest.raises(ValueError, match=told):
        asked(*words)


@pytest.mark.parametrize("words", [["masks.words=word"], ["distill.trunk=frozen", "distill.match=0.5"]])
def test_what_serves_nothing_is_refused(asked, words):
    with pytest.raises(ValueError, match="which serves"):
        asked("--model", ".", "--data", "a.h5", *(word for each in words for word in ("--set", each)))


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_the_other_scripts_send_one_here(name, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "sys.argv", [f"launch/{name}.py", "--recipe", "scenes_distill", "--deepspeed_config", "cpu"]
    )
    script = script_of(name)
    with pytest.raises(ValueError, match=r"launch/distill\.py"):
        script.settings_of(script.parse_arguments())


def test_the_verb_hands_over_all_that_is_typed(monkeypatch, tmp_path):
    handed = []
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_ID", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        monkeypatch.delenv(name, raising=False)  # nobody's rank, whatever a launcher or another test has left
    monkeypatch.setattr("os.execv", lambda *given: handed.append(given))
    (tmp_path / "model").mkdir()
    words = [
        "--model",
        str(tmp_path / "model"),
        "--data",
        "a.h5",
        "--deepspeed_config",
        "cpu",
        "--num_gpus",
        "1",
    ]
    main(["distill", *words])
    (given,) = handed
    assert given[0] == sys.executable
    assert given[1][-6:] == [
        "--model",
        str(tmp_path / "model"),
        "--data",
        "a.h5",
        "--deepspeed_config",
        "cpu",
    ]
    assert "--num_gpus" in given[1]


def test_flags_say_what_all_rounds_learn_from():
    settings = load_recipe("distill", data={"train": ["a.h5"]}, model={"inherit_from": "m"})
    assert all(stage.data.train == ["a.h5"] for stage in settings.stages)
    assert all(stage.model.inherit_from == "m" for stage in settings.stages)
