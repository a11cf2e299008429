"""VOLTA's gated layers and three of its embeddings, under the names of its checkpoints: an independent model to hold
ours to."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from uniter_model import rooms

HIDDEN, POOLED, WORDS, WIDTH, CLASSES = 24, 20, 40, 9, 7
BOTH = ("", "v_")
"""Words, regions."""


def configuration(kind: str, layers: list[str], words: int = WORDS) -> dict:
    """layers: joint, cross, text, image, or apart (both streams, each for itself), from the bottom."""
    sublayers = {
        f"{name}_sublayers": [] for name in ("tt_attn", "tv_attn", "vt_attn", "vv_attn", "t_ff", "v_ff")
    }
    sublayers["shared_sublayers"] = []
    serves = {
        "joint": ("tt_attn", "tv_attn", "vt_attn", "vv_attn", "t_ff", "v_ff"),
        "cross": ("tv_attn", "vt_attn", "t_ff", "v_ff"),
        "text": ("tt_attn", "t_ff"),
        "image": ("vv_attn", "v_ff"),
        "apart": ("tt_attn", "vv_attn", "t_ff", "v_ff"),
    }
    for n, layer in enumerate(layers):
        for name in serves[layer]:
            sublayers[f"{name}_sublayers"].append(2 * n + name.endswith("ff"))
        if layer == "joint":
            sublayers["shared_sublayers"] += [2 * n, 2 * n + 1]
    stream = {"attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1}
    stream |= {
        "hidden_size": HIDDEN,
        "num_attention_heads": 2,
        "intermediate_size": 40,
        "pooler_size": POOLED,
    }
    return {
        **stream,
        **{f"v_{name}": value for name, value in stream.items()},
        "initializer_range": 0.02,
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
        "vocab_size": words,
        "bert_model": "bert-base-uncased",
        "num_locs": 5,
        "add_global_imgfeat": "first",
        "image_embeddings": kind,
        "v_feature_size": WIDTH,
        "visual_target_weights": {"0": 1.0},
        "fusion_method": "mul",
        "clf_hidden_size": 30,
        "sublayer2attn_hidden_size": {},
        **sublayers,
    }


def linear(inputs: int = HIDDEN, outputs: int = HIDDEN) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def norm() -> nn.LayerNorm:
    return nn.LayerNorm(HIDDEN, 1e-12)


class Volta(nn.Module):
    def __init__(self, config: dict) -> None:
        super().__init__()
        self.kind, self.config = config["image_embeddings"], config
        embeddings = {
            "word_embeddings": nn.Embedding(config["vocab_size"], HIDDEN),
            "position_embeddings": nn.Embedding(16, HIDDEN),
            "token_type_embeddings": nn.Embedding(2, HIDDEN),
            "LayerNorm": norm(),
        }
        image = {"image_embeddings": linear(WIDTH), "image_location_embeddings": linear(5)}
        own = {}
        if self.kind == "visualbert":
            embeddings |= {
                "projection": linear(WIDTH),
                "token_type_embeddings_visual": nn.Embedding(2, HIDDEN),
                "position_embeddings_visual": nn.Embedding(16, HIDDEN),
            }
        elif self.kind == "uniter":
            embeddings |= image | {"image_layer_norm": norm(), "image_location_layer_norm": norm()}
            embeddings |= {
                "v_LayerNorm": norm(),
                "image_token_type_embeddings": embeddings["token_type_embeddings"],
            }
        else:
            own = {"v_embeddings": rooms(**image, LayerNorm=norm())}
        count = 1 + max(config["t_ff_sublayers"] + config["v_ff_sublayers"])
        sublayers = nn.ModuleList(self._sublayer(n) for n in range(count))
        self.bert = rooms(
            embeddings=rooms(**embeddings),
            **own,
            encoder=rooms(layer=sublayers),
            t_pooler=rooms(dense=linear(outputs=POOLED)),
            v_pooler=rooms(dense=linear(outputs=POOLED)),
        )
        self.cls = rooms(
            predictions=rooms(
                transform=rooms(dense=linear(), LayerNorm=norm()),
                decoder=nn.Linear(HIDDEN, config["vocab_size"], bias=False),
            ),
            bi_seq_relationship=linear(POOLED, 2),
            imagePredictions=rooms(
                transform=rooms(dense=linear(), LayerNorm=norm()),
                decoder_dict=nn.ModuleDict({"0": linear(outputs=CLASSES)}),
            ),
        )
        self.cls.predictions.decoder.weight = embeddings["word_embeddings"].weight
        self.cls.predictions.bias = nn.Parameter(torch.zeros(config["vocab_size"]))

    def _has(self, number: int, *names: str) -> bool:
        return any(number in self.config[f"{name}_sublayers"] for name in names)

    def _streams(self, number: int) -> list[str]:
        served = {"": ("tt_attn", "tv_attn", "t_ff"), "v_": ("vv_attn", "vt_attn", "v_ff")}
        return [stream for stream in BOTH if self._has(number, *served[stream])]

    def _sublayer(self, number: int) -> nn.Module:
        streams, shared = self._streams(number), self._has(number, "shared")

        def each(make: dict) -> nn.Module:
            modules = {}
            for stream in streams:
                for name, of in make.items():
                    modules[stream + name] = modules[name] if shared and stream else of()
            return rooms(**modules)

        out = {"dense": linear, "LayerNorm": norm}
        if self._has(number, "t_ff", "v_ff"):
            wide, back = (lambda: linear(outputs=40)), out | {"dense": lambda: linear(40)}
            return rooms(intermediate=each({"dense": wide}), output=each(back))
        asked = dict.fromkeys(("query", "key", "value"), linear)
        return rooms(attention_self=each(asked), attention_output=each(out))

    def _embedded(self, ids: Tensor, features: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        e = self.bert.embeddings
        text = e.word_embeddings(ids) + e.position_embeddings(torch.arange(ids.shape[1]))
        text = e.LayerNorm(text + e.token_type_embeddings.weight[0])
        if self.kind == "visualbert":
            place = e.token_type_embeddings_visual.weight[1] + e.position_embeddings_visual.weight[0]
            return {"": text, "v_": e.LayerNorm(e.projection(features) + place)}
        if self.kind == "uniter":
            image = e.image_layer_norm(e.image_embeddings(features))
            image = image + e.image_location_layer_norm(e.image_location_embeddings(boxes))
            return {"": text, "v_": e.v_LayerNorm(image + e.image_token_type_embeddings.weight[1])}
        v = self.bert.v_embeddings
        return {
            "": text,
            "v_": v.LayerNorm(v.image_embeddings(features) + v.image_location_embeddings(boxes)),
        }

    def _attend(self, number: int, module: nn.Module, x: dict[str, Tensor], real: dict[str, Tensor]) -> dict:
        seen_by = {
            "": [s for s, name in (("", "tt_attn"), ("v_", "tv_attn")) if self._has(number, name)],
            "v_": [s for s, name in (("", "vt_attn"), ("v_", "vv_attn")) if self._has(number, name)],
        }

        def heads(stream: str, name: str) -> Tensor:
            made = getattr(module.attention_self, stream + name)(x[stream])
            return made.unflatten(-1, (2, HIDDEN // 2)).transpose(1, 2)

        after = dict(x)
        for stream in self._streams(number):
            keys, values = (torch.cat([heads(s, n) for s in seen_by[stream]], 2) for n in ("key", "value"))
            mask = torch.cat([real[s] for s in seen_by[stream]], 1)[:, None, None, :].float()
            scores = (
                heads(stream, "query") @ keys.transpose(2, 3) / (HIDDEN // 2) ** 0.5 + (1 - mask) * -10000
            )
            mixed = (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)
            after[stream] = self._out(module.attention_output, stream, mixed, x[stream])
        return after

    def _out(self, module: nn.Module, stream: str, made: Tensor, before: Tensor) -> Tensor:
        return getattr(module, f"{stream}LayerNorm")(getattr(module, f"{stream}dense")(made) + before)

    def forward(self, ids: Tensor, words: Tensor, features: Tensor, boxes: Tensor, regions: Tensor) -> dict:
        """Features, boxes and mask with the global token first."""
        x, real = self._embedded(ids, features, boxes), {"": words, "v_": regions}
        for number, module in enumerate(self.bert.encoder.layer):
            if self._has(number, "t_ff", "v_ff"):
                for stream in self._streams(number):
                    inner = F.gelu(getattr(module.intermediate, f"{stream}dense")(x[stream]))
                    x = x | {stream: self._out(module.output, stream, inner, x[stream])}
            else:
                x = self._attend(number, module, x, real)
        text, image = x[""], x["v_"]
        pooled = self.bert.t_pooler.dense(text[:, 0]).relu(), self.bert.v_pooler.dense(image[:, 0]).relu()
        of_words, of_regions = self.cls.predictions.transform, self.cls.imagePredictions.transform
        said = of_words.LayerNorm(F.gelu(of_words.dense(text)))
        seen = of_regions.LayerNorm(F.gelu(of_regions.dense(image)))
        return {
            "text_hidden": text,
            "region_hidden": image,
            "token_logits": self.cls.predictions.decoder(said) + self.cls.predictions.bias,
            "region_logits": self.cls.imagePredictions.decoder_dict["0"](seen),
            "itm_logits": self.cls.bi_seq_relationship(pooled[0] * pooled[1]),
        }
