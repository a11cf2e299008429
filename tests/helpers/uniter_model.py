"""UNITER as its paper has it, under the names of its checkpoints: an independent model to hold ours to."""

import torch
from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEncoder, BertLMPredictionHead, BertPooler


def rooms(**modules: nn.Module) -> nn.Module:
    """A module that has these under their names, and nothing else."""
    room = nn.Module()
    for name, module in modules.items():
        room.add_module(name, module)
    return room


class Uniter(nn.Module):
    def __init__(self, config: dict, width: int, classes: int) -> None:
        super().__init__()
        bert, hidden = BertConfig(**config), config["hidden_size"]
        bert._attn_implementation = "eager"
        self.uniter = rooms(
            embeddings=rooms(
                word_embeddings=nn.Embedding(bert.vocab_size, hidden),
                position_embeddings=nn.Embedding(bert.max_position_embeddings, hidden),
                token_type_embeddings=nn.Embedding(2, hidden),
                LayerNorm=nn.LayerNorm(hidden, 1e-12),
            ),
            img_embeddings=rooms(
                img_linear=nn.Linear(width, hidden),
                img_layer_norm=nn.LayerNorm(hidden, 1e-12),
                pos_linear=nn.Linear(7, hidden),
                pos_layer_norm=nn.LayerNorm(hidden, 1e-12),
                mask_embedding=nn.Embedding(2, width),
                LayerNorm=nn.LayerNorm(hidden, 1e-12),
            ),
            encoder=BertEncoder(bert),
            pooler=BertPooler(bert),
        )
        self.cls = rooms(predictions=BertLMPredictionHead(bert))
        self.cls.predictions.decoder = nn.Linear(hidden, bert.vocab_size, bias=False)
        self.cls.predictions.decoder.weight = self.uniter.embeddings.word_embeddings.weight
        head = (nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden, 1e-12))
        self.feat_regress = rooms(net=nn.Sequential(*head))
        self.feat_regress.weight = self.uniter.img_embeddings.img_linear.weight
        self.feat_regress.bias = nn.Parameter(torch.zeros(width))
        own = (nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden, 1e-12), nn.Linear(hidden, classes))
        self.region_classifier = rooms(net=nn.Sequential(*own))
        self.itm_output = nn.Linear(hidden, 2)

    def forward(
        self, ids: Tensor, words: Tensor, features: Tensor, boxes: Tensor, regions: Tensor
    ) -> dict[str, Tensor]:
        text, image = self.uniter.embeddings, self.uniter.img_embeddings
        places = torch.arange(ids.shape[1])
        x = (
            text.word_embeddings(ids)
            + text.position_embeddings(places)
            + text.token_type_embeddings.weight[0]
        )
        width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
        seven = torch.cat([boxes[..., :4], torch.stack([width, height, width * height], -1)], -1)
        seen = image.img_layer_norm(image.img_linear(features)) + image.pos_layer_norm(
            image.pos_linear(seven)
        )
        seen = image.LayerNorm(seen + text.token_type_embeddings.weight[1])
        real = torch.cat([words, regions], 1)
        hidden = self.uniter.encoder(
            torch.cat([text.LayerNorm(x), seen], 1), (1.0 - real[:, None, None, :].float()) * -10000
        ).last_hidden_state
        of_text, of_image = hidden.split([ids.shape[1], boxes.shape[1]], 1)
        transform = self.cls.predictions.transform(of_text)
        return {
            "text_hidden": of_text,
            "region_hidden": of_image,
            "token_logits": transform @ text.word_embeddings.weight.t() + self.cls.predictions.bias,
            "region_logits": self.region_classifier.net(of_image),
            "region_features": self.feat_regress.net(of_image) @ self.feat_regress.weight
            + self.feat_regress.bias,
            "itm_logits": self.itm_output(self.uniter.pooler(hidden)),
        }
