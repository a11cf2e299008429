"""What `interbert curate` decides by: typed, closed settings, and the reason for each number."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from interbert.config import Closed, PathText

Source = Literal["caption", "alt", "title", "description", "near", "page"]
Share = Annotated[float, Field(ge=0, le=1)]


class ReadingRules(Closed):
    max_page_mb: float = Field(4, gt=0)
    """Larger pages are passed over: nobody writes one by hand, and nested tables of 50 MB take minutes."""
    max_record_mb: float = Field(64, gt=0)
    """Larger records of an archive are stepped over unread: videos and discs, or a header that lies."""
    max_megapixels: float = Field(128, gt=0)
    """Larger images are not decoded: they would take the memory of the machine."""
    pages_of_a_unit: int = Field(1000, ge=1)
    """Saved pages, or files of images in a folder, that are worked on as one."""
    seconds_of_a_page: float = Field(60, gt=0)
    """A worker that stays at one place for longer is ended, and goes on behind it."""
    bad_places: int = Field(1000, ge=0)
    """So many places of one input may be unreadable; an input with more is a broken one, and stops the work."""


class RightsRules(Closed):
    honour_opt_out: bool = True
    """Pages and images that say noai or noimageai, in a header or a meta element, are left out; noindex and
    noimageindex too, as img2dataset has it."""


class ImageRules(Closed):
    larger_than: int = Field(300, ge=0)
    """Width and height in pixels are both above this (ImageBERT, LAIT)."""
    max_ratio: float = Field(2.5, ge=1)
    """Longer side by shorter one (CC12M)."""
    min_bytes: int = Field(5120, ge=0)
    """Of the image's file (LAION-400M: 5 KB)."""
    min_area_of_largest: Share = 0.3
    """Area, as a share of the largest image on the page: what is dominant there. Tuned on made pages."""
    min_area_of_all: Share = 0.02
    """Area, as a share of all images on the page: one of some fifty alike is a gallery's thumbnail."""
    max_pages: int = Field(10, ge=1)
    """An image on more pages is decoration of a site (mmc4, OBELICS)."""
    near_bits: int = Field(5, ge=0, le=5)
    """Images whose perceptual hashes differ in so many of 64 bits are one (mmc4)."""
    natural: str | None = None
    """What says how natural an image is, from 0 to 1: a Hugging Face directory, or FILE.py:FUNCTION."""
    min_natural: Share = 0.5
    safe: str | None = None
    """What says how safe an image is, from 0 to 1."""
    min_safe: Share = 0.9
    """mmc4 leaves out what is unsafe by more than 0.1."""


class TextRules(Closed):
    min_words: int = Field(3, ge=1)
    """ALIGN. Two letters of a script without spaces count as a word."""
    max_words: int = Field(20, ge=1)
    """Of alt and title attributes (ALIGN)."""
    max_words_of_others: int = Field(64, ge=1)
    """Of captions, descriptions and text around an image."""
    max_repetition: Share = 0.2
    """Pairs of words that were said before, as a share of all (CC12M has 0.2, of single words: "a" comes twice in
    many a good caption, so pairs are counted)."""
    max_unknown: Share = 0.3
    """Share of words that `vocabulary` does not have."""
    vocabulary: PathText | None = None
    """A file with a known word a line, such as a tokenizer's vocab.txt. None: unknown words are not judged."""
    languages: tuple[str, ...] = ("en",)
    """Of page and text, as two letters. Empty: not judged."""
    min_language: Share = 0.8
    """How sure it must be of page and text together (OBELICS)."""
    bad_words: PathText | None = None
    """A file with one a line, beside those that are known here."""
    max_images: int = Field(10, ge=1)
    """A text on more images says nothing of one (ALIGN)."""
    max_alike: Share = 0.8
    """Of an image's texts, one that shares so many of its groups of four letters with a better one goes."""
    max_of_image: int = Field(100, ge=1)
    """An image with its near copies has no more: ten pages with a text of each of six sources make 60."""


class FitRules(Closed):
    model: PathText | None = None
    """A Hugging Face directory of ours with a match head. None: the fit of image and text is not judged."""
    scorer: PathText | None = None
    """What `interbert curate --train-scorer` wrote. None: the match head's probability alone."""
    features: PathText | None = None
    """A store with the images' regions, by their ids, or by their files' names in the addresses."""
    encoder: PathText | None = None
    """Or what computes regions, as `extract` takes it: a Hugging Face directory, or FILE.py:FUNCTION."""
    others: int = Field(8, ge=1)
    """Texts of other images that each image is held against."""
    keep: Share = 0.3
    """Of the images with a text, those that fit best (DataComp: 30 %; DFN: 15 %)."""
    least: Share = 0.5
    """An image whose best text fits with a lower probability has none."""

    @model_validator(mode="after")
    def _regions_come_from_somewhere(self) -> "FitRules":
        if self.model and (self.features is None) == (self.encoder is None):
            raise ValueError("model needs regions of the images: give features or encoder, one of them")
        return self


class CurateSettings(Closed):
    reading: ReadingRules = ReadingRules()
    rights: RightsRules = RightsRules()
    images: ImageRules = ImageRules()
    texts: TextRules = TextRules()
    fit: FitRules = FitRules()
    sources: tuple[Source, ...] = ("caption", "alt", "title", "description", "near", "page")
    """Whose texts are taken, the most trusted first: where nothing judges fit, an image has the first that passes."""
    shard_images: int = Field(1000, ge=1)
    """Images of an output shard."""

    @property
    def judged(self) -> bool:
        """Whether a model looks at the images that are left."""
        return any((self.images.natural, self.images.safe, self.fit.model))


def load_settings(path: Path | None) -> CurateSettings:
    if path is None:
        return CurateSettings()
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"--config {path}: not readable as YAML ({' '.join(str(error).split())})") from None
    try:
        return CurateSettings.model_validate(tree)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"--config {path}: {faults}; docs/curation.md has what there is") from None
