"""Linear layers in int8 by torch's own product: weights once, what they are multiplied with as it comes."""

import torch
from torch import Tensor, nn

STEPS = 127
"""Of each sign."""


class Int8Linear(nn.Module):
    """One scale for each row of the weight, and one for each row that comes."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        weight_OI = layer.weight.detach()
        scale_O = weight_OI.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / STEPS
        self.register_buffer("weight_OI", (weight_OI / scale_O[:, None]).round().to(torch.int8))
        self.register_buffer("scale_O", scale_O)
        self.register_buffer("bias_O", layer.bias.detach())

    def forward(self, x_NI: Tensor) -> Tensor:
        scale_N1 = x_NI.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / STEPS
        rows_NI = (x_NI / scale_N1).round().to(torch.int8)
        return torch._int_mm(rows_NI, self.weight_OI.t()).float() * scale_N1 * self.scale_O + self.bias_O


def quantised(model: nn.Module) -> nn.Module:
    """The model with the linear layers of its encoder in int8; embeddings, norms and heads stay as they are."""
    for stage in model.interbert.stages:
        for parent in list(stage.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(parent, name, Int8Linear(layer))
    return model
