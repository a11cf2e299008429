"""How a model is used, as a card or a page tells it."""

from interbert.model.shape.shape import Shape

_OF_KIND = {
    "classify": ("InterBertForSequenceClassification", "logits"),
    "score": ("InterBertForSequenceClassification", "logits"),
    "choose": ("InterBertForMultipleChoice", "logits"),
    "point": ("InterBertForRegionChoice", "logits"),
}


def class_of(shape: Shape) -> tuple[str, str]:
    """The class that a model of this shape is best loaded as, and which of its outputs is asked for first."""
    if shape.task is None:
        heads = shape.prediction_heads or []
        if heads == ["match"]:
            return "InterBertForImageTextRetrieval", "match_probability"
        return "InterBertForPreTraining", "match_probability" if "match" in heads else "text_hidden"
    if shape.task["kind"] == "classify" and shape.task.get("images") == 2:
        return "InterBertForVisualReasoning", "logits"
    if shape.task["kind"] == "classify" and shape.task.get("soft"):
        return "InterBertForQuestionAnswering", "logits"
    return _OF_KIND[shape.task["kind"]]


def usage(shape: Shape, where: str) -> str:
    """Markdown. where: what `from_pretrained` is given."""
    kind, wanted = class_of(shape)
    features = f" of `{shape.features_of}`" if shape.features_of else ""
    width = shape.feature_width
    return f"""It works on regions of images: features of a detector or encoder{features}, {width} numbers each, and
boxes. `pip install interbert` brings what loads it.

```python
import interbert
from interbert.model import {kind}
from transformers import AutoProcessor

processor = AutoProcessor.from_pretrained("{where}")
model = {kind}.from_pretrained("{where}").eval()
regions = interbert.ImageRegions(features, boxes, size=(width, height))  # [R, {width}], [R, 4] in pixels
{_CALLS.get(kind, _PLAIN).format(wanted=wanted)}
```"""


_PLAIN = 'model(**processor("a red cube", regions=regions)).{wanted}'
_CALLS = {
    "InterBertForVisualReasoning": (
        'both = processor("both are red", regions=[regions, others])\n'
        'images = {{name: both[name][None] for name in ("region_features", "region_boxes", "region_mask")}}\n'
        'model(input_ids=both["input_ids"][:1], **images, add_global=both.get("add_global", False)).{wanted}'
    ),
    "InterBertForMultipleChoice": (
        'choices = processor([("which?", "the cube"), ("which?", "the ball")], regions=regions)\n'
        "given = {{name: x[None] if hasattr(x, 'shape') else x for name, x in choices.items()}}\n"
        "model(**given).{wanted}"
    ),
}
