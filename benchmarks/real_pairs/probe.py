"""What is to be beaten: frozen vectors of images and texts, brought together by two linear maps.

An image's vector is the mean of its regions, a text's the mean of BERT's last hidden states; the maps learn by
InfoNCE, and captions that read alike are no rivals of each other.
Letters: I images or pairs, C captions, B of a batch, D width of a vector, P width of what they are mapped to.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertModel

from interbert.corpus.corpus import Corpus
from interbert.tokenizer import load_tokenizer

WIDTH, BATCH, EPOCHS = 256, 512, 20
RATE, DECAY, TEMPERATURE = 1e-3, 0.1, 0.07
MAX_TOKENS = 64
ALIKE = 0.9999


@dataclass(frozen=True)
class Vectors:
    """Of one store."""

    images_ID: Tensor
    captions_CD: Tensor
    owner_C: Tensor
    """The image of each caption."""


def vectors_of(store: Path, bert: Path) -> Vectors:
    with Corpus([store]) as corpus:
        images = range(corpus.images)
        features_ID = [
            np.asarray(corpus.read([i], corpus.region_counts[[i]])[0], np.float32).mean(0) for i in images
        ]
        texts = [corpus.caption_text(number) for number in range(corpus.captions)]
        owner_C = torch.from_numpy(np.asarray(corpus.caption_image[: corpus.captions]).astype(np.int64))
    return Vectors(torch.from_numpy(np.stack(features_ID)), mean_of_words(texts, bert), owner_C)


@torch.inference_mode()
def mean_of_words(texts: list[str], bert: Path) -> Tensor:
    """float32 [C, D], of length 1. Texts that read alike are read once."""
    model = BertModel.from_pretrained(bert, add_pooling_layer=False).eval()
    different = sorted(set(texts), key=len)
    ids = load_tokenizer(bert).encode(different, MAX_TOKENS)
    found = []
    for start in range(0, len(ids), 64):
        rows = [torch.tensor(row) for row in ids[start : start + 64]]
        real = nn.utils.rnn.pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True)
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        hidden = model(input_ids=padded, attention_mask=real.long()).last_hidden_state
        found.append((hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True))
    place = {text: number for number, text in enumerate(different)}
    return F.normalize(torch.cat(found)[[place[text] for text in texts]], dim=-1)


class Probe(nn.Module):
    def __init__(self, train: Vectors) -> None:
        super().__init__()
        self.image = nn.Linear(train.images_ID.shape[1], WIDTH, bias=False)
        self.text = nn.Linear(train.captions_CD.shape[1], WIDTH, bias=False)
        self.scale = nn.Parameter(torch.tensor(1 / TEMPERATURE).log())
        self.register_buffer("mean_D", train.images_ID.mean(0))
        self.register_buffer("spread_D", train.images_ID.std(0) + 1e-6)
        self.register_buffer("text_mean_D", train.captions_CD.mean(0))

    def forward(self, images_ID: Tensor, captions_CD: Tensor) -> Tensor:
        """Scores [C, I]."""
        images_IP = F.normalize(self.image((images_ID - self.mean_D) / self.spread_D), dim=-1)
        texts_CP = F.normalize(self.text(captions_CD - self.text_mean_D), dim=-1)
        return self.scale.exp() * texts_CP @ images_IP.T


def trained(train: Vectors, validation: Vectors, seed: int) -> Probe:
    """As it stood after the epoch whose loss on validation was least: it soon knows its pairs by heart."""
    torch.manual_seed(seed)
    probe = Probe(train)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=RATE, weight_decay=DECAY)
    least, best = float("inf"), probe.state_dict()
    for _ in range(EPOCHS):
        for chosen_B in torch.randperm(len(train.owner_C)).split(BATCH):
            loss = _loss(probe, train, chosen_B)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            held_out = _loss(probe, validation, torch.arange(len(validation.owner_C))).item()
        if held_out < least:
            least, best = held_out, {name: value.clone() for name, value in probe.state_dict().items()}
    probe.load_state_dict(best)
    return probe.eval()


def _loss(probe: Probe, of: Vectors, chosen_B: Tensor) -> Tensor:
    """InfoNCE both ways."""
    texts_BD = of.captions_CD[chosen_B]
    scores_BB = probe(of.images_ID[of.owner_C[chosen_B]], texts_BD)
    alike_BB = (texts_BD @ texts_BD.T > ALIKE) & ~torch.eye(len(chosen_B), dtype=torch.bool)
    scores_BB = scores_BB.masked_fill(alike_BB, -torch.inf)
    right_B = torch.arange(len(chosen_B))
    return F.cross_entropy(scores_BB, right_B) + F.cross_entropy(scores_BB.T, right_B)


@torch.inference_mode()
def recalls(probe: Probe, test: Vectors) -> dict[str, dict[str, float]]:
    """As `launch/evaluate.py` tells them, of a test whose captions are true of one image each."""
    return recalls_of(probe(test.images_ID, test.captions_CD), test.owner_C)


def recalls_of(scores_CI: Tensor, owner_C: Tensor) -> dict[str, dict[str, float]]:
    right_C = scores_CI.gather(1, owner_C[:, None])
    rank_C = (scores_CI > right_C).sum(1)
    column_CI = scores_CI[:, owner_C]
    back_C = (column_CI > right_C.T).sum(0)
    return {
        way: {f"r{k}": (ranks < k).float().mean().item() for k in (1, 5, 10)}
        for way, ranks in (("text_to_image", rank_C), ("image_to_text", back_C))
    }
