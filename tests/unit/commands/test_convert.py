"""`python -m interbert convert`, as it is typed."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForPreTraining, BertTokenizerFast

from interbert.__main__ import main
from interbert.commands.output import MODEL, output_path
from interbert.model.loading import load_ours
from interbert.tokenizer import load_tokenizer

FIXTURE = Path(__file__).parents[2] / "data" / "released_tiny.safetensors"


def write_tokenizer(folder, words):
    folder.mkdir(parents=True, exist_ok=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries = special + [f"w{n}" for n in range(words - len(special))]
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)


@pytest.fixture
def released(tmp_path):
    with safe_open(FIXTURE, "pt") as file:
        config = file.metadata()["config"]
    everything = load_file(FIXTURE)
    weights = {n.removeprefix("pretrain."): t for n, t in everything.items() if n.startswith("pretrain.")}
    save_file(weights, tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text(config)
    write_tokenizer(tmp_path / "tokenizer", json.loads(config)["vocab_size"])
    return tmp_path


def convert_released(folder, **change):
    given = {
        "--weights": folder / "weights.safetensors",
        "--config": folder / "config.json",
        "--tokenizer": folder / "tokenizer",
        "--output": folder / "ours",
        **change,
    }
    return main(["convert", "released", *[str(word) for pair in given.items() for word in pair]])


def test_in_and_out_again(released, capsys):
    assert convert_released(released) == 0
    assert "keys used" in capsys.readouterr().out
    assert load_tokenizer(released / "ours").vocab_size == 97
    assert output_path(released / "ours", overwrite=True, folder=MODEL), "what was written may be replaced"
    assert (
        main(
            [
                "convert",
                "to-released",
                "--model",
                f"{released}/ours",
                "--output",
                f"{released}/new/back.safetensors",
            ]
        )
        == 0
    )
    back, weights = (
        load_file(released / "new" / "back.safetensors"),
        load_file(released / "weights.safetensors"),
    )
    assert back.keys() == weights.keys() and all(torch.equal(back[n], weights[n]) for n in weights)


def test_a_vocabulary_of_another_size(released, capsys):
    write_tokenizer(released / "other", 90)
    assert convert_released(released, **{"--tokenizer": released / "other"}) == 2
    assert "has 90 words" in capsys.readouterr().err
    assert not (released / "ours").exists()


def test_what_was_tuned_for_a_task(released, capsys):
    assert convert_released(released, **{"--task": "choose"}) == 2
    assert "has no heads of tasks (vil_prediction …); leave --task out" in capsys.readouterr().err
    everything = load_file(FIXTURE)
    tuned = {n.removeprefix("vltasks."): t for n, t in everything.items() if n.startswith("vltasks.")}
    save_file(tuned, released / "weights.safetensors")
    assert convert_released(released, **{"--task": "choose"}) == 0
    assert load_ours(released / "ours").shape.kind == "choose"
    capsys.readouterr()
    back = [
        "convert",
        "to-released",
        "--model",
        f"{released}/ours",
        "--output",
        f"{released}/back.safetensors",
    ]
    assert main(back) == 0
    assert "left out: the head of its task" in capsys.readouterr().out


def test_a_head_that_is_missing(released, capsys):
    weights = load_file(released / "weights.safetensors")
    save_file({n: t for n, t in weights.items() if "bi_seq" not in n}, released / "less.safetensors")
    given = {"--weights": released / "less.safetensors"}
    assert convert_released(released, **given) == 2
    assert "cls.bi_seq_relationship.weight" in capsys.readouterr().err and not (released / "ours").exists()
    assert convert_released(released, **given, **{"--allow-missing": "match"}) == 0
    assert "left random (2)" in capsys.readouterr().out


def test_an_output_that_is_there_is_left_alone(released, capsys):
    (released / "ours").mkdir()
    assert convert_released(released) == 2
    assert "is there already" in capsys.readouterr().err and not list((released / "ours").iterdir())


def test_bert(tmp_path, capsys):
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    BertForPreTraining(BertConfig(vocab_size=60, **sizes)).save_pretrained(tmp_path / "bert")
    write_tokenizer(tmp_path / "bert", 60)
    command = ["convert", "bert", "--weights", f"{tmp_path}/bert", "--output", f"{tmp_path}/ours"]
    assert main([*command, "--recipe", "scenes", "--feature-width", "7", "--classes", "4"]) == 0
    assert "left random" in capsys.readouterr().out
    model = load_ours(tmp_path / "ours")
    assert (model.config.feature_width, model.config.classes, model.config.hidden_size) == (7, 4, 32)
    assert load_tokenizer(tmp_path / "ours").vocab_size == 60


def test_no_such_bert(tmp_path, capsys):
    assert main(["convert", "bert", "--weights", "no/such-bert", "--output", f"{tmp_path}/ours"]) == 2
    assert "no/such-bert: no such directory here" in capsys.readouterr().err
