"""In which precision DeepSpeed adds up a step's gradients: one of 64 and 63 of 0.125, which bf16 cannot add to it."""

import deepspeed
import torch

MICRO_BATCHES = 64


class Sum(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(8))

    def forward(self, x_8: torch.Tensor) -> torch.Tensor:
        return (self.weight * x_8).sum()


def accumulated(stage: int, dtype: str | None) -> float | str:
    """The sum of gradients that a step is taken with, asked of DeepSpeed without anything of ours."""
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": MICRO_BATCHES,
        "gradient_clipping": 0.0,
        "bf16": {"enabled": True},
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
    }
    if dtype:
        config["data_types"] = {"grad_accum_dtype": dtype}
    model = Sum()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    try:
        engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    except NotImplementedError as refusal:
        return str(refusal)
    for number in range(MICRO_BATCHES):
        gradient_8 = torch.full((8,), 64.0 if number == 0 else 0.125, dtype=torch.bfloat16)
        engine.backward(engine(gradient_8))
        engine.step()
    (weight,) = engine.module.parameters()
    whole = deepspeed.utils.safe_get_full_fp32_param(weight) if stage else engine.optimizer.fp32_groups[0][0]
    return -float(whole.flatten()[0]) * MICRO_BATCHES
