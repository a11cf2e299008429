"""A tiny model trained for a moment on any data: by the plan, loader, packing and losses of a run."""

from itertools import islice

import torch
from made_batches import tiny_config
from small_world import WordTokenizer, settings

from interbert import objectives
from interbert.batches.endless import Position
from interbert.batches.loader import Loader
from interbert.batches.masking import Vocabulary
from interbert.batches.plan import Plan
from interbert.batches.prepare import Preparer
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.mining.negatives import candidates_for
from interbert.model import InterBertForPreTraining


def three_steps(corpus: Corpus) -> list[float]:
    """Losses of three steps of a tiny model."""
    names = ["msm", "itm", *{"class_probs": ["mrm"], "labels": ["moc"]}.get(corpus.evidence, [])]
    wanted = settings(data={"max_regions": 4, "token_budget": 60}, objectives=dict.fromkeys(names, 1.0))
    words = WordTokenizer()
    tokens = token_table(corpus, words, wanted.data.max_text_tokens)
    plan = Plan(corpus, tokens, wanted, candidates_for(corpus, wanted))
    preparer = Preparer(corpus, tokens, plan, wanted, Vocabulary.of(words))
    config = tiny_config(
        vocab_size=words.vocab_size, feature_width=corpus.feature_width, classes=corpus.classes or 2
    )
    model = InterBertForPreTraining.from_seed(config, seed=1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    values = []
    with Loader(preparer, plan, wanted, 0, 1, Position()) as loader:
        for step in islice(loader, 3):
            for batch in step.batches[:1]:
                found = objectives.losses(names, model.forward_packed(batch), batch)
                loss = sum(loss.sum / loss.count.clamp(min=1) for loss in found.values())
                loss.backward()
                values.append(loss.item())
            optimizer.step()
            optimizer.zero_grad()
    assert len(values) == 3
    return values
