"""Benchmarks start: arguments parse, recipes have what they ask for, and those that nothing else runs run small."""

import json
import sys
from unittest.mock import patch

import pytest
from nursery import Subprocess, run_forked
from random_model import small_config
from transformers import AutoModel

from interbert.model import InterBertForPreTraining
from interbert.recipe import load_recipe
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import load_tokenizer
from tests.unit.documents.test_commands import load, parser_of
from tests.unit.documents.text import ROOT

SCRIPTS = sorted(
    f"benchmarks/{path.name}"
    for path in (ROOT / "benchmarks").glob("*.py")
    if ".parse_args()" in path.read_text() and path.name != "gpu.py"  # whose files are several, in a folder
)


def run(script: str, *words: str) -> None:
    with patch.object(sys, "argv", [script, *words]):
        load(script).main()


def test_they_are_found():
    assert {"benchmarks/loader.py", "benchmarks/memory.py", "benchmarks/train_step.py"} <= set(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_arguments_parse(script):
    parser = parser_of(script)
    assert parser.parse_args(["--json", "figures.json"]).json is not None
    assert "--json" in parser.format_help()


@pytest.mark.slow
def test_the_host_path_is_measured(tmp_path):
    words = ("--images", "40", "--pairs", "100", "--threads", "1", "--repeats", "1")
    run("benchmarks/loader.py", *words, "--json", str(tmp_path / "loader.json"))
    found = json.loads((tmp_path / "loader.json").read_text())
    assert found["pairs_per_second"]["1"] > 0
    assert all(seconds > 0 for seconds in found["seconds_a_pair"].values())


@pytest.mark.slow
def test_a_step_through_the_engine_is_measured_whole_and_in_parts(tmp_path):
    words = (
        "--preset tiny --pairs 8 --steps 1 --images 40 --models engine packed --precisions fp32 --device cpu"
    )
    code, said = run_forked(
        ["benchmarks/train_step.py", *words.split(), "--json", str(tmp_path / "step.json")]
    )
    assert code == 0, said
    found = json.loads((tmp_path / "step.json").read_text())["fp32"]
    engine = found["engine"]
    assert engine["micro_batches"] == 1 and 4 <= engine["pairs"] <= 12 and engine["model_operations"] > 0
    assert set(engine["parts"]) == {
        "read and packed",
        "uploaded",
        "forward and backward",
        "update",
        "asked for",
    }
    assert all(seconds > 0 for seconds in [engine["seconds"], *engine["parts"].values()])
    assert len(found["seconds"]["packed"]) == 1 and not engine["graphs"]
    update = engine["asked"]["update"]
    assert (
        update["waits"] == {}
        and 20 < update["launches"] < 60 < engine["asked"]["forward and backward"]["launches"]
    )


@pytest.mark.slow
def test_the_host_paths_memory_is_measured(tmp_path):
    words = ("--images", "120", "--pairs", "3000", "--folder", str(tmp_path))
    run("benchmarks/memory.py", *words, "--json", str(tmp_path / "memory.json"))
    found = json.loads((tmp_path / "memory.json").read_text())
    assert found["epoch"]["pairs"] > 0 and found["plan"]["seconds"] > 0


def test_the_settings_of_ablations_are_there():
    module = load("benchmarks/ablations.py")
    words = {word: f"{word.lower()}.h5" for word in ("TRAIN", "CLEAN", "NOISY", "BERT")} | {"TWICE": 6}
    for question, variants in module.QUESTIONS.items():
        for variant in variants:
            settings = load_recipe("scenes", module.settings_of(question, variant, 0, 3, words))
            assert settings.micro_batches == 2 and settings.train.schedule_steps in (3, 6)
            assert settings.stages or settings.data.train[0].endswith(".h5")


def test_the_settings_of_tasks_are_there(monkeypatch):
    module = load("benchmarks/tasks.py")
    monkeypatch.setattr(sys, "argv", ["x", "--set", "scenes.train_images=40", "--steps", "7"])
    arguments = module.parse_arguments()
    assert arguments.worlds == ["vqa", "nlvr2"] and arguments.seeds == 3
    for architecture in module.ARCHITECTURES:
        pretrained = load_recipe("scenes", module.pretraining_settings(arguments, architecture))
        assert pretrained.model.architecture == architecture and pretrained.scenes.train_images == 40
        for beginning in (module.PRETRAINED, module.FRESH):
            settings = load_recipe(
                "scenes_nlvr2", module.tuning_settings(arguments, architecture, beginning, 2)
            )
            assert settings.train.schedule_steps == 7 and settings.train.seed == 2
            begun = settings.model.inherit_from
            if beginning == module.FRESH:
                assert begun is None and settings.model.architecture == architecture
                assert settings.model.preset == "tiny"
            else:
                assert begun == str(module.pretrained_in(arguments, architecture) / "export")


def test_the_table_of_tasks_counts_who_is_above_blind():
    module = load("benchmarks/tasks.py")
    blind = {"value": 0.4, "high": 0.45}
    seeds = [{"value": v, "low": v - 0.02, "high": v + 0.02, "blind": blind} for v in (0.5, 0.46, 0.6)]
    found = {("interbert", "pretrained"): {"vqa": seeds}}
    assert module.rows_of(found) == [["InterBERT, 2 joint + 1 + 1, pretrained", "52.0 ± 7.2 (2 of 3)"]]
    assert module.blind_row(found) == ["best without looking", "40.0"]


@pytest.mark.slow
def test_tasks_are_pretrained_tuned_and_told(tmp_path, capsys):
    words = "--worlds vqa --seeds 1 --steps 2 --pretraining-steps 2 --parallel 1"
    words += " --architectures interbert vilbert"
    few = {"train_images": 60, "validation_images": 40, "train_examples": 40, "validation_examples": 20}
    settings = [f"scenes.folder={tmp_path / 'data'}", "scenes.feature_width=16"]
    settings += [f"scenes.{name}={count}" for name, count in few.items()]
    words += "".join(f" --set {setting}" for setting in settings)
    words += f" --folder {tmp_path / 'runs'} --json {tmp_path / 'tasks.json'}"
    module = load("benchmarks/tasks.py")
    scripts = sys.modules["benchmarks.scripts"]
    with patch.object(scripts, "subprocess", Subprocess), patch.object(sys, "argv", ["", *words.split()]):
        module.main()
    said = capsys.readouterr().out
    assert "co-attention, 1 cross + 1 + 1, pretrained" in said and "best without looking" in said
    figures = json.loads((tmp_path / "tasks.json").read_text())["figures"]
    assert len(figures) == 4 and all(0 <= each["vqa"][0]["value"] <= 1 for each in figures.values())


def test_the_settings_of_collections_are_there(monkeypatch, tmp_path):
    module = load("benchmarks/curate_worth.py")
    monkeypatch.setattr(sys, "argv", ["x", "--steps", "8", "--model", str(tmp_path)])
    given = module.parse_arguments()
    for way in (*module.COLLECTIONS, module.TWO_STAGES):
        settings = load_recipe(
            "scenes", module.settings_of(given, tmp_path / "test.h5", tmp_path / "of_2", 2, way)
        )
        steps = [stage.train.schedule_steps for stage in settings.stages] or [settings.train.schedule_steps]
        stores = [stage.data.train for stage in settings.stages] or [settings.data.train]
        assert sum(steps) == 8 and settings.train.seed == 2
        named = [module.store_of(tmp_path / "of_2", name, given) for name in way.split(", then ")]
        assert stores == [[str(store)] for store in named]


def test_what_ablations_measure(tmp_path):
    store = tmp_path / "test.h5"
    write_scenes(store, 6, seed=1, split="test", feature_width=16, swapped=2)
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    InterBertForPreTraining.from_seed(small_config(tokenizer.vocab_size, 49), 1).save_pretrained(
        tmp_path / "export"
    )
    tokenizer.save(tmp_path / "export")
    module = load("benchmarks/ablation_measures.py")
    found = module.measure(tmp_path / "export", store)
    assert found.keys() == module.MEASURES.keys()
    assert all(0 <= share <= 1 for share in found.values())


def test_the_bert_of_ablations(tmp_path, monkeypatch):
    write_scenes(tmp_path / "train.h5", 6, seed=1, feature_width=16)
    module = load("benchmarks/ablation_bert.py")
    monkeypatch.setattr(module, "STEPS", 2)
    folder = module.bert_of_captions(tmp_path / "train.h5", tmp_path / "bert")
    assert AutoModel.from_pretrained(folder).config.num_hidden_layers == 4
