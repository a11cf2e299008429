"""InterBERT: joint layers over image and text, then layers of its own for each stream. Mathematics only."""

from collections.abc import Collection
from typing import Self

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining, PreTrainedModel
from transformers import initialization as init

from interbert.batches.batch import Batch
from interbert.model.beginning import beginning, drawn, fill
from interbert.model.layers.embeddings import ImageEmbeddings, Pointing, TextEmbeddings
from interbert.model.layers.encoder import CrossLayers, StageLayers, layers_of
from interbert.model.layers.heads import (
    MATCH_HEADS,
    Pooler,
    PredictionHead,
    match_probability,
)
from interbert.model.outputs import InterBertOutput, PackedOutput
from interbert.model.packing.attention import Maps, WithinPairs, ask_packed
from interbert.model.packing.image_tokens import image_tokens, whole_images
from interbert.model.packing.layout import Layout, layout
from interbert.model.packing.padding import PackedInputs, pack, unpack
from interbert.model.packing.streams import Streams
from interbert.model.shape.configuration import InterBertConfig


class InterBertPreTrainedModel(PreTrainedModel):
    """How weights begin, which all models have in common."""

    config_class = InterBertConfig
    config: InterBertConfig
    base_model_prefix = "interbert"
    main_input_name = "input_ids"

    def _init_weights(self, module: nn.Module) -> None:
        """Of a module that transformers found no weights for."""
        for key, parameter in module.named_parameters(recurse=False):
            match beginning(module, key):
                case "normal":
                    init.normal_(parameter, std=self.config.initializer_range)
                case "zeros":
                    init.zeros_(parameter)
                case "ones":
                    init.ones_(parameter)

    @classmethod
    def empty(cls, config: InterBertConfig) -> Self:
        """Shapes without numbers."""
        with torch.device("meta"):
            return cls(config)

    @classmethod
    def from_seed(cls, config: InterBertConfig, seed: int) -> Self:
        """A fresh model whose weights depend on `seed` alone."""
        model = cls.empty(config)
        return fill(model, drawn(model, seed, config.initializer_range))


class InterBertModel(InterBertPreTrainedModel):
    """Embeddings, encoder and poolers."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.text_embeddings = TextEmbeddings(config)
        self.image_embeddings = ImageEmbeddings(config)
        stages = config.encoder_stages
        self.stages = nn.ModuleList(layers_of(config.hidden_size, s, config.layer_norm_eps) for s in stages)
        self.text_pooler = Pooler(config) if config.match_head in ("fused", "pooled") else None
        self.image_pooler = Pooler(config) if config.match_head == "fused" else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Those of words."""
        return self.text_embeddings.words

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Those of words."""
        assert isinstance(value, nn.Embedding)
        self.text_embeddings.words = value

    def encode(
        self,
        batch: Batch | PackedInputs,
        layout: Layout,
        maps: Maps | None = None,
        pointing: Pointing | None = None,
    ) -> Streams:
        """Hidden states of a packed batch. maps: takes what each layer attends to. pointing: what words are given of
        the regions that they are said to mean; without, they are given nothing."""
        streams = self.embed(batch, layout, pointing)
        for stage in self.stages:
            if isinstance(stage, CrossLayers):
                streams.put_apart(*stage(streams.image_VH, streams.text_TH, ask_packed(layout, maps)))
            else:
                assert isinstance(stage, StageLayers)
                attend = WithinPairs(layout, stage.kind, maps)
                streams.put(stage.kind, stage(streams.get(stage.kind), attend))
        return streams

    def embed(self, batch: Batch | PackedInputs, layout: Layout, pointing: Pointing | None = None) -> Streams:
        """What the first layer is given of a packed batch."""
        global_token = batch.global_token if isinstance(batch, PackedInputs) else self._global_token(batch)
        features_RD = batch.features_RD
        if isinstance(batch, Batch) and batch.text_only:
            # The image side runs on zero rows, so that every rank runs the same modules.
            features_RD = features_RD.new_zeros(0, self.config.feature_width)
        features_VD, boxes_V5 = image_tokens(
            features_RD, batch.boxes_R5, batch.zeroed_R, batch.cu_regions, layout, global_token
        )
        whole_TD = None
        if self.config.words_see_image:
            whole_TD = whole_images(features_RD, batch.zeroed_R, batch.cu_regions)[layout.text_pair_T]
        image_VH = self.embed_image(features_VD, boxes_V5)
        pointed = None
        if pointing is not None:
            words_S, regions_S = tags_of(batch)
            pointed = words_S, pointing(image_VH[layout.region_rows_R[regions_S]])
        text_TH = self.text_embeddings(
            batch.input_ids_T, layout.positions_T, batch.token_types_T, whole_TD, pointed
        )
        return Streams(image_VH, text_TH, layout)

    def embed_image(self, features_VD: Tensor, boxes_V5: Tensor) -> Tensor:
        """Image tokens [V, H], normed as `image_norm` says."""
        return self.image_embeddings(features_VD, boxes_V5, self.text_embeddings.norm)

    def layout_of(self, batch: Batch) -> Layout:
        """Where the tokens of a batch stand among text, image and joint rows."""
        return layout(
            batch.cu_text,
            batch.cu_regions,
            tokens=batch.input_ids_T.numel(),
            regions=batch.boxes_R5.shape[0],
            max_text=batch.max_text,
            max_regions=batch.max_regions,
            global_token=self._global_token(batch) != "none",
            order_3P=batch.order_3P,
        )

    def _global_token(self, batch: Batch) -> str:
        return "none" if batch.text_only else self.config.global_token

    def pool(self, streams: Streams, layout: Layout) -> tuple[Tensor | None, Tensor | None]:
        """Text and image vector of each pair; None for a stream without tokens, or if the match head takes none."""
        text = image = None
        if self.text_pooler is not None and layout.text_tokens:
            text = self.text_pooler(streams.text_TH, layout.text_first_P)
        if self.image_pooler is not None and layout.image_tokens:
            image = self.image_pooler(streams.image_VH, layout.image_first_P)
        return text, image

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_boxes: Tensor | None = None,
        region_mask: Tensor | None = None,
        add_global: bool = False,
        output_attentions: bool = False,
    ) -> InterBertOutput:
        """Hidden states and pooled vectors; the arguments are those of InterBertForPreTraining.forward."""
        inputs = pack(
            self.config,
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_boxes,
            region_mask,
            add_global,
        )
        maps = {} if output_attentions else None
        streams = self.encode(inputs, inputs.layout, maps)
        return padded_output(inputs, streams, *self.pool(streams, inputs.layout), maps)


class InterBertForPreTraining(InterBertPreTrainedModel):
    """InterBERT with the heads of its pretraining."""

    _tied_weights_keys = {"heads.tokens.decoder.weight": "interbert.text_embeddings.words.weight"}  # noqa: RUF012

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        make = {
            "tokens": lambda: PredictionHead(config, config.vocab_size),
            "regions": lambda: PredictionHead(config, config.classes),
            "features": lambda: PredictionHead(config, config.feature_width),
            "match": lambda: MATCH_HEADS[config.match_head](config),
        }
        self.heads = nn.ModuleDict({name: make[name]() for name in config.prediction_heads or ()})
        if "tokens" not in self.heads:
            self._tied_weights_keys = {}
        self.post_init()

    def get_output_embeddings(self) -> nn.Module | None:
        """The word head's last layer, whose weight is that of the input embeddings; None without such a head."""
        return self.heads.get_submodule("tokens.decoder") if "tokens" in self.heads else None

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_boxes: Tensor | None = None,
        region_mask: Tensor | None = None,
        add_global: bool = False,
        output_attentions: bool = False,
        tags: Tensor | None = None,
    ) -> InterBertOutput:
        """Padded tensors in and out; text alone and image alone are allowed.

        region_features [B, R, D]; region_boxes [B, R, 5]: x1/W, y1/H, x2/W, y2/H, area share. Region 0 is the
        global token if the caller gives one; `add_global=True` puts it in front (mean feature, whole image).
        tags [S, 3]: pair, token and the region that it means, counted as they are given here; for a model that was
        tuned with them.
        """
        pointing = self.pointing()
        if tags is not None and pointing is None:
            raise ValueError("tags are given, and this model was not tuned with task.tags; leave them out")
        inputs = pack(
            self.config,
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_boxes,
            region_mask,
            add_global,
            tags,
        )
        maps = {} if output_attentions else None
        streams = self.interbert.encode(inputs, inputs.layout, maps, pointing)
        text_PQ, image_PQ = self.interbert.pool(streams, inputs.layout)
        output = padded_output(inputs, streams, text_PQ, image_PQ, maps)
        output.token_logits = unpack_text(inputs, self._predict("tokens", streams.text_TH))
        output.region_logits = unpack_image(inputs, self._predict("regions", streams.image_VH))
        output.region_features = unpack_image(inputs, self._predict("features", streams.image_VH))
        if "match" in self.heads and inputs.layout.text_tokens and inputs.layout.image_tokens:
            output.itm_logits = self.heads["match"](
                *self._match_inputs(streams, inputs.layout, text_PQ, image_PQ)
            )
            output.match_probability = match_probability(output.itm_logits)
        return output

    def pointing(self) -> Pointing | None:
        """Who is tuned on words that point at regions has one."""
        return None

    def forward_packed(
        self,
        batch: Batch,
        heads: Collection[str] | None = None,
        layout: Layout | None = None,
        output_attentions: bool = False,
    ) -> PackedOutput:
        """What training calls: no padding, and of the large heads only the masked rows.

        `heads` are those to run (default: all the model has). Each runs whatever the batch holds, on zero
        rows if need be, so that every rank runs the same modules and every parameter gets a gradient.
        """
        heads = self.heads.keys() if heads is None else heads
        missing = sorted(set(heads) - self.heads.keys())
        if missing:
            raise ValueError(f"the model was built without the heads {missing}: add them to prediction_heads")
        layout = self.interbert.layout_of(batch) if layout is None else layout
        maps = {} if output_attentions else None
        streams = self.interbert.encode(batch, layout, maps)
        output = PackedOutput(streams.text_TH, streams.image_VH, attentions=maps)
        if "tokens" in heads:
            masked_MH = streams.text_TH.index_select(0, batch.masked_tokens_M)
            output.token_logits_MW = self.heads["tokens"](masked_MH)
        if "regions" in heads or "features" in heads:
            masked_NH = streams.image_VH.index_select(0, layout.region_rows_R[batch.masked_regions_N])
            output.region_logits_NK = self.heads["regions"](masked_NH) if "regions" in heads else None
            output.region_features_ND = self.heads["features"](masked_NH) if "features" in heads else None
        if "match" in heads:
            output.text_pooled_PQ, output.image_pooled_PQ = self.interbert.pool(streams, layout)
            pooled = output.text_pooled_PQ, output.image_pooled_PQ
            output.match_inputs = self._match_inputs(streams, layout, *pooled)
            output.match_logits_P2 = self.heads["match"](*output.match_inputs)
        return output

    def _match_inputs(
        self, streams: Streams, layout: Layout, text_PQ: Tensor | None, image_PQ: Tensor | None
    ) -> tuple[Tensor, ...]:
        """What the match head reads of each pair."""
        if text_PQ is not None and image_PQ is not None:
            return text_PQ, image_PQ
        if text_PQ is not None:
            return (text_PQ,)
        return (streams.text_TH.index_select(0, layout.text_first_P),)

    def _predict(self, head: str, x_NH: Tensor) -> Tensor | None:
        return self.heads[head](x_NH) if head in self.heads else None


def tags_of(batch: Batch | PackedInputs) -> tuple[Tensor, Tensor]:
    """Words and the regions that they mean; none where nothing is tagged."""
    if batch.tagged_words_S is None or batch.tagged_regions_S is None:
        nothing = batch.input_ids_T.new_zeros(0)
        return nothing, nothing
    return batch.tagged_words_S, batch.tagged_regions_S


def padded_output(
    inputs: PackedInputs,
    streams: Streams,
    text_PQ: Tensor | None,
    image_PQ: Tensor | None,
    maps: Maps | None,
) -> InterBertOutput:
    return InterBertOutput(
        text_hidden=unpack_text(inputs, streams.text_TH),
        region_hidden=unpack_image(inputs, streams.image_VH),
        text_pooled=text_PQ,
        region_pooled=image_PQ,
        attentions=maps,
    )


def unpack_text(inputs: PackedInputs, x_TH: Tensor | None) -> Tensor | None:
    return unpack(x_TH, inputs.text_places_T, inputs.pairs, inputs.text_width)


def unpack_image(inputs: PackedInputs, x_VH: Tensor | None) -> Tensor | None:
    return unpack(x_VH, inputs.image_places_V, inputs.pairs, inputs.image_width)


AutoConfig.register(InterBertConfig.model_type, InterBertConfig)
AutoModel.register(InterBertConfig, InterBertModel)
AutoModelForPreTraining.register(InterBertConfig, InterBertForPreTraining)
