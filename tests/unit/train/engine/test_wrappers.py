"""Which of DeepSpeed's optimizers are known. What is done with each is shown on two ranks (test_stages.py)."""

from types import SimpleNamespace

import pytest
import torch
from deepspeed.runtime.fp16 import loss_scaler
from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer
from torch import nn

from interbert.train.engine.flat_optimizer import FlatOptimizer
from interbert.train.engine.loss_scale import HISTORY
from interbert.train.engine.wrappers import Wrapper, own_optimizer, wrapper_of


def engine_of(kind):
    return SimpleNamespace(optimizer=kind.__new__(kind))


def test_ours_and_deepspeeds():
    weight = nn.Parameter(torch.zeros(1))
    inner = torch.optim.AdamW([weight])
    own = SimpleNamespace(optimizer=FlatOptimizer(inner, [weight], clip=1.0))
    assert wrapper_of(own) is Wrapper.OWN and own_optimizer(own) is inner
    assert wrapper_of(engine_of(DeepSpeedZeroOptimizer)) is Wrapper.SHARDS
    assert wrapper_of(engine_of(DeepSpeedZeroOptimizer_Stage3)) is Wrapper.PARTITIONS


def test_what_is_made_from_a_known_one_is_not_known():
    """ZenFlow's and SuperOffload's are derived so, and keep their numbers elsewhere."""
    derived = type(
        "SuperOffloadOptimizer_Stage3", (DeepSpeedZeroOptimizer_Stage3,), {"__del__": lambda self: None}
    )
    with pytest.raises(ValueError, match=r"made a SuperOffloadOptimizer_Stage3 .*Remove what asks for it"):
        wrapper_of(engine_of(derived))


def test_the_history_of_a_loss_scale_is_what_deepspeeds_classes_change():
    dynamic = {"init_scale": 4.0, "scale_window": 2, "min_scale": 1.0, "delayed_shift": 2}
    made = [
        loss_scaler.DynamicLossScaler(**dynamic, consecutive_hysteresis=False),
        loss_scaler.LossScaler(8.0),
    ]
    assert {type(scaler).__name__ for scaler in made} == HISTORY.keys()
    for scaler in made:
        assert set(HISTORY[type(scaler).__name__]) <= vars(scaler).keys()
    changing = {name for name in vars(made[0]) if name.startswith(("cur_", "last_"))}
    assert changing == set(HISTORY["DynamicLossScaler"])
