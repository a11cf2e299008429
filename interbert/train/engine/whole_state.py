"""What training has learnt, whole and without ranks: each parameter's fp32 weight and its optimizer's moments.

DeepSpeed scatters these over ranks in another way at each ZeRO stage. Here a parameter's numbers are gathered, or set
from the whole, whatever the stage and the number of ranks: so a checkpoint knows of neither.
"""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from interbert.train.engine.loss_scale import history, set_history
from interbert.train.engine.optimizer_state import MOMENTS, forget, set_steps, state_of, steps_of
from interbert.train.engine.wrappers import Wrapper, own_optimizer, wrapper_of

WEIGHT = "weight"
KEYS = (WEIGHT, *MOMENTS)


def named_parameters(engine) -> list[tuple[str, nn.Parameter]]:
    """Of the model itself, in the same order on all ranks; tied ones once."""
    return list(engine.module.model.named_parameters())


def shape_of(parameter: nn.Parameter) -> tuple[int, ...]:
    """Its whole shape, at ZeRO 3 too."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def gather(engine, keys: tuple[str, ...] = KEYS) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each parameter's name and {weight, exp_avg, exp_avg_sq}, whole, in fp32. All ranks must go through it."""
    access = _access(engine)
    for name, parameter in named_parameters(engine):
        yield name, {key: access.get(parameter, key).float() for key in keys}


def scatter(engine, read: Callable[[str], dict[str, Tensor]]) -> None:
    """The reverse; `read` gives a parameter's whole tensors, on each rank."""
    access = _access(engine)
    for name, parameter in named_parameters(engine):
        for key, value in read(name).items():
            access.set(parameter, key, value)


def counters(engine) -> dict[str, Any]:
    """What is not a tensor of a parameter: steps taken by the optimizer, the loss scale and its history."""
    return {"optimizer_steps": steps_of(own_optimizer(engine)), "scaler": history(engine)}


def set_counters(engine, saved: dict[str, Any]) -> None:
    set_steps(own_optimizer(engine), saved["optimizer_steps"])
    set_history(engine, saved["scaler"])


def begin(engine) -> None:
    """Training begins from step 0: without ZeRO, DeepSpeed has by now taken a step with gradients of zero, which
    decays the fp32 copies and starts the count."""
    if wrapper_of(engine) in (Wrapper.COPIES, Wrapper.FLAT_COPIES):
        engine.optimizer.refresh_fp32_params()
        forget(own_optimizer(engine))


class _Plain:
    """An optimizer that sees the parameters themselves; or fp32 copies of them, alone or one after another."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, places: dict[nn.Parameter, tuple[Tensor, int]]
    ) -> None:
        """places: the copy that holds a parameter, and where in it."""
        self._optimizer, self._places = optimizer, places

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        copy, start = self._places.get(parameter, (parameter, 0))
        held = copy.detach() if key == WEIGHT else state_of(self._optimizer, copy)[key]
        return held.flatten()[start : start + parameter.numel()].view(parameter.shape)

    def set(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        self.get(parameter, key).copy_(value)
        if key == WEIGHT:
            parameter.detach().copy_(value)


class _Scattered:
    """Each rank holds a piece of what all parameters of a group are, one after another."""

    def __init__(self, optimizer) -> None:
        for group in optimizer.optimizer.param_groups:
            state_of(optimizer.optimizer, group["params"][0])
        # DeepSpeed links them after its first group's first step, when the other groups have none.
        optimizer._hp_optimizer_states_linked = False
        optimizer._lazy_init_hp_params_optimizer_state()

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        return parameter.get_full_hp_param(None if key == WEIGHT else key)

    def set(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        parameter.set_full_hp_param(value.to(parameter.device), None if key == WEIGHT else key)
        if key == WEIGHT:
            parameter.detach().copy_(value)


class _Partitioned:
    """Each rank holds a piece of each parameter."""

    def __init__(self, optimizer) -> None:
        self._optimizer = optimizer
        for flat in optimizer.fp32_partitioned_groups_flat:
            state_of(optimizer.optimizer, flat)

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        return self._optimizer.get_full_hp_param(parameter, None if key == WEIGHT else key)

    def set(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        import deepspeed

        piece, _ = self._optimizer._get_fp32_opt_state_partition(
            parameter, False, None if key == WEIGHT else key
        )
        start = self._optimizer._get_param_partition_rank(parameter) * piece.numel()
        own = value.flatten()[start : start + piece.numel()]  # shorter, or nothing, on the last ranks
        piece[: own.numel()].copy_(own)
        piece[own.numel() :].zero_()
        if key == WEIGHT:
            with torch.no_grad(), deepspeed.zero.GatheredParameters(parameter, modifier_rank=0):
                parameter.copy_(value)


def _access(engine) -> _Plain | _Scattered | _Partitioned:
    optimizer = engine.optimizer
    match wrapper_of(engine):
        case Wrapper.NONE:
            return _Plain(optimizer, {})
        case Wrapper.COPIES:
            return _Plain(optimizer.optimizer, _places(optimizer.fp16_groups, optimizer.fp32_groups))
        case Wrapper.FLAT_COPIES:
            return _Plain(
                optimizer.optimizer, _flat_places(optimizer.fp16_groups, optimizer.fp32_groups_flat)
            )
        case Wrapper.PARTITIONS:
            return _Partitioned(optimizer)
        case _:
            return _Scattered(optimizer)


Places = dict[nn.Parameter, tuple[Tensor, int]]


def _places(groups: list[list[nn.Parameter]], copies: list[list[Tensor]]) -> Places:
    pairs = (pair for own, of in zip(groups, copies, strict=True) for pair in zip(own, of, strict=True))
    return {parameter: (copy, 0) for parameter, copy in pairs}


def _flat_places(groups: list[list[nn.Parameter]], copies: list[Tensor]) -> Places:
    places = {}
    for group, copy in zip(groups, copies, strict=True):
        starts = accumulate((p.numel() for p in group), initial=0)
        places |= {p: (copy, start) for p, start in zip(group, starts, strict=False)}
    return places
