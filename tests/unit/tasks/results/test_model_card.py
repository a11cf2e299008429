import pytest
import yaml
from made_examples import make_examples, make_outputs

from interbert.commands.output import MODEL
from interbert.config import Settings
from interbert.files import check_sums, write_sums
from interbert.tasks.results.model_card import model_card, write_card
from interbert.tasks.results.results import Origin, write_results


@pytest.fixture
def results(tmp_path):
    examples = make_examples(
        "classify", tmp_path, classes=["no", "yes"], labels=[1, 0, 1, 1], types=["a|b", "a|b", "<i>", "<i>"]
    )
    origin = Origin("m", "step 30, the best of 4", ["a.h5"], "train.jsonl", chosen_on_fingerprint="made")
    return write_results(tmp_path, examples, make_outputs([[0.1, 0.9]] * 4), None, origin)


def settings(**sections) -> Settings:
    task = {"kind": "classify", "examples": "data/tr`ain.jsonl"}
    tree = {"name": "my|<b>task", "task": task, "model": {"inherit_from": "runs/big/export"}, **sections}
    return Settings.model_validate(tree)


def test_the_card_tells_figures_origin_and_settings(results):
    card = model_card(settings(train={"learning_rate": 3e-5, "seed": 9}), results, 40)
    for part in (
        "| accuracy | 75.0 % | 25.0 % to 100.0 % |",
        "| a\\|b | 2 | 50.0 % |",
        "| \\<i\\> | 2 | 100.0 % |",
        "On 4 examples of `examples.jsonl`:",
        "The checkpoint was chosen by these examples",
        "- began: from `runs/big/export`",
        "- fine-tuned on: `` data/tr`ain.jsonl ``",
        "- steps: 40",
        "- this checkpoint: step 30, the best of 4",
        "- learning rate: `3e-05`",
        "- seed: `9`",
        "# my\\|\\<b\\>task",
    ):
        assert part in card, part


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, "- batch: `512 pairs`\n"),
        (
            {"step": {"micro_batches": 4, "token_budget": 3072}},
            "- batch: `512 pairs`, 4 micro-batches of at most 3,072 tokens a step\n",
        ),
        (
            {"step": {"micro_batches": 2, "token_budget": 1024}, "train": {"micro_batches": 2}},
            "- batch: 2 micro-batches of at most 1,024 tokens a step\n",
        ),
    ],
)
def test_the_batch_is_the_one_that_was_taken(results, sections, said):
    assert said in model_card(settings(**sections), results, 40)


def test_a_hub_can_read_its_front_and_a_person_its_settings(results):
    given = settings()
    card = model_card(given, results, 40)
    _, front, rest = card.split("---\n", 2)
    (model,) = yaml.safe_load(front)["model-index"]
    assert model["name"] == "my|<b>task"
    assert {"type": "accuracy", "value": 0.75} in model["results"][0]["metrics"]
    block = rest.partition("```yaml\n")[2].rpartition("```")[0]
    assert Settings.model_validate(yaml.safe_load(block)) == given


def test_without_labels_the_card_says_so(tmp_path):
    examples = make_examples("choose", tmp_path, pairs=[2])
    results = write_results(tmp_path, examples, make_outputs([[0.5, 0.5]]), None, Origin("m", "c", []))
    card = model_card(settings(task={"kind": "choose"}), results, 1)
    assert "None: no example of `examples.jsonl` has a label." in card and "model-index" not in card
    assert "from nothing" not in card and "- fine-tuned on: `nothing that is named in its settings`" in card


def test_it_is_one_of_the_export_s_files(tmp_path, results):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_sums(folder)
    write_card(folder, settings(), results, 1)
    check_sums(folder)
    assert "README.md" in (folder / "SHA256SUMS").read_text() and not MODEL.foreign(folder)
    (folder / "README.md").write_text("changed")
    with pytest.raises(ValueError, match="README"):
        check_sums(folder)
