"""What training has learnt, whole and without ranks: each parameter's fp32 weight, its optimizer's moments, and its
average where one is kept.

DeepSpeed scatters these over ranks in another way at each ZeRO stage. Here a parameter's numbers are gathered, or set
from the whole, whatever the stage and the number of ranks: so a checkpoint knows of neither.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from interbert.train.engine.flat_optimizer import FlatOptimizer
from interbert.train.engine.loss_scale import history, set_history
from interbert.train.engine.optimizer_state import (
    AVERAGE,
    MOMENTS,
    ema_of,
    set_steps,
    state_of,
    steps_of,
)
from interbert.train.engine.wrappers import Wrapper, own_optimizer, wrapper_of

WEIGHT = "weight"


def named_parameters(engine) -> list[tuple[str, nn.Parameter]]:
    """Of the model itself, in the same order on all ranks; tied ones once."""
    return list(engine.module.model.named_parameters())


def shape_of(parameter: nn.Parameter) -> tuple[int, ...]:
    """Its whole shape, at ZeRO 3 too."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def keys_of(engine, parameter: nn.Parameter) -> tuple[str, ...]:
    """What there is of a parameter: weight, moments, an average where they are kept; of a frozen one the weight."""
    if not parameter.requires_grad:
        return (WEIGHT,)
    averages = () if ema_of(own_optimizer(engine)) is None else (AVERAGE,)
    return (WEIGHT, *MOMENTS, *averages)


def gather(engine, keys: tuple[str, ...] | None = None) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each parameter's name and {weight, exp_avg, exp_avg_sq …}, or those of `keys` among them, whole, in fp32. All
    ranks must go through it."""
    access = _Access(engine)
    for name, parameter in named_parameters(engine):
        wanted = [key for key in keys_of(engine, parameter) if keys is None or key in keys]
        yield name, {key: access.get(parameter, key).float() for key in wanted}


def scatter(engine, read: Callable[[str], dict[str, Tensor]]) -> None:
    """The reverse; `read` gives a parameter's whole tensors, on each rank."""
    access = _Access(engine)
    for name, parameter in named_parameters(engine):
        for key, value in read(name).items():
            access.set(parameter, key, value)


@torch.no_grad()
def exchange_averages(engine) -> None:
    """Weights become what averages were, and the reverse: done twice, all is as before. All ranks at once."""
    access = _Access(engine)
    for _, parameter in named_parameters(engine):
        if AVERAGE in keys_of(engine, parameter):
            weight, average = (access.get(parameter, key).clone() for key in (WEIGHT, AVERAGE))
            access.set(parameter, WEIGHT, average)
            access.set(parameter, AVERAGE, weight)


def counters(engine) -> dict[str, Any]:
    """What is not a tensor of a parameter: steps taken by the optimizer, the loss scale and its history."""
    return {"optimizer_steps": steps_of(own_optimizer(engine)), "scaler": history(engine)}


def set_counters(engine, saved: dict[str, Any]) -> None:
    set_steps(own_optimizer(engine), saved["optimizer_steps"])
    set_history(engine, saved["scaler"])


def begin(engine) -> None:
    """Training begins from step 0: averages as the weights, which lie in the optimizer's state."""
    if ema_of(own_optimizer(engine)) is not None:
        _access_learning(engine)  # which makes that state


class _Access:
    """Where a parameter's numbers are."""

    def __init__(self, engine) -> None:
        self._learning, self._frozen = _access_learning(engine), _Frozen()

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        return self._of(parameter).get(parameter, key)

    def set(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        self._of(parameter).set(parameter, key, value)

    def _of(self, parameter: nn.Parameter) -> "_Plain | _Scattered | _Partitioned | _Frozen":
        return self._learning if parameter.requires_grad else self._frozen


class _Frozen:
    """No optimizer knows of it: there is the model's own weight, which ZeRO 3 alone shares out."""

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        assert key == WEIGHT
        with _gathered(parameter):
            return parameter.detach().clone()

    def set(self, parameter: nn.Parameter, key: str, value: Tensor) -> None:
        assert key == WEIGHT
        with torch.no_grad(), _gathered(parameter, modifier_rank=0):
            parameter.copy_(value)


def _gathered(parameter: nn.Parameter, modifier_rank: int | None = None) -> AbstractContextManager:
    import deepspeed

    if not hasattr(parameter, "ds_id"):
        return nullcontext()
    return deepspeed.zero.GatheredParameters(parameter, modifier_rank=modifier_rank)


class _Plain:
    """Parameters themselves, or fp32 copies of them, in an optimizer that knows each."""

    def __init__(self, optimizer: FlatOptimizer) -> None:
        self._optimizer, self._masters = optimizer.optimizer, optimizer.masters
        for master in self._masters.values():
            state_of(self._optimizer, master)

    def get(self, parameter: nn.Parameter, key: str) -> Tensor:
        master = self._masters[parameter]
        return master.detach() if key == WEIGHT else state_of(self._optimizer, master)[key]

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
        piece, _ = self._optimizer._get_fp32_opt_state_partition(
            parameter, False, None if key == WEIGHT else key
        )
        start = self._optimizer._get_param_partition_rank(parameter) * piece.numel()
        own = value.flatten()[start : start + piece.numel()]  # shorter, or nothing, on the last ranks
        piece[: own.numel()].copy_(own)
        piece[own.numel() :].zero_()
        if key == WEIGHT:
            with torch.no_grad(), _gathered(parameter, modifier_rank=0):
                parameter.copy_(value)


def _access_learning(engine) -> _Plain | _Scattered | _Partitioned:
    optimizer = engine.optimizer
    match wrapper_of(engine):
        case Wrapper.OWN:
            return _Plain(optimizer)
        case Wrapper.PARTITIONS:
            return _Partitioned(optimizer)
        case _:
            return _Scattered(optimizer)
