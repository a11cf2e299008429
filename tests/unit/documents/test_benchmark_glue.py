"""The table of GLUE: from official folders to its rows, with rows of our own."""

import json
import sys
from unittest.mock import patch

import official_files as made
import pytest
from nursery import ROOT, Subprocess
from transformers import BertConfig, BertForPreTraining

from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.tokenizer import write_word_vocabulary
from tests.unit.documents.test_commands import load

WORDS = ["it", "is", "rains", "wet", "no", "weapons", "were", "found", "a", "cat", "sat", "stood", "."]


@pytest.fixture
def models(tmp_path):
    """A small BERT, and an InterBERT of the same words."""
    tokenizer = write_word_vocabulary(WORDS, tmp_path / "bert")
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    BertForPreTraining(BertConfig(vocab_size=tokenizer.vocab_size, **sizes)).save_pretrained(
        tmp_path / "bert"
    )
    config = InterBertConfig.from_preset("tiny", vocab_size=tokenizer.vocab_size, feature_width=8, classes=3)
    InterBertForPreTraining.from_seed(config, 1).save_pretrained(tmp_path / "pretrained")
    tokenizer.save(tmp_path / "pretrained")
    return tmp_path


def rows_of_rte(folder) -> None:
    """Beside the one of each that is there: more of both labels."""
    header = made.GLUE["rte"][1]["train"]
    rows = [
        f"{n}\tA cat sat.\tIt is wet {'no ' * (n % 2)}.\t{('entailment', 'not_entailment')[n % 2]}"
        for n in range(6)
    ]
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text("\n".join([header, *rows]) + "\n")


@pytest.mark.slow
def test_all_rows_come_of_official_folders(models, capsys):
    made.write_glue(models / "glue", "mnli")
    words = f"--glue {models}/glue --bert {models}/bert --pretrained {models}/pretrained --tasks mnli rte"
    words += f" --json {models}/glue.json --folder {models}/runs --seeds 1"
    words += " --set train.epochs=1 --set data.max_text_tokens=20"
    words += f" --deepspeed_config {ROOT}/ds_configs/cpu.json"
    module = load("benchmarks/glue.py")
    with patch.object(module, "subprocess", Subprocess), patch.object(sys, "argv", ["", *words.split()]):
        module.main()
    said = capsys.readouterr().out
    assert f"rte: {models}/glue/RTE is not there; left out" in said
    rows = [line.split("  ")[0] for line in said.splitlines()]
    for system in ("BERT itself", "InterBERT from BERT", "InterBERT pretrained"):
        assert system in rows
    figures = json.loads((models / "glue.json").read_text())["figures"]
    assert all(0 <= value <= 100 for found in figures.values() for value in found["mnli"])
    done = json.loads((models / "runs" / "BERT_itself" / "mnli_seed0" / "done.json").read_text())
    assert len(done) == 2 and all("accuracy" in each for each in done), "both dev files"


def test_bert_itself_learns(models):
    """What two words tell, in some steps; the last answers are those of its results."""
    from interbert.recipe import load_recipe

    rows_of_rte(folder := made.write_glue(models / "glue", "rte"))
    module = load("benchmarks/glue.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module.sys, "argv", ["x", "--glue", str(folder.parent), "--folder", str(models / "runs")]
        )
        arguments = module.parse_arguments()
    module.bring(arguments, "rte")
    module.bring(arguments, "rte")
    examples = models / "runs" / "examples" / "rte"
    overrides = ["train.epochs=30", "train.learning_rate=1e-2", "train.seed=3"]
    given = {"examples": str(examples / "train.jsonl"), "validation": str(examples / "dev.jsonl")}
    settings = load_recipe("glue_rte", overrides, task=given, model={"bert": str(models / "bert")})
    own = load("benchmarks/glue_bert.py")
    own.bert_itself(settings, models / "run", {"again": examples / "dev.jsonl"})
    results = [json.loads((models / "run" / name / "results.json").read_text()) for name in ("", "again")]
    assert results[0]["official"]["figures"] == results[1]["official"]["figures"] == {"accuracy": 1.0}
    assert results[0]["metric"] == "accuracy"


def test_runs_of_another_model_are_not_taken_for_those_that_are_asked_for(tmp_path):
    report = load("benchmarks/report.py")

    def asked(**more):
        given = {"bert": "a", "pretrained": None, "set": []}
        report.refuse_other_runs(tmp_path / "runs", given | more)

    for given in ({}, {"pretrained": "b"}, {}):
        asked(**given)
    for given in ({"pretrained": "c"}, {"bert": "c"}, {"set": ["train.epochs=1"]}):
        with pytest.raises(SystemExit, match="give another --folder"):
            asked(**given)


def test_the_table_has_means_and_deviations():
    module = load("benchmarks/glue.py")
    figures = {"BERT itself": {"cola": [50.0, 54.0], "rte": [60.0, 60.0]}}
    assert module.rows_of(figures) == [["BERT itself", "52.0 ± 2.8", "60.0 ± 0.0", "56.0 ± 1.4"]]
    row, _ = module.published(["cola", "rte"])
    assert row[1:] == ["54.60", "62.50", "–"]
    for name, row in module.PUBLISHED.items():
        assert len(row) == len(module.TASKS) + 1 and abs(sum(row[:-1]) / 9 - row[-1]) < 0.01, name
