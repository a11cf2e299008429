"""Files of text-based image retrieval: MUGE's, Chinese-CLIP's, the KDD Cup's, Flickr30k-CN's and COCO-CN's."""

import json

import numpy as np
import pytest
from kdd_files import write_kdd as write_products
from official_files import write_rows
from small_store import write_named

from interbert import __main__ as program
from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import open_examples
from interbert.sources.captions.layouts import recognise
from interbert.sources.official.negatives import Negatives


def bring(*words: object, code: int = 0) -> None:
    assert program.main([str(word) for word in words]) == code


def write_kdd(path, rows) -> None:
    write_products(path, rows, width=8)


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


ROWS = [
    (71, 'red "shoe', 1), (72, "red hat", 2), (73, "red shoe for men", 3), (71, "blue cup", 4),
    (74, "blue cup", 4), (75, "green tea set", 5), (76, "a tea cup", 6),
]  # fmt: skip


def test_products_of_several_queries_are_stored_once_with_boxes_turned_round(tmp_path, capsys):
    write_kdd(tmp_path / "train.tsv", ROWS)
    bring("import", "--input", tmp_path / "train.tsv", "--output", tmp_path / "a.h5")
    assert "1 rows repeat a product" in capsys.readouterr().out
    with Corpus([tmp_path / "a.h5"]) as corpus:
        store = corpus.stores[0]
        assert store.image_ids == ["71", "72", "73", "74", "75", "76"]
        boxes = np.empty((2, 4), np.float32)
        corpus.read([3], [2], boxes_R4=boxes)
        assert boxes.tolist() == [[10, 5, 60, 50], [0, 0, 99, 90]]
        assert corpus.read_evidence(np.array([0, 0]), np.array([0, 1]))[1].tolist() == [3, 12]


def test_pairs_that_fit_and_negatives_of_queries_that_share_words(tmp_path):
    write_kdd(tmp_path / "train.tsv", [*ROWS, ROWS[0]])
    write_named(tmp_path / "a.h5", "71", "72", "73", "74", "75", "76")
    words = (
        "import",
        "kdd2020",
        "--input",
        tmp_path / "train.tsv",
        "--negatives",
        2,
        "--data",
        tmp_path / "a.h5",
    )
    bring(*words, "--output", tmp_path / "one.jsonl")
    bring(*words, "--output", tmp_path / "two.jsonl")
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    found = {line["id"]: line for line in lines_of(tmp_path / "one.jsonl")}
    assert len(found) == len(ROWS), "the same pair again is left out"
    assert found["1-71"]["texts"] == ['red "shoe'] and found["1-71"]["pairs"] == [
        [0, 0, 1],
        [1, 0, 0],
        [2, 0, 0],
    ]
    assert set(found["2-72"]["images"]) == {"72", "71", "73"}, "of the other red ones"
    for line in found.values():
        assert "71" not in line["images"][1:] or line["texts"] != ["blue cup"], "it fits that query too"
    with Corpus([tmp_path / "a.h5"]) as corpus:
        examples = open_examples(tmp_path / "one.jsonl", corpus, "match")
        assert len(examples) == 7 and (examples.is_match_P == 1).sum() == 7


def test_negatives_share_words_where_there_are_such():
    pairs = [
        (f"{colour} {thing}", f"{colour}{thing}") for colour in "abcd" for thing in ("shoe", "hat", "cup")
    ]
    pairs += [(f"no{n} other{n}", f"o{n}") for n in range(50)]
    drawn = Negatives(pairs, 3, seed=1)
    for row, (text, item) in enumerate(pairs[:12]):
        others = drawn.of(text, item, row)
        assert len(set(others)) == 3 and item not in others
        colour, thing = text.split()
        assert all(each.startswith(colour) or each.endswith(thing) for each in others)
    assert len(drawn.of("no1 other1", "o1", 99)) == 3, "any others, where none shares a word"
    assert len(Negatives([("a", "1"), ("b", "2")], 5, seed=1).of("a", "1", 0)) == 1
    with pytest.raises(ValueError, match="only one query"):
        Negatives([("A b", "1"), ("a  B", "2")], 1, seed=1)


CANDIDATES = [(71, "red shoe", 9), (72, "red shoe", 9), (73, "red shoe", 9), (74, "cup", 8), (75, "cup", 8)]


def test_candidates_of_queries_with_and_without_answers(tmp_path, capsys):
    write_kdd(tmp_path / "valid.tsv", CANDIDATES)
    (tmp_path / "valid_answer.json").write_text(json.dumps({"9": [73, 71, 99]}))
    words = ("import", "kdd2020", "--input", tmp_path / "valid.tsv", "--output", tmp_path / "v.jsonl")
    bring(*words, "--answers", tmp_path / "valid_answer.json")
    assert "1 rows were left out: the answers do not speak of the query" in capsys.readouterr().out
    (line,) = lines_of(tmp_path / "v.jsonl")
    assert line["id"] == "9" and line["official"] == "kdd2020" and line["relevant"] == ["73", "71", "99"]
    assert line["pairs"] == [[0, 0, 1], [1, 0, 0], [2, 0, 1]] and line["candidates"] == ["71", "72", "73"]
    bring(*words, "--overwrite")
    assert [line["pairs"][:2] for line in lines_of(tmp_path / "v.jsonl")] == [[[0, 0], [1, 0]]] * 2


@pytest.mark.parametrize(
    ("rows", "answers", "told"),
    [
        (CANDIDATES[:1] * 2, None, "line 3, product_id: 71 is a candidate of query 9 twice"),
        ([CANDIDATES[0], (72, "a cup", 9)], None, "line 3, query: 'a cup', but query_id 9 was 'red shoe'"),
        ([(71, "", 9)], None, "line 2, query: is empty"),
        (CANDIDATES, {"5": [1]}, "speaks of none of the 2 queries"),
        (CANDIDATES, [1], "is it valid_answer.json"),
    ],
)
def test_bad_files_of_the_kdd_cup(rows, answers, told, tmp_path, capsys):
    write_kdd(tmp_path / "valid.tsv", rows)
    words = ["import", "kdd2020", "--input", tmp_path / "valid.tsv", "--output", tmp_path / "v.jsonl"]
    if answers is not None:
        (tmp_path / "valid_answer.json").write_text(json.dumps(answers))
        words += ["--answers", tmp_path / "valid_answer.json"]
    bring(*words, code=2)
    assert told in capsys.readouterr().err and not (tmp_path / "v.jsonl").exists()


def test_a_cut_file_of_the_kdd_cup(tmp_path, capsys):
    write_kdd(tmp_path / "valid.tsv", CANDIDATES)
    text = (tmp_path / "valid.tsv").read_text()
    (tmp_path / "valid.tsv").write_text(text[:-30])
    words = ("import", "kdd2020", "--input", tmp_path / "valid.tsv", "--output", tmp_path / "v.jsonl")
    bring(*words, code=2)
    assert "line 6: 7 columns, 9 expected" in capsys.readouterr().err.replace(", :", ":").replace(
        "6, ", "6: "
    )
    (tmp_path / "valid.tsv").write_text(text.replace("query_id", "id"))
    bring(*words, code=2)
    assert "its first line lacks the columns query_id" in capsys.readouterr().err


MUGE = [
    {"query_id": 8, "query_text": "红色的鞋", "item_ids": [11, 12]},
    {"query_id": 9, "query_text": "茶杯"},
]
CLIP = [
    {"text_id": 8, "text": "红色的鞋", "image_ids": [11, 12]},
    {"text_id": 9, "text": "茶杯", "image_ids": []},
]


@pytest.mark.parametrize("queries", [MUGE, CLIP])
def test_queries_with_candidates(queries, tmp_path):
    names = list(queries[0])
    write_rows(tmp_path / "valid.jsonl", queries)
    write_rows(tmp_path / "first.jsonl", [{names[0]: n, names[2]: [13, 12, 14]} for n in (8, 9)])
    write_named(tmp_path / "a.h5", "12", "13", "14")
    words = (
        "import",
        "muge",
        "--queries",
        tmp_path / "valid.jsonl",
        "--candidates",
        tmp_path / "first.jsonl",
    )
    bring(*words, "--data", tmp_path / "a.h5", "--output", tmp_path / "v.jsonl")
    first, second = lines_of(tmp_path / "v.jsonl")
    assert first["pairs"] == [[0, 0, 0], [1, 0, 1], [2, 0, 0]] and first["relevant"] == ["11", "12"]
    assert first["fields"] == [names[0], names[2]] and first["images"] == ["13", "12", "14"]
    assert second["pairs"] == [[0, 0], [1, 0], [2, 0]] and "relevant" not in second
    with Corpus([tmp_path / "a.h5"]) as corpus:
        assert open_examples(tmp_path / "v.jsonl", corpus, "match").known_N.tolist() == [True, False]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": "a"}, "has neither query_id nor text_id"),
        ({"query_id": 8, "query_text": " "}, "query_text: ' ' is no text"),
        ({"query_id": 8, "query_text": "a", "item_ids": [1, 1]}, "item_ids: has an id twice"),
        ({"query_id": None, "query_text": "a"}, "query_id: None is no id"),
    ],
)
def test_bad_queries(row, told, tmp_path, capsys):
    write_rows(tmp_path / "q.jsonl", [row])
    write_rows(tmp_path / "first.jsonl", [{"query_id": 8, "item_ids": [1]}])
    words = ("import", "muge", "--queries", tmp_path / "q.jsonl", "--candidates", tmp_path / "first.jsonl")
    bring(*words, "--output", tmp_path / "v.jsonl", code=2)
    assert told in capsys.readouterr().err


def test_captions_of_flickr30k_cn_and_coco_cn(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text(
        "1000092795#zhm#0 两:m 个:q 年轻:a 小伙:n\n1000092795#zhm#1 两个人 站在 8:30 前\n10002456#zhb#0 a cat\n"
    )
    layout = recognise(path, "utf-8")
    assert "Flickr30k-CN" in layout.title
    assert [(caption.image, caption.text) for caption in layout.captions()] == [
        ("1000092795", "两个年轻小伙"), ("1000092795", "两个人 站在 8:30 前"), ("10002456", "a cat"),
    ]  # fmt: skip
    path.write_text("COCO_val2014_000000000042#zhm#0 一只猫\nno caption\n")
    with pytest.raises(ValueError, match=r"line 2: 'no caption'; NAME#KIND#NUMBER"):
        list(recognise(path, "utf-8").captions())
