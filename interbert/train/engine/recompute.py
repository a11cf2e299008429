"""Layers whose insides are computed a second time in the backward pass instead of being kept (train.recompute)."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from interbert.model.layers.encoder import CrossLayers, StageLayers


def recompute_layers(model: nn.Module) -> None:
    """From here on, training keeps of each encoder layer what goes into it, and nothing else.

    The same numbers: the second time torch's generator stands where it stood at the first, and dropout draws its
    seeds from it.
    """
    for module in model.modules():
        if isinstance(module, StageLayers | CrossLayers):
            module.gradient_checkpointing = True
            module._gradient_checkpointing_func = partial(
                checkpoint, use_reentrant=False, preserve_rng_state=True
            )
