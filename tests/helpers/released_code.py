"""The released model's arithmetic in evaluation mode, from its keys: an oracle that shares nothing with our model."""

import torch
from torch import Tensor
from torch.nn import functional as F


def dense(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].t() + w[f"{name}.bias"]


def norm(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)


def transformer(w: dict[str, Tensor], name: str, x: Tensor, mask: Tensor, heads: int) -> Tensor:
    B, L, H = x.shape
    q, k, v = (
        dense(w, f"{name}.attention.self.{part}", x).view(B, L, heads, H // heads).transpose(1, 2)
        for part in ("query", "key", "value")
    )
    scores = q @ k.transpose(2, 3) / (H // heads) ** 0.5 + (1.0 - mask[:, None, None, :]) * -10000.0
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, L, H)
    x = norm(w, f"{name}.attention.output.LayerNorm", dense(w, f"{name}.attention.output.dense", mixed) + x)
    inner = F.gelu(dense(w, f"{name}.intermediate.dense", x))
    return norm(w, f"{name}.output.LayerNorm", dense(w, f"{name}.output.dense", inner) + x)


def head(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return norm(w, f"{name}.transform.LayerNorm", F.gelu(dense(w, f"{name}.transform.dense", x)))


def forward(w: dict[str, Tensor], config: dict, ids, types, text_mask, features, boxes, image_mask) -> dict:
    e, v = "bert.embeddings", "bert.v_embeddings"
    text = w[f"{e}.word_embeddings.weight"][ids] + w[f"{e}.token_type_embeddings.weight"][types]
    text = norm(w, f"{e}.LayerNorm", text + w[f"{e}.position_embeddings.weight"][: ids.shape[1]])
    image = dense(w, f"{v}.image_embeddings", features) + dense(w, f"{v}.image_location_embeddings", boxes)
    image = norm(w, f"{v}.LayerNorm", image)
    both, mask = torch.cat([image, text], 1), torch.cat([image_mask, text_mask], 1).float()
    joint = config["num_hidden_layers"]
    for n in range(joint):
        both = transformer(w, f"bert.encoder.layer.{n}", both, mask, config["num_attention_heads"])
    image, text = both[:, : image.shape[1]], both[:, image.shape[1] :]
    for n in range(joint, joint + config["t_num_hidden_layers"]):
        text = transformer(
            w, f"bert.encoder.layer.{n}", text, text_mask.float(), config["num_attention_heads"]
        )
    for n in range(config["v_num_hidden_layers"]):
        name, heads = f"bert.encoder.v_layer.{n}", config["v_num_attention_heads"]
        image = transformer(w, name, image, image_mask.float(), heads)
    text_pooled = dense(w, "bert.t_pooler.dense", text[:, 0]).relu()
    region_pooled = dense(w, "bert.v_pooler.dense", image[:, 0]).relu()
    fused = text_pooled * region_pooled if config["fusion_method"] == "mul" else text_pooled + region_pooled
    words = head(w, "cls.predictions", text) @ w["bert.embeddings.word_embeddings.weight"].t()
    return {
        "text_hidden": text,
        "region_hidden": image,
        "text_pooled": text_pooled,
        "region_pooled": region_pooled,
        "token_logits": words + w["cls.predictions.bias"],
        "region_logits": dense(w, "cls.imagePredictions.decoder", head(w, "cls.imagePredictions", image)),
        "itm_logits": dense(w, "cls.bi_seq_relationship", fused),
    }
