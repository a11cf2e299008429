"""How large a step is: settled when a run begins, from the batch that its recipe asks for, the device and the ranks.

The batch is what is learnt from, so it stays as asked; what follows the machine is into how many micro-batches it is
cut. A step once settled is kept for the run's life: on other ranks the same global batches follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from interbert.config import Settings, SettingsError, StepSettings
from interbert.model.shape.size import parameters, token_bytes
from interbert.train.start.scale import state_bytes

if TYPE_CHECKING:  # light to import: a refused setting waits for nothing
    import numpy as np
    import torch

    from interbert.corpus.tokens import TokenTable
    from interbert.model.shape.shape import Shape

CPU_TOKENS = 3072
"""Beyond it a CPU gains nothing, and its caches lose."""
GPU_TOKENS = 131_072
"""Beyond it no GPU gains anything."""
GPU_MEMORY = 80e9
"""Of the GPU that a dry run describes, which asks no device."""
ACTIVATIONS = 0.5
"""Of a GPU's memory, the share for what a micro-batch keeps, and for the weights and their optimizer. What its
backward pass makes besides, the next micro-batch, and what fragments are have the rest."""
LAUNCH_BOUND = 8192
"""Below so many tokens a micro-batch a GPU waits for its host."""


def tokens_of(device: torch.device, shape: Shape, precision: str, recompute: bool = False) -> int:
    """The micro-batch that suits a device."""
    if device.type == "cpu":
        return CPU_TOKENS
    import torch

    memory = torch.cuda.get_device_properties(device).total_memory
    return tokens_within(memory, shape, precision, recompute)


def tokens_within(memory: float, shape: Shape, precision: str, recompute: bool = False) -> int:
    """The largest micro-batch that a GPU with so many bytes should hold, by an estimate."""
    state = state_bytes(0, sum(parameters(shape).values()), precision, ranks=1)
    tokens = (ACTIVATIONS * memory - state) / token_bytes(shape, precision, recompute)
    return min(GPU_TOKENS, max(1024, int(tokens) // 1024 * 1024))


@dataclass(frozen=True)
class Lengths:
    """Tokens of what an epoch is made of, global image tokens included."""

    mean: float
    """Of a pair."""
    longest: int
    """Most that have to stay in one micro-batch."""
    pairs: float = 1.0
    """Of a group, on average: an example, or a set."""

    @classmethod
    def of_captions(
        cls, tokens: TokenTable, caption_image_C: np.ndarray, region_counts_I: np.ndarray, max_regions: int
    ) -> Lengths:
        regions_I = region_counts_I.clip(max=max_regions)
        text_C = tokens.lengths[: len(caption_image_C)]
        mean = float(text_C.mean() + regions_I[caption_image_C].mean() + 1)
        # Mismatches bring any caption to any image.
        return cls(mean, int(tokens.lengths.max()) + int(regions_I.max()) + 1)

    @classmethod
    def of_groups(cls, tokens_P: np.ndarray, first_pair: np.ndarray) -> Lengths:
        """Of groups whose pairs have so many tokens."""
        import numpy as np

        groups = len(first_pair) - 1
        largest = int(np.add.reduceat(tokens_P, first_pair[:-1]).max())
        return cls(float(tokens_P.mean()), largest, len(tokens_P) / groups)

    @property
    def group(self) -> float:
        """Of a group, on average."""
        return self.mean * self.pairs


def settle(settings: Settings, ranks: int, device_tokens: int, pairs: Lengths) -> StepSettings:
    """The step of a run that begins now."""
    most = settings.data.token_budget or device_tokens
    if settings.train.micro_batches:
        return StepSettings(micro_batches=settings.train.micro_batches, token_budget=most)
    share = _tokens_wanted(settings, pairs) / ranks
    # A micro-batch closes half a group below its budget, on average.
    accumulated = ceil(share / max(1.0, most - pairs.group / 2))
    budget = ceil(share / accumulated + pairs.group / 2)
    if budget < pairs.longest <= most:
        raise SettingsError(_too_thin(settings, ranks, pairs))
    return StepSettings(micro_batches=accumulated * ranks, token_budget=min(most, budget))


def settled_in(state: dict) -> StepSettings:
    """The step of the run that a checkpoint's state is of."""
    if "step_settings" in state:
        return StepSettings(**state["step_settings"])
    # Earlier versions settled nothing: their recipes said it outright.
    identity = state["identity"]
    return StepSettings(
        micro_batches=identity["train.micro_batches"], token_budget=identity["data.token_budget"]
    )


def share_of_ranks(settings: Settings, ranks: int, kept: bool) -> int:
    """Micro-batches that each rank accumulates in a step; kept: the step was settled before, by an earlier start."""
    step = settings.micro_batches
    if step % ranks == 0:
        return step // ranks
    fit = [str(n) for n in range(1, step + 1) if step % n == 0]
    few = _either(fit if len(fit) <= 8 else [*fit[:4], "…", *fit[-4:]])
    if kept:
        raise SettingsError(
            f"this run's step is {step} micro-batches, settled when it began, which {ranks} ranks cannot share "
            f"equally; start {few} ranks"
        )
    near = sorted({n for n in (step // ranks * ranks, ceil(step / ranks) * ranks) if n})
    raise SettingsError(
        f"train.micro_batches is {step}, which {ranks} ranks cannot share equally (remainder {step % ranks}); set it "
        f"to {_either(list(map(str, near)))}, start {few} ranks, or leave it out and say train.batch"
    )


def describe_batch(settings: Settings, pairs: Lengths) -> str:
    """What a step holds, about, and how its rate would go with it."""
    tokens = settings.micro_batches * (settings.token_budget - pairs.group / 2)
    groups = f"{tokens / pairs.group:,.0f} examples of {pairs.pairs:.1f} pairs"
    held = groups if pairs.pairs > 1 else f"{tokens / pairs.mean:,.0f} pairs"
    asked = "train.micro_batches" if settings.train.micro_batches else f"train.batch {settings.train.batch}"
    return (
        f"{asked}: {settings.micro_batches} micro-batches of up to {settings.token_budget:,} tokens, about "
        f"{held}, at rate {settings.train.learning_rate:g} (k times the batch: take root k "
        "times the rate, a k-th of the steps)"
    )


def warnings_of(settings: Settings, ranks: int, on_gpu: bool, pairs: Lengths, epoch: int) -> list[str]:
    """What may be meant, and rarely is. epoch: its micro-batches."""
    found = []
    if settings.micro_batches > epoch:
        found.append(
            f"a step of {settings.micro_batches} micro-batches is longer than an epoch, which has {epoch}: it learns "
            "from the same pairs several times; lower train.batch or train.micro_batches, or bring more data"
        )
    if on_gpu and settings.token_budget < LAUNCH_BOUND:
        enough = ceil(LAUNCH_BOUND * 3 * ranks / pairs.mean / 512) * 512
        found.append(
            f"micro-batches of {settings.token_budget:,} tokens leave a GPU waiting for its host; train.batch="
            f"'{enough} pairs' would keep {ranks} ranks busy, or take fewer"
        )
    return found


def _tokens_wanted(settings: Settings, pairs: Lengths) -> float:
    assert settings.train.batch is not None
    number, unit = settings.train.batch.split()
    return (
        int(number) * {"pairs": pairs.mean, "examples": pairs.group, "sets": pairs.group, "tokens": 1.0}[unit]
    )


def _too_thin(settings: Settings, ranks: int, pairs: Lengths) -> str:
    least = pairs.longest - pairs.group / 2
    wanted = _tokens_wanted(settings, pairs)
    enough = ceil(least * ranks / pairs.mean)
    what = "group of pairs" if pairs.pairs > 1 else "pair"
    return (
        f"train.batch {settings.train.batch} leaves {wanted / ranks:.0f} tokens for each of {ranks} ranks, and a "
        f"{what} may need {pairs.longest}: start at most {max(1, int(wanted // least))} ranks, or set train.batch to "
        f"'{enough} pairs' or more"
    )


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
