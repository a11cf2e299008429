"""Typed settings of a run: closed (unknown keys are refused) and described in place.

`python -m interbert settings` prints what stands here; recipe.py says where settings come from.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from interbert.files import read_json

PathText = Annotated[str, AfterValidator(os.path.expanduser)]
"""`~` is expanded here, for shells do not in `--data=~/…` or in a recipe."""


class SettingsError(ValueError):
    """Something the user wrote in a recipe, an override or a DeepSpeed config that cannot be."""


class Closed(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )


class ModelSettings(Closed):
    architecture: Literal["interbert", "imagebert", "visualbert", "vlbert", "vilbert"] = "interbert"
    """How words and regions meet; any objective goes with any of them, but vlbert has no match head."""
    preset: Literal["tiny", "small", "base"] = "base"
    """Sizes to start from; see interbert/model/shape/configuration.py."""
    override: dict[str, Any] = {}
    """Fields of the model configuration that differ from the preset."""
    bert: PathText | None = None
    """A BERT (Hugging Face directory, or hub name) whose weights fill the joint and text layers, the words and their
    head, and whose sizes replace the preset's. These parameters learn at `train.inherited_rate`."""
    inherit_from: PathText | None = None
    """A Hugging Face directory of an InterBERT whose weights the run starts from."""

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelSettings":
        if self.bert and self.inherit_from:
            raise ValueError("bert and inherit_from both say where weights come from: give one of them")
        return self


class DataSettings(Closed):
    train: list[PathText] = []
    """Stores to train on: files, or directories of shards. `--data` fills it."""
    weights: list[Annotated[float, Field(gt=0)]] = []
    """How often each caption of each of `train` comes in an epoch: 2 twice, 0.5 every second one, drawn anew for
    each epoch. Empty: all of them once."""
    validation: list[PathText] = []
    """Stores for validation losses; empty: none are computed."""
    tokenizer: PathText | None = None
    """Tokenizer directory; empty: the folder `tokenizer` beside the first store."""
    max_text_tokens: int = Field(36, ge=3)
    """Longest caption with [CLS] and [SEP]; longer ones lose words before [SEP], never [SEP] itself."""
    max_regions: int = Field(36, ge=1)
    """Most regions of an image; the first ones are kept (detectors store them by confidence)."""
    token_budget: int | None = Field(None, ge=8)
    """Most tokens of a micro-batch: words + regions + a global one for each image. Empty: what suits the device
    (32,768 on a large GPU, 3,072 on a CPU). `train.batch` may ask for smaller ones."""
    text_capacity: int | None = Field(None, ge=1)
    """Most text tokens in a micro-batch; empty: derived from the budget and the data's lengths, and printed."""
    region_capacity: int | None = Field(None, ge=1)
    """Most regions in a micro-batch; empty: derived."""
    pair_capacity: int | None = Field(None, ge=1)
    """Most pairs in a micro-batch; empty: derived."""
    masked_token_capacity: int | None = Field(None, ge=1)
    """Most masked tokens in a micro-batch; the few beyond it are left unmasked. Empty: derived."""
    masked_region_capacity: int | None = Field(None, ge=1)
    """Most masked regions in a micro-batch; the few beyond it are left unmasked. Empty: derived."""
    threads: int = Field(1, ge=1)
    """Loader threads of each rank. Changes nothing about what is loaded."""
    verify_checksums: bool = False
    """Check each image's checksum as it is read."""
    skip_damaged: int = Field(0, ge=0)
    """How many pairs whose image is damaged may be left out in the whole run, on all ranks; checksums are then
    checked. They stay in their micro-batch and count for nothing. 0: the first one ends the run."""
    max_unknown: float = Field(0.2, ge=0, le=1)
    """Largest share of words that may be [UNK], unknown to the tokenizer: more, and it is of another language."""
    allow_changed: bool = False
    """Resume although the data set is not the one that the run began with; the position in it then means less."""

    @model_validator(mode="after")
    def _a_weight_for_each(self) -> "DataSettings":
        if self.weights and self.train and len(self.weights) != len(self.train):
            raise ValueError(f"{len(self.weights)} weights for {len(self.train)} data sets in train")
        return self


Words = Literal["character", "word"]
"""What stands for a word where none is between spaces: a Chinese character, or what rjieba cuts."""


class MaskSettings(Closed):
    text: Literal["msm_paper", "msm_released", "mlm"] = "msm_paper"
    """msm_paper: anchors with p = 0.10 and 0-2 following words. msm_released: one span a caption. mlm: 15 %."""
    words: Words = "character"
    """What a word is to be masked: character, each WordPiece token for itself (of Chinese each character), or word,
    whole words as rjieba cuts them (of English all pieces of a word): each is drawn, and masked, as one."""
    regions: Literal["mrm_paper", "mrm_released", "moc"] = "mrm_paper"
    """mrm_paper: anchors 0.15, IoU > 0.4. mrm_released: 0.10, IoU >= 0.4. moc: single regions 15 %, 90/10."""
    sides: Literal["both", "alternate"] = "both"
    """alternate: a pair has either its words or its regions masked, never both at once."""


class MismatchSettings(Closed):
    share: float = Field(0.5, ge=0, lt=1)
    """Share of pairs made false for image-text matching."""
    side: Literal["caption", "image", "either"] = "caption"
    """Which side a mismatch replaces."""
    hard_share: float = Field(0.2, ge=0, le=1)
    """Share of the mismatched captions taken from the TF-IDF neighbours, as far as those are mismatches of the epoch
    themselves (the rest is random)."""
    hard_top: int = Field(30, ge=1)
    """How many nearest captions are candidates."""
    hard_max_similarity: float = Field(0.5, gt=0, le=1)
    """Captions at least this similar are left out: they may be true of the image."""
    hard_words: Words = "character"
    """What captions are compared by: character, words between spaces and each Chinese character for itself, or word,
    as rjieba cuts them."""
    hard_table: PathText | None = None
    """Candidates mined beforehand by `python -m interbert mine`. Default: mined when the run begins (small sets)."""
    swap_share: float = Field(0.0, ge=0, le=1)
    """Share of the mismatched captions taken from the store's own `swapped` captions, where it has them."""
    text_loss: bool = True
    """Whether masked words of mismatched pairs count (released: yes; ImageBERT: no)."""
    region_loss: bool = False
    """Whether masked regions of mismatched pairs count."""


Objective = Literal["msm", "mlm", "mrm", "moc", "mrfr", "itm"]


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
    lora: "LoraSettings | None" = None
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
    cuda_graphs: bool = False
    """Replay the encoder's layers from CUDA graphs, at fixed capacities: for small models on fast GPUs."""
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
        if self.recompute and self.cuda_graphs:
            raise ValueError("recompute and cuda_graphs are two ways to run the layers: take one of them")
        if self.lora and self.cuda_graphs:
            raise ValueError("cuda_graphs is not made for adapters: leave it or lora out")
        return self


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


Kind = Literal["classify", "score", "choose", "match", "point"]


class TaskSettings(Closed):
    """What a model is fine-tuned and judged on."""

    kind: Kind
    """classify: one of some classes, or weights of several. score: a number. choose: one of an example's choices.
    match: which pairs of a set belong together. point: the region that the words mean."""
    examples: PathText | None = None
    """Examples to train on (docs/examples.md). `--examples` fills it."""
    validation: PathText | None = None
    """Examples to be judged on while training and at its end. `--validation` fills it."""
    labels: list[str] = []
    """Names of the classes, in the order of the head's outputs; or the name of a JSON file that lists them. Empty:
    those of the training examples, sorted."""
    head: Literal["linear", "mlp"] = "linear"
    """mlp: a hidden layer of twice the width, GELU and LayerNorm before the last linear layer."""
    loss: Literal["auto", "cross_entropy", "binary", "squared", "triplet"] = "auto"
    """auto: what the kind usually takes. match: binary (each pair for itself), cross_entropy (over a set's pairs) or
    triplet."""
    margin: float = Field(0.2, gt=0)
    """Of the triplet loss, between probabilities."""
    metric: str = "auto"
    """The figure that checkpoints are compared by; auto: what the kind is usually judged by."""
    sets: "SetSettings | None" = None
    """match: draw sets from the captions of `data.train` instead of reading examples."""
    tags: bool = False
    """Words that the examples' `tags` point at regions also bring what they point at."""
    in_turn: bool = False
    """Steps are of examples of one type each, the types in turn; without, all types are mixed in every step."""
    new_head: bool = False
    """Make the head new although the model has one of another size or of other classes."""

    @field_validator("labels", mode="before")
    @classmethod
    def _listed_in_a_file(cls, labels: Any) -> Any:
        if not isinstance(labels, str):
            return labels
        try:
            return read_json(Path(labels).expanduser())
        except OSError as error:
            raise ValueError(
                f"{labels} cannot be read ({error.strerror}); write [a, b], or a JSON file"
            ) from None

    @field_validator("labels")
    @classmethod
    def _each_once(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) < len(labels):
            twice = next(name for name in labels if labels.count(name) > 1)
            raise ValueError(f"{twice!r} stands there twice; name each class once")
        return labels

    @model_validator(mode="after")
    def _sets_are_matched(self) -> "TaskSettings":
        if self.sets and (self.kind != "match" or self.examples):
            raise ValueError("sets are drawn for kind match, and instead of examples")
        if self.sets and self.validation:
            raise ValueError(
                "sets are judged on stores, not on examples: say data.validation=[STORE] instead of validation"
            )
        if self.sets and self.in_turn:
            raise ValueError(
                "in_turn takes turns among the types of examples, and sets have none: leave it out"
            )
        return self


class SetSettings(Closed):
    """Sets of true and false pairs, drawn anew for each epoch: a true one, and falsified versions of it."""

    captions: Literal["all", "distinctive"] = "all"
    """distinctive: only those that the data marks as true of their image alone. A caption that is true of many images
    makes false pairs that are none."""
    random_captions: int = Field(1, ge=0)
    """The image with a caption of another image."""
    random_images: int = Field(1, ge=0)
    """The caption with another image."""
    near_images: int = Field(1, ge=0)
    """The image with the caption of one that looks alike: from `near_table`."""
    near_table: PathText | None = None
    """Look-alikes, mined by `python -m interbert mine --of images`."""
    near_top: int = Field(100, ge=1)
    """How many look-alikes are candidates."""
    near_captions: int = Field(0, ge=0)
    """The image with a caption that reads like its own but is not true of it: mined as `mismatch.hard_*` says."""
    hardest: int | None = Field(None, ge=1)
    """Learn from only so many false pairs of each set: those that the model as it stands takes most for true."""

    @property
    def false_pairs(self) -> int:
        return self.random_captions + self.random_images + self.near_images + self.near_captions

    @model_validator(mode="after")
    def _some_are_left(self) -> "SetSettings":
        if self.hardest and self.hardest >= self.false_pairs:
            raise ValueError(
                f"hardest is {self.hardest}, of {self.false_pairs} false pairs: draw more than are kept, or leave "
                "hardest out"
            )
        return self


class DistillSettings(Closed):
    """Vectors of texts and of images, each stream run alone, that learn from the model which sees both."""

    trunk: Literal["frozen", "shared"] = "shared"
    """What is below the heads. frozen: stays as it is, and so does every score of the model. shared: learns with
    them, while the match head is held to what it said before."""
    width: int = Field(256, ge=8)
    """Of the vectors."""
    mined: int = Field(3, ge=0)
    """Images of each set that vectors as they were when the run began take for those of its caption."""
    mined_top: int = Field(32, ge=1)
    """How many nearest images these are drawn from."""
    random: int = Field(0, ge=0)
    """Images of each set that are drawn from all. Those of the other sets are contrasted with anyway."""
    captions: Literal["all", "distinctive"] = "all"
    """distinctive: only those that the data marks as true of their image alone."""
    temperature: float = Field(0.05, gt=0)
    """What inner products are divided by."""
    contrast: float = Field(1.0, ge=0)
    """Weight of telling own image and caption from the others of a micro-batch."""
    imitation: float = Field(1.0, ge=0)
    """Weight of ordering a set's images as the whole model does."""
    match: float = Field(1.0, ge=0)
    """Weight of what holds the match head to what it said, where the trunk is shared."""

    @model_validator(mode="after")
    def _something_is_learnt(self) -> "DistillSettings":
        if not (self.contrast or self.imitation):
            raise ValueError("contrast and imitation are both 0: nothing teaches the vectors")
        if self.imitation and not (self.mined or self.random):
            raise ValueError("imitation orders the images of a set: give mined or random images")
        return self


class StepSettings(Closed):
    """How large a step of a run is. Settled when it begins (`train/start/settle.py`) and kept for its life."""

    micro_batches: int = Field(ge=1)
    """Over all ranks."""
    token_budget: int = Field(ge=8)
    """Most tokens of each."""


Tongue = Literal["en", "zh"]
Language = Literal["en", "zh", "both"]
World = Literal["vqa", "entailment", "nlvr2", "referring", "text", "vcr"]


class SceneSettings(Closed):
    """The embedded data set, for recipes that make their own data when none is given."""

    language: Language = "en"
    """What captions are in: English, Chinese, or every caption in both."""

    folder: PathText = "data/scenes"
    """Where the stores are written, or found."""
    seed: int = Field(1, ge=0)
    train_images: int = Field(10_000, ge=1)
    validation_images: int = Field(256, ge=1)
    test_images: int = Field(256, ge=2)
    feature_width: int = Field(256, ge=8)
    world: World | None = None
    """Also make examples of this task about the scenes, to train and be judged on."""
    train_examples: int = Field(20_000, ge=1)
    validation_examples: int = Field(2000, ge=1)

    @model_validator(mode="after")
    def _examples_are_english(self) -> "SceneSettings":
        if self.world and self.language != "en":
            raise ValueError(
                f"world is {self.world!r} and language {self.language!r}: examples are asked in English; "
                "leave language out"
            )
        return self


class Settings(Closed):
    """A whole run."""

    name: str
    """Name of the recipe; the run's default folder is runs/<name>."""
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    masks: MaskSettings = MaskSettings()
    mismatch: MismatchSettings = MismatchSettings()
    task: TaskSettings | None = None
    """With it the run fine-tunes; without, it pretrains by `objectives`."""
    distill: DistillSettings | None = None
    """With it the run gives a model the vectors that a search begins with (docs/serving.md)."""
    objectives: dict[Objective, float] = {"msm": 1.0, "mrm": 1.0, "itm": 1.0}
    """Objectives and their weights in the loss."""
    train: TrainSettings = TrainSettings()
    step: StepSettings | None = None
    """How large a step is: written into a run's config.yaml, and empty in a recipe."""
    scenes: SceneSettings | None = None
    """With it, a run that is given no data makes the embedded scenes and trains on them."""
    stages: list["Settings"] = []
    """Stages of pretraining: a name each, and what differs from the rest of the recipe (data, objectives, steps …).
    Each starts from the last one's weights, with a schedule of its own."""

    @property
    def micro_batches(self) -> int:
        """Of a step, over all ranks."""
        found = self.step.micro_batches if self.step else self.train.micro_batches
        assert found is not None, "asked for before it was settled"
        return found

    @property
    def token_budget(self) -> int:
        """Most tokens of a micro-batch."""
        found = self.step.token_budget if self.step else self.data.token_budget
        assert found is not None, "asked for before it was settled"
        return found

    @field_validator("objectives")
    @classmethod
    def _weights_count(cls, objectives: dict[Objective, float]) -> dict[Objective, float]:
        """A weight of 0 takes an objective out: what is not asked for needs no head and no data."""
        negative = [name for name, weight in objectives.items() if weight < 0]
        if negative:
            raise ValueError(f"the weight of {negative[0]} is negative; give 0 to leave it out")
        return {name: weight for name, weight in objectives.items() if weight}

    @model_validator(mode="after")
    def _stages_are_told_apart(self) -> "Settings":
        names = [stage.name for stage in self.stages]
        for stage in self.stages:
            if names.count(stage.name) > 1 or not re.fullmatch(r"[\w.-]+", stage.name):
                raise ValueError(
                    f"stages: {stage.name!r} must be a name of letters and digits, and only one stage's"
                )
        return self

    @model_validator(mode="after")
    def _objectives_fit_masks(self) -> "Settings":
        names = set(self.objectives)
        if not names:
            raise ValueError("objectives: name at least one of msm, mlm, mrm, moc, mrfr, itm")
        if {"msm", "mlm"} <= names:
            raise ValueError(
                "objectives: msm and mlm are the same loss under different masks; take one of them"
            )
        text = names & {"msm", "mlm"}
        if text and not self.masks.text.startswith(next(iter(text))):
            raise ValueError(f"masks.text is {self.masks.text!r}, which does not serve the objective {text}")
        return self
