"""Fine-tuning in a test's own process: examples over the images of small_world, a tiny model, one rank."""

from pathlib import Path

import numpy as np
import torch
from example_files import write_lines
from made_batches import tiny_config
from small_world import CLASSES, FEATURE_WIDTH, WORDS, WordTokenizer, open_world

from interbert.config import Settings
from interbert.model import InterBertForPreTraining
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.task import FineTuning, open_finetuning
from interbert.train.start.settle import settle

ONE_RANK = Ranks(0, 1, 0, torch.device("cpu"), "python")


def lines_of(kind: str, count: int, seed: int = 0) -> list[dict]:
    """Examples with answers that only learning by heart can give."""
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(count):
        images = [f"{number % 2}-{int(rng.integers(20))}", f"0-{int(rng.integers(20, 40))}"]
        line = {
            "id": f"{kind}{number}",
            "images": images[:1],
            "texts": [_text(rng)],
            "type": "ab"[number % 2],
        }
        line |= _answer(kind, rng, images)
        if kind == "words":
            del line["images"]
        lines.append(line)
    return lines


def _text(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(WORDS, rng.integers(2, 6)))


def _answer(kind: str, rng: np.random.Generator, images: list[str]) -> dict:
    match kind:
        case "classify":
            return {"label": str(rng.choice(["red", "green", "blue"]))}
        case "weighed":
            return {"scores": {str(rng.choice(["red", "green"])): 1.0, "blue": 0.3}}
        case "two":
            return {"images": images, "label": str(bool(rng.integers(2)))}
        case "words":
            return {"texts": [[_text(rng), _text(rng)]], "label": str(rng.integers(2))}
        case "score":
            return {"value": float(rng.normal())}
        case "choose":
            return {"texts": [[_text(rng)] for _ in range(3)], "label": int(rng.integers(3))}
        case "match":
            pairs = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
            return {"images": images, "texts": [[_text(rng)], [_text(rng)]], "pairs": pairs}
    return {"boxes": [[*(rng.random(2) * (90, 40)), *((100, 50) + rng.random(2) * (90, 40))]]}


KIND = {"weighed": "classify", "two": "classify", "words": "classify"}


def write_model(folder: Path, **override) -> Path:
    fields = {"vocab_size": WordTokenizer.vocab_size, "feature_width": FEATURE_WIDTH, "classes": CLASSES}
    InterBertForPreTraining.from_seed(tiny_config(**{**fields, **override}), 3).save_pretrained(folder)
    return folder


def opened(folder: Path, kind: str, count: int = 8, held_out: int = 0, task=None, **sections) -> FineTuning:
    """model: folder/model, made where it is not there."""
    if not (folder / "model").exists():
        write_model(folder / "model")
    open_world(folder, images=80).close()
    files = {"examples": write_lines(folder / f"{kind}.jsonl", lines_of(kind, count))}
    if held_out:
        files["validation"] = write_lines(folder / f"{kind}_held_out.jsonl", lines_of(kind, held_out, 1))
    stores = [] if kind == "words" else [str(folder / "a.h5"), str(folder / "b.h5")]
    tree = {
        "name": "test",
        "model": {"inherit_from": str(folder / "model")},
        "data": {"train": stores, "max_text_tokens": 12, "max_regions": 10, "token_budget": 400},
        "task": {"kind": KIND.get(kind, kind), **{k: str(v) for k, v in files.items()}, **(task or {})},
        "train": {"batch": f"{count} examples"},
    }
    for section, fields in sections.items():
        tree[section] = {**tree.get(section, {}), **fields}
    return open_finetuning(Settings.model_validate(tree), ONE_RANK, lambda _: WordTokenizer())


def settled(task: FineTuning, ranks: int = 1) -> Settings:
    return task.settings.model_copy(update={"step": settle(task.settings, ranks, 400, task.lengths)})
