"""What docs/chinese.md speaks of: a Chinese BERT, stores and captions, and the files of its retrieval tasks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import foreign
from kdd_files import write_kdd
from official_files import write_rows
from transformers import BertConfig, BertForPreTraining, BertTokenizerFast

from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.sources.scenes.tongues import vocabulary_of
from interbert.sources.scenes.write import write_scenes
from interbert.tokenizer import load_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
QUERIES = [f"{colour}色的{shape}" for colour in "红绿蓝黄" for shape in ("球", "星星", "方块")]
ITEMS = list(range(101, 113))


def fill_chinese(folder: Path, width: int) -> None:
    (folder / "data" / "zh").mkdir(parents=True)
    write_scenes(folder / "data" / "zh" / "train.h5", 24, 1, feature_width=width, language="zh")
    _bert(folder / "bert-base-chinese")
    export = folder / "runs" / "scenes_zh" / "export"
    tokenizer = load_tokenizer(folder / "data" / "zh" / "tokenizer")
    sizes = {"vocab_size": tokenizer.vocab_size, "feature_width": width, "classes": 49}
    InterBertForPreTraining(InterBertConfig.from_preset("tiny", **sizes)).save_pretrained(export)
    tokenizer.save(export)
    for name in ("retrieval_muge", "retrieval_kdd2020"):
        model = export if name == "retrieval_muge" else folder / "runs" / "mine" / "export"
        shutil.copytree(model, folder / "runs" / name / "export")
    with patch.object(foreign, "WIDTH", width):
        _muge(folder)
        _kdd(folder, width)


def _bert(folder: Path) -> None:
    words = [*SPECIAL, *vocabulary_of("zh")]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertForPreTraining(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    BertTokenizerFast(vocab={word: place for place, word in enumerate(words)}).save_pretrained(folder)


def _muge(folder: Path) -> None:
    for split in ("train", "valid", "test"):
        queries = [
            {"query_id": n, "query_text": QUERIES[n], "item_ids": [item]} for n, item in enumerate(ITEMS)
        ]
        if split == "test":
            queries = [{"query_id": n, "query_text": QUERIES[n]} for n in range(3)]
        write_rows(folder / f"{split}_queries.jsonl", queries)
        made = foreign.images(len(ITEMS))
        named = [replace(image, name=str(item)) for image, item in zip(made, ITEMS, strict=True)]
        foreign.write_tsv(folder / f"muge_{split}.tsv", named)
    write_rows(folder / "first_stage.jsonl", [{"query_id": n, "item_ids": ITEMS} for n in range(3)])
    shutil.copy(folder / "muge_train.tsv", folder / "flickr30k.tsv")
    lines = [f"{item}#zhm#0 {text}" for item, text in zip(ITEMS, QUERIES, strict=True)]
    (folder / "flickr30k_cn_train.txt").write_text("\n".join(lines) + "\n")


def _kdd(folder: Path, width: int) -> None:
    pairs = [(n, f"a {colour} ball", n) for n, colour in enumerate(("red", "green", "blue", "black"))]
    write_kdd(folder / "kdd_train.tsv", pairs, width)
    write_kdd(folder / "kdd_valid.tsv", [(n, "a red ball", 9) for n in range(10, 14)], width)
    (folder / "valid_answer.json").write_text(json.dumps({"9": [10, 12]}))
