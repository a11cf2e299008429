"""Official figures against other implementations of them, and the files that servers take."""

import json
import random
import re
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from example_files import write_lines
from made_examples import make_examples, make_outputs
from sklearn import metrics

from interbert.commands.summary import summarise
from interbert.files import read_json
from interbert.sources.official.glue_tasks import SUBMISSIONS, TASKS
from interbert.sources.official.vqa_answers import cleaned, official_accuracy
from interbert.tasks.official.official import (
    named_figures,
    official_figures,
    refuse_without_submission,
    write_submission,
)
from interbert.tasks.results.results import Origin, write_results


def judged(folder: Path, lines: list[dict]) -> dict:
    return official_figures(write_lines(folder / "predictions.jsonl", lines))


MARKS = set(';/[]"{}()=+\\_-><@`,?!')
WORDS = {"none": "0", "zero": "0", "one": "1", "two": "2", "five": "5", "nine": "9", "ten": "10"}
MENDED = {
    "dont": "don't", "wouldnt've": "wouldn't've", "wouldn'tve": "wouldn't've", "yall'd've": "y'all'd've",
    "y'alld've": "y'all'd've", "y'all'dve": "y'all'd've", "ow's'at": "'ow's'at", "'ows'at": "'ow's'at",
    "'ow'sat": "'ow's'at", "twas": "'twas", "oclock": "o'clock", "maam": "ma'am", "somebody'd": "somebodyd",
    "theyre": "they're", "itll": "it'll",
}  # fmt: skip
"""Of the scorer's numbers and mended words those that PIECES bring."""


def port_cleaned(text: str) -> str:
    """The scorer once more, a letter at a time."""
    inner = range(1, len(text) - 1)
    number = any(text[at] == "," and text[at - 1].isdigit() and text[at + 1].isdigit() for at in inner)
    touching = {mark for pair in pairwise(text) for mark, other in (pair, pair[::-1]) if other == " "}
    gone = {mark: "" if number or mark in touching else " " for mark in MARKS}
    out = "".join(gone.get(letter, letter) for letter in text)
    kept, taken = [], 0
    for at, letter in enumerate(out):
        if letter == "." and taken < 32 and not out[at + 1 : at + 2].isdigit():
            taken += 1
        else:
            kept.append(letter)
    words = [WORDS.get(word, word) for word in "".join(kept).lower().split()]
    return " ".join(MENDED.get(word, word) for word in words if word not in ("a", "an", "the"))


def port_accuracy(answer: str, ten: list[str]) -> float:
    """Over the ten subsets of nine."""
    answer, *ten = (re.sub("[\n\t]", " ", each).strip() for each in (answer, *ten))
    if any(each != ten[0] for each in ten):
        answer, *ten = map(port_cleaned, (answer, *ten))
    subsets = [ten[:place] + ten[place + 1 :] for place in range(len(ten))]
    return float(np.mean([min(1.0, sum(each == answer for each in nine) / 3) for nine in subsets]))


PIECES = [
    *MENDED,
    *WORDS,
    *("the", "A", "an", "Dog", "dog.", "...", "3.5", "x.y", "1,000", "t-shirt", "it’s", "\n", "\t", " "),
    *';/[]"{}()=+\\_-><@`,?!.',
]


def some_answers(draw: random.Random) -> list[str]:
    said = [
        draw.choice(["", " "]).join(draw.choices(PIECES, k=draw.choice([1, 1, 2, 3, 70]))) for _ in range(3)
    ]
    return [draw.choice(said) for _ in range(10)] if draw.random() < 0.8 else said[:1] * 10


def test_accuracy_of_vqa_is_that_of_a_port():
    draw = random.Random(3)
    for _ in range(4000):
        ten = some_answers(draw)
        answer = draw.choice([*ten, "dog"])
        assert official_accuracy(answer, ten) == pytest.approx(port_accuracy(answer, ten), abs=1e-12), (
            answer,
            ten,
        )


@pytest.mark.parametrize(
    ("answer", "clean"),
    [
        ("The dogs.", "dogs"),
        ("3.5", "3.5"),
        ("1,000 - no", "1000 no"),
        ("t-shirt", "t shirt"),
        ("none", "0"),
        ("dont", "don't"),
        ("somebody'd", "somebodyd"),
        ("." * 40, "." * 8),
    ],
)
def test_slips_of_the_scorer_are_kept(answer, clean):
    assert cleaned(answer) == clean


def test_figures_of_vqa_by_type_and_its_results(tmp_path):
    ten = ["red"] * 3 + ["blue"] * 7
    lines = [
        {"id": 7, "prediction": "red", "answers": ten, "type": "other", "question_type": "what color"},
        {"id": 8, "prediction": "Blue", "answers": ten, "type": "other", "question_type": "what is"},
        {"id": 9, "prediction": "yes", "answers": ["no"] * 10, "type": "yes/no", "question_type": "is"},
    ]
    lines = [{"official": "vqa2", "label": {}, **line} for line in lines]
    found = judged(tmp_path, lines)
    assert found == {
        "task": "vqa2",
        "figures": {
            "overall": 63.33,
            "perQuestionType": {"is": 0, "what color": 90, "what is": 100},
            "perAnswerType": {"other": 95, "yes/no": 0},
        },
    }
    assert list(named_figures(found)) == [("vqa2 overall", "63.33")]
    write_submission(tmp_path / "results.json", tmp_path / "predictions.jsonl")
    assert json.loads((tmp_path / "results.json").read_text()) == [
        {"question_id": 7, "answer": "red"},
        {"question_id": 8, "answer": "Blue"},
        {"question_id": 9, "answer": "yes"},
    ]


def test_statements_are_consistent_where_all_pairs_of_a_sentence_are_right(tmp_path):
    rights = {
        "dev-1-0-0": 1,
        "dev-1-1-0": 1,
        "dev-1-0-1": 1,
        "dev-1-1-1": 0,
        "dev-2-0-0": 1,
        "test1-1-0-0": 0,
    }
    lines = [
        {"id": id_, "prediction": "True", "label": "True" if right else "False", "official": "nlvr2"}
        for id_, right in rights.items()
    ]
    lines.append({"id": "dev-9-0-0", "prediction": "True", "label": None, "official": "nlvr2"})
    assert judged(tmp_path, lines)["figures"] == {"accuracy": 4 / 6, "consistency": 2 / 4}
    write_submission(tmp_path / "out.csv", tmp_path / "predictions.jsonl")
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows[0] == "dev-1-0-0,True" and len(rows) == 7


def test_subsets_have_figures_of_their_own(tmp_path):
    rights = {"dev-1-0-0": 1, "dev-1-1-0": 1, "dev-2-0-0": 0, "dev-2-1-0": 1}
    lines = [
        {"id": id_, "prediction": "True", "label": str(bool(right)), "official": "nlvr2", "type": type_}
        for (id_, right), type_ in zip(rights.items(), ["balanced"] * 3 + ["neither"], strict=True)
    ]
    assert judged(tmp_path, lines)["figures"]["subsets"] == {
        "balanced": {"accuracy": 2 / 3, "consistency": 1 / 2},
        "neither": {"accuracy": 1.0, "consistency": 1.0},
    }


def test_hypotheses_are_judged_by_their_gold_labels(tmp_path):
    lines = [
        {
            "id": 1,
            "prediction": "neutral",
            "label": {"neutral": 0.4, "entailment": 0.6},
            "gold_label": "neutral",
        },
        {"id": 2, "prediction": "neutral", "label": {"neutral": 1.0}, "gold_label": "entailment"},
    ]
    assert judged(tmp_path, [{"official": "snli-ve"} | line for line in lines])["figures"] == {
        "accuracy": 0.5
    }


@pytest.mark.parametrize("task", ["cola", "mrpc", "mnli", "stsb"])
def test_figures_of_glue_are_those_of_its_metrics(task, tmp_path):
    rng = np.random.default_rng(1)
    names = ["contradiction", "entailment", "neutral"] if task == "mnli" else ["0", "1"]
    right, said = rng.choice(names, 50).tolist(), rng.choice(names, 50).tolist()
    if task == "stsb":
        right = rng.random(50).round(3).tolist()
        said = (np.array(right) + rng.random(50)).tolist()
    lines = [
        {"id": n, "prediction": told_, "label": label, "official": f"glue-{task}"}
        for n, (told_, label) in enumerate(zip(said, right, strict=True))
    ]
    lines.append({"id": 50, "prediction": said[0], "label": None, "official": f"glue-{task}"})
    found = judged(tmp_path, lines)["figures"]
    agree = np.mean(np.array(right) == np.array(said))
    if task == "stsb":
        ranks = [np.argsort(np.argsort(values)) for values in (right, said)]
        expected = {"pearson": np.corrcoef(right, said)[0, 1], "spearmanr": np.corrcoef(*ranks)[0, 1]}
    elif task == "cola":
        table = metrics.confusion_matrix(right, said)
        (tn, fp), (fn, tp) = table.tolist()
        spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        expected = {"matthews_correlation": (tp * tn - fp * fn) / spread}
    elif task == "mrpc":
        both = sum(r == s == "1" for r, s in zip(right, said, strict=True))
        expected = {"accuracy": agree, "f1": 2 * both / (right.count("1") + said.count("1"))}
    else:
        expected = {"accuracy": agree}
    assert found == pytest.approx(expected)


def test_f1_of_ones_that_never_come_is_0(tmp_path):
    line = {"id": 0, "prediction": "0", "label": "0", "official": "glue-qqp"}
    assert judged(tmp_path, [line, line])["figures"] == {"accuracy": 1, "f1": 0}


def test_tables_of_glue_gather_in_one_archive(tmp_path):
    archive = tmp_path / "glue.zip"
    for name in SUBMISSIONS:
        names = TASKS[name.removeprefix("glue-").removesuffix("-mm")].labels
        values = [names[place] for place in (1, 0, 1)] if names else [-0.3, 2.34567, 7]
        lines = [
            {"id": n, "prediction": value, "label": None, "official": name} for n, value in enumerate(values)
        ]
        said = write_submission(archive, write_lines(tmp_path / "predictions.jsonl", lines))
        assert ("that is all" in said) == (name == list(SUBMISSIONS)[-1])
    with zipfile.ZipFile(archive) as file:
        assert sorted(file.namelist()) == sorted(
            f"{name}.tsv"
            for name in "CoLA SST-2 MRPC STS-B MNLI-m MNLI-mm QNLI QQP RTE WNLI AX".split()  # noqa: SIM905
        )
        assert file.read("STS-B.tsv").decode() == "index\tprediction\n0\t0.000\n1\t2.346\n2\t5.000\n"
        assert file.read("AX.tsv").decode() == (
            "index\tprediction\n0\tentailment\n1\tcontradiction\n2\tentailment\n"
        )


def test_answers_of_another_task_are_not_handed_in(tmp_path):
    """A model of MNLI says neutral, which RTE does not know."""
    lines = [{"id": 0, "prediction": name, "official": "glue-rte"} for name in ("entailment", "neutral")]
    path = write_lines(tmp_path / "predictions.jsonl", lines)
    with pytest.raises(
        ValueError, match="'neutral' is none of entailment, not_entailment, the classes of rte"
    ):
        write_submission(tmp_path / "glue.zip", path)
    assert not (tmp_path / "glue.zip").exists()


def test_what_cannot_be_handed_in_is_refused(tmp_path):
    own = write_lines(tmp_path / "own.jsonl", [{"id": 1, "texts": ["a"], "label": "b"}])
    with pytest.raises(ValueError, match="not of one official task"):
        refuse_without_submission(tmp_path / "a.json", own)
    assert official_figures(own) is None
    entailed = write_lines(tmp_path / "ve.jsonl", [{"id": 1, "official": "snli-ve"}])
    with pytest.raises(ValueError, match="no server"):
        refuse_without_submission(tmp_path / "a.json", entailed)
    statement = write_lines(
        tmp_path / "n.jsonl", [{"id": "dev-1-0-0", "prediction": None, "official": "nlvr2"}]
    )
    with pytest.raises(ValueError, match="only the files of GLUE"):
        refuse_without_submission(tmp_path / "a.zip", statement)
    with pytest.raises(ValueError, match="damaged"):
        write_submission(tmp_path / "a.csv", statement)
    assert not (tmp_path / "a.csv").exists()
    table = write_lines(tmp_path / "t.jsonl", [{"id": 0, "prediction": "1", "official": "glue-wnli"}])
    with pytest.raises(ValueError, match="no zip"):
        write_submission(write_lines(tmp_path / "bad.zip", ["text"]), table)


def situation(id_: str, answer: int, rationales: list[int], right: tuple[int, int] | None) -> list[dict]:
    """A line for the answer, and one for the rationales given each answer, as they were told."""
    lines = []
    for given, told_ in ((None, answer), *enumerate(rationales)):
        scores = [0.7 if choice == told_ else 0.1 for choice in range(4)]
        label = None
        if right is not None and given in (None, right[0]):
            label = right[0] if given is None else right[1]
        line = {
            "id": f"{id_}-{given}",
            "annot_id": id_,
            "prediction": told_,
            "scores": scores,
            "label": label,
        }
        line |= {"type": "Q->A"} if given is None else {"type": "QA->R", "given_answer": given}
        lines.append({"official": "vcr", **line})
    return lines


def test_situations_are_right_where_answer_and_rationale_are(tmp_path):
    lines = [
        *situation("val-0", 1, [0, 3, 0, 0], right=(1, 3)),
        *situation("val-1", 1, [0, 0, 2, 0], right=(2, 2)),
        *situation("val-2", 0, [1, 1, 1, 1], right=(0, 0)),
    ]
    found = judged(tmp_path, lines)
    assert found["figures"] == {"Q->A": 2 / 3, "QA->R": 2 / 3, "Q->AR": 1 / 3}
    assert [name for name, _ in named_figures(found)] == ["vcr Q->A", "vcr QA->R", "vcr Q->AR"]


def test_the_table_of_the_leaderboard_has_21_columns(tmp_path):
    lines = situation("test-0", 1, [0, 3, 2, 0], right=None) + situation(
        "test-1", 2, [1, 1, 1, 0], right=None
    )
    write_submission(tmp_path / "out.csv", write_lines(tmp_path / "predictions.jsonl", lines))
    header, first, second = (line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines())
    assert len(header) == 21 and header[:2] == ["annot_id", "answer_0"]
    assert header[5] == "rationale_conditioned_on_a0_0" and header[-1] == "rationale_conditioned_on_a3_3"
    assert (first[0], second[0]) == ("test-0", "test-1")
    assert [place for place, cell in enumerate(first) if cell == "0.7"] == [2, 5, 12, 15, 17]


def test_what_the_server_would_miss_is_told_before_a_model_has_looked(tmp_path):
    asked = [
        {name: value for name, value in line.items() if name not in ("prediction", "scores")}
        for line in situation("test-0", 1, [0, 3, 2, 0], right=None)
    ]
    path = write_lines(tmp_path / "vcr.jsonl", asked)
    refuse_without_submission(tmp_path / "out.csv", path)
    for kept, said in ((asked[:3], "rationales given answer 2"), (asked[1:], "answers")):
        write_lines(path, kept)
        with pytest.raises(ValueError, match=rf"vcr\.jsonl: test-0 has no {said}: .*--every-answer"):
            refuse_without_submission(tmp_path / "out.csv", path)
    rows = write_lines(tmp_path / "rte.jsonl", [{"id": str(n), "official": "glue-rte"} for n in (0, 1)])
    refuse_without_submission(tmp_path / "glue.zip", rows)
    write_lines(rows, [{"id": str(n), "official": "glue-rte"} for n in (0, 2)])
    with pytest.raises(ValueError, match=r"rte\.jsonl: 2 stands where 1 is due"):
        refuse_without_submission(tmp_path / "glue.zip", rows)


def test_phrases_are_judged_by_overlap(tmp_path):
    lines = [
        {"id": n, "prediction": 0, "label": [[0, 0, 1, 1]], "right": right, "official": "refcoco"}
        for n, right in enumerate([True, False, 0.5, None])
    ]
    assert judged(tmp_path, lines)["figures"] == {"accuracy": 0.5}


def test_results_of_official_examples_have_the_official_figures(tmp_path):
    lines = [{"official": "nlvr2"}, {"official": "nlvr2"}, {"official": "nlvr2"}]
    ids = ["dev-1-0-0", "dev-1-1-0", "dev-2-0-0"]
    examples = make_examples(
        "classify", tmp_path, classes=["False", "True"], labels=[1, 0, 1], ids=ids, own_fields=lines
    )
    origin = Origin("runs/x/export", "step 20", ["a.h5"])
    outputs = make_outputs([[0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    found = write_results(tmp_path, examples, outputs, None, origin)
    expected = {"task": "nlvr2", "figures": {"accuracy": 2 / 3, "consistency": 0.5}}
    assert found["official"] == read_json(tmp_path / "results.json")["official"] == expected
    for name, text in (
        ("status.json", '{"state": "finished", "step": 2, "reason": "all"}'),
        ("metrics.jsonl", ""),
    ):
        (tmp_path / name).write_text(text)
    rows = [line.split() for line in summarise(tmp_path).splitlines()]
    assert ["nlvr2", "consistency", "0.5"] in rows and ["nlvr2", "accuracy", "0.6667"] in rows
    assert "nlvr2 consistency</th><td>0.5<" in (tmp_path / "results.html").read_text()
