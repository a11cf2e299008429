"""What is said of ranked candidates: by definition, by hand, and the files that are handed in."""

import json
from math import log2

import pytest
from official_files import write_rows

from interbert.tasks.official import kdd2020, muge
from interbert.tasks.official.official import official_figures, write_submission
from interbert.tasks.official.ranked import ranked


def line(id_, scores, relevant=None, task="kdd2020", **fields):
    candidates = [str(70 + place) for place in range(len(scores))]
    known = {} if relevant is None else {"relevant": relevant}
    told = {"id": id_, "candidates": candidates, "scores": scores, "prediction": 0, "label": None}
    return told | known | {"official": task} | fields


def test_the_best_come_first_and_equals_stay_in_their_order():
    assert ranked(line("9", [0.1, 0.9, 0.5, 0.9])) == ["71", "73", "72", "70"]


def test_ndcg_at_five():
    perfect, reverse = [0.9, 0.8, 0.1], [0.1, 0.2, 0.9]
    assert kdd2020.ndcg(ranked(line("9", perfect)), ["70", "71"]) == 1
    # The places 2 and 3 of three are right: (1 / log2(2) + 1 / log2(3)) of (1 + 1 / log2(2)).
    assert kdd2020.ndcg(ranked(line("9", reverse)), ["70", "71"]) == pytest.approx((1 + 1 / log2(3)) / 2)
    seven = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    assert kdd2020.ndcg(ranked(line("9", seven)), ["75", "76"]) == 0, "beyond the fifth nothing counts"
    ideal = 1 + 1 + 1 / log2(3) + 1 / log2(4) + 1 / log2(5)
    six = ["70", "1", "2", "3", "4", "5"]
    assert kdd2020.ndcg(ranked(line("9", seven)), six) == pytest.approx(1 / ideal), (
        "five at most can be right"
    )
    lines = [line("9", perfect, ["70", "71"]), line("8", reverse, ["70", "71"]), line("7", perfect)]
    assert kdd2020.figures(lines) == {"nDCG@5": pytest.approx((1 + (1 + 1 / log2(3)) / 2) / 2)}
    assert kdd2020.figures(lines[2:]) == {}


def test_recall_where_any_of_several_is_found():
    twelve = [1 - place / 20 for place in range(12)]
    lines = [
        line(1, twelve, ["70"], "muge"), line(2, twelve, ["81", "74"], "muge"), line(3, twelve, ["81"], "muge"),
        line(4, twelve, ["99"], "muge"), line(5, twelve, None, "muge"),
    ]  # fmt: skip
    assert muge.figures(lines) == {"r1": 0.25, "r5": 0.5, "r10": 0.5, "mean_recall": pytest.approx(1.25 / 3)}
    assert muge.figures(lines[-1:]) == {}


def test_what_is_handed_in(tmp_path):
    path = tmp_path / "predictions.jsonl"
    write_rows(path, [line("9", [0.1, 0.9, 0.5, 0.9], ["71"]), line("8", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])])
    assert official_figures(path) == {"task": "kdd2020", "figures": {"nDCG@5": 1.0}}
    write_submission(tmp_path / "s.csv", path)
    assert (tmp_path / "s.csv").read_text() == (
        "query-id,product1,product2,product3,product4,product5\n9,71,73,72,70\n8,75,74,73,72,71\n"
    )
    twelve = [place / 20 for place in range(12)]
    for fields in (["query_id", "item_ids"], ["text_id", "image_ids"]):
        write_rows(path, [line(1, twelve, ["70"], "muge", fields=fields)])
        write_submission(tmp_path / "s.jsonl", path)
        query, items = fields
        assert json.loads((tmp_path / "s.jsonl").read_text()) == {query: 1, items: list(range(81, 71, -1))}
    write_rows(path, [line(1, twelve[:9], ["70"], "muge", fields=fields)])
    with pytest.raises(ValueError, match="query 1 has 9 candidates, and exactly 10"):
        write_submission(tmp_path / "s.jsonl", path)
