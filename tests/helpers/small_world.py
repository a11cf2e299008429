"""A small random data set with a tokenizer of its own, for tests of what is read from it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.store.store import StoreWriter
from interbert.tokenizer import join_segments

WORDS = [f"w{i:02}" for i in range(60)]
FEATURE_WIDTH, CLASSES = 16, 7


class WordTokenizer:
    """One id for each of WORDS, after five special ones."""

    pad_id, unk_id, cls_id, sep_id, mask_id = range(5)
    special_ids = (0, 1, 2, 3, 4)
    vocab_size = 5 + len(WORDS)
    fingerprint = "words"

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, texts: list[str], max_tokens: int) -> list[list[int]]:
        self.encoded += len(texts)
        return [[self.cls_id, *_ids(text)[: max_tokens - 2], self.sep_id] for text in texts]

    def encode_segments(
        self, texts: list[tuple[str, ...]], max_tokens: int, longest: dict[str, int] | None = None
    ) -> tuple[list[list[int]], list[int]]:
        self.encoded += len(texts)
        joined = [
            join_segments(
                [*map(_ids, text)], max_tokens, self.cls_id, self.sep_id, (longest or {}).get(text[0])
            )
            for text in texts
        ]
        return [ids for ids, _ in joined], [first for _, first in joined]

    def words(self, ids: list[int]) -> list[str]:
        special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
        return [special[i] if i < 5 else WORDS[i - 5] for i in ids]

    def words_of_segments(
        self, texts: list[tuple[str, ...]], max_tokens: int, longest: dict[str, int] | None = None
    ) -> list[list[int]]:
        numbers = [[list(range(len(segment.split()))) for segment in text] for text in texts]
        return [
            join_segments(each, max_tokens, -1, -1, (longest or {}).get(text[0]))[0]
            for text, each in zip(texts, numbers, strict=True)
        ]


def _ids(text: str) -> list[int]:
    return [5 + WORDS.index(word) if word in WORDS else 1 for word in text.split()]


def write_store(
    path: Path,
    images: int,
    captions: int = 3,
    seed: int = 0,
    evidence: str | None = "class_probs",
    swapped: bool = True,
) -> None:
    """Images of 1-12 regions, each with that many captions of 3-11 words; every second has a swapped one."""
    rng = np.random.default_rng(seed)
    with StoreWriter(path, FEATURE_WIDTH, classes=CLASSES if evidence else 0, evidence=evidence) as store:
        for image in range(images):
            regions = int(rng.integers(1, 13))
            corners = rng.random((regions, 2, 2)) * (200, 100)
            boxes = np.concatenate([corners.min(1), corners.max(1) + 1], axis=1).clip(0, (200, 100) * 2)
            features = rng.standard_normal((regions, FEATURE_WIDTH)).astype(np.float16)
            probs = rng.dirichlet(np.ones(CLASSES), regions).astype(np.float16)
            kind = {
                "class_probs": {"class_probs_NK": probs},
                "labels": {"labels_N": probs.argmax(1).astype(np.int32)},
            }
            store.add_image(
                f"{seed}-{image}", 200, 100, boxes.astype(np.float32), features, **kind.get(evidence, {})
            )
            texts = [" ".join(rng.choice(WORDS, rng.integers(3, 12))) for _ in range(captions)]
            first = store.add_captions(image, texts)
            for caption in range(first, first + captions):
                if swapped and caption % 2 == 0:
                    store.add_swapped(caption, texts[caption - first] + " w00")


def damage(path: Path, images: Iterable[int]) -> None:
    """Changes the features of these images of a store on the disk."""
    with Corpus([path]) as corpus:
        extent, first = corpus.stores[0].extents["features"], corpus.stores[0].offsets
        with open(path, "r+b") as file:
            for image in images:
                file.seek(extent.offset + int(first[image]) * extent.row_bytes)
                file.write(b"\xff" * extent.row_bytes)


def open_world(folder: Path, images: int = 120, **options: Any) -> Corpus:
    """Two stores as one corpus."""
    paths = [folder / "a.h5", folder / "b.h5"]
    for seed, path in enumerate(paths):
        if not path.exists():
            write_store(path, images // 2, seed=seed, **options)
    return Corpus(paths)


def settings(**sections: Any) -> Settings:
    """Settings with a small budget; `section={"field": value}` changes them."""
    tree: dict[str, Any] = {
        "name": "test",
        "data": {"token_budget": 300, "max_text_tokens": 12, "max_regions": 10},
        "mismatch": {"hard_share": 0.0},
        "train": {"micro_batches": 4},
    }
    for section, fields in sections.items():
        tree[section] = {**tree.get(section, {}), **fields} if section != "objectives" else fields
    return Settings.model_validate(tree)
