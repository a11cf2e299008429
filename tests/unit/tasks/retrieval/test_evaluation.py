"""Evaluation from files: a model on stores, a run before and after, and every mismatch said."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from random_model import WIDTH, small_config
from small_world import damage

from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.model.interbert import InterBertForPreTraining
from interbert.ranks.distributed import Ranks
from interbert.sources.scenes.write import write_scenes
from interbert.tasks.retrieval import evaluation
from interbert.tasks.retrieval.evaluation import (
    EvaluationError,
    Options,
    choose_captions,
    evaluate_model,
    evaluate_run,
    format_table,
)
from interbert.tasks.retrieval.retrieval import evaluate_retrieval
from interbert.tasks.retrieval.tile_folder import clear


@pytest.fixture
def ranks() -> Ranks:
    return Ranks(0, 1, 0, torch.device("cpu"), "python")


def test_a_model_on_a_store(world, ranks):
    found = evaluate_model(world / "model", [world / "scenes.h5"], ranks, Options(precision="fp32"))
    assert (found["images"], found["captions"], found["vague"]["captions"]) == (12, 12, 12)
    assert found["precision"] == "fp32"
    few = evaluate_model(
        world / "model", [world / "scenes.h5"], ranks, Options(max_images=5, split_captions="all")
    )
    assert (few["images"], few["captions"], "vague" in few) == (5, 15, False)
    lines = format_table({"model": found}).splitlines()
    assert len(lines) == 6
    assert f"{100 * found['text_to_image']['r5']:.1f} %" in lines[1]
    assert lines[3].startswith("model vague, text to image")


def test_damaged_images_are_left_out_where_asked(world, ranks, tmp_path):
    data = tmp_path / "scenes.h5"
    shutil.copy(world / "scenes.h5", data)
    options = {"precision": "fp32", "split_captions": "all"}
    damage(data, [2, 7])
    found = evaluate_model(world / "model", [data], ranks, Options(**options, skip_damaged=True))
    assert (found["images"], found["captions"], found["left_out"]) == (10, 30, 2)
    assert "2 more images are left out" in format_table({"": found})
    with Corpus([data]) as corpus:
        model, tokenizer = evaluation.load_for(world / "model", corpus)
        tokens = token_table(corpus, tokenizer, 64)
        images = np.array([n for n in range(12) if n not in (2, 7)])
        wanted = evaluate_retrieval(model, corpus, tokens, images=images)
    assert found["text_to_image"] == wanted["text_to_image"]
    assert "left_out" not in evaluate_model(world / "model", [world / "scenes.h5"], ranks, Options(**options))


def test_folds_a_shortlist_and_kept_scores(world, ranks, corpus, tmp_path):
    random = np.random.default_rng(0)
    vectors = {
        "images": random.normal(size=(corpus.images, 3)),
        "captions": random.normal(size=(corpus.captions, 3)),
    }
    np.savez(tmp_path / "vectors.npz", **vectors)
    options = Options(
        precision="fp32", split_captions="all", folds=2, shortlist=2, vectors=str(tmp_path / "vectors.npz")
    )
    data, work = [world / "scenes.h5"], tmp_path / "work"
    found = evaluate_model(world / "model", data, ranks, options, work)
    assert found["folds"]["number"] == 2
    assert 0 < found["shortlist"]["true_pairs_inside"] < 1
    lines = format_table({"": found}).splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "text to image",
        "image to text",
        "in folds, text to image",
        "in folds, image to text",
    ]
    assert lines[-1].startswith(f"shortlist of 2: {found['shortlist']['pairs']} pairs")
    assert evaluate_model(world / "model", data, ranks, options, work) == found
    assert len(list(work.glob("tiles-*"))) == 1
    (work / "of the user").touch()
    clear(work)
    assert [path.name for path in work.iterdir()] == ["of the user"]


def test_a_run_before_and_after(world, ranks, tmp_path, monkeypatch):
    run = tmp_path / "run"
    with pytest.raises(EvaluationError, match="has to finish"):
        evaluate_run(run, [], ranks, Options())
    shutil.copytree(world / "model", run / "initial")
    model = InterBertForPreTraining.from_pretrained(str(world / "model"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-1)
    shutil.copytree(world / "model", run / "export")
    model.save_pretrained(run / "export")
    scenes = {"folder": str(tmp_path / "scenes"), "seed": 7, "feature_width": WIDTH}
    scenes |= {"train_images": 1, "validation_images": 1, "test_images": 6}
    (run / "config.yaml").write_text(yaml.safe_dump({"name": "run", "scenes": scenes}))

    found = evaluate_run(run, [], ranks, Options())
    assert found == json.loads((run / "evaluation.json").read_text())
    assert list(found) == ["before", "after"]
    assert found["before"]["text_to_image"] != found["after"]["text_to_image"]
    assert found["after"]["images"] == 6
    assert set(found["after"]["image_to_text"]) == {"r1", "r5", "r10", "median_rank", "mean_rank"}

    done = []
    monkeypatch.setattr(evaluation, "evaluate_model", lambda folder, *_: done.append(folder.name) or {})
    assert evaluate_run(run, [], ranks, Options()) == found
    assert done == [], "nothing has changed, so nothing is done again"
    with open(run / "export" / "config.json", "a") as file:
        file.write("\n")
    evaluate_run(run, [], ranks, Options())
    assert done == ["export"]


def test_a_run_on_other_data_needs_stores(world, ranks, tmp_path):
    shutil.copytree(world / "model", tmp_path / "export")
    with pytest.raises(EvaluationError, match=r"no config\.yaml"):
        evaluate_run(tmp_path, [], ranks, Options())
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"name": "run", "data": {"train": ["elsewhere.h5"]}})
    )
    with pytest.raises(EvaluationError, match="--data"):
        evaluate_run(tmp_path, [], ranks, Options())
    assert list(evaluate_run(tmp_path, [world / "scenes.h5"], ranks, Options(max_images=3))) == ["after"]


def test_what_does_not_fit_together_is_refused(world, ranks, tmp_path):
    data = [world / "scenes.h5"]

    def refuses(match: str, folder=tmp_path / "model", **options) -> None:
        with pytest.raises(ValueError, match=match):
            evaluate_model(folder, data, ranks, Options(**options))

    refuses(r"no config\.json", folder=tmp_path)
    shutil.copytree(world / "model", tmp_path / "model")
    refuses("99 .* has? ?64 positions|99, but the model has 64 positions", max_text_tokens=99)
    for name in ("tokenizer.json", "vocab.txt"):
        (tmp_path / "model" / name).unlink(missing_ok=True)
    refuses("neither tokenizer.json nor vocab.txt")

    with Corpus(data) as corpus:
        vocabulary = InterBertForPreTraining.from_pretrained(str(world / "model")).config.vocab_size
        wide = InterBertForPreTraining(small_config(vocabulary, corpus.classes, feature_width=40))
        wordy = InterBertForPreTraining(small_config(vocabulary + 3, corpus.classes))
    shutil.copytree(world / "model", tmp_path / "wide")
    wide.save_pretrained(tmp_path / "wide")
    refuses(rf"feature_width is 40.* {WIDTH}", folder=tmp_path / "wide")
    shutil.copytree(world / "model", tmp_path / "wordy")
    wordy.save_pretrained(tmp_path / "wordy")
    refuses(rf"vocab_size is {vocabulary + 3}.* {vocabulary}", folder=tmp_path / "wordy")


def test_incomplete_weights_are_refused(world, ranks, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(world / "model", folder)
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["heads.match.classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing: heads\.match\.classifier\.weight"):
        evaluate_model(folder, [world / "scenes.h5"], ranks, Options())
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="weights cannot be read"):
        evaluate_model(folder, [world / "scenes.h5"], ranks, Options())
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "bert"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="a bert, not an interbert"):
        evaluate_model(folder, [world / "scenes.h5"], ranks, Options())


def test_captions_of_data_without_distinctive_ones(tmp_path):
    write_scenes(tmp_path / "scenes.h5", 4, seed=1, feature_width=16, captions=2)
    with Corpus([tmp_path / "scenes.h5"]) as corpus:
        images = np.arange(4)
        captions, vague = choose_captions(corpus, images, None)
        assert (corpus.caption_kind[captions] == 1).all()
        assert (corpus.caption_kind[vague] == 0).all()
        corpus.caption_kind = np.zeros_like(corpus.caption_kind)
        captions, vague = choose_captions(corpus, images, None)
        assert (len(captions), len(vague)) == (8, 0)
        with pytest.raises(EvaluationError, match="--split-captions all"):
            choose_captions(corpus, images, "distinctive")
