"""How good the two stages of a search are on held-out captions, against scoring every pair.

Letters: I images, C captions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from interbert.corpus.corpus import DISTINCTIVE
from interbert.corpus.tokens import TokenTable
from interbert.search.encoder import Encoder, image_vectors_of, text_vectors_of
from interbert.tasks.retrieval.lineup import captions_of
from interbert.tasks.retrieval.pairs import PairScorer


@dataclass(frozen=True)
class HeldOut:
    """Images, and captions that ask for one of them each."""

    corpus: Any
    tokens: TokenTable
    images_I: np.ndarray
    captions_C: np.ndarray
    max_regions: int | None = None

    @classmethod
    def of(
        cls, corpus: Any, tokens: TokenTable, most: int | None = None, max_regions: int | None = None
    ) -> "HeldOut":
        """Of each image the first caption that is true of it alone; of data that marks none, its first one."""
        images_I = np.arange(corpus.images)
        captions_C = captions_of(corpus, images_I, DISTINCTIVE, first_only=True)
        if not len(captions_C):
            captions_C = captions_of(corpus, images_I, first_only=True)
        if not len(captions_C):
            raise ValueError(f"{corpus.paths[0]}: no captions there to ask for images with")
        return cls(corpus, tokens, images_I, captions_C[:most], max_regions)

    @property
    def own_C(self) -> np.ndarray:
        return np.asarray(self.corpus.caption_image)[self.captions_C]

    def first_stage(self, encoder: Encoder, budget: int) -> np.ndarray:
        """float32 [C, I] inner products."""
        images_IW = image_vectors_of(encoder, self.corpus, self.images_I, budget, self.max_regions)
        ids = [self.tokens.caption(int(one)) for one in self.captions_C]
        return text_vectors_of(encoder, ids, budget) @ images_IW.T

    def exhaustive(self, model: Any, budget: int, device: Any = "cpu") -> np.ndarray:
        """float32 [C, I] log-odds of every pair."""
        scorer = PairScorer(
            model,
            self.corpus,
            self.tokens,
            self.images_I,
            self.captions_C,
            token_budget=budget,
            max_regions=self.max_regions,
            device=device,
        )
        return scorer.matrix().T


def figures_of(
    first_CI: np.ndarray, whole_CI: np.ndarray, own_C: np.ndarray, candidates: list[int]
) -> dict[str, float]:
    """first.r1, exhaustive.r1; and of each number of candidates kept.N, the share of captions whose exhaustive best
    is among them, recall.N, whose own image is, and reranked.N, whose own comes first when they are ranked again."""
    order_CI = np.argsort(-first_CI, axis=1, kind="stable")
    best_C = whole_CI.argmax(1)
    found = {
        "first.r1": float((order_CI[:, 0] == own_C).mean()),
        "exhaustive.r1": float((best_C == own_C).mean()),
    }
    rows = np.arange(len(own_C))
    for count in candidates:
        among_CN = order_CI[:, :count]
        again_C = among_CN[rows, np.take_along_axis(whole_CI, among_CN, 1).argmax(1)]
        found[f"recall.{count}"] = float((among_CN == own_C[:, None]).any(1).mean())
        found[f"kept.{count}"] = float((among_CN == best_C[:, None]).any(1).mean())
        found[f"reranked.{count}"] = float((again_C == own_C).mean())
    return found
