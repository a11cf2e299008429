import json
from dataclasses import replace

import numpy as np
import pytest
from made_examples import make_examples, make_outputs
from small_store import write_small

from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import open_examples
from interbert.files import read_json, read_json_lines
from interbert.tasks.results.answers import answers_of
from interbert.tasks.results.results import Origin, predictions, write_results

ORIGIN = Origin("runs/x/export", "step 20", ["a.h5"], "train.jsonl", "of train", chosen_on_fingerprint="made")
ROWS = [[0.1, 0.7, 0.2], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]


def lines_of(examples, rows, corpus=None) -> list[dict]:
    outputs = make_outputs(rows)
    return list(predictions(examples, outputs, answers_of(examples, outputs, corpus)))


def classified(folder, **how):
    own = [{"question_id": 7, "type": "colour"}, {"prediction": "mine", "who": {"a": [1]}}, {}]
    given = {"labels": [1, 2, -100], "types": ["colour", "", ""]} | how
    return make_examples("classify", folder, classes=["cat", "dog", "ünïcorn"], own_fields=own, **given)


def test_the_files_of_a_run(tmp_path):
    found = write_results(tmp_path, classified(tmp_path), make_outputs(ROWS), None, ORIGIN)
    assert read_json(tmp_path / "results.json") == json.loads(json.dumps(found))
    assert (found["metric"], found["value"], found["examples"], found["without_label"]) == (
        "accuracy",
        0.5,
        2,
        1,
    )
    assert found["larger_is_better"] and found["kind"] == "classify"
    assert found["figures"]["accuracy"] == {"value": 0.5, "low": 0.0, "high": 1.0}
    assert {name: each["examples"] for name, each in found["by_type"].items()} == {"": 1, "colour": 1}
    assert found["by_type"]["colour"]["figures"]["accuracy"]["value"] == 1
    assert (found["model"], found["checkpoint"], found["tuned_on"]) == (
        "runs/x/export",
        "step 20",
        "train.jsonl",
    )
    assert found["chosen_on_this_data"] and not found["tuned_on_this_data"]
    assert found["data"] == {
        "examples": str(tmp_path / "examples.jsonl"),
        "fingerprint": "made",
        "stores": ["a.h5"],
    }
    assert "<svg" in (tmp_path / "results.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "examples.jsonl", "predictions.jsonl", "results.html", "results.json",
    ]  # fmt: skip
    lines = read_json_lines(tmp_path / "predictions.jsonl")
    assert lines == lines_of(classified(tmp_path), ROWS)
    assert "ünïcorn" in (tmp_path / "predictions.jsonl").read_text(encoding="utf-8")


def test_a_model_trained_on_the_very_examples(tmp_path):
    origin = replace(ORIGIN, tuned_on_fingerprint="made")
    found = write_results(tmp_path, classified(tmp_path), make_outputs(ROWS), None, origin)
    assert found["tuned_on_this_data"]


def test_lines_of_classes_carry_a_person_s_own_fields(tmp_path):
    lines = lines_of(classified(tmp_path), ROWS)
    assert lines[0] == {
        "question_id": 7,
        "type": "colour",
        "id": "example-0",
        "prediction": "dog",
        "scores": {"dog": 0.7, "ünïcorn": 0.2, "cat": 0.1},
        "label": "dog",
        "right": True,
    }
    assert lines[1]["who"] == {"a": [1]} and lines[1]["prediction"] == "cat" and lines[1]["right"] is False
    assert lines[2]["label"] is None and lines[2]["right"] is None and "texts" not in lines[2]


def test_lines_of_weights(tmp_path):
    examples = classified(tmp_path, labels=None, scores=[{1: 0.3, 0: 1.0}, {0: 1.0}, {}])
    lines = lines_of(examples, ROWS)
    assert [line["right"] for line in lines] == [0.3, True, False]
    assert lines[0]["label"] == {"dog": 0.3, "cat": 1.0} and lines[2]["label"] == {}


def test_of_many_classes_the_ten_largest_scores(tmp_path):
    examples = make_examples("classify", tmp_path, classes=[f"c{n}" for n in range(30)], labels=[29])
    (line,) = lines_of(examples, [np.arange(30) / 100])
    assert list(line["scores"]) == [f"c{n}" for n in range(29, 19, -1)]


def test_lines_of_choices_values_and_pairs(tmp_path):
    (line,) = lines_of(make_examples("choose", tmp_path, pairs=[2], labels=[0]), [[0.25, 0.75]])
    assert (line["prediction"], line["scores"], line["label"], line["right"]) == (1, [0.25, 0.75], 0, False)
    known, unknown = lines_of(make_examples("score", tmp_path, values=[2.5, float("nan")]), [[2.25], [1]])
    assert (known["prediction"], known["scores"], known["label"], known["right"]) == (2.25, None, 2.5, None)
    assert unknown["label"] is None
    examples = make_examples("match", tmp_path, pairs=[2, 2, 1], is_match=[1, 0, -100, -100, 1])
    tied, silent, alone = lines_of(examples, [[0.5, 0.5], [0.1, 0.2], [0.75]])
    assert (tied["prediction"], tied["label"], tied["right"]) == (0, [1, 0], 0.5)
    assert silent["prediction"] == 1 and silent["label"] is None and silent["right"] is None
    assert alone["right"] is True


def test_lines_of_regions(tmp_path):
    with Corpus(write_small(tmp_path / "a.h5")) as corpus:
        box = np.empty((2, 4), np.float32)
        corpus.read([1], [2], boxes_R4=box)
        examples = make_examples("point", tmp_path, images=[1, 1], boxes=[[box[1].tolist()], []])
        sure, silent = lines_of(examples, [[0.25, 0.5], [0.25, 0.5]], corpus)
        assert (sure["prediction"], sure["scores"], sure["right"]) == (1, [0.25, 0.5], True)
        assert np.allclose(sure["label"], box[1:])
        assert silent["prediction"] == 1 and silent["label"] is None and silent["right"] is None


def test_without_labels_there_are_predictions_and_no_figures(tmp_path):
    found = write_results(tmp_path, classified(tmp_path, labels=None), make_outputs(ROWS), None, ORIGIN)
    assert (found["value"], found["figures"], found["examples"], found["without_label"]) == (None, {}, 0, 3)
    assert len(read_json_lines(tmp_path / "predictions.jsonl")) == 3
    assert "predictions only" in (tmp_path / "results.html").read_text()


def test_a_figure_that_is_not_defined_is_null(tmp_path):
    examples = make_examples("score", tmp_path, values=[1.0, 2.0])
    found = write_results(tmp_path, examples, make_outputs([[3.0], [3.0]]), None, ORIGIN)
    assert found["value"] is None and found["figures"]["mean_squared_error"]["value"] == 2.5
    assert read_json(tmp_path / "results.json") == found


def test_a_metric_that_the_examples_do_not_have_is_refused_before_anything_is_written(tmp_path):
    examples = make_examples("match", tmp_path, pairs=[1, 1], is_match=[1, 0])
    with pytest.raises(ValueError, match="takes sets of true and false pairs"):
        write_results(tmp_path, examples, make_outputs([[0.5], [0.5]]), None, ORIGIN, "set_accuracy")
    assert not (tmp_path / "predictions.jsonl").exists()
    assert (
        write_results(tmp_path, examples, make_outputs([[0.9], [0.2]]), None, ORIGIN)["metric"]
        == "pair_accuracy"
    )


def test_of_a_file_as_it_is_opened(tmp_path):
    """Questions with weights of answers: what a user writes, and what is left of it."""
    asked = [
        {"id": 1, "images": ["image-0"], "texts": [["what is it"]], "scores": {"cat": 1.0, "dog": 0.3}},
        {
            "id": 2,
            "images": ["image-4"],
            "texts": [["what is it"]],
            "scores": {},
            "type": "odd",
            "asked_by": "me",
        },
        {"id": 3, "images": ["image-4"], "texts": [["who"]], "scores": {"dog": 0.6}, "type": "odd"},
    ]
    (tmp_path / "vqa.jsonl").write_text("".join(json.dumps(line) + "\n" for line in asked))
    with Corpus(write_small(tmp_path / "a.h5")) as corpus:
        examples = open_examples(tmp_path / "vqa.jsonl", corpus, "classify")
        rows = [[0.9, 0.2], [0.5, 0.4], [0.3, 0.6]]
        found = write_results(tmp_path, examples, make_outputs(rows), corpus, ORIGIN)
    assert (found["metric"], found["value"]) == ("soft_accuracy", pytest.approx(1.6 / 3))
    assert found["by_type"]["odd"]["figures"]["soft_accuracy"]["value"] == pytest.approx(0.3)
    lines = read_json_lines(tmp_path / "predictions.jsonl")
    assert [(line["id"], line["prediction"], line["right"]) for line in lines] == [
        ("1", "cat", True), ("2", "cat", False), ("3", "dog", 0.6),
    ]  # fmt: skip
    assert set(lines[1]) == {"asked_by", "type", "id", "prediction", "scores", "label", "right"}
    page = (tmp_path / "results.html").read_text()
    assert "who" in page and page.count('class="scene"') == 3
