"""How the two stages find held-out images, the same ones each time."""

from typing import Any

import numpy as np
from PIL import Image

from interbert.config import Settings
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.ranks.distributed import Ranks
from interbert.search.encoder import Encoder
from interbert.store.features_of import refuse_other_features
from interbert.tasks.distillation.stages import HeldOut, figures_of
from interbert.tasks.finetuning.matrix import judged_model
from interbert.tokenizer import Tokenizer
from interbert.train.engine.engine import Engine
from interbert.train.task import Term

CAPTIONS = 128
"""Most that ask; every image of the data is there to be found."""
CANDIDATES = (4, 8, 32)
_NAMES = (
    "first.r1",
    "exhaustive.r1",
    *(f"{name}.{n}" for n in CANDIDATES for name in ("recall", "kept", "reranked")),
)


class StagesJudge:
    figure, larger = f"kept.{CANDIDATES[1]}", True

    def __init__(self, settings: Settings, tokenizer: Tokenizer, trained_on: str | None) -> None:
        """trained_on: whose features the training data has."""
        corpus = Corpus(settings.data.validation)
        held_out = f"data.validation ({', '.join(settings.data.validation)})"
        refuse_other_features("the model", trained_on, held_out, corpus.features_of)
        tokens = token_table(corpus, tokenizer, settings.data.max_text_tokens)
        self._held_out = HeldOut.of(corpus, tokens, CAPTIONS, settings.data.max_regions)
        self._budget, self._frozen = settings.token_budget, settings.distill.trunk == "frozen"
        self._whole_CI: np.ndarray | None = None

    @property
    def sizes(self) -> dict[str, Any]:
        return {"images": len(self._held_out.images_I), "captions": len(self._held_out.captions_C)}

    def names(self, terms: dict[str, Term]) -> list[str]:
        return list(_NAMES)

    def figures(self, engine: Engine, ranks: Ranks) -> dict[str, float]:
        model = judged_model(engine, ranks)
        was = model.training
        model.eval()
        first_CI = self._held_out.first_stage(Encoder(model), self._budget)
        if self._whole_CI is None or not self._frozen:  # of a frozen trunk they stay
            self._whole_CI = self._held_out.exhaustive(model, self._budget, ranks.device)
        model.train(was)
        return figures_of(first_CI, self._whole_CI, self._held_out.own_C, list(CANDIDATES))

    def picture(self, engine: Engine, ranks: Ranks) -> Image.Image | None:
        return None
