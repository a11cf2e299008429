"""What an ablation measures of a trained model on held-out scenes: `ablation_measures.py MODEL STORE` prints it.

A process of its own for each model: transformers cannot load two models in two threads at once.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from interbert.corpus.corpus import DISTINCTIVE, Corpus
from interbert.corpus.tokens import token_table
from interbert.ranks.distributed import Ranks
from interbert.tasks.retrieval.evaluation import Options, evaluate_model, load_for
from interbert.tasks.retrieval.lineup import captions_of
from interbert.tasks.retrieval.pairs import PairScorer

ONE_RANK = Ranks(0, 1, 0, torch.device("cpu"), "python")
MEASURES = {
    "r1": "image R@1",
    "r10": "image R@10",
    "text_r1": "text R@1 among swaps",
    "swapped": "true above swapped",
}


def measure(model: Path, store: Path) -> dict[str, float]:
    """r1, r10: text -> image with one caption a scene that is true of it alone. The others: see `against_swaps`."""
    found = evaluate_model(model, [store], ONE_RANK, Options(precision="fp32"))["text_to_image"]
    return {"r1": found["r1"], "r10": found["r10"], **against_swaps(model, store)}


def against_swaps(folder: Path, store: Path) -> dict[str, float]:
    """Against captions made false by one changed attribute, relation, number or order, on the same image.

    text_r1: how often a scene's distinctive caption is above those of all other scenes and above its own falsified
    versions. swapped: how often any true caption is above a falsified version of it (chance is a half).
    """
    with Corpus([store]) as corpus:
        model, tokenizer = load_for(folder, corpus)
        tokens = token_table(corpus, tokenizer, model.config.max_position_embeddings)
        distinctive_I = captions_of(corpus, np.arange(corpus.images), DISTINCTIVE, first_only=True)
        assert (corpus.caption_image[distinctive_I] == np.arange(corpus.images)).all()
        true_S, swapped_S = corpus.swapped_of, np.arange(corpus.captions, corpus.captions + corpus.swapped)
        first, above = [], []
        for image, own in enumerate(distinctive_I):
            mine_S = np.flatnonzero(corpus.caption_image[true_S] == image)
            captions = np.concatenate([distinctive_I, true_S[mine_S], swapped_S[mine_S]])
            scores = PairScorer(
                model, corpus, tokens, np.array([image]), captions,
                token_budget=4096,
            ).matrix()[0]  # fmt: skip
            others, true, false = np.split(scores, [len(distinctive_I), len(distinctive_I) + len(mine_S)])
            rivals = np.concatenate([np.delete(others, image), false[true_S[mine_S] == own]])
            first.append(others[image] > rivals.max())
            above += list(true > false)
    return {"text_r1": float(np.mean(first)), "swapped": float(np.mean(above))}


if __name__ == "__main__":
    print(json.dumps(measure(*map(Path, sys.argv[1:]))))
