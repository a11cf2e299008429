"""The official files that docs/official_tasks.md speaks of, the stores of their images, and models of its tasks."""

import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import official_files as made
import small_store
from example_files import write_lines
from official_files import write_rows

from interbert.__main__ import main as run_verb
from interbert.model.loading import load_ours
from interbert.model.shape.configuration import InterBertConfig
from interbert.model.shape.shape import TaskShape
from interbert.model.task_head import InterBertFineTuned
from interbert.store.store import StoreWriter
from interbert.tasks.finetuning.starting import shape_with_head
from interbert.tokenizer import load_tokenizer, write_word_vocabulary

VCR_IMAGES = ("3005_A_FILM_1", "3005_A_FILM_2")
HEADS = {
    "vqa2": TaskShape("classify", "mlp", classes=["red", "two"], soft=True),
    "nlvr2": TaskShape("classify", "mlp", 2, ["False", "True"]),
    "vcr": TaskShape("choose"),
    "glue_rte": TaskShape("classify", classes=["entailment", "not_entailment"]),
}


def fill_official(folder: Path, width: int, classes: int) -> None:
    """runs/mine/export is there, a model of features so wide and so many classes."""
    _vqa(folder)
    coco = [
        f"COCO_{split}_{number:012d}" for split in ("train2014", "val2014", "test2015") for number in (42, 43)
    ]
    nlvr2 = [
        f"{split}-{pair}-img{side}"
        for split in ("train", "dev")
        for pair in ("0-0", "0-1")
        for side in (0, 1)
    ]
    (folder / "nlvr2").mkdir()
    for name in ("train", "dev", "balanced_dev", "unbalanced_dev"):
        pairs = [int(name == "unbalanced_dev")] if name.endswith("_dev") else [0, 1]
        split = name.rpartition("_")[2]
        write_rows(
            folder / "nlvr2" / f"{name}.json", [made.nlvr2_row(f"{split}-0-{pair}-0") for pair in pairs]
        )
    for name in ("train", "dev"):
        rows = [made.snli_ve_row(1, "neutral"), made.snli_ve_row(2, "-")]
        write_rows(folder / f"snli_ve_{name}.jsonl", rows)
    (folder / "vcr").mkdir()
    for name in ("train", "val", "test"):
        rows = [made.vcr_row(1, name), made.vcr_row(2, name, question=["Who", "is", [0], "?"])]
        lacking = ("answer_label", "rationale_label") if name == "test" else ()
        for row in rows:
            made.write_vcr_metadata(folder / "vcr" / "vcr1images", row)
        own = [{field: value for field, value in row.items() if field not in lacking} for row in rows]
        write_rows(folder / "vcr" / f"{name}.jsonl", own)
    made.write_refcoco(folder / "refcoco+", [made.ref(1, "train", "he", "she"), made.ref(2, "val", "they")])
    made.write_glue(folder / "glue_data", "rte")
    stores = {"coco": coco, "nlvr2": nlvr2, "flickr30k": ["1000092795"]}
    stores |= dict.fromkeys(("vcr", "vcr_detected"), VCR_IMAGES)
    with patch.multiple(small_store, WIDTH=width, CLASSES=classes):
        for name, ids in stores.items():
            small_store.write_named(folder / f"{name}.h5", *ids)
        _given_boxes(folder / "vcr_given.h5")
    _easy_vqa(folder / "data" / "easy_vqa")
    for name in ("train", "val"):
        files = ("--input", folder / "vcr" / f"{name}.jsonl", "--data", folder / "vcr.h5")
        words = ["import", "vcr", *files, "--output", folder / f"vcr_{name}.jsonl"]
        assert run_verb(list(map(str, words))) == 0
    _models(folder)


def _vqa(folder: Path) -> None:
    questions = [made.vqa_question(number, image=42 + number % 2) for number in range(18)]
    answers = [["red"] if number < 9 else ["two", "2"] for number in range(18)]
    annotations = [made.vqa_annotation(n, answers[n], 42 + n % 2) for n in range(18)]
    for split, known in (("train2014", annotations), ("val2014", annotations), ("test2015", None)):
        made.write_vqa(folder, split, questions, known)


def _easy_vqa(folder: Path) -> None:
    """As benchmarks/easy_vqa.py leaves it."""
    folder.mkdir(parents=True)
    with patch.object(small_store, "WIDTH", 192):
        small_store.write_named(folder / "images.h5", "train-1", "train-2")
    lines = [
        {"id": n, "images": [f"train-{n}"], "texts": ["is there a circle?"], "label": label}
        for n, label in ((1, "yes"), (2, "no"))
    ]
    for part in ("train", "val", "test"):
        write_lines(folder / f"{part}.jsonl", lines)
    write_word_vocabulary(["is", "there", "a", "circle", "?"], folder / "tokenizer")


def _given_boxes(path: Path) -> None:
    """Those of write_vcr_metadata."""
    rows = small_store.rows(np.random.default_rng(1), 3) | {"boxes_N4": np.tile([1.0, 2, 30, 40], (3, 1))}
    kinds = {"classes": small_store.CLASSES, "evidence": "class_probs"}
    with StoreWriter(path, small_store.WIDTH, **kinds) as store:
        for name in VCR_IMAGES:
            store.add_image(name, *small_store.SIZE, **rows)


def _models(folder: Path) -> None:
    begun = folder / "runs" / "mine" / "export"
    shutil.copytree(begun, folder / "runs" / "vcr_pretraining" / "export")
    for name, head in HEADS.items():
        tuned = folder / "runs" / name / "export"
        config = InterBertConfig(**shape_with_head(load_ours(begun).config, head))
        InterBertFineTuned.from_seed(config, 1).save_pretrained(tuned)
        load_tokenizer(begun).save(tuned)
