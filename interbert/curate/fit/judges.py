"""Whether images are natural, or safe, by a classifier that is here: a Hugging Face directory, or a function."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from interbert.plugins import load_function
from interbert.sources.images.decode import Limits, decoded

Judge = Callable[[list[Image.Image]], list[float]]
_SIDE = 1024
"""Pixels of the longer side: a classifier looks at fewer, and some images of 100 million would fill the memory."""
_LABELS = {
    "natural": ("natural", "photo", "photograph", "real"),
    "safe": ("safe", "sfw", "normal", "neutral"),
}


def judge_of(spec: str, what: str) -> Judge:
    """what: natural or safe."""
    if ":" in spec and not Path(spec).is_dir():
        return load_function(spec, f"images.{what}")
    return _of_folder(spec, what)


def small(data: bytes, limits: Limits) -> Image.Image:
    """As judges see it: upright, in RGB. ImageError: it is none after all."""
    with decoded(data, limits, lambda width, height: (_SIDE, _SIDE)) as picture:
        image = picture.image.copy()
    image.thumbnail((_SIDE, _SIDE))
    return image


def judged(judge: Judge, images: list[Image.Image], what: str) -> list[float]:
    found = [float(share) for share in judge(images)]
    if len(found) != len(images) or not all(0 <= share <= 1 for share in found):
        raise ValueError(
            f"images.{what}: {len(images)} images were given, and not so many shares from 0 to 1 came back"
        )
    return found


def _of_folder(folder: str, what: str) -> Judge:
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    try:
        processor = AutoImageProcessor.from_pretrained(folder)
        model = AutoModelForImageClassification.from_pretrained(folder).eval()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"images.{what} {folder}: no classifier of images ({str(error).splitlines()[0]})"
        ) from None
    names = {str(name).lower(): number for number, name in model.config.id2label.items()}
    wanted = next((names[name] for name in _LABELS[what] if name in names), None)
    if wanted is None:
        raise ValueError(
            f"images.{what} {folder}: its classes are {', '.join(names)}; none is {', '.join(_LABELS[what])}"
        )

    def judge(images: list[Image.Image]) -> list[float]:
        with torch.inference_mode():
            logits = model(**processor(images=images, return_tensors="pt")).logits
        return logits.softmax(-1)[:, wanted].tolist()

    return judge
