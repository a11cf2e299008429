"""A task's model, filled with the weights that training begins from."""

from collections.abc import Callable

import torch
from torch import nn

from interbert.model.beginning import fill
from interbert.model.interbert import InterBertForPreTraining
from interbert.train.engine.adapters import with_adapters
from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.task import Task

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_model(task: Task, engine: EngineConfig | None = None) -> InterBertForPreTraining:
    """With the weights that training begins from. At stage 3 each is shared out among the ranks before the next is
    read, so that no rank ever holds the whole; without an engine, all are here."""
    model, read = with_adapters(*task.start(), task.settings.train)
    return fill(model, read, shared_out(engine) if engine is not None and engine.stage == 3 else None)


def shared_out(engine: EngineConfig) -> Callable[[nn.Parameter], None]:
    """What makes a rank keep its piece of a parameter alone, where and as ZeRO-3 keeps it."""
    import deepspeed

    def place(parameter: nn.Parameter) -> None:
        parameter.data = parameter.data.to(DTYPES[engine.precision])
        deepspeed.zero.Init(nn.ParameterList([parameter]), config_dict_or_path=engine.tree)

    return place
