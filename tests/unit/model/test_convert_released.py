"""The released InterBERT: what its own code computed, ours computes from its weights."""

import json
import pickle
from pathlib import Path

import pytest
import released_code
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import interbert.model
from interbert import objectives
from interbert.batches.batch import Batch
from interbert.model.convert import (
    WeightsError,
    convert_released,
    export_released,
    load_released,
    load_released_tasks,
    read_weights,
)
from interbert.model.loading import load_ours
from interbert.model.released_tasks import for_task
from interbert.model.shape.usage import class_of

FIXTURE = Path(__file__).parents[2] / "data" / "released_tiny.safetensors"
OUTPUTS = (
    "text_hidden",
    "region_hidden",
    "text_pooled",
    "region_pooled",
    "token_logits",
    "region_logits",
    "itm_logits",
)


@pytest.fixture(scope="module")
def released():
    tensors = load_file(FIXTURE)
    with safe_open(FIXTURE, "pt") as file:
        config = json.loads(file.metadata()["config"])

    def under(prefix):
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    return config, under("pretrain."), under("vltasks."), under("in."), under("out.")


def padded(model, inputs):
    return model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["text_mask"],
        token_type_ids=inputs["token_type_ids"],
        region_features=inputs["region_features"],
        region_boxes=inputs["region_boxes"],
        region_mask=inputs["region_mask"],
    )


def same(found, expected, mask=None):
    if mask is not None:
        found, expected = found[mask], expected[mask]
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-5


def masks(inputs):
    text, image = inputs["text_mask"].bool(), inputs["region_mask"].bool()
    return {"text_hidden": text, "token_logits": text, "region_hidden": image, "region_logits": image}


def test_outputs_through_the_padded_interface(released):
    config, weights, _, inputs, expected = released
    output = padded(load_released(weights, config), inputs)
    for name in OUTPUTS:
        same(output[name], expected[name], masks(inputs).get(name))


def test_losses_through_the_padded_interface(released):
    config, weights, _, inputs, expected = released
    output = padded(load_released(weights, config), inputs)
    ours = {
        "msm": objectives.msm(output.token_logits.flatten(0, 1), labels(inputs["mlm_labels"]).flatten()),
        "mrm": objectives.mrm(
            output.region_logits[:, 1:].flatten(0, 1),
            inputs["region_targets"].flatten(0, 1),
            counted_regions(inputs).flatten(),
        ),
        "itm": (objectives.msm(output.itm_logits, inputs["itm_labels"])),
    }
    for name, (total, count) in ours.items():
        assert (total / count).item() == pytest.approx(expected[f"loss_{name}"].item(), rel=1e-5)


def labels(theirs):
    """They ignore -1."""
    return theirs.masked_fill(theirs == -1, -100)


def counted_regions(inputs):
    """Masked regions of matched pairs; class 0 of their matching is a match."""
    masked = (inputs["region_mask_labels"] == 1) & (inputs["itm_labels"] == 0)[:, None]
    return torch.where(masked, 0, -100)


def test_outputs_and_losses_through_the_packed_interface(released):
    config, weights, _, inputs, expected = released
    config_without_global = load_released(weights, config)
    config_without_global.config.global_token = config_without_global.interbert.config.global_token = "none"
    batch, text, image = packed_batch(inputs)
    with torch.no_grad():
        output = config_without_global.forward_packed(batch)
        losses = objectives.losses(["msm", "mrm", "itm"], output, batch)
    same(output.text_hidden_TH, expected["text_hidden"][text])
    same(output.image_hidden_VH, expected["region_hidden"][image])
    same(output.text_pooled_PQ, expected["text_pooled"])
    same(output.image_pooled_PQ, expected["region_pooled"])
    same(output.match_logits_P2, expected["itm_logits"])
    same(output.token_logits_MW, expected["token_logits"][text][batch.masked_tokens_M])
    same(output.region_logits_NK, expected["region_logits"][image][batch.masked_regions_N])
    for name, loss in losses.items():
        assert (loss.sum / loss.count).item() == pytest.approx(expected[f"loss_{name}"].item(), rel=1e-5)


def packed_batch(inputs):
    """Their padded inputs, whose regions hold the global one, as rows."""
    text, image = inputs["text_mask"].bool(), inputs["region_mask"].bool()
    words = labels(inputs["mlm_labels"])[text]
    regions = torch.cat([torch.full((len(image), 1), -100), counted_regions(inputs)], 1)[image]
    targets = torch.cat([torch.zeros_like(inputs["region_targets"][:, :1]), inputs["region_targets"]], 1)[
        image
    ]
    masked_tokens, masked_regions = (words != -100).nonzero()[:, 0], (regions != -100).nonzero()[:, 0]

    def offsets(mask):
        return torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)]).int()

    batch = Batch(
        input_ids_T=inputs["input_ids"][text],
        token_types_T=inputs["token_type_ids"][text],
        cu_text=offsets(text),
        features_RD=inputs["region_features"][image],
        boxes_R5=inputs["region_boxes"][image],
        zeroed_R=torch.zeros(int(image.sum()), dtype=torch.bool),
        cu_regions=offsets(image),
        masked_tokens_M=masked_tokens,
        token_targets_M=words[masked_tokens],
        masked_regions_N=masked_regions,
        class_probs_NK=targets[masked_regions],
        class_labels_N=targets[masked_regions].argmax(-1),
        is_match_P=(inputs["itm_labels"] == 0).long(),
        max_text=int(text.sum(1).max()),
        max_regions=int(image.sum(1).max()),
        images_P=torch.arange(len(text)),
        captions_P=torch.arange(len(text)),
    )
    return batch, text, image


def test_task_heads(released):
    config, _, weights, inputs, expected = released
    output = padded(load_released_tasks({f"module.{n}": t for n, t in weights.items()}, config), inputs)
    same(output.answer_logits, expected["vl.vil_prediction"])
    same(output.score, expected["vl.vil_logit"])
    same(output.itm_logits, expected["vl.itm_logits"])
    same(output.region_scores, expected["vl.vision_logit"], inputs["region_mask"].bool())
    words = padded(load_released_tasks(weights, config), inputs)
    scores = words.text_hidden @ weights["linguisic_logit.weight"].t() + weights["linguisic_logit.bias"]
    same(words.word_scores, scores, inputs["text_mask"].bool())


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("classify", "vl.vil_prediction"),
        ("choose", "vl.vil_logit"),
        ("score", "vl.vil_logit"),
        ("point", "vl.vision_logit"),
    ],
)
def test_the_head_of_a_task_becomes_that_of_its_class(released, kind, head, tmp_path):
    config, _, weights, inputs, expected = released
    model = for_task(load_released_tasks(weights, config), kind)
    mask = inputs["region_mask"].bool() if kind == "point" else None
    found = padded(model, inputs).logits
    same(found if kind != "point" else found[..., None], expected[head], mask)
    model.save_pretrained(tmp_path)
    its_class = getattr(interbert.model, class_of(model.config)[0])
    again, info = its_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and again.task.classifier.weight.equal(model.task.classifier.weight)
    assert type(load_ours(tmp_path)) is type(model)


def test_export_is_the_identity(released):
    config, pretrain, tasks, _, _ = released
    for weights, load in ((pretrain, load_released), (tasks, load_released_tasks)):
        back = export_released(load(weights, config))
        assert back.keys() == weights.keys()
        assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_the_class_survives_saving(released, tmp_path):
    config, _, weights, inputs, expected = released
    load_released_tasks(weights, config).save_pretrained(tmp_path)
    same(padded(load_ours(tmp_path).eval(), inputs).answer_logits, expected["vl.vil_prediction"])


OTHERS = [
    {"hidden_size": 24, "num_hidden_layers": 1, "t_num_hidden_layers": 3, "v_num_hidden_layers": 2,
     "num_attention_heads": 3, "v_num_attention_heads": 2, "intermediate_size": 40, "v_intermediate_size": 32,
     "v_feature_size": 12, "v_target_size": 7, "bi_hidden_size": 20, "vocab_size": 31,
     "max_position_embeddings": 16, "fusion_method": "sum"},
    {"hidden_size": 32, "num_hidden_layers": 3, "t_num_hidden_layers": 1, "v_num_hidden_layers": 1,
     "num_attention_heads": 2, "v_num_attention_heads": 4, "intermediate_size": 48, "v_intermediate_size": 64,
     "v_feature_size": 9, "v_target_size": 5, "bi_hidden_size": 12, "vocab_size": 40,
     "max_position_embeddings": 12, "fusion_method": "mul"},
]  # fmt: skip


def random_weights(config):
    """Of the keys and shapes that an export of this size has, with other numbers."""
    g = torch.Generator().manual_seed(3)
    shapes = {name: value.shape for name, value in export_released(blank(config)).items()}
    weights = {name: torch.randn(shape, generator=g) * 0.3 for name, shape in shapes.items()}
    weights["cls.predictions.decoder.weight"] = weights["bert.embeddings.word_embeddings.weight"].clone()
    return weights


def blank(config):
    from interbert.model import InterBertForPreTraining
    from interbert.model.convert.released import configuration

    return InterBertForPreTraining.from_seed(configuration(config), 0)


@pytest.mark.parametrize("config", OTHERS, ids=["sum", "mul"])
def test_any_sizes_and_both_fusions(config):
    g = torch.Generator().manual_seed(1)
    weights = random_weights(config)
    text_mask, image_mask = torch.ones(3, 6, dtype=torch.int64), torch.ones(3, 5, dtype=torch.int64)
    text_mask[1, 4:] = image_mask[2, 2:] = 0
    inputs = {
        "input_ids": torch.randint(0, config["vocab_size"], (3, 6), generator=g),
        "token_type_ids": torch.randint(0, 2, (3, 6), generator=g),
        "text_mask": text_mask,
        "region_features": torch.randn(3, 5, config["v_feature_size"], generator=g),
        "region_boxes": torch.rand(3, 5, 5, generator=g),
        "region_mask": image_mask,
    }
    order = ("input_ids", "token_type_ids", "text_mask", "region_features", "region_boxes", "region_mask")
    expected = released_code.forward(weights, config, *(inputs[name] for name in order))
    output = padded(load_released(weights, config), inputs)
    for name in OUTPUTS:
        same(output[name], expected[name], masks(inputs).get(name))


def test_the_oracle_is_the_released_code(released):
    config, weights, _, inputs, expected = released
    order = ("input_ids", "token_type_ids", "text_mask", "region_features", "region_boxes", "region_mask")
    found = released_code.forward(weights, config, *(inputs[name] for name in order))
    for name in OUTPUTS:
        same(found[name], expected[name], masks(inputs).get(name))


def test_anything_but_a_clean_match_is_an_error(released):
    config, weights, tasks, _, _ = released
    gone = {n: t for n, t in weights.items() if n != "bert.v_pooler.dense.bias"}
    with pytest.raises(WeightsError, match=r"missing \(1\):\n    bert.v_pooler.dense.bias"):
        load_released(gone, config)
    with pytest.raises(WeightsError, match=r"unused \(1\):\n    extra"):
        load_released({**weights, "extra": torch.zeros(1)}, config)
    with pytest.raises(WeightsError, match=r"\[97, 48\] there, \[96, 48\] needed"):
        load_released(weights, config | {"vocab_size": 96})
    with pytest.raises(WeightsError, match=r"unused \(16\)"):
        load_released(weights, config | {"t_num_hidden_layers": 1})
    with pytest.raises(WeightsError, match="vil_logit"):
        load_released(tasks, config)
    untied = {**weights, "cls.predictions.decoder.weight": weights["cls.predictions.decoder.weight"] + 1}
    with pytest.raises(WeightsError, match="one matrix"):
        load_released(untied, config)


def test_a_head_may_stay_random_if_it_is_named(released):
    config, weights, _, _, _ = released
    headless = {n: t for n, t in weights.items() if not n.startswith("cls.imagePredictions")}
    with pytest.raises(WeightsError, match="imagePredictions"):
        load_released(headless, config)
    _, report = convert_released(headless, config, allow_missing=("regions",))
    assert report.clean and all(name.startswith("heads.regions.") for name in report.left_random)
    with pytest.raises(WeightsError, match="imagePredictions"):
        convert_released(headless, config, allow_missing=("match",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v_hidden_size": 64}, "v_hidden_size is 64, hidden_size 48"),
        ({"num_attention_heads": 5}, "hidden_size 48 does not divide into 5 heads"),
        ({"fusion_method": "cat"}, "fusion is 'cat'"),
        ({"hidden_size": None}, "lacks hidden_size"),
    ],
)
def test_a_configuration_that_cannot_be(released, change, message):
    config, weights, _, _, _ = released
    config = {name: value for name, value in (config | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_released(weights, config)


class Malicious:
    def __reduce__(self):
        return (print, ("this must not be printed",))


def test_files(released, tmp_path, capsys):
    _, weights, _, _, _ = released
    save_file({n: t.contiguous() for n, t in weights.items()}, tmp_path / "a.safetensors")
    torch.save({"state_dict": {f"module.{n}": t for n, t in weights.items()}}, tmp_path / "b.bin")
    for name in ("a.safetensors", "b.bin"):
        assert read_weights(tmp_path / name).keys() == weights.keys()
    (tmp_path / "evil.bin").write_bytes(pickle.dumps({"a": Malicious()}))
    torch.save({"a": Malicious()}, tmp_path / "evil_zip.bin")
    for name in ("evil.bin", "evil_zip.bin"):
        with pytest.raises(WeightsError, match=rf"{name}: refused"):
            read_weights(tmp_path / name)
    assert "must not be printed" not in capsys.readouterr().out
    whole = (tmp_path / "b.bin").read_bytes()
    (tmp_path / "half.bin").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:1000])
    for name in ("half.bin", "half.safetensors", "none.bin"):
        with pytest.raises(WeightsError, match=name):
            read_weights(tmp_path / name)
