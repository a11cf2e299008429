"""A tuned model is judged on as many tokens and regions as it was tuned with."""

import json

import pytest
from tuned import ONE_RANK, opened

from interbert.files import write_json
from interbert.model.beginning import fill
from interbert.tasks.finetuning import evaluate
from interbert.train.checkpoints.tuned_on import TUNED_ON


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """What a model says of examples, with these options."""
    task = opened(tmp_path, "classify")
    model, read = task.start()
    fill(model, read).save_pretrained(tmp_path / "export")
    monkeypatch.setattr(evaluate, "load_tokenizer", lambda _: task.tokenizer)

    def said(**options) -> list:
        output = tmp_path / "judged"
        stores = [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
        examples = task.train.examples.path
        evaluate.evaluate_examples(
            "classify", tmp_path / "export", examples, stores, output, ONE_RANK, precision="fp32", **options
        )
        lines = (output / "predictions.jsonl").read_text().splitlines()
        return [json.loads(line)["scores"] for line in lines]

    return said


def test_a_model_is_judged_as_it_was_tuned(judged, tmp_path):
    plain = judged()
    assert judged(max_regions=100) == plain and judged(max_regions=2) != plain, "without a note: all regions"
    lengths = {"max_text_tokens": 4, "max_regions": 2}
    write_json(tmp_path / "export" / TUNED_ON, {"tuned_on": "x", **lengths})
    noted = judged()
    assert noted == judged(**lengths) != plain
    assert judged(max_regions=100, max_text_tokens=12) == plain, "what is said counts"
