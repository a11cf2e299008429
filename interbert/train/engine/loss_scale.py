"""fp16's loss scale: where it lives, what of it a checkpoint keeps, what it makes of the gradient norm."""

from typing import Any

from torch import Tensor

from interbert.train.engine.wrappers import Wrapper, wrapper_of

HISTORY = {
    "LossScaleConfig": ("cur_scale", "cur_iter", "last_overflow_iter"),
    "DynamicLossScaler": ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis"),
    "LossScaler": ("cur_scale",),
}
"""By DeepSpeed's class: what changes while it trains. Without a dynamic scale some of it is None."""


def history(engine) -> dict[str, float | None]:
    scaler = _scaler(engine)
    return {name: getattr(scaler, name) for name in _fields(scaler)}


def set_history(engine, saved: dict[str, float | None]) -> None:
    """What another stage saved has no hysteresis, and then keeps the fresh one."""
    scaler = _scaler(engine)
    for name in _fields(scaler):
        if name in saved:
            setattr(scaler, name, saved[name])


def loss_scale(engine) -> float:
    scaler = _scaler(engine)
    return 1.0 if scaler is None else float(scaler.cur_scale)


def scaled(engine, loss: Tensor) -> Tensor:
    """What the backward pass begins from. DeepSpeed multiplies by the scale itself, but only under ZeRO: at stage 0
    version 0.19 leaves it out, and its optimizer divides by it all the same."""
    if wrapper_of(engine) in (Wrapper.COPIES, Wrapper.FLAT_COPIES):
        return loss.float() * loss_scale(engine)
    return loss


def unscaled_norm(engine, reported: float, before: float) -> float:
    """The gradient norm of the step just taken. before: the loss scale that its backward passes ran with.

    DeepSpeed divides what it reports by that scale, by the scale after the step, or not at all.
    """
    match wrapper_of(engine):
        case Wrapper.COPIES:
            return reported / before
        case Wrapper.FLAT_COPIES | Wrapper.PARTITIONS:
            return reported * loss_scale(engine) / before
        case _:
            return reported


def _scaler(engine) -> Any:
    match wrapper_of(engine):
        case Wrapper.NONE | Wrapper.ACCUMULATED:
            return None
        case Wrapper.COPIES | Wrapper.FLAT_COPIES:
            return engine.optimizer.loss_scale_config
        case _:
            return engine.optimizer.loss_scaler


def _fields(scaler: Any) -> tuple[str, ...]:
    return () if scaler is None else HISTORY[type(scaler).__name__]
