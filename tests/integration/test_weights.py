"""Weights that people bring: a run that starts from BERT, and released weights under evaluation."""

import json
import sys

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForPreTraining

from interbert.model.convert import export_released, load_bert
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.ranks.distributed import Ranks
from interbert.tasks.retrieval.evaluation import Options, evaluate_model
from interbert.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def bert(runs):
    """A random BERT with the vocabulary of the small world."""
    runs.python("world", "--max-steps", "1")
    tokenizer = load_tokenizer(runs.folder / "scenes" / "tokenizer")
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    folder = runs.folder / "bert"
    BertForPreTraining(BertConfig(vocab_size=tokenizer.vocab_size, **sizes)).save_pretrained(folder)
    return folder


def train(runs, name, steps, bert):
    # From the second step on Adam's updates are as large as the learning rate: 0.01 x 1/2, then x 1.
    sets = (
        f"model.bert={bert}",
        "train.learning_rate=0.01",
        "train.warmup_share=0.02",
        "train.weight_decay=0",
    )
    runs.python(name, "--max-steps", str(steps), sets=sets)
    return InterBertForPreTraining.from_pretrained(runs.folder / name / "export")


def test_a_run_from_bert(runs, bert):
    trained = train(runs, "from_bert", 2, bert)
    inherited = set(trained.config.inherited_parameters)
    fields = {"feature_width": 32, "classes": trained.config.classes, "stages": trained.config.stages}
    heads = trained.config.prediction_heads
    start, _ = load_bert(bert, 42, "tiny", prediction_heads=heads, pooler_size=32, **fields)
    before, moved = dict(start.named_parameters()), {}
    for name, parameter in trained.named_parameters():
        moved[name] = (parameter - before[name]).abs().max().item()
    old = [change for name, change in moved.items() if name in inherited]
    new = [change for name, change in moved.items() if name not in inherited]
    assert max(old) == pytest.approx(0.1 * max(new), rel=0.1) and max(new) > 0.01
    assert trained.heads["tokens"].decoder.weight is trained.interbert.text_embeddings.words.weight


def test_a_run_from_bert_taken_up_again_is_the_uninterrupted_one(runs, bert):
    whole = train(runs, "bert_whole", 4, bert).state_dict()
    train(runs, "bert_halves", 2, bert)
    halves = train(runs, "bert_halves", 4, bert)
    assert all(torch.equal(value, whole[name]) for name, value in halves.state_dict().items())
    assert halves.heads["tokens"].decoder.weight is halves.interbert.text_embeddings.words.weight


def test_a_bert_of_another_vocabulary_is_refused(runs, bert, tmp_path):
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    BertForPreTraining(BertConfig(vocab_size=50, **sizes)).save_pretrained(tmp_path)
    output = runs.python("refused_bert", "--max-steps", "1", sets=(f"model.bert={tmp_path}",), code=1)
    assert "its vocab_size is 50" in output and "Traceback" not in output


def test_released_weights_are_evaluated(runs, bert, tmp_path):
    tokenizer = runs.folder / "scenes" / "tokenizer"
    sizes = {
        "vocab_size": load_tokenizer(tokenizer).vocab_size,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "t_num_hidden_layers": 1,
        "v_num_hidden_layers": 1,
        "num_attention_heads": 2,
        "v_num_attention_heads": 2,
        "intermediate_size": 64,
        "v_feature_size": 32,
    }
    stages = [
        {"kind": kind, "layers": 1, "heads": 2, "intermediate_size": 64}
        for kind in ("joint", "text", "image")
    ]
    config = InterBertConfig(
        vocab_size=sizes["vocab_size"], hidden_size=32, feature_width=32, stages=stages, pooler_size=1024
    )
    model = InterBertForPreTraining.from_seed(config, 5)
    save_file(export_released(model), tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    given = {"--weights": "weights.safetensors", "--config": "config.json", "--output": "ours"}
    words = [word for name, file in given.items() for word in (name, str(tmp_path / file))]
    runs.run(
        [sys.executable, "-m", "interbert", "convert", "released", *words, "--tokenizer", str(tokenizer)]
    )
    store = next((runs.folder / "scenes").glob("validation*.h5"))
    words = [
        "--model",
        str(tmp_path / "ours"),
        "--data",
        str(store),
        "--output",
        str(tmp_path / "figures.json"),
    ]
    runs.run_ranks(["launch/evaluate.py", "--task", "retrieval", *words])  # two, held to one below
    model.save_pretrained(tmp_path / "before")
    load_tokenizer(tokenizer).save(tmp_path / "before")
    one = Ranks(0, 1, 0, torch.device("cpu"), "python")
    before = evaluate_model(tmp_path / "before", [store], one, Options())
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert all(figures[way] == before[way] for way in ("text_to_image", "image_to_text"))
