"""What every model of ours is, and the encoder without heads."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import can_return_tuple

from interbert.batches.batch import Batch
from interbert.model.beginning import beginning, drawn, fill
from interbert.model.card import carry_card
from interbert.model.layers.embeddings import ImageEmbeddings, Pointing, TextEmbeddings
from interbert.model.layers.encoder import CrossLayers, StageLayers, layers_of
from interbert.model.layers.heads import Pooler
from interbert.model.outputs import InterBertOutput
from interbert.model.packing.attention import BACKENDS, Maps, WithinPairs, ask_packed
from interbert.model.packing.image_tokens import image_tokens, whole_images
from interbert.model.packing.layout import Layout, layout
from interbert.model.packing.maps import padded_maps
from interbert.model.packing.padding import PackedInputs, PaddedInputs, pack, unpack
from interbert.model.packing.streams import Streams
from interbert.model.shape.configuration import InterBertConfig

States = list[tuple[Tensor, Tensor]]
"""Image rows and text rows, after each layer."""


class InterBertPreTrainedModel(PreTrainedModel):
    """How weights begin, and what all models have in common."""

    config_class = InterBertConfig
    config: InterBertConfig
    base_model_prefix = "interbert"
    main_input_name = "input_ids"
    input_modalities = ["text", "image"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    # The offsets that attention goes by lie on one device.
    _no_split_modules = ["InterBertModel"]  # noqa: RUF012
    # Whoever reads a directory may want fewer heads than it holds.
    _keys_to_ignore_on_load_unexpected = [r"^heads\.", r"^task\.", r"^tasks\."]  # noqa: RUF012

    def _check_and_adjust_attn_implementation(
        self, attn_implementation: str | None, is_init_check: bool = False, allow_all_kernels: bool = False
    ) -> str:
        """Torch carries its own FlashAttention, so that no package is asked for."""
        if attn_implementation is None:
            return "interbert"
        if attn_implementation not in BACKENDS:
            raise ValueError(
                f'Specified `attn_implementation="{attn_implementation}"` is not supported; take one of '
                f"{', '.join(BACKENDS)}"
            )
        return attn_implementation

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

    # What stands behind the first two arguments is transformers' own affair.
    def _upload_modified_files(  # ty: ignore[incompatible-method-override]
        self, working_dir: str, repo_id: str, *rest: Any, **named: Any
    ) -> Any:
        """Whatever goes to a hub goes with a card."""
        carry_card(self.config, self.name_or_path, working_dir, repo_id)
        return super()._upload_modified_files(working_dir, repo_id, *rest, **named)

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
        states: States | None = None,
    ) -> Streams:
        """Hidden states of a packed batch. maps: takes what each layer attends to. pointing: what words are given of
        the regions that they are said to mean; without, they are given nothing. states: takes image and text rows of
        the embeddings and of each layer."""
        streams = self.embed(batch, layout, pointing)
        if states is not None:
            states.append(streams.apart())
        return self.through(streams, layout, maps, states)

    def through(
        self, streams: Streams, layout: Layout, maps: Maps | None = None, states: States | None = None
    ) -> Streams:
        """What the stages make of what they are given."""
        for stage in self.stages:
            assert isinstance(stage, CrossLayers | StageLayers)
            # Of a stage that a graph has taken over nobody asks for its layers.
            seen = () if states is None else (partial(_note, states, streams, stage.kind),)
            if isinstance(stage, CrossLayers):
                ask = ask_packed(layout, maps)
                streams.put_apart(*stage(streams.image_VH, streams.text_TH, ask, *seen))
            else:
                attend = WithinPairs(layout, stage.kind, maps, self.config._attn_implementation)
                streams.put(stage.kind, stage(streams.get(stage.kind), attend, *seen))
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
        words_TH = batch.words_TH if isinstance(batch, PackedInputs) else None
        text_TH = self.text_embeddings(
            batch.input_ids_T, layout.positions_T, batch.token_types_T, whole_TD, pointed, words_TH
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

    def read(
        self,
        given: PaddedInputs,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        pointing: Pointing | None = None,
    ) -> "Read":
        """What is not said is as the configuration has it."""
        asked = self.config
        maps = {} if _or(output_attentions, asked.output_attentions) else None
        states = [] if _or(output_hidden_states, asked.output_hidden_states) else None
        inputs = pack(asked, given)
        streams = self.encode(inputs, inputs.layout, maps, pointing, states)
        attentions = None if maps is None else padded_maps(asked.encoder_stages, maps, inputs)
        return Read(inputs, streams, *self.pool(streams, inputs.layout), attentions, states)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_boxes: Tensor | None = None,
        region_mask: Tensor | None = None,
        add_global: bool = False,
        output_attentions: bool | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> InterBertOutput:
        """Hidden states and pooled vectors; the arguments are those of InterBertForPreTraining.forward."""
        given = PaddedInputs(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            region_features=region_features,
            region_boxes=region_boxes,
            region_mask=region_mask,
            add_global=add_global,
        )
        return self.read(given, output_attentions, output_hidden_states).output()


def tags_of(batch: Batch | PackedInputs) -> tuple[Tensor, Tensor]:
    """Words and the regions that they mean; none where nothing is tagged."""
    if batch.tagged_words_S is None or batch.tagged_regions_S is None:
        nothing = batch.input_ids_T.new_zeros(0)
        return nothing, nothing
    return batch.tagged_words_S, batch.tagged_regions_S


@dataclass
class Read:
    """What the encoder makes of padded inputs."""

    inputs: PackedInputs
    streams: Streams
    text_PQ: Tensor | None
    image_PQ: Tensor | None
    attentions: tuple[Tensor, ...] | None
    states: States | None

    def output(self) -> InterBertOutput:
        return InterBertOutput(
            text_hidden=unpack_text(self.inputs, self.streams.text_TH),
            region_hidden=unpack_image(self.inputs, self.streams.image_VH),
            text_pooled=self.text_PQ,
            region_pooled=self.image_PQ,
            hidden_states=None if self.states is None else tuple(self._padded(*one) for one in self.states),
            attentions=self.attentions,
        )

    def _padded(self, image_VH: Tensor, text_TH: Tensor) -> Tensor:
        parts = unpack_image(self.inputs, image_VH), unpack_text(self.inputs, text_TH)
        return torch.cat([part for part in parts if part is not None], 1)


def _note(states: States, streams: Streams, kind: str, *rows: Tensor) -> None:
    """What a layer has made, and the other stream as it stands."""
    if kind == "cross":
        streams.put_apart(*rows)
    else:
        streams.put(kind, *rows)
    states.append(streams.apart())


def _or(given: bool | None, otherwise: bool | None) -> bool:
    return bool(otherwise if given is None else given)


def unpack_text(inputs: PackedInputs, x_TH: Tensor | None) -> Tensor | None:
    return unpack(x_TH, inputs.text_places_T, inputs.pairs, inputs.text_width)


def unpack_image(inputs: PackedInputs, x_VH: Tensor | None) -> Tensor | None:
    return unpack(x_VH, inputs.image_places_V, inputs.pairs, inputs.image_width)
