"""The DeepSpeed engine around the model, and one optimizer step through it."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interbert.batches.batch import Batch
from interbert.config import Settings
from interbert.ranks.distributed import Ranks
from interbert.rng import Purpose, torch_seed
from interbert.train.engine import stage_0, whole_state
from interbert.train.engine.averages import follow
from interbert.train.engine.deepspeed_config import EngineConfig
from interbert.train.engine.flat_optimizer import Told
from interbert.train.engine.frozen import freeze
from interbert.train.engine.loss_scale import loss_scale, scaled, unscaled_norm
from interbert.train.engine.optimizer import build_optimizer, parameter_groups
from interbert.train.engine.recompute import recompute_layers
from interbert.train.engine.wrappers import own_optimizer
from interbert.train.task import Term

UNTIMED = {"timers": {"throughput": {"enabled": False}}}
"""DeepSpeed's own clock waits for the device twice a micro-batch. A config may ask for it all the same."""


@dataclass
class StepResult:
    stats: Tensor
    """[terms, 2]: sums of losses and of right answers over this rank's micro-batches."""
    told: Told
    """Waits until the device has taken the step, if it has not yet: best asked when the next one is under way."""

    @property
    def grad_norm(self) -> float:
        return self.told()[0]

    @property
    def skipped(self) -> bool:
        return self.told()[1]


class Engine:
    """One optimizer step at a time; what DeepSpeed leaves open at some stages is closed here."""

    def __init__(
        self,
        step: nn.Module,
        terms: dict[str, Term],
        settings: Settings,
        config: EngineConfig,
        head: tuple[str, ...] = (),
    ) -> None:
        """step: a task's, around its `model`: what is wrapped. head: which of its parameters are the task's head, as
        `Task.head_parameters` says."""
        import deepspeed

        model = step.model
        self.settings, self.config, self.terms, self.head = settings, config, terms, head
        freeze(model, settings.train, head)
        if settings.train.recompute:
            recompute_layers(model)
        groups = parameter_groups(model, model.config.inherited_parameters, settings.train, head)
        optimizer: Any = build_optimizer(groups, settings.train, config.stage, config.offload)
        self.basic_optimizer = optimizer
        if config.stage == 0:
            stage_0.in_precision(step, config)
            optimizer = stage_0.flat_optimizer(optimizer, step, settings.train.clip)
            tree = stage_0.deepspeeds_part(config)
        else:  # ours are AdamW variants or refused before; DeepSpeed knows few of them by type
            tree = config.tree | {"zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False}
        self.deepspeed, _, _, _ = deepspeed.initialize(model=step, optimizer=optimizer, config=UNTIMED | tree)
        if config.stage == 0:
            stage_0.join(self.deepspeed, config)
        whole_state.begin(self.deepspeed)
        self.deepspeed.train()  # a model that was read from a folder comes without dropout
        self.model = model

    @property
    def param_groups(self) -> list[dict]:
        return self.deepspeed.optimizer.param_groups

    def scales(self, counts: dict[str, float]) -> dict[str, float]:
        """DeepSpeed averages over the step's micro-batches; times that number, over the global count."""
        micro_batches = self.settings.micro_batches
        return {name: micro_batches / max(1.0, counts[term.counted_by]) for name, term in self.terms.items()}

    def accumulate(
        self, batches: Iterable[Batch], numbers: list[int], step: int, scales: dict[str, float]
    ) -> Tensor:
        """Forward and backward over this rank's micro-batches (`numbers`: their places in the step): their sums of
        losses and of right answers, [terms, 2]."""
        total = 0
        for batch, number in zip(batches, numbers, strict=True):
            torch.manual_seed(torch_seed(self.settings.train.seed, Purpose.DROPOUT, step, number))
            loss, stats = self.deepspeed(batch, scales)
            self.deepspeed.backward(scaled(self.deepspeed, loss))
            if self.config.stage == 0:
                self.deepspeed.optimizer.gradients.take()
            total = total + stats
            if number != numbers[-1]:
                self.deepspeed.step()  # not at a boundary yet: only counts the micro-batch
        return total

    def update(self, stats: Tensor) -> StepResult:
        """The optimizer's step on what was accumulated. At stage 0 nothing waits for the device."""
        if self.config.stage == 0:
            self.deepspeed.step()
            return StepResult(stats, self.deepspeed.optimizer.told)
        told = self._update_by_deepspeed()
        if not told[1]:
            follow(own_optimizer(self.deepspeed))
        return StepResult(stats, lambda: told)

    def _update_by_deepspeed(self) -> tuple[float, bool]:
        engine = self.deepspeed
        before, scale = engine.skipped_steps, loss_scale(engine)
        try:
            engine.step()
        except Exception as error:
            if "loss scale already at minimum" not in str(error):
                raise
            raise ValueError(
                "fp16's loss scale has fallen to its minimum: gradients are not finite at any scale. Lower "
                "train.learning_rate, or train in bf16 (ds_configs/zero1_bf16.json)"
            ) from None
        norm = engine.get_global_grad_norm()
        norm = unscaled_norm(engine, float(norm), scale) if norm is not None else math.nan
        return norm, engine.skipped_steps > before

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the model is the average of its weights (train.ema), for who evaluates or exports it; after it,
        what it was. All ranks at once. Without averages it changes nothing.

        An error that leaves it leaves the averages in their place: it may be one rank's alone, and the way back is
        walked by all.
        """
        kept = self.settings.train.ema is not None
        if kept:
            whole_state.exchange_averages(self.deepspeed)
        yield
        if kept:
            whole_state.exchange_averages(self.deepspeed)

    @torch.no_grad()
    def evaluate(self, batches: list[Batch], weights: list[float], ranks: Ranks) -> dict[str, float]:
        """Means of the losses over all ranks' batches; a batch of weight 0 only keeps the ranks in step."""
        self.deepspeed.eval()
        values = [0.0] * (3 * len(self.terms))
        for batch, weight in zip(batches, weights, strict=True):
            _, stats, *_ = self.deepspeed(batch.to(ranks.device), dict.fromkeys(self.terms, 1.0))
            counts = batch.counts()
            for i, (term, (loss_sum, correct)) in enumerate(
                zip(self.terms.values(), stats.tolist(), strict=True)
            ):
                values[3 * i] += weight * loss_sum
                values[3 * i + 1] += weight * correct
                values[3 * i + 2] += weight * counts[term.counted_by]
        self.deepspeed.train()
        return summarise(self.terms, ranks.sum(values))


def names_of(terms: dict[str, Term]) -> list[str]:
    """Of the figures that `summarise` tells."""
    return list(summarise(terms, [0.0] * (3 * len(terms))))


def summarise(terms: dict[str, Term], values: list[float]) -> dict[str, float]:
    """[sum, correct, count] of each term, flat -> loss, loss/<term>, <term>/accuracy."""
    figures, total = {}, 0.0
    for i, (name, term) in enumerate(terms.items()):
        loss_sum, correct, count = values[3 * i : 3 * i + 3]
        mean = loss_sum / max(1.0, count)
        total += term.weight * mean
        figures[f"loss/{name}"] = mean
        if term.judged:
            figures[f"{name}/accuracy"] = correct / max(1.0, count)
    return {"loss": total, **figures}
