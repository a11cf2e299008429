"""A class a task: what it takes, its loss, and whose directories it reads."""

import pytest
import torch
from made_batches import make_batch, tiny_config
from safetensors import safe_open
from torch.nn import functional as F
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForSequenceClassification,
    AutoModelForVisualQuestionAnswering,
)

from interbert.model import (
    ConfigurationError,
    InterBertForImageTextRetrieval,
    InterBertForMultipleChoice,
    InterBertForQuestionAnswering,
    InterBertForRegionChoice,
    InterBertForSequenceClassification,
    InterBertForVisualReasoning,
)
from interbert.model.loading import load_ours
from interbert.model.task_head import InterBertFineTuned
from tests.unit.model.test_interface import model_of, padded_inputs

WITH_ONE_PAIR = [
    InterBertForQuestionAnswering,
    InterBertForSequenceClassification,
    InterBertForRegionChoice,
    InterBertForImageTextRetrieval,
]


@pytest.fixture
def inputs():
    return padded_inputs(make_batch([5, 9, 3], [4, 1, 6], mask=False))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    model_of().save_pretrained(folder)
    return folder


def of_images(inputs: dict) -> dict:
    """Two images an example, the second one's features turned round."""
    return {
        name: torch.stack([x, x if name != "region_features" else -x], 1) if name.startswith("region") else x
        for name, x in inputs.items()
    }


def test_answers(inputs, pretrained):
    model = AutoModelForVisualQuestionAnswering.from_pretrained(pretrained, num_labels=4).eval()
    assert isinstance(model, InterBertForQuestionAnswering) and not model.heads
    weights = torch.rand(3, 4)
    output = model(**inputs, labels=weights, add_global=True)
    expected = F.binary_cross_entropy_with_logits(output.logits, weights, reduction="sum") / 3
    torch.testing.assert_close(output.loss, expected)
    chosen = model(**inputs, labels=torch.tensor([1, 3, -100]))
    torch.testing.assert_close(chosen.loss, F.cross_entropy(chosen.logits, torch.tensor([1, 3, -100])))


def test_classes_and_numbers_of_texts(inputs, pretrained):
    text = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    model = AutoModelForSequenceClassification.from_pretrained(
        pretrained, id2label={0: "no", 1: "maybe", 2: "yes"}
    ).eval()
    assert (
        isinstance(model, InterBertForSequenceClassification) and model.config.task["classes"][1] == "maybe"
    )
    output = model(**text, labels=torch.tensor([0, 2, 1]))
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, torch.tensor([0, 2, 1])))
    number = InterBertForSequenceClassification.from_pretrained(pretrained, num_labels=1).eval()
    output = number(**text, labels=torch.tensor([0.5, 2.0, -1.0]))
    torch.testing.assert_close(output.loss, F.mse_loss(output.logits[:, 0], torch.tensor([0.5, 2.0, -1.0])))


def test_two_images(inputs, pretrained):
    model = InterBertForVisualReasoning.from_pretrained(pretrained, num_labels=2).eval()
    output = model(**of_images(inputs), labels=torch.tensor([0, 1, 1]), add_global=True)
    assert output.logits.shape == (3, 2)
    # As fine-tuning has it: two pairs one after the other.
    pairs = {name: x.flatten(0, 1) for name, x in of_images(inputs).items() if name.startswith("region")}
    pairs |= {name: inputs[name].repeat_interleave(2, 0) for name in ("input_ids", "attention_mask")}
    fine_tuned = fill_from(model)
    torch.testing.assert_close(fine_tuned(**pairs, add_global=True).logits, output.logits)
    with pytest.raises(ValueError, match="2 images, regions"):
        model(**inputs)


def fill_from(model) -> InterBertFineTuned:
    inner = InterBertFineTuned(model.config).eval()
    inner.load_state_dict(model.state_dict())
    return inner


def test_choices(inputs, pretrained):
    model = AutoModelForMultipleChoice.from_pretrained(pretrained).eval()
    assert isinstance(model, InterBertForMultipleChoice)
    given = {
        name: x if name.startswith("region") else torch.stack([x, x.flip(0)], 1) for name, x in inputs.items()
    }
    output = model(**given, labels=torch.tensor([0, 1, 0]))
    assert output.logits.shape == (3, 2)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, torch.tensor([0, 1, 0])))
    alone = fill_from(model)(**inputs).logits[:, 0]
    torch.testing.assert_close(output.logits[:, 0], alone, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="choices, words"):
        model(**inputs)


@pytest.mark.parametrize("add_global", [True, False])
def test_regions(inputs, pretrained, add_global):
    model = InterBertForRegionChoice.from_pretrained(pretrained).eval()
    output = model(**inputs, labels=torch.tensor([3, 0, 5]), add_global=add_global)
    assert output.logits.shape == inputs["region_mask"].shape
    assert (output.logits.argmax(-1) < inputs["region_mask"].sum(-1)).all()
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, torch.tensor([3, 0, 5])))
    overlaps = torch.rand(inputs["region_mask"].shape)
    real = inputs["region_mask"].bool()
    found = model(**inputs, labels=overlaps, add_global=add_global)
    expected = F.binary_cross_entropy_with_logits(found.logits[real], overlaps[real])
    torch.testing.assert_close(found.loss, expected)


def test_matches(inputs, pretrained):
    model = InterBertForImageTextRetrieval.from_pretrained(pretrained).eval()
    output = model(**inputs, labels=torch.tensor([1, 0, -100]), add_global=True)
    assert list(model.heads) == ["match"]
    expected = F.binary_cross_entropy_with_logits(output.logits[:2], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(output.loss, expected)
    torch.testing.assert_close(output.logits.sigmoid(), output.match_probability)
    whole = load_ours(pretrained)
    torch.testing.assert_close(whole(**inputs, add_global=True).match_probability, output.match_probability)


@pytest.mark.parametrize("kind", WITH_ONE_PAIR)
def test_what_either_wrote_the_other_reads(inputs, pretrained, kind, tmp_path):
    model = kind.from_pretrained(pretrained).eval()
    model.save_pretrained(tmp_path / "theirs")
    ours = load_ours(tmp_path / "theirs")
    assert isinstance(ours, InterBertFineTuned) == (kind is not InterBertForImageTextRetrieval)
    ours.save_pretrained(tmp_path / "ours")
    again, info = kind.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(again.eval()(**inputs).logits, model(**inputs).logits)
    with safe_open(tmp_path / "ours" / "model.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"


def test_the_classes_of_a_tuned_model_are_its_labels(tmp_path):
    config = tiny_config(task={"kind": "classify", "classes": ["a", "b", "c"]}, prediction_heads=[])
    InterBertFineTuned.from_seed(config, 1).save_pretrained(tmp_path)
    model = InterBertForSequenceClassification.from_pretrained(tmp_path)
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"} and model.config.label2id["c"] == 2
    other = InterBertForSequenceClassification.from_pretrained(
        tmp_path, num_labels=5, ignore_mismatched_sizes=True
    )
    assert other.task.classifier.out_features == 5


def test_the_head_of_another_task_is_refused(pretrained, tmp_path):
    InterBertForRegionChoice.from_pretrained(pretrained).save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="has the head of another task"):
        InterBertForQuestionAnswering.from_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="does not match texts and images"):
        InterBertForImageTextRetrieval(tiny_config(match_head="none", prediction_heads=["tokens"]))


def test_asking_for_a_head_leaves_the_configuration_as_it_was():
    config = tiny_config()
    before = config.to_dict()
    InterBertForMultipleChoice(config)
    assert config.to_dict() == before and config.task is None
