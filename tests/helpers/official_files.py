"""Official files in miniature: rows of our own in the layouts of VQA v2, NLVR2, SNLI-VE, VCR, RefCOCO and GLUE."""

import json
import pickle
from pathlib import Path
from typing import Any

from example_files import write_lines

IMAGES = (42, 43)


def vqa_image(split: str, number: int) -> str:
    return f"COCO_{split}_{number:012d}"


def vqa_question(number: int, text: str = "what is it?", image: int = 42) -> dict[str, Any]:
    return {"question_id": number, "image_id": image, "question": text}


def vqa_annotation(number: int, answers: list[str], image: int = 42, **fields: Any) -> dict[str, Any]:
    """answers: fewer than ten are said again, in turn."""
    ten = [answers[place % len(answers)] for place in range(10)]
    told = [
        {"answer": answer, "answer_confidence": "yes", "answer_id": place}
        for place, answer in enumerate(ten, start=1)
    ]
    own = {
        "multiple_choice_answer": max(ten, key=ten.count),
        "question_type": "what is",
        "answer_type": "other",
    }
    return {"question_id": number, "image_id": image, "answers": told} | own | fields


def write_vqa(folder: Path, split: str, questions: list[dict], annotations: list[dict] | None) -> list[Path]:
    files = {"questions": questions} | ({} if annotations is None else {"annotations": annotations})
    written = []
    for name, rows in files.items():
        path = folder / f"v2_{split}_{name}.json"
        path.write_text(json.dumps({"info": {}, "data_subtype": split, name: rows}))
        written.append(path)
    return written


def nlvr2_row(
    identifier: str, label: str | None = "True", sentence: str = "both show a dog"
) -> dict[str, Any]:
    row = {"identifier": identifier, "sentence": sentence, "left_url": "l", "right_url": "r", "writer": "7"}
    return row if label is None else {**row, "label": label}


def snli_ve_row(number: int, gold: str, annotators: list[str] = (), **fields: Any) -> dict[str, Any]:
    return {
        "Flikr30kID": "1000092795",
        "pairID": f"1000092795.jpg#{number}",
        "gold_label": gold,
        "annotator_labels": list(annotators),
        "sentence1": "Two young guys.",
        "sentence2": "Two men stand outside.",
    } | fields


GLUE = {
    "cola": ("CoLA", {"train": None, "test": "index\tsentence"}, "gj04\t1\t\tShe \"won\" it.", "0\tIt won her."),
    "sst2": ("SST-2", {"train": "sentence\tlabel", "test": "index\tsentence"}, "a good film \t1", "0\ta bad one"),
    "mrpc": (
        "MRPC",
        dict.fromkeys(("train", "test"), "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"),
        '1\t702876\t702977\tHe said "no.\tHe said no.',
        "0\t1089874\t1089925\tShe went.\tShe stayed.",
    ),
    "stsb": (
        "STS-B",
        {
            "train": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
            "test": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
        },
        "0\tmain\tfile\t2012\t0001\tnone\tnone\tA plane flies.\tAn air plane flies.\t5.000",
        "0\tmain\tfile\t2012\t0001\tnone\tnone\tA girl.\tA boy.",
    ),
    "qqp": (
        "QQP",
        {"train": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "test": "id\tquestion1\tquestion2"},
        "133273\t213221\t213222\tHow is it?\tHow was it?\t1",
        "0\tWho is he?\tWho is she?",
    ),
    "mnli": (
        "MNLI",
        {
            "train": "index\tpromptID\tpairID\tgenre\tp1\tp2\tq1\tq2\tsentence1\tsentence2\tlabel1\tgold_label",
            "dev": "index\tpromptID\tpairID\tgenre\tp1\tp2\tq1\tq2\tsentence1\tsentence2\t"
            "label1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label",
            "test": "index\tpromptID\tpairID\tgenre\tp1\tp2\tq1\tq2\tsentence1\tsentence2",
        },
        "0\t1\t1n\ttravel\tp\tp\tq\tq\tIt rains.\tIt is wet.\tneutral\tneutral",
        "0\t1\t1n\ttravel\tp\tp\tq\tq\tIt snows.\tIt is cold.",
    ),
    "qnli": (
        "QNLI",
        {"train": "index\tquestion\tsentence\tlabel", "test": "index\tquestion\tsentence"},
        "0\tWhen did it end?\tIt ended in 1920.\tentailment",
        "0\tWho won?\tNobody.",
    ),
    "rte": (
        "RTE",
        {"train": "index\tsentence1\tsentence2\tlabel", "test": "index\tsentence1\tsentence2"},
        "0\tNo weapons were found.\tWeapons were found.\tnot_entailment",
        "0\tA cat sat.\tA cat stood.",
    ),
    "wnli": (
        "WNLI",
        {"train": "index\tsentence1\tsentence2\tlabel", "test": "index\tsentence1\tsentence2"},
        "0\tI put a pin in it.\tThe pin had a hole.\t1",
        "0\tShe saw it.\tIt was seen.",
    ),
    "ax": ("AX", {"test": "index\tsentence1\tsentence2"}, "", "0\tThe cat sat.\tThe cat did not sit."),
}  # fmt: skip
"""Of each task: its folder, headers, a row of its training and one of its test files; dev as train, if not said."""


def write_glue(folder: Path, task: str) -> Path:
    name, headers, row, test_row = GLUE[task]
    own = folder / name
    own.mkdir(parents=True)
    dev_header = headers.get("dev", headers.get("train"))
    dev_row = row.replace("neutral\tneutral", "neutral\tneutral\tneutral\tneutral\tneutral\tneutral")
    splits = {"test": (headers["test"], test_row)}
    if row:
        splits |= {"train": (headers["train"], row), "dev": (dev_header, dev_row)}
    names = {"test": ["diagnostic"]} if task == "ax" else {}
    if task == "mnli":
        names = {split: [f"{split}_matched", f"{split}_mismatched"] for split in ("dev", "test")}
    for split, (header, line) in splits.items():
        for file in names.get(split, [split]):
            lines = [line] if header is None else [header, line]
            (own / f"{file}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return own


def write_rows(path: Path, rows: list[Any]) -> Path:
    """A line each, as NLVR2 and SNLI-VE have them; what is a str already stands as it is."""
    return write_lines(path, rows)


def vcr_row(number: int, split: str = "val", **fields: Any) -> dict[str, Any]:
    """Casey is asked about; the dog is the second object."""
    tags = [[0], "and", [1, 2]]
    return {
        "movie": "3005_A_FILM",
        "objects": ["person", "dog", "person"],
        "img_fn": f"lsmdc_A_FILM/3005_A_FILM_{number}.jpg",
        "metadata_fn": f"lsmdc_A_FILM/3005_A_FILM_{number}.json",
        "question": ["Why", "is", [0], "glad", "?"],
        "answer_choices": [[[0], "won", "."], ["It", "rains", "."], [*tags, "left", "."], ["No", "."]],
        "rationale_choices": [["So", str(choice), "."] for choice in range(4)],
        "answer_label": 2,
        "rationale_label": 1,
        "img_id": f"{split}-{number}",
        "annot_id": f"{split}-{number}",
    } | fields


def write_vcr_metadata(folder: Path, row: dict[str, Any], **fields: Any) -> Path:
    boxes = [[1.0, 2.0, 30.0, 40.0, 0.99] for _ in row["objects"]]
    own = {"boxes": boxes, "segms": [[] for _ in boxes], "names": row["objects"], "width": 64, "height": 48}
    path = folder / row["metadata_fn"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(own | fields))
    return folder


def write_refcoco(folder: Path, refs: list[dict[str, Any]], name: str = "refs(unc).p") -> Path:
    """Boxes of annotations 1 to 4 are 10 wide and as high as their number."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(refs, protocol=2))
    annotations = [{"id": number, "bbox": [5.5, 6, 10, number], "category_id": 1} for number in range(1, 5)]
    tree = {"annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (folder / "instances.json").write_text(json.dumps(tree))
    return folder


def ref(number: int, split: str, *phrases: str, annotation: int = 3) -> dict[str, Any]:
    sentences = [
        {"sent": phrase, "raw": phrase.upper(), "sent_id": 10 * number + place, "tokens": phrase.split()}
        for place, phrase in enumerate(phrases)
    ]
    return {
        "ref_id": number,
        "ann_id": annotation,
        "category_id": 1,
        "image_id": 42,
        "split": split,
        "sent_ids": [sentence["sent_id"] for sentence in sentences],
        "sentences": sentences,
    }
