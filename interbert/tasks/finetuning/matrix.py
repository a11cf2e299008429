"""All pairs of a few held-out images and captions, the same ones each time: retrieval as it stands while training."""

import numpy as np
import torch
from torch import nn

from interbert.config import Settings
from interbert.corpus.corpus import DISTINCTIVE, Corpus
from interbert.corpus.tokens import TokenTable
from interbert.ranks.distributed import Ranks
from interbert.tasks.retrieval.lineup import captions_of
from interbert.tasks.retrieval.retrieval import evaluate_retrieval
from interbert.train.checkpoints.export import whole_model
from interbert.train.engine.engine import Engine

IMAGES = 100
NAMES = ("text_to_image.r1", "image_to_text.r1")


class Matrix:
    """The first images that have captions, with all of these; of distinctive ones, where sets are drawn from those
    alone, one an image. Images that are damaged are left out."""

    def __init__(self, corpus: Corpus, tokens: TokenTable, settings: Settings) -> None:
        self._corpus, self._tokens, self._settings = corpus, tokens, settings
        everything, one_each = np.arange(corpus.images), settings.task.sets.captions == "distinctive"
        kind = DISTINCTIVE if one_each else None
        captions = captions_of(corpus, everything, kind, first_only=one_each)
        image_of = np.asarray(corpus.caption_image)[captions]
        images = np.unique(image_of)[:IMAGES]
        if settings.data.skip_damaged:
            damaged = corpus.damaged_images(images)
            images = images[~np.isin(images, np.array(list(damaged), np.int64))]
        self.images, self.captions = images, captions[np.isin(image_of, images)]

    def figures(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        """All ranks call this; {} where every image is damaged."""
        if not len(self.captions):
            return {}
        settings = self._settings
        found = evaluate_retrieval(
            judged_model(engine, ranks),
            self._corpus,
            self._tokens,
            images=self.images,
            captions=self.captions,
            token_budget=settings.token_budget,
            max_regions=settings.data.max_regions,
            ranks=ranks,
            device=ranks.device,
        )
        return {name: found[way][recall] for name in NAMES for way, recall in [name.split(".")]}


def judged_model(engine: Engine, ranks: Ranks) -> nn.Module:
    """The engine's own, where each rank has all of it in numbers that pairs are scored in; else a copy in such."""
    if engine.config.stage < 3 and engine.config.precision != "fp16":
        return engine.model
    dtype = torch.bfloat16 if engine.config.precision == "bf16" else torch.float32
    return whole_model(engine).to(ranks.device, dtype)
