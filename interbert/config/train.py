"""How it learns: steps, rates, what is kept and what is told of."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from interbert.config.closed import Closed


class LoraSettings(Closed):
    """Low-rank additions: alpha / rank * B A beside each matrix of the targets."""

    rank: int = Field(8, ge=1)
    """Rows of A and columns of B."""
    alpha: float = Field(16.0, gt=0)
    """Divided by the rank, the factor on what is added."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of what goes into A."""
    targets: list[Literal["qkv", "out", "up", "down"]] = Field(["qkv", "out", "up", "down"], min_length=1)
    """Which matrices of each encoder layer: queries, keys and values; what follows attention; the feed-forward's."""


class TrainSettings(Closed):
    seed: int = Field(42, ge=0, lt=2**63)
    """Seed of everything that is drawn."""
    batch: str | None = "512 pairs"
    """What a step learns from, over all ranks: `512 pairs`, or `30000 tokens` of words and regions; of a task also
    `64 examples` (or `64 sets`), whatever pairs each has. How many
    micro-batches of how many tokens that makes is settled when a run begins, by its device and ranks, and kept for
    its life. For k times the batch take the learning rate times the root of k, and a k-th of the steps."""
    micro_batches: int | None = Field(None, ge=1)
    """Micro-batches in an optimizer step, over all ranks, of up to `data.token_budget` each: said outright, instead
    of `batch`. The ranks must divide it."""
    schedule_steps: int = Field(100_000, ge=1)
    """Optimizer steps of the schedule: warm-up and decay are fixed by it. `--max-steps` only stops earlier."""
    epochs: float | None = Field(None, gt=0)
    """How often the data is gone through, said instead of `schedule_steps`, which then follows from it when the run
    begins: from the micro-batches of the first epoch, for others may have a few more or less. Of the two the one that
    is said last counts."""
    schedule: Literal["linear", "cosine", "constant", "steps"] = "linear"
    """What the learning rate does after its warm-up. linear: falls to 0. cosine: falls to 0 along half a wave.
    constant: stays. steps: is multiplied by `decay_factor` at each epoch of `decay_at`."""
    decay_at: list[Annotated[float, Field(gt=0)]] = []
    """Epochs after which the schedule `steps` lowers the rate, in rising order, such as [12, 16]."""
    decay_factor: float = Field(0.1, gt=0, lt=1)
    """What the schedule `steps` multiplies the rate with."""
    learning_rate: float = Field(1e-4, gt=0)
    warmup_share: float = Field(0.1, ge=0, lt=1)
    """Share of the schedule with linearly rising rate; then it goes as `schedule` says."""
    inherited_rate: float = Field(0.1, ge=0)
    """Factor on the learning rate of parameters that came from BERT."""
    head_rate: float = Field(1.0, gt=0)
    """Factor on the learning rate of a task's head."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor on the learning rate from each encoder layer to the one below it: the top layer has it once, the
    embeddings once more than the lowest layer; heads have the whole rate. 1: all learn alike."""
    frozen: list[str] = []
    """Names or dotted prefixes of parameters that do not learn, such as `interbert.text_embeddings` or
    `interbert.stages.0`. They have no gradients and no optimizer's numbers."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Keep an average of the weights beside them, of which each step leaves this share: 0.9999. Validation and the
    export are then of the average. While it is young its share is smaller: (1 + n) / (10 + n) after n steps."""
    lora: LoraSettings | None = None
    """Learn low-rank additions to the encoder's matrices instead of the model itself, by the package `peft`; only the
    task's head learns as well."""
    optimizer: Literal["adamw", "lamb"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-6, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    """On weight matrices only; never on biases and LayerNorms."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    recompute: bool = False
    """Keep of each encoder layer only what goes into it, and compute the rest again in the backward pass: the same
    numbers with a fraction of the memory for activations, for one more forward pass."""
    cuda_graphs: bool | Literal["auto"] = "auto"
    """Replay the encoder's layers from CUDA graphs, at fixed capacities. auto: where it can be done and a GPU would
    otherwise wait for its host: micro-batches of fewer than 8,192 tokens at the width of `base`, of the same work a
    layer at others. true: always, or the run is refused."""
    log_every: int = Field(10, ge=1)
    """Steps between two lines of metrics."""
    validate_every: int | None = Field(1000, ge=1)
    """Steps between two rounds of validation. Empty: an epoch."""
    validation_micro_batches: int = Field(8, ge=1)
    """Micro-batches of a round of validation."""
    picture_every: int = Field(1000, ge=1)
    """Steps between two pictures of a validation pair in TensorBoard."""
    checkpoint_every: int = Field(1000, ge=1)
    """Steps between two checkpoints."""
    max_skipped: int = Field(20, ge=1)
    """Steps in a row that may be skipped for non-finite losses or gradients before the run ends."""
    patience: float = Field(300, gt=0)
    """Seconds without a step, or 20 usual steps if that is longer, after which a rank counts as hung and ends."""
    save_patience: float = Field(600, gt=0)
    """The same for a save, and for a round of validation."""
    best: str | None = None
    """The figure of validation that checkpoints are compared by, such as `itm/accuracy`; of losses and errors the
    least is best, of all others the most. Empty: the loss, or a task's metric."""
    stop_after: int | None = Field(None, ge=1)
    """End when so many rounds of validation in a row have brought nothing better."""
    export: Literal["last", "best"] = "last"
    """Which weights a run leaves: those of its last step, or of the best round of validation."""
    trackers: list[str] = []
    """Where figures go besides metrics.jsonl and TensorBoard: wandb, mlflow, or a function of your own as
    FILE.py:NAME (docs/trackers.md)."""
    export_initial: bool = False
    """Also export the model before its first step (to `initial/`), to compare with."""
    keep_checkpoints: int = Field(3, ge=2)
    """Latest checkpoints kept (the best one is kept besides). At least 2: one alone is lost if it turns out bad."""

    @field_validator("batch", mode="before")
    @classmethod
    def _a_number_of_pairs_or_tokens(cls, batch: Any) -> Any:
        if batch is not None and not re.fullmatch(r"[1-9][\d_]* (pairs|tokens|examples|sets)", str(batch)):
            raise ValueError("write '512 pairs', '30000 tokens', or of a task '64 examples'")
        return batch

    @model_validator(mode="after")
    def _steps_have_their_epochs(self) -> "TrainSettings":
        if self.schedule == "steps" and not self.decay_at:
            raise ValueError(
                "schedule 'steps' lowers the rate at the epochs of decay_at: say them, as [12, 16]"
            )
        if sorted(set(self.decay_at)) != self.decay_at:
            raise ValueError("decay_at must rise: each epoch once, the first one first")
        return self

    @model_validator(mode="after")
    def _layers_are_replayed_or_recomputed(self) -> "TrainSettings":
        if self.recompute and self.cuda_graphs is True:
            raise ValueError("recompute and cuda_graphs are two ways to run the layers: take one of them")
        if self.lora and self.cuda_graphs is True:
            raise ValueError("cuda_graphs is not made for adapters: leave it or lora out")
        return self


class StepSettings(Closed):
    """How large a step of a run is. Settled when it begins (`train/start/settle.py`) and kept for its life."""

    micro_batches: int = Field(ge=1)
    """Over all ranks."""
    token_budget: int = Field(ge=8)
    """Most tokens of each."""
