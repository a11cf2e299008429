"""Damaged images met in judging: their examples are in no figure, and it is said how many there are."""

import numpy as np
import pytest
from example_files import write_lines
from plain_engine import plain_engine
from small_world import WordTokenizer, damage
from tuned import ONE_RANK, lines_of, opened, settled

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.model.beginning import fill
from interbert.tasks.finetuning import matrix
from interbert.tasks.finetuning.judge import ExampleJudge, SetJudge
from interbert.tasks.finetuning.task import open_finetuning
from interbert.tasks.results.results import Origin, write_results
from interbert.tasks.retrieval.retrieval import evaluate_retrieval

KINDS = ("classify", "weighed", "two", "score", "choose", "match", "point")


def engine_of(task, model, stage: int = 0):
    return plain_engine(task.settings, task.terms, task.step(model), stage)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_those_of_the_other_examples(kind, tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("hurt", "others"):
        (tmp_path / name).mkdir()
    task = opened(tmp_path / "hurt", kind, count=12, data={"skip_damaged": 99})
    bad = sorted(set(task.train.examples.image_P.tolist()))[1:4]
    hurt = set(bad)
    examples = task.train.examples
    starts = examples.first_pair
    left_out = [n for n in range(12) if hurt & set(examples.image_P[starts[n] : starts[n + 1]].tolist())]
    assert 0 < len(left_out) < 12
    model = fill(*task.start())
    for image in bad:
        store, row = ("a.h5", image) if image < 40 else ("b.h5", image - 40)
        damage(tmp_path / "hurt" / store, [row])
    judge = ExampleJudge(examples, task.train.tokens, task.corpus, settled(task))
    found = judge.figures(engine_of(task, model), ONE_RANK)

    lines = [line for n, line in enumerate(lines_of(kind, 12)) if n not in left_out]
    path = write_lines(tmp_path / "rest.jsonl", lines)
    known = {"examples": str(path), "labels": task.head.classes or []}
    rest = opened(tmp_path / "others", kind, count=12, task=known)
    sound = ExampleJudge(rest.train.examples, rest.train.tokens, rest.corpus, settled(rest))
    wanted = sound.figures(engine_of(rest, model), ONE_RANK)
    assert found.pop("left_out") == len(left_out)
    assert found == pytest.approx(wanted, rel=1e-5, nan_ok=True)
    assert sum("left out of the figures" in line for line in caplog.messages) == len(bad)
    judge.figures(engine_of(task, model), ONE_RANK)
    assert sum("left out of the figures" in line for line in caplog.messages) == len(bad), "each once"


def test_results_say_how_many_are_left_out(tmp_path):
    task = opened(tmp_path, "classify", count=8, data={"skip_damaged": 99})
    image = int(task.train.examples.image_P[2])
    damage(tmp_path / ("a.h5" if image < 40 else "b.h5"), [image % 40])
    model = fill(*task.start())
    judge = ExampleJudge(task.train.examples, task.train.tokens, task.corpus, settled(task))
    outputs, _ = judge.said(task.step(model), task.terms, ONE_RANK)
    left_out = np.flatnonzero(task.train.examples.image_P == image)
    assert np.flatnonzero(outputs.damaged_N).tolist() == left_out.tolist()
    origin = Origin("m", "as it is", [])
    found = write_results(tmp_path / "judged", task.train.examples, outputs, task.corpus, origin)
    assert (found["examples"], found["left_out"], found["without_label"]) == (
        8 - len(left_out),
        len(left_out),
        0,
    )
    assert f"{len(left_out)} more are left out" in (tmp_path / "judged" / "results.html").read_text()


def test_sets_with_damaged_images_are_left_out(tmp_path, monkeypatch):
    opened(tmp_path, "match")
    damage(tmp_path / "b.h5", [0, 7])
    tree = {
        "name": "sets",
        "model": {"inherit_from": str(tmp_path / "model")},
        "data": {
            "train": [str(tmp_path / "a.h5")],
            "validation": [str(tmp_path / "b.h5")],
            "max_text_tokens": 12,
        },
        "task": {"kind": "match", "sets": {"near_images": 0}},
        "train": {"batch": "8 sets", "validation_micro_batches": 1000},
    }
    tree["data"] |= {"max_regions": 10, "token_budget": 400, "skip_damaged": 99}
    task = open_finetuning(Settings.model_validate(tree), ONE_RANK, lambda _: WordTokenizer())
    model, judge = fill(*task.start()), SetJudge(settled(task), WordTokenizer(), None)
    copied = []
    monkeypatch.setattr(matrix, "whole_model", lambda engine: copied.append(engine) or model)
    shared_out = judge.figures(engine_of(task, model, stage=3), ONE_RANK)
    assert len(copied) == 1, "which no rank has whole"
    model.train()
    found = judge.figures(engine_of(task, model), ONE_RANK)
    assert found == shared_out and model.training and len(copied) == 1
    assert list(found) == [*judge.names(task.terms), "left_out"]
    with Corpus([tmp_path / "b.h5"]) as corpus:
        tokens = token_table(corpus, WordTokenizer(), 12)
        sound = np.array([image for image in range(40) if image not in (0, 7)])
        wanted = evaluate_retrieval(model, corpus, tokens, images=sound, token_budget=400, max_regions=10)
    assert found["text_to_image.r1"] == wanted["text_to_image"]["r1"]
    assert found["image_to_text.r1"] == wanted["image_to_text"]["r1"]
    assert 2 * 3 <= found["left_out"] < 40 and 0 <= found["set_accuracy"] <= 1
