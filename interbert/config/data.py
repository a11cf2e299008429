"""What is read, what of it is masked, and which pairs are made false."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from interbert.config.closed import Closed, PathText


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
    (some 100,000 at `base` size on a GPU of 80 GB, 3,072 on a CPU). `train.batch` may ask for smaller ones."""
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
