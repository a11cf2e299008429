"""Kernels that all ranks have, or none uses: else numbers would be of two kinds, at the pace of the slower one."""

import logging

import torch

from interbert.kernels.attend.attention import fused_refusal
from interbert.kernels.attend.fused_build import architecture, refuse
from interbert.kernels.attend.fused_table import longest
from interbert.kernels.cpu import native
from interbert.kernels.rows import serving
from interbert.kernels.rows.build import GELU_PRODUCT, ROWS
from interbert.model.shape.configuration import InterBertConfig
from interbert.ranks.distributed import Ranks

log = logging.getLogger(__name__)


def agree_on_kernels(config: InterBertConfig, precision: str, ranks: Ranks) -> None:
    """Builds and tries what the model will ask for. Call on all ranks, before the first step."""
    if ranks.world_size == 1 or precision == "fp32":
        return
    if ranks.device.type == "cpu":
        reason = _refused_by_some(native.refusal(), ranks)
        if reason:
            native.refuse(reason)
        return
    arch = architecture(ranks.device)
    for name, others in ((ROWS, "torch's on all ranks"), (GELU_PRODUCT, "apart on all ranks")):
        reason = _refused_by_some(serving.refusal(ranks.device, name), ranks)
        if reason:
            serving.refuse(ranks.device, reason, name)
            log.warning("%s: %s (%s)", serving.NAMES[name], others, reason)
    for width in sorted({config.hidden_size // stage.heads for stage in config.encoder_stages}):
        reason = _refused_by_some(_fused_refusal(width, ranks.device), ranks)
        if reason:
            refuse(width, arch, reason)
            log.warning("fused attention, head width %d: used by no rank (%s)", width, reason)


def _fused_refusal(width: int, device: torch.device) -> str | None:
    if not longest(width, architecture(device), backward=False):
        return f"not made for head width {width} on sm_{architecture(device)}"
    return fused_refusal(width, device)


def _refused_by_some(own: str | None, ranks: Ranks) -> str | None:
    """Nothing where all are of one mind: each then does the same, and says why."""
    told = ranks.gather(own)
    if all(told):
        return None
    return next((f"rank {rank}: {reason}" for rank, reason in enumerate(told) if reason), None)
