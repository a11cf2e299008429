"""Directories of peft's adapters: merged they say what peft says, apart they are peft's own."""

import json
import logging
import sys

import peft
import pytest
import torch
from made_batches import make_batch, tiny_config
from safetensors.torch import load_file, save_file

from interbert.adapter_folder import AdapterError
from interbert.model import InterBertForSequenceClassification
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.loading import load_ours, load_with_adapters
from interbert.model.task_head import InterBertFineTuned
from tests.unit.model.test_interface import padded_inputs

TASK = {"kind": "classify", "classes": ["a", "b"]}


@pytest.fixture
def base(tmp_path):
    InterBertForPreTraining.from_seed(tiny_config(), 3).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def write_adapters(base, folder, whole=("heads.match",), **fields):
    """By peft itself, and what the model says with them."""
    model = InterBertForPreTraining.from_pretrained(base)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": r".*stages.*(qkv|up)", **fields}
    adapted = peft.get_peft_model(model, peft.LoraConfig(modules_to_save=list(whole) or None, **settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.normal_(std=0.2)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)
    return said(adapted.base_model.model)


def said(model):
    with torch.no_grad():
        return model.eval().forward_packed(make_batch([7, 4, 9], [5, 8, 3])).match_logits_P2


@pytest.mark.parametrize("fields", [{}, {"use_rslora": True}, {"whole": ()}], ids=str)
def test_what_peft_wrote_is_merged(base, tmp_path, fields, caplog):
    expected = write_adapters(base, tmp_path / "adapter", **fields)
    with caplog.at_level(logging.INFO):
        found = load_ours(tmp_path / "adapter")
    assert f"adapters, merged into the model of {base}" in caplog.text
    assert type(found) is InterBertForPreTraining
    torch.testing.assert_close(said(found), expected, atol=1e-5, rtol=1e-5)
    assert (said(load_ours(base)) - expected).abs().max() > 0.01


def test_apart_they_learn_on_and_come_off(base, tmp_path):
    expected = write_adapters(base, tmp_path / "adapter", whole=())
    found = load_with_adapters(tmp_path / "adapter")
    assert isinstance(found, peft.PeftModel)
    torch.testing.assert_close(said(found.base_model.model), expected, atol=1e-6, rtol=1e-6)
    assert {n.split(".")[-3] for n, p in found.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
    with found.disable_adapter():
        torch.testing.assert_close(said(found.base_model.model), said(load_ours(base)))


def test_a_head_that_the_base_has_not_comes_along(base, tmp_path):
    """As a run leaves it: with the configuration of what it trained."""
    folder = tmp_path / "adapter"
    write_adapters(base, folder, whole=())
    config = tiny_config(task=TASK, prediction_heads=[])
    model = InterBertFineTuned.from_seed(config, 5)
    head = {f"base_model.model.{n}": p for n, p in model.state_dict().items() if n.startswith("task.")}
    save_file(load_file(folder / "adapter_model.safetensors") | head, folder / "adapter_model.safetensors")
    config.architectures = ["InterBertFineTuned"]
    config.save_pretrained(folder)
    written = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(written | {"modules_to_save": ["task"]}))
    found, apart = load_ours(folder), load_with_adapters(folder)
    assert type(found) is InterBertFineTuned
    assert torch.equal(found.task.classifier.weight, model.task.classifier.weight)
    batch = make_batch([7, 4, 9], [5, 8, 3])
    with torch.no_grad():
        one, other = found.answer(batch), apart.base_model.model.eval().answer(batch)
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "use_dora is not read here; merge the adapters with peft"),
        ({"bias": "all"}, "bias is not read here"),
        ({"peft_type": "IA3"}, "peft_type is IA3, and LORA alone is read"),
        ({"base_model_name_or_path": None}, "names no base_model_name_or_path"),
        ({"base_model_name_or_path": "elsewhere"}, "is elsewhere, and no model is there; correct it"),
    ],
)
def test_what_cannot_be_read_is_refused(base, tmp_path, change, message):
    write_adapters(base, tmp_path / "adapter", whole=())
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(AdapterError, match=message):
        load_ours(tmp_path / "adapter")


def test_adapters_of_another_model_are_refused(base, tmp_path):
    write_adapters(base, tmp_path / "adapter", whole=())
    InterBertForPreTraining.from_seed(tiny_config(hidden_size=48), 3).save_pretrained(base)
    with pytest.raises(AdapterError, match=r"do not fit the model: interbert\.stages\.0\.0\.qkv\.weight"):
        load_ours(tmp_path / "adapter")


def test_a_head_whose_kind_nothing_says_asks_for_its_configuration(base, tmp_path):
    """As peft alone leaves a model of a task."""
    model = InterBertForSequenceClassification.from_pretrained(base, num_labels=3)
    lora = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["qkv", "out"])
    adapted = peft.get_peft_model(model, lora)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(
        AdapterError, match=r"bring a head \(task\.classifier\.bias, .*save_pretrained\(DIR\)"
    ):
        load_ours(tmp_path / "adapter")
    model.config.save_pretrained(tmp_path / "adapter")
    found = load_ours(tmp_path / "adapter")
    inputs = padded_inputs(make_batch([5, 3], [4, 6]))
    with torch.no_grad():
        torch.testing.assert_close(found(**inputs).logits, adapted.eval()(**inputs).logits)


def test_apart_they_need_peft(base, tmp_path, monkeypatch):
    write_adapters(base, tmp_path / "adapter", whole=())
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(AdapterError, match=r"pip install 'interbert\[peft\]'; `load_ours` merges"):
        load_with_adapters(tmp_path / "adapter")
    assert load_ours(tmp_path / "adapter")
