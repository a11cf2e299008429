"""What leaves for other runtimes says what the model says, whatever the lengths."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from random_model import small_config
from torch import nn

from interbert.__main__ import main
from interbert.commands.export import PROGRAM
from interbert.deploy import formats
from interbert.deploy.export import export
from interbert.deploy.formats import ExportError
from interbert.deploy.int8 import Int8Linear, quantised
from interbert.deploy.padded_model import PaddedModel, possible_outputs
from interbert.deploy.pairs import drawn, padded
from interbert.deploy.parity import check, parity
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import preset
from interbert.model.task_head import InterBertFineTuned
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import load_tokenizer

WORDS, CLASSES, WIDTH = 50, 7, 16
STAGES = [
    {"kind": kind, "layers": 1, "heads": 2, "intermediate_size": 32}
    for kind in ("text", "cross", "joint", "image")
]


def config_of(**fields) -> InterBertConfig:
    fields = {"stages": STAGES, "prediction_heads": ["tokens", "regions", "features", "match"], **fields}
    return InterBertConfig(**{**small_config(WORDS, CLASSES).to_diff_dict(), **fields})


def of_architecture(name: str) -> InterBertConfig:
    sizes = {"vocab_size": WORDS, "classes": CLASSES, "feature_width": WIDTH}
    return InterBertConfig(**{**preset("tiny", name), **sizes})


def by_hand(model: PaddedModel):
    def run(inputs):
        with torch.no_grad():
            return list(model(*inputs))

    return run


def all_outputs(config: InterBertConfig) -> PaddedModel:
    kind = InterBertFineTuned if config.task else InterBertForPreTraining
    model = kind.from_seed(config, 1)
    return PaddedModel(model, possible_outputs(model))


CONFIGS = {
    "every kind of stage": config_of(),
    "no global token": config_of(global_token="none"),
    **{name: of_architecture(name) for name in ("interbert", "imagebert", "vlbert", "vilbert")},
    "VisualBERT": config_of(
        stages=[STAGES[2]], global_token="none", visual_place=True, match_head="pooled", image_norm="text"
    ),
    "UNITER": config_of(stages=[STAGES[2]], visual_place=True, match_head="pooled", image_norm="parts"),
    "classify": config_of(task={"kind": "classify", "classes": ["a", "b", "c"], "head": "mlp"}),
    "two images": config_of(task={"kind": "classify", "classes": ["a", "b"], "images": 2}),
    "score from [CLS]": config_of(task={"kind": "score"}, match_head="cls"),
    "point": config_of(task={"kind": "point"}, fusion="sum"),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_padded_it_says_what_it_says_packed(config):
    model = all_outputs(config)
    found = parity(model, by_hand(model), drawn(config, 18))
    check(found)
    assert {one.output for one in found} == set(possible_outputs(model.model))
    assert all(one.scale > 0.01 for one in found)
    assert all(one.same == 1 for one in found if one.output in ("logits", "match_probability"))


def test_what_differs_is_found():
    model = all_outputs(config_of())
    for name in model.outputs:

        def run(inputs, name=name):
            said = by_hand(model)(inputs)
            said[model.outputs.index(name)][-1].view(-1)[0] += 0.01
            return said

        with pytest.raises(ExportError, match=rf"{name} of the export differs from the model's by 0\.01"):
            check(parity(model, run, drawn(model.config, 18)))
    with pytest.raises(ExportError, match="by inf"):
        check(
            parity(
                model, lambda inputs: [x * torch.nan for x in by_hand(model)(inputs)], drawn(model.config, 4)
            )
        )


def test_only_what_is_asked_for_runs():
    model = InterBertForPreTraining.from_seed(config_of(), 1)
    asked = PaddedModel(model)
    assert asked.outputs == ("match_probability",)
    for name in ("tokens", "regions", "features"):
        model.heads[name].forward = None
    by_hand(asked)(padded(drawn(model.config, 2)))
    with pytest.raises(ValueError, match="has no output answers; it has text_hidden"):
        PaddedModel(model, ("answers",))
    tagged = InterBertFineTuned.from_seed(config_of(task={"kind": "score", "tags": True}), 1)
    with pytest.raises(ValueError, match=r"tuned with task\.tags"):
        PaddedModel(tagged)


def test_weights_in_int8():
    torch.manual_seed(0)
    layer, x_NI = nn.Linear(64, 48), torch.randn(33, 64)
    with torch.no_grad():
        layer.weight[5] = 0
        exact, small = layer(x_NI), Int8Linear(layer)
        found = small(x_NI)
    assert small.weight_OI.dtype == torch.int8 and small.weight_OI.abs().max() == 127
    assert torch.equal(found[:, 5], exact[:, 5])
    assert 0 < (found - exact).norm() / exact.norm() < 0.01


def test_int8_is_of_the_encoder_alone():
    model = InterBertForPreTraining.from_seed(config_of(), 1)
    linear = {n for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    changed = {n for n, m in quantised(model).named_modules() if isinstance(m, Int8Linear)}
    assert changed == {name for name in linear if ".stages." in name} and len(changed) == 5 * 4


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A model, and a store of what it was made for."""
    folder = tmp_path_factory.mktemp("saved")
    write_scenes(folder / "a.h5", 12, seed=1, feature_width=WIDTH)
    tokenizer = load_tokenizer(folder / "tokenizer")
    config = small_config(tokenizer.vocab_size, CLASSES)
    InterBertForPreTraining.from_seed(config, 1).save_pretrained(folder / "model")
    tokenizer.save(folder / "model")
    return folder


def exported(saved: Path, to: Path, *words: str) -> dict:
    command = ["export", "--model", f"{saved}/model", "--output", str(to), "--pairs", "12", "--rounds", "1"]
    assert main([*command, *words]) == 0
    assert not PROGRAM.foreign(to)
    return json.loads((to / "export.json").read_text())


def test_torch_export(saved, tmp_path, capsys):
    told = exported(saved, tmp_path / "out", "--format", "torch-export", "--data", f"{saved}/a.h5")
    (match,) = told["parity"]
    assert match["output"] == "match_probability" and match["largest"] < 1e-5 and match["same"] == 1
    assert [row["examples"] for row in told["latency"]] == [1, 8, 32]
    assert all(row["model_ms"] > 0 and row["export_ms"] > 0 for row in told["latency"])
    shown = capsys.readouterr().out
    assert "match_probability" in shown and f"{tmp_path}/out/model.pt2" in shown
    # A reader needs torch alone.
    program = torch.export.load(tmp_path / "out" / "model.pt2").module()
    for tokens, regions, pairs in ((1, 1, 1), (5, 3, 2), (30, 40, 1)):
        text = torch.ones(pairs, tokens, dtype=torch.int64)
        image = torch.randn(pairs, regions, WIDTH), torch.rand(pairs, regions, 5)
        (found,) = program(text, text, text * 0, *image, torch.ones(pairs, regions, dtype=torch.int64))
        assert found.shape == (pairs,)


@pytest.mark.slow
def test_torch_export_of_two_images_and_in_int8(tmp_path):
    model = all_outputs(config_of(task={"kind": "classify", "classes": ["a", "b"], "images": 2}))
    pairs = drawn(model.config, 6)
    told = export(model.model, tmp_path, "torch-export", pairs, int8=True, rounds=0)
    run = formats.opened(tmp_path / told.file, 1)
    assert [len(run(padded(pairs[:n]))[0]) for n in (2, 6)] == [1, 3]
    (logits,) = told.parity
    assert logits.largest > 1e-4 * logits.scale
    # All of the difference is the weights'.
    small = PaddedModel(quantised(model.model))
    check(parity(small, run, pairs))


@pytest.mark.slow
def test_onnx(saved, tmp_path):
    pytest.importorskip("onnxruntime")
    outputs = ("--outputs", "text_hidden", "region_hidden", "match_probability")
    told = exported(saved, tmp_path / "out", "--format", "onnx", *outputs)
    assert told["outputs"] == list(outputs[1:])
    assert all(one["largest"] < 1e-4 for one in told["parity"])
    small = exported(saved, tmp_path / "small", "--format", "onnx", "--quantise", "int8")
    assert small["quantised"] == "int8" and small["bytes"] < told["bytes"]
    assert 0 < small["parity"][0]["largest"] < 0.3 and small["parity"][0]["same"] > 0.8


def test_without_the_packages_the_remedy_is_said(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    monkeypatch.setattr(formats, "traced", lambda model: None)
    words = ["export", "--model", f"{saved}/model", "--output", f"{tmp_path}/out", "--format", "onnx"]
    assert main(words) == 2
    assert "pip install 'interbert[export]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_data_that_does_not_fit_is_refused(saved, tmp_path, capsys):
    write_scenes(tmp_path / "b.h5", 4, seed=1, feature_width=WIDTH + 1)
    words = ["export", "--model", f"{saved}/model", "--output", f"{tmp_path}/out", "--format", "torch-export"]
    assert main([*words, "--data", f"{tmp_path}/b.h5"]) == 2
    assert f"features are {WIDTH + 1} wide, the model takes {WIDTH}" in capsys.readouterr().err
    assert main([*words, "--pairs", "1"]) == 2
    assert "--pairs must be 2 or more" in capsys.readouterr().err
    shutil.rmtree(tmp_path)
