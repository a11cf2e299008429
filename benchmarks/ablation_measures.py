"""What an ablation measures of a trained model on held-out scenes."""

from pathlib import Path

import numpy as np
import torch

from interbert.data.corpus import Corpus
from interbert.data.tokens import token_table
from interbert.tasks.evaluation import Options, evaluate_model, load_for
from interbert.tasks.pairs import PairScorer
from interbert.train.distributed import Ranks

ONE_RANK = Ranks(0, 1, 0, torch.device("cpu"), "python")


def measure(model: Path, store: Path) -> dict[str, float]:
    """R@1 and R@10 of text -> image with one caption a scene that is true of it alone; and how often a true caption
    scores above its swapped version (one attribute, relation or order changed) on the same image."""
    found = evaluate_model(model, [store], ONE_RANK, Options(precision="fp32"))["text_to_image"]
    return {"r1": found["r1"], "r10": found["r10"], "swapped": share_above_swapped(model, store)}


def share_above_swapped(folder: Path, store: Path) -> float:
    with Corpus([store]) as corpus:
        model, tokenizer = load_for(folder, corpus)
        tokens = token_table(corpus, tokenizer, model.config.max_position_embeddings)
        swapped_C = np.arange(corpus.captions, corpus.captions + corpus.swapped)
        true_C = corpus.swapped_of
        above = []
        for image in range(corpus.images):
            mine = np.flatnonzero(corpus.caption_image[true_C] == image)
            captions = np.concatenate([true_C[mine], swapped_C[mine]])
            if len(mine):
                scorer = PairScorer(
                    model, corpus, tokens, np.array([image]), captions,
                    token_budget=4096, max_regions=None, device="cpu",
                )  # fmt: skip
                scores = scorer.scores(0, 1, lambda value: [value], progress=False, title="")[0]
                above += list(scores[: len(mine)] > scores[len(mine) :])
    return float(np.mean(above))
