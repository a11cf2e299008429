"""Linear layers whose weights lie in int8, a quarter of their size; products stay fp32.

torch's own product of int8 took longer than that of fp32 on the CPUs it was tried on; onnxruntime's does not.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 127
"""Of each sign."""


class Int8Linear(nn.Module):
    """One scale for each row of the weight."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        weight_OI = layer.weight.detach()
        scale_O1 = weight_OI.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / STEPS
        self.register_buffer("weight_OI", (weight_OI / scale_O1).round().to(torch.int8))
        self.register_buffer("scale_O1", scale_O1)
        self.register_buffer("bias_O", layer.bias.detach())

    def forward(self, x_NI: Tensor) -> Tensor:
        return F.linear(x_NI, self.weight_OI.float() * self.scale_O1, self.bias_O)


def quantised(model: nn.Module) -> nn.Module:
    """The model with the linear layers of its encoder in int8; embeddings, norms and heads stay as they are."""
    for stage in model.interbert.stages:
        for parent in list(stage.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(parent, name, Int8Linear(layer))
    return model
