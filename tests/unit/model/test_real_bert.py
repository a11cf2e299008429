"""A real BERT brought in by the command: text alone gives its own hidden states.

Runs where INTERBERT_BERT names a directory with a BERT and its tokenizer.
"""

import os

import pytest
import torch
from transformers import AutoTokenizer, BertModel

from interbert.__main__ import main
from interbert.model.loading import load_ours
from interbert.tokenizer import load_tokenizer

FOLDER = os.environ.get("INTERBERT_BERT")
TEXTS = [
    "A man plays a guitar on a small stage.",
    "naïve café: 3,000 people, 50 % of them (at least) un-bear-a-bly loud!",
    "一只黑猫坐在红色的沙发上，看着窗外的雨。",
    "x",
    "the quick brown fox jumps over the lazy dog " * 6,
]

pytestmark = pytest.mark.skipif(not FOLDER, reason="INTERBERT_BERT names no directory")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    output = tmp_path_factory.mktemp("real") / "ours"
    assert main(["convert", "bert", "--weights", FOLDER, "--output", str(output)]) == 0
    return output


def padded(rows):
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    real = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True)
    return ids, real.long()


@torch.no_grad()
def test_text_alone_gives_its_hidden_states(converted):
    ids, real = padded(load_tokenizer(converted).encode(TEXTS, 64))
    theirs = BertModel.from_pretrained(FOLDER, add_pooling_layer=False).float().eval()
    expected = theirs(input_ids=ids, attention_mask=real).last_hidden_state[real.bool()]
    found = load_ours(converted).float().eval()(input_ids=ids, attention_mask=real).text_hidden[real.bool()]
    assert expected.shape == found.shape and expected.abs().max() > 0.1
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-6


def test_its_tokenizer_reads_alike(converted):
    theirs = AutoTokenizer.from_pretrained(FOLDER)
    assert load_tokenizer(converted).encode(TEXTS, 512) == theirs(TEXTS)["input_ids"]
