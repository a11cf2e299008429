"""A small BERT that has read the captions and nothing else: it stands in for BERT where no weights can be had."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForPreTraining

from interbert.batches.masking import Vocabulary, mask_text
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.files import settle_folder
from interbert.rng import Purpose, generator
from interbert.tokenizer import load_tokenizer

STEPS, CAPTIONS = 1500, 64
SIZES = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 384}


def bert_of_captions(store: Path, folder: Path) -> Path:
    """Trained by masked words for some minutes, if it is not there yet."""
    if folder.exists():
        return folder
    tokenizer = load_tokenizer(store.parent / "tokenizer")
    torch.manual_seed(0)
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = BertForPreTraining(
        BertConfig(vocab_size=tokenizer.vocab_size, initializer_range=0.06, **SIZES, **dropout)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with Corpus([store]) as corpus:
        tokens, vocabulary = token_table(corpus, tokenizer, 36), Vocabulary.of(tokenizer)
        for step in range(STEPS):
            rng = generator(0, Purpose.MASK_TEXT, step)
            ids_T, cu = tokens.gather(rng.integers(0, corpus.captions, CAPTIONS))
            everyone = np.ones(CAPTIONS, dtype=bool)
            masked = mask_text("mlm", rng, vocabulary, ids_T, cu, everyone, everyone, len(ids_T))
            labels_T = np.full(len(ids_T), -100)
            labels_T[masked.rows_M] = masked.targets_M
            width = int(np.diff(cu).max())
            rows = [slice(*pair) for pair in pairwise(cu.tolist())]
            ids = _padded([masked.input_ids_T[row] for row in rows], width, 0)
            labels = _padded([labels_T[row] for row in rows], width, -100)
            real = _padded([np.ones(row.stop - row.start) for row in rows], width, 0)
            logits = model(input_ids=ids, attention_mask=real).prediction_logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"a BERT of the captions: loss {loss.item():.2f} after {STEPS} steps", flush=True)
    partial = folder.with_name(f".{folder.name}.partial")
    model.save_pretrained(partial)
    tokenizer.save(partial)
    settle_folder(partial, folder)
    return folder


def _padded(rows: list[np.ndarray], width: int, filler: int) -> torch.Tensor:
    return torch.tensor(
        np.stack([np.pad(row, (0, width - len(row)), constant_values=filler) for row in rows])
    ).long()
