"""What is said of a model's size from its shape alone is what the model has."""

from itertools import combinations

import pytest
import torch
from made_batches import make_batch, tiny_config

from interbert.batches.batch import Batch
from interbert.model import ConfigurationError, InterBertConfig, InterBertForPreTraining
from interbert.model.shape.shape import ARCHITECTURES, HEADS, IMAGE_NORMS, MATCH_HEADS, SCALES, Shape
from interbert.model.shape.size import Rows, operations, parameters, token_bytes
from interbert.model.task_head import InterBertFineTuned

ROWS = Rows(text=800, image=500, joint=1300, masked_words=170)


def real_parts(config: InterBertConfig, kind=InterBertForPreTraining) -> dict[str, int]:
    """By the same names; a parameter that two modules share counts where it comes first."""
    with torch.device("meta"):
        model = kind(config)
    found: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        words = name.removeprefix("interbert.").split(".")
        part = ".".join(words[: 2 if words[0] in ("stages", "heads") else 1])
        found[part] = found.get(part, 0) + parameter.numel()
    return found


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("preset", SCALES)
def test_every_part_of_every_model(preset, architecture):
    sizes = {"vocab_size": 501, "feature_width": 70, "classes": 11}
    shape = Shape.from_preset(preset, architecture, **sizes)
    assert parameters(shape) == real_parts(InterBertConfig.from_preset(preset, architecture, **sizes))


@pytest.mark.parametrize("norm", IMAGE_NORMS)
@pytest.mark.parametrize("head", MATCH_HEADS)
def test_every_norm_and_match_head(norm, head):
    task = {"kind": "classify", "classes": ["a", "b"], "head": "mlp"}
    override = {"image_norm": norm, "match_head": head, "feature_width": 70, "classes": 11}
    for more in ({}, {"task": task, "prediction_heads": []}):
        shape = Shape.from_preset("tiny", "imagebert", **override, **more)
        config = InterBertConfig.from_preset("tiny", "imagebert", **override, **more)
        kind = InterBertFineTuned if more else InterBertForPreTraining
        assert parameters(shape) == real_parts(config, kind)


@pytest.mark.parametrize("architecture", ["interbert", "imagebert"])
def test_every_choice_of_heads(architecture):
    for count in range(len(HEADS) + 1):
        for heads in combinations(HEADS, count):
            override = {"prediction_heads": list(heads), "classes": 11, "feature_width": 70}
            expected = real_parts(InterBertConfig.from_preset("tiny", architecture, **override))
            assert parameters(Shape.from_preset("tiny", architecture, **override)) == expected, heads


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_operations_are_six_for_each_weight_that_a_token_passes(architecture):
    config = InterBertConfig.from_preset("small", architecture)
    with torch.device("meta"):
        model = InterBertForPreTraining(config)
    weights = ROWS.masked_words * model.get_input_embeddings().weight.numel()
    for stage in model.interbert.stages:
        if stage.kind == "cross":  # two layers: one for words, one for regions
            for layer in stage:
                weights += ROWS.text * count(layer["text"]) + ROWS.image * count(layer["image"])
        else:
            weights += getattr(ROWS, stage.kind) * count(stage)
    assert operations(Shape.from_preset("small", architecture), ROWS) == 6 * weights


def test_the_configuration_is_the_shape():
    """What can be asked of one is refused by the other."""
    assert isinstance(InterBertConfig(), Shape)
    for kind in (Shape, InterBertConfig):
        with pytest.raises(
            ConfigurationError, match="the model has no field hiden_size; its fields are vocab_size"
        ):
            kind.from_preset("tiny", hiden_size=3)
        with pytest.raises(ConfigurationError, match="does not divide into 7 heads"):
            kind(stages=[{"kind": "joint", "layers": 1, "heads": 7, "intermediate_size": 4}])


def kept_bytes(config: InterBertConfig, dtype: torch.dtype, batch: Batch) -> int:
    """What autograd keeps for the backward pass, weights aside."""
    model = InterBertForPreTraining.from_seed(config, 0).to(dtype).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes(), tensor  # held, so that no other has its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.forward_packed(batch)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_a_token_keeps(monkeypatch, precision):
    """Of three more layers, which is what differs: tiny models have tokens of few numbers in the layers and many in
    the heads."""
    monkeypatch.setenv("INTERBERT_NATIVE", "0")
    lengths = [[12] * 6, [12] * 6]

    def of_layers(layers: int) -> tuple[float, float]:
        stages = [
            {"kind": kind, "layers": layers, "heads": 4, "intermediate_size": 256}
            for kind in ("joint", "text", "image")
        ]
        config = tiny_config(hidden_size=64, stages=stages)
        batch = make_batch(*lengths)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        return token_bytes(config, precision) * batch.tokens, kept_bytes(config, dtype, batch)

    (told, found), (told_of_more, found_of_more) = of_layers(1), of_layers(4)
    assert 0.8 < (told_of_more - told) / (found_of_more - found) < 1.3


def test_what_recomputed_layers_keep_is_their_input():
    shape = Shape.from_preset("base")
    assert token_bytes(shape, "bf16", recompute=True) < token_bytes(shape, "bf16") / 5
    assert token_bytes(shape, "fp32") == 2 * token_bytes(shape, "fp16")
