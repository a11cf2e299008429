"""Recipes of the embedded tasks make their own examples, and know them again."""

import runpy
from pathlib import Path
from unittest.mock import patch

import pytest
from example_files import write_lines
from plain_engine import plain_engine
from random_model import small_config

from interbert.config import SettingsError
from interbert.files import read_json, read_json_lines
from interbert.model.interbert import InterBertForPreTraining
from interbert.ranks.distributed import Ranks
from interbert.recipe import load_recipe
from interbert.sources.scenes.wording import vocabulary
from interbert.sources.scenes.worlds.write import WORLDS
from interbert.tasks.finetuning import finish
from interbert.tasks.finetuning.finish import blind_of
from interbert.tasks.finetuning.judge import ExampleJudge
from interbert.tasks.finetuning.provide import name_examples
from interbert.tasks.finetuning.task import FINETUNING
from interbert.tokenizer import write_word_vocabulary

ROOT = Path(__file__).parents[4]
SMALL = {"train_images": 400, "validation_images": 300, "test_images": 8, "feature_width": 12}
SMALL |= {"train_examples": 60, "validation_examples": 36}


@pytest.fixture
def begun(tmp_path, monkeypatch) -> Path:
    """The folder of whoever ran `make pretrain`."""
    monkeypatch.chdir(tmp_path)
    export = tmp_path / "runs" / "scenes" / "export"
    tokenizer = write_word_vocabulary(vocabulary(), tmp_path / "words")
    config = small_config(tokenizer.vocab_size, 49, SMALL["feature_width"])
    InterBertForPreTraining.from_seed(config, 1).save_pretrained(export)
    tokenizer.save(export)
    return tmp_path


def provided(world: str):
    settings = name_examples(load_recipe(f"scenes_{world}", scenes=SMALL))
    return FINETUNING.provide(settings, Ranks.alone())


@pytest.mark.parametrize("world", WORLDS)
def test_a_recipe_makes_its_examples_and_opens_as_a_task(world, begun):
    settings = provided(world)
    assert settings.task.kind == WORLDS[world][0] and settings.scenes.world == world
    task = FINETUNING.open(settings, Ranks.alone())
    assert (len(task.train.examples), len(task.held_out.examples)) == (60, 36)
    assert (task.corpus is None) == (world == "text")
    assert task.head.images == (2 if world == "nlvr2" else 1)
    found = blind_of(task)
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1 and found["baseline"] in found["each"]


@pytest.mark.parametrize("world", WORLDS)
def test_it_begins_from_nothing_where_nobody_pretrained(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = name_examples(load_recipe(f"scenes_{world}", ["model.inherit_from=null"], scenes=SMALL))
    task = FINETUNING.open(FINETUNING.provide(settings, Ranks.alone()), Ranks.alone())
    model, _ = task.start()
    words = write_word_vocabulary(vocabulary(), tmp_path / "words")
    assert task.tokenizer.fingerprint == words.fingerprint and model.config.vocab_size == words.vocab_size


@pytest.mark.parametrize("world", WORLDS)
def test_its_command_resolves(world, begun, capsys):
    words = [
        "finetune.py",
        "--recipe",
        f"scenes_{world}",
        "--deepspeed_config",
        str(ROOT / "ds_configs/cpu.json"),
    ]
    for name, value in SMALL.items():
        words += ["--set", f"scenes.{name}={value}"]
    with patch("sys.argv", [*words, "--dry-run"]), pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "launch" / "finetune.py"), run_name="__main__")
    assert ended.value.code == 0
    assert f"runs/scenes_{world}" in capsys.readouterr().out
    assert len(list((begun / "data" / "scenes").glob(f"{world}_*.jsonl"))) == 2


def test_examples_that_are_there_are_left_alone_and_named_before_they_are(begun):
    named = name_examples(load_recipe("scenes_vqa", scenes=SMALL))
    assert not Path(named.task.examples).exists()
    made = provided("vqa")
    assert named.task == made.task, "so that the same command goes on with its run"
    before = Path(made.task.examples).stat().st_mtime_ns
    assert provided("vqa") == made and Path(made.task.examples).stat().st_mtime_ns == before
    other = name_examples(load_recipe("scenes_vqa", ["scenes.seed=2"], scenes=SMALL))
    assert other.task.examples != named.task.examples


def test_own_examples_are_taken_instead_and_own_stores_alone_refused(begun):
    own = {"examples": "own.jsonl", "validation": "own.jsonl"}
    settings = load_recipe("scenes_vqa", task=own, data={"train": ["a.h5"]})
    assert name_examples(settings) == settings == FINETUNING.provide(settings, Ranks.alone())
    with pytest.raises(SettingsError, match="give --examples FILE beside --data"):
        name_examples(load_recipe("scenes_vqa", data={"train": ["a.h5"]}))


def test_what_needs_no_look_stands_in_the_results(begun, monkeypatch):
    settings = provided("nlvr2")
    task, folder, own = FINETUNING.open(settings, Ranks.alone()), begun / "run", []
    (folder / "export").mkdir(parents=True)
    monkeypatch.setattr(ExampleJudge, "outputs", lambda *_: ("said", None))
    monkeypatch.setattr(finish, "write_results", lambda *_: {"value": 0.9})
    monkeypatch.setattr(finish, "write_card", lambda *given: own.append(given[2]))
    for each in (settings, settings.model_copy(update={"scenes": None})):
        (folder / "results.json").unlink(missing_ok=True)
        finish.leave_results(task, plain_engine(each, task.terms), folder, "the last", Ranks.alone())
        assert own.pop().get("blind", None) == (blind_of(task) if each.scenes else None)
        if each.scenes:
            left = read_json(folder / "results.json")
            assert left["value"] == 0.9 and left["blind"] == blind_of(task)
            assert {"first picture and words", "words"} <= set(left["blind"]["each"])


def test_examples_of_ones_own_that_say_less_have_no_baselines(begun):
    task = FINETUNING.open(provided("referring"), Ranks.alone())
    path = task.train.examples.path
    lines = [
        {name: value for name, value in line.items() if name != "shown_by"} for line in read_json_lines(path)
    ]
    write_lines(path, lines)
    assert blind_of(task) is None
