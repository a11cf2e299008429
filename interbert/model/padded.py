"""The plain twin of the packed forward: rectangular tensors, padding computed and hidden by key masks.

Slow and simple on purpose: tests hold the packed model to it, and the benchmark shows what padding costs.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from interbert.batches.batch import Batch
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.layers.encoder import Ask, Attend
from interbert.model.outputs import PackedOutput
from interbert.model.packing.image_tokens import WHOLE_IMAGE


def forward_padded(
    model: InterBertForPreTraining, batch: Batch, text_width: int, region_width: int
) -> PackedOutput:
    """forward_packed with every pair padded to `text_width` tokens and `region_width` regions + global token.

    The hidden states come back packed, and the heads see what the packed model's see.
    """
    base, pairs = model.interbert, batch.pairs
    text_BL, text_real = pad(batch.input_ids_T, batch.cu_text, text_width)
    types_BL, _ = pad(batch.token_types_T, batch.cu_text, text_width)
    features_BVD, boxes_BV5, image_real = _pad_image(model.config.global_token, batch, region_width)
    positions = torch.arange(text_width, device=text_BL.device).expand(pairs, -1)

    image = base.embed_image(features_BVD.flatten(0, 1), boxes_BV5.flatten(0, 1))
    image = image.view(*image_real.shape, -1)
    whole = None
    if model.config.words_see_image:
        seen_BRD, real_BR = pad(
            batch.features_RD.masked_fill(batch.zeroed_R[:, None], 0), batch.cu_regions, region_width
        )
        mean_BD = seen_BRD.float().sum(1) / real_BR.sum(1).clamp(min=1)[:, None]
        whole = mean_BD.repeat_interleave(text_width, 0)
    text = base.text_embeddings(text_BL.flatten(), positions.flatten(), types_BL.flatten(), whole)
    text = text.view(*text_real.shape, -1)
    image, text = run_stages(base.stages, image, text, image_real, text_real)

    output = PackedOutput(text[text_real], image[image_real])
    places = torch.arange(pairs, device=text.device)
    if base.text_pooler is not None and base.image_pooler is not None:
        output.text_pooled_PQ = base.text_pooler(text.flatten(0, 1), places * text.shape[1])
        output.image_pooled_PQ = base.image_pooler(image.flatten(0, 1), places * image.shape[1])
        output.match_logits_P2 = model.heads["match"](output.text_pooled_PQ, output.image_pooled_PQ)
    elif base.text_pooler is not None:
        output.text_pooled_PQ = base.text_pooler(text.flatten(0, 1), places * text.shape[1])
        output.match_logits_P2 = model.heads["match"](output.text_pooled_PQ)
    elif model.config.match_head == "cls":
        output.match_logits_P2 = model.heads["match"](text[:, 0])
    output.token_logits_MW = model.heads["tokens"](output.text_hidden_TH[batch.masked_tokens_M])
    regions_RH = image[:, image.shape[1] - region_width :][image_real[:, image.shape[1] - region_width :]]
    output.region_logits_NK = model.heads["regions"](regions_RH[batch.masked_regions_N])
    return output


def run_stages(
    stages: torch.nn.ModuleList, image_BVH: Tensor, text_BLH: Tensor, image_real: Tensor, text_real: Tensor
) -> tuple[Tensor, Tensor]:
    real = {"image": image_real, "text": text_real, "joint": torch.cat([image_real, text_real], 1)}
    image, text = image_BVH, text_BLH
    for stage in stages:
        if stage.kind == "joint":
            joint = _run(stage, torch.cat([image, text], 1), real["joint"])
            image, text = joint.split([image.shape[1], text.shape[1]], 1)
        elif stage.kind == "cross":
            ask = ask_padded(image_real, text_real)
            rows = stage(image.flatten(0, 1), text.flatten(0, 1), ask)
            image, text = rows[0].view_as(image), rows[1].view_as(text)
        elif stage.kind == "text":
            text = _run(stage, text, text_real)
        else:
            image = _run(stage, image, image_real)
    return image, text


def _run(stage: torch.nn.Module, x_BLH: Tensor, real_BL: Tensor) -> Tensor:
    return stage(x_BLH.flatten(0, 1), attend_padded(real_BL)).view_as(x_BLH)


def attend_padded(real_BL: Tensor) -> Attend:
    """Attention between the places of a padded batch; padding is never a key."""
    mask = real_BL[:, None, None, :]

    def attend(qkv_N3Hd: Tensor, dropout_p: float) -> Tensor:
        q, k, v = qkv_N3Hd.view(*real_BL.shape, *qkv_N3Hd.shape[1:]).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
        return out.transpose(1, 2).flatten(0, 1)

    return attend


def ask_padded(image_real: Tensor, text_real: Tensor) -> Ask:
    def ask(who: str, queries: Tensor, other: Tensor, dropout_p: float) -> Tensor:
        asks, seen = (text_real, image_real) if who == "text" else (image_real, text_real)
        q = queries.view(*asks.shape, *queries.shape[1:]).transpose(1, 2)
        k, v = (other[:, part].view(*seen.shape, *other.shape[2:]).transpose(1, 2) for part in (1, 2))
        mask = seen[:, None, None, :]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
        return out.transpose(1, 2).flatten(0, 1)

    return ask


def pad(x_N: Tensor, cu: Tensor, width: int) -> tuple[Tensor, Tensor]:
    lengths_B = cu.diff()
    rows = pad_sequence(list(x_N.split(lengths_B.tolist())), batch_first=True)
    rows = F.pad(rows, [0, 0] * (rows.dim() - 2) + [0, width - rows.shape[1]])
    return rows, torch.arange(width, device=x_N.device) < lengths_B[:, None]


def _pad_image(kind: str, batch: Batch, width: int) -> tuple[Tensor, Tensor, Tensor]:
    seen_RD = batch.features_RD.masked_fill(batch.zeroed_R[:, None], 0)
    features_BRD, real_BR = pad(seen_RD, batch.cu_regions, width)
    boxes_BR5, _ = pad(batch.boxes_R5, batch.cu_regions, width)
    if kind == "none":
        return features_BRD, boxes_BR5, real_BR
    averaged_BRD = features_BRD
    if kind == "before_masking":
        averaged_BRD, _ = pad(batch.features_RD, batch.cu_regions, width)
    mean_BD = averaged_BRD.float().sum(1) / real_BR.sum(1).clamp(min=1)[:, None]
    whole_B5 = boxes_BR5.new_tensor(WHOLE_IMAGE).expand(len(mean_BD), 5)
    return (
        torch.cat([mean_BD[:, None].to(features_BRD.dtype), features_BRD], 1),
        torch.cat([whole_B5[:, None], boxes_BR5], 1),
        torch.cat([real_BR.new_ones(len(real_BR), 1), real_BR], 1),
    )
