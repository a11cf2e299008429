"""Queries of a file ranked against all images: held to a plain matrix, whatever the tiles, with several that fit."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from official_files import write_rows

from interbert.ranks.distributed import Ranks
from interbert.sources.official.muge import LAYOUTS
from interbert.tasks.retrieval.evaluation import Options, evaluate_queries, format_queries
from interbert.tasks.retrieval.queries import BEST, Queries, Ranked, read_queries
from interbert.tasks.retrieval.tiles import Tile

IMAGES, QUERIES = 40, 15


@pytest.fixture
def ranks() -> Ranks:
    return Ranks(0, 1, 0, torch.device("cpu"), "python")


def some_queries(rng) -> Queries:
    """Up to three images fit; of the last two it is not known."""
    pairs = [(q, i) for q in range(QUERIES - 2) for i in rng.choice(IMAGES, 1 + q % 3, replace=False)]
    query_F, image_F = np.array(pairs).T
    ids = list(range(100, 100 + QUERIES))
    known_Q = np.arange(QUERIES) < QUERIES - 2
    return Queries(LAYOUTS[0], ids, [f"text {n}" for n in ids], query_F, image_F, known_Q)


def tiles(scores_IQ, step):
    for rows in np.array_split(np.arange(IMAGES)[::-1], step):
        for columns in np.array_split(np.arange(QUERIES), 3):
            yield Tile(rows, columns), scores_IQ[np.ix_(rows, columns)]


def plain_rank(scores_I, right) -> float:
    own = max(scores_I[i] for i in right)
    others = [scores_I[i] for i in range(IMAGES) if i not in right]
    return 1 + sum(s > own for s in others) + sum(s == own for s in others) / 2


@pytest.mark.parametrize("step", [1, 4, 7])
@pytest.mark.parametrize("on_two", [False, True])
def test_ranks_and_best_are_those_of_the_whole_matrix(step, on_two):
    rng = np.random.default_rng(step)
    queries = some_queries(rng)
    scores_IQ = rng.integers(0, 12, (IMAGES, QUERIES)).astype(np.float32)  # with many ties
    everything = list(tiles(scores_IQ, step))
    parts = [everything[0::2], everything[1::2]] if on_two else [everything]
    made = [Ranked(queries, np.arange(IMAGES)) for _ in parts]
    for ranked, part in zip(made, parts, strict=True):
        ranked.find_own(part)
    own_Q = np.max([ranked.own_Q for ranked in made], axis=0)
    for ranked, part in zip(made, parts, strict=True):
        ranked.own_Q = own_Q
        ranked.count(part)
    found = made[0]
    found.join(made)
    right = [set(queries.image_F[queries.query_F == q].tolist()) for q in range(QUERIES)]
    wanted = [plain_rank(scores_IQ[:, q], right[q]) for q in range(QUERIES - 2)]
    assert found.ranks().tolist() == wanted
    best = [np.lexsort((np.arange(IMAGES), -scores_IQ[:, q]))[:BEST].tolist() for q in range(QUERIES)]
    assert found.rows_QK.tolist() == best
    figures = found.figures()
    assert figures["text_to_image"]["r5"] == np.mean(np.array(wanted) <= 5) and figures["without_answer"] == 2
    recalls = [figures["text_to_image"][name] for name in ("r1", "r5", "r10")]
    assert figures["text_to_image"]["mean_recall"] == pytest.approx(sum(recalls) / 3)


def test_what_is_not_on_the_shortlist_comes_last():
    queries = replace(
        some_queries(np.random.default_rng(0)), query_F=np.array([0, 1, 1]), image_F=np.array([5, 6, 7])
    )
    scores_IQ = np.full((IMAGES, QUERIES), -np.inf, np.float32)
    scores_IQ[:8, 0], scores_IQ[5, 0] = 1.0, 3.0
    scores_IQ[:5, 1] = 1.0
    ranked = Ranked(queries, np.arange(IMAGES))
    ranked.find_own(tiles(scores_IQ, 4))
    ranked.count(tiles(scores_IQ, 4))
    # Of query 1 two fit among 35 that are not scored: the best of them is taken to be in the middle of the others.
    assert ranked.ranks()[:2].tolist() == [1, 1 + 5 + 33 / 2]
    with pytest.raises(ValueError, match="query 100 has fewer than 10 images"):
        next(ranked.predictions(None))


def write_queries(path, corpus) -> list[dict]:
    rows = [
        {
            "text_id": n,
            "text": corpus.caption_text(3 * n),
            "image_ids": [corpus.image_id(n), corpus.image_id(n + 1)],
        }
        for n in range(5)
    ]
    rows.append({"text_id": 9, "text": "a red ball", "image_ids": []})
    write_rows(path, rows)
    return rows


def test_a_model_ranks_queries_and_writes_what_is_handed_in(world, corpus, ranks, tmp_path):
    write_queries(tmp_path / "q.jsonl", corpus)
    data, options = [world / "scenes.h5"], Options(precision="fp32")
    args = (world / "model", data, tmp_path / "q.jsonl", ranks)
    found = evaluate_queries(*args, options, None, tmp_path / "s.jsonl")
    assert (found["images"], found["queries"], found["without_answer"]) == (12, 6, 1)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [line["text_id"] for line in lines] == [0, 1, 2, 3, 4, 9]
    assert all(len(set(line["image_ids"])) == BEST for line in lines)
    assert "of 1 it is not known what fits" in format_queries(found) and "R@10" in format_queries(found)
    among = [
        set(line["image_ids"]) & {corpus.image_id(n), corpus.image_id(n + 1)}
        for n, line in enumerate(lines[:5])
    ]
    assert found["text_to_image"]["r10"] == np.mean([bool(each) for each in among])
    again = evaluate_queries(*args, replace(options, token_budget=90), tmp_path / "work")
    assert again["text_to_image"] == found["text_to_image"]
    vectors = {"images": np.eye(12, 8), "captions": np.ones((6, 8))}
    np.savez(tmp_path / "v.npz", **vectors)
    few = evaluate_queries(*args, replace(options, shortlist=4, vectors=str(tmp_path / "v.npz")))
    assert few["text_to_image"]["mean_rank"] != found["text_to_image"]["mean_rank"]


def test_an_image_that_fits_and_is_not_there(corpus, tmp_path):
    write_rows(tmp_path / "q.jsonl", [{"query_id": 1, "query_text": "a", "item_ids": ["nowhere"]}])
    with pytest.raises(ValueError, match="lacks 1 of the images that fit, such as nowhere"):
        read_queries(tmp_path / "q.jsonl", corpus)


def test_the_script(world, corpus, tmp_path, capsys):
    path = Path(__file__).parents[4] / "launch" / "evaluate.py"
    spec = importlib.util.spec_from_file_location("evaluate_of_queries", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    write_queries(tmp_path / "q.jsonl", corpus)
    words = ["--task", "retrieval", "--model", world / "model", "--data", world / "scenes.h5"]
    words += ["--queries", tmp_path / "q.jsonl", "--output", tmp_path / "r.json"]
    alone = Ranks(0, 1, 0, torch.device("cpu"), "python")
    with patch("interbert.ranks.distributed.start_ranks", lambda: alone):
        with patch.object(
            sys, "argv", ["evaluate.py", *map(str, words), "--submission", str(tmp_path / "s.jsonl")]
        ):
            assert script.main() == 0
        assert "mean" in capsys.readouterr().out and len((tmp_path / "s.jsonl").read_text().splitlines()) == 6
        assert json.loads((tmp_path / "r.json").read_text())["queries"] == 6
        argv = ["evaluate.py", *map(str, words), "--overwrite", "--folds", "3"]
        with patch.object(sys, "argv", argv), pytest.raises(SystemExit):
            script.main()
        assert "--folds does not go with --queries" in capsys.readouterr().err
