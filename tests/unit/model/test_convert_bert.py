"""BERT in our joint and text layers: text alone gives BERT's own numbers."""

import pytest
import torch
from transformers import BertConfig, BertForPreTraining, BertModel

from interbert.config import TrainSettings
from interbert.model import InterBertForPreTraining
from interbert.model.convert import load_bert
from interbert.model.shape.shape import Stage
from interbert.train.engine.optimizer import parameter_groups

IMAGE = [vars(Stage("image", 1, 2, 32))]
SIZES = {
    "two layers": {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 48,
    },
    "six layers": {
        "num_hidden_layers": 6,
        "hidden_size": 48,
        "num_attention_heads": 3,
        "intermediate_size": 64,
    },
    "large shape": {
        "num_hidden_layers": 4,
        "hidden_size": 64,
        "num_attention_heads": 16,
        "intermediate_size": 128,
    },
}


def bert(kind=BertForPreTraining, **fields):
    torch.manual_seed(0)
    config = BertConfig(**{"vocab_size": 83, "max_position_embeddings": 40, "type_vocab_size": 2, **fields})
    model = kind(config).eval()
    with torch.no_grad():  # biases and norms that start as zeros and ones would hide mistakes
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def ours(folder, **fields):
    return load_bert(folder, 1, "tiny", **{"feature_width": 6, "classes": 5, "stages": IMAGE, **fields})


def words(vocabulary=83):
    g = torch.Generator().manual_seed(2)
    ids, mask = torch.randint(0, vocabulary, (3, 11), generator=g), torch.ones(3, 11, dtype=torch.int64)
    mask[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.arange(11).expand(3, 11) // 6}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("vocabulary", [83, 211])
def test_text_alone_is_bert(sizes, vocabulary, tmp_path):
    theirs = bert(vocab_size=vocabulary, **sizes)
    theirs.save_pretrained(tmp_path)
    model, report = ours(tmp_path)
    inputs = words(vocabulary)
    real = inputs["attention_mask"].bool()
    output, expected = model.eval()(**inputs), theirs(**inputs, output_hidden_states=True)
    hidden = expected.hidden_states[-1][real]
    assert ((output.text_hidden[real] - hidden).abs().max() / hidden.abs().max()).item() < 1e-5
    logits = expected.prediction_logits[real]
    assert ((output.token_logits[real] - logits).abs().max() / logits.abs().max()).item() < 1e-5
    assert not any("text_embeddings" in name or "heads.tokens" in name for name in report.left_random)
    assert any(name.startswith("interbert.image_embeddings") for name in report.left_random)


def test_a_bare_bert_has_no_word_head(tmp_path):
    bert(BertModel, **SIZES["two layers"]).save_pretrained(tmp_path)
    model, report = ours(tmp_path)
    assert "heads.tokens.transform.dense.weight" in report.left_random
    assert not any(name.startswith("heads.") for name in model.config.inherited_parameters)


def test_names_of_berts_first_release(tmp_path):
    theirs = bert(**SIZES["two layers"])
    theirs.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    older = {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
        for n, t in theirs.state_dict().items()
    }
    torch.save(older, tmp_path / "pytorch_model.bin")
    model, _ = ours(tmp_path)
    inputs = words()
    expected = theirs.bert(**inputs).last_hidden_state
    torch.testing.assert_close(model.eval()(**inputs).text_hidden[0], expected[0], rtol=1e-5, atol=1e-5)


def test_what_came_from_bert_is_remembered_and_learns_at_its_own_rate(tmp_path):
    bert(**SIZES["two layers"]).save_pretrained(tmp_path / "bert")
    model, _ = ours(tmp_path / "bert")
    model.save_pretrained(tmp_path / "ours")
    again = InterBertForPreTraining.from_pretrained(tmp_path / "ours")
    assert again.config.inherited_parameters == model.config.inherited_parameters
    settings = TrainSettings(inherited_rate=0.1)
    slow = set()
    for group in parameter_groups(again, again.config.inherited_parameters, settings):
        if group["rate"] == 0.1:
            slow |= {id(p) for p in group["params"]}
    names = {name for name, p in again.named_parameters() if id(p) in slow}
    assert names == set(model.config.inherited_parameters)
    assert "interbert.text_embeddings.words.weight" in names and "interbert.stages.0.0.qkv.weight" in names
    assert not any(
        "image" in name or "match" in name or name.startswith("interbert.stages.2") for name in names
    )


def test_the_decoder_stays_tied(tmp_path):
    bert(**SIZES["two layers"]).save_pretrained(tmp_path / "bert")
    model, _ = ours(tmp_path / "bert")
    model.save_pretrained(tmp_path / "ours")
    for one in (model, InterBertForPreTraining.from_pretrained(tmp_path / "ours")):
        assert one.heads["tokens"].decoder.weight is one.interbert.text_embeddings.words.weight


@pytest.mark.parametrize(
    ("sizes", "fields", "message"),
    [
        ({"num_hidden_layers": 3}, {}, "3 layers do not divide"),
        ({}, {"vocab_size": 90}, "vocab_size is 83, but 90 is asked for"),
        ({}, {"hidden_size": 64}, "hidden_size is 32, but 64 is asked for"),
        (
            {},
            {"stages": [vars(Stage("image", 1, 5, 32))]},
            "32 does not divide into the 5 heads of the image layers",
        ),
        ({"hidden_act": "relu"}, {}, "hidden_act is 'relu'"),
    ],
)
def test_what_cannot_be_is_said_with_both_numbers(sizes, fields, message, tmp_path):
    bert(**SIZES["two layers"] | sizes).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        ours(tmp_path, **fields)


def test_no_bert_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        ours(tmp_path)
