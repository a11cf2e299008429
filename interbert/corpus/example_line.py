"""One line of a file of examples: every field checked, and put into columns. docs/examples.md has the format."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from interbert.config import Kind
from interbert.corpus.example_faults import Fault

UNKNOWN = -100
"""In place of a label that a line does not have."""

_IMAGES = {"classify": (0, 1, 2), "score": (0, 1), "choose": (0, 1), "point": (1,)}
"""How many images an example of each kind may have; match: any number."""


NAME_IT = "name it in task.labels"
"""What helps where a class is not among those that are known."""

_LOOKED_AT = 1_000_000
"""Ids that are searched for one that was meant."""


class Columns:
    """What the lines say, one list for each thing, as long as there are examples, pairs or entries."""

    def __init__(self) -> None:
        self.lines_of: dict[str, int] = {}
        """The line of each id, in the order of the examples."""
        self.pairs_N: list[int] = []
        self.image_P: list[int] = []
        self.text_P: list[int] = []
        self.is_match_P: list[int] = []
        self.text_of: dict[tuple[str, ...], int] = {}
        """The number of each text."""
        self.class_of: dict[str, int] = {}
        """The number of each class; in the order of their coming where none were given."""
        self.labels_N: list[int] = []
        """A class, by `class_of` or as it is numbered in the file; or a choice. UNKNOWN where there is none."""
        self.scores_N: list[int] = []
        """How many classes have weights; UNKNOWN where the line says nothing of them."""
        self.score_classes: list[int] = []
        self.score_weights: list[float] = []
        self.values_N: list[float] = []
        self.boxes_N: list[list[list[float]]] = []
        self.tags_P: list[list[tuple[int, int, int]]] = []
        """(segment, word, region) of each pair."""
        self.types: list[str] = []


class LineReader:
    """Checks lines and adds them to its columns. What the first line has decides for all: its number of images (none:
    text alone) and of choices, and whether its class is a name or a number."""

    def __init__(self, corpus: Any, kind: Kind, classes: list[str] | None, remedy: str = NAME_IT) -> None:
        self.columns = Columns()
        self._kind = kind
        self._sizes = corpus.sizes if corpus is not None else None
        self._regions = corpus.region_counts if corpus is not None else None
        self._image_of = ImageNumbers(corpus) if corpus is not None else None
        self._classes, self._remedy = classes, remedy
        self.columns.class_of.update({name: number for number, name in enumerate(classes or [])})
        self._images: int | None = None
        self._choices: int | None = None
        self._named: bool | None = None
        self._unended: dict[str, str] | None = None
        self._read_right = {
            "classify": self._classify,
            "score": self._score,
            "choose": self._choose,
            "match": lambda *_: None,
            "point": self._point,
        }[kind]

    def add(self, number: int, fields: Any) -> None:
        if type(fields) is not dict:
            raise Fault("", "is no JSON object; each line is one: {…}")
        self._id(number, fields.get("id"))
        images = self._images_of(fields.get("images"))
        texts = self._texts_of(fields.get("texts"))
        self._pair(images, texts, fields.get("pairs"))
        self._tags(images, fields.get("texts"), fields.get("tags"))
        self._read_right(fields, images, texts)
        kind = fields.get("type")
        if kind is not None and type(kind) is not str:
            raise Fault("type", f"{kind!r} is no text; write it in quotes")
        self.columns.types.append(kind or "")

    def _id(self, number: int, own: Any) -> None:
        if type(own) is int:
            own = str(own)
        if type(own) is not str or not own:
            raise Fault("id", "missing; give every example one of its own")
        first = self.columns.lines_of.setdefault(own, number)
        if first != number:
            raise Fault("id", f"{own!r} is that of line {first} too; give every example one of its own")

    def _images_of(self, given: Any) -> list[int]:
        if given is None:
            given = []
        if type(given) is not list:
            raise Fault("images", f"{given!r} is no list; write [{given!r}]")
        try:
            images = [self._image_of[one] for one in given] if given else []
        except (KeyError, TypeError):
            raise Fault("images", self._unknown_image(given)) from None
        if self._kind == "match":
            if not images:
                raise Fault("images", "missing; match needs at least one")
        elif len(images) != self._images:
            self._first_images(len(images))
        return images

    def _first_images(self, count: int) -> None:
        if count not in _IMAGES[self._kind]:
            allowed = " or ".join(map(str, _IMAGES[self._kind]))
            raise Fault("images", f"{count}, but an example of kind {self._kind} has {allowed}")
        if self._images is not None:
            raise Fault(
                "images",
                f"{count}, but {self._images} in the lines before; a file has as many in each: divide it into two",
            )
        self._images = count

    def _unknown_image(self, given: list[Any]) -> str:
        if self._image_of is None:
            return f"{given[0]!r} is given, but no data; name its store by --data"
        unknown = next(one for one in given if type(one) is not str or one not in self._image_of)
        if type(unknown) is not str:
            return f"{unknown!r} is no text; ids of images are: write them in quotes"
        if self._unended is None:
            self._unended = {without_ending(known): known for known in islice(self._image_of, _LOOKED_AT)}
        if without_ending(unknown) in self._image_of:
            return f"the data has no {unknown!r}, but {without_ending(unknown)!r}, without the ending; write that"
        if unknown in self._unended:
            return f"the data has no {unknown!r}, but {self._unended[unknown]!r}, with an ending; write that"
        return (
            f"the data has no {unknown!r}, with or without an ending (it has {next(iter(self._image_of))!r}, for "
            "example); add its store to the data, or leave the line out"
        )

    def _texts_of(self, given: Any) -> list[int]:
        if type(given) is not list or not given:
            raise Fault(
                "texts", 'missing; write a list of texts, ["…"], or of pairs of segments, [["…", "…"]]'
            )
        numbers = self.columns.text_of
        texts = [numbers.setdefault(self._segments(text), len(numbers)) for text in given]
        if self._kind == "choose":
            if len(texts) < 2:
                raise Fault("texts", "a single choice; give at least two")
            if self._choices is None:
                self._choices = len(texts)
            elif len(texts) != self._choices:
                raise Fault(
                    "texts",
                    f"{len(texts)} choices, but {self._choices} in the lines before; give as many in each line",
                )
        elif self._kind != "match" and len(texts) > 1:
            raise Fault(
                "texts",
                f"{len(texts)} texts, but an example of kind {self._kind} has one; two segments of one text are a "
                'list in the list: [["…", "…"]]',
            )
        return texts

    def _segments(self, text: Any) -> tuple[str, ...]:
        segments = (text,) if type(text) is str else tuple(text) if type(text) is list else ()
        if not 1 <= len(segments) <= 2 or not all(type(segment) is str for segment in segments):
            raise Fault(
                "texts", f"{text!r} is neither a text nor a list of one or two segments; write one of these"
            )
        for segment in segments:
            if not segment or segment.isspace():
                raise Fault("texts", "empty; write a text, or leave the line out")
        return segments

    def _pair(self, images: list[int], texts: list[int], pairs: Any) -> None:
        columns = self.columns
        if self._kind == "match":
            self._given_pairs(images, texts, pairs)
            return
        images = images or [-1]
        columns.pairs_N.append(len(images) * len(texts))
        columns.image_P += images * len(texts)
        columns.text_P += texts * len(images)

    def _given_pairs(self, images: list[int], texts: list[int], pairs: Any) -> None:
        columns = self.columns
        if type(pairs) is not list or not pairs:
            raise Fault("pairs", "missing; write [[image, text, 1 or 0], …], the first two counted from 0")
        for pair in pairs:
            if type(pair) is not list or len(pair) not in (2, 3) or any(type(x) is not int for x in pair):
                raise Fault(
                    "pairs", f"{pair!r} is not [image, text, 1 or 0]; write three numbers (two if unknown)"
                )
            image, text, is_match = pair if len(pair) == 3 else (*pair, UNKNOWN)
            if not 0 <= image < len(images):
                raise Fault(
                    "pairs", f"{pair}: the line has {len(images)} images, counted from 0; write one of them"
                )
            if not 0 <= text < len(texts):
                raise Fault(
                    "pairs", f"{pair}: the line has {len(texts)} texts, counted from 0; write one of them"
                )
            if is_match not in (0, 1, UNKNOWN):
                raise Fault("pairs", f"{pair}: the third is {is_match}; write 1 (they belong together) or 0")
            columns.image_P.append(images[image])
            columns.text_P.append(texts[text])
            columns.is_match_P.append(is_match)
        columns.pairs_N.append(len(pairs))

    def _tags(self, images: list[int], texts: list[Any], tags: Any) -> None:
        """Each word means one region at most."""
        pairs = self.columns.pairs_N[-1]
        found: list[dict[tuple[int, int], int]] = [{} for _ in range(pairs)]
        if tags:
            if self._kind == "match" or len(images) != 1:
                raise Fault("tags", "given, but words point at regions of one image alone; leave them out")
            if type(tags) is not list:
                raise Fault("tags", f"{tags!r:.60} is no list; write [[choice, segment, word, region], …]")
            for tag in tags:
                choice, *place, region = self._tag(tag, texts, int(self._regions[images[0]]))
                if found[choice].setdefault(tuple(place), region) != region:
                    raise Fault("tags", f"{tag}: the word means another region already; a word means one")
        self.columns.tags_P += [[(*place, region) for place, region in own.items()] for own in found]

    def _tag(self, tag: Any, texts: list[Any], regions: int) -> list[int]:
        if type(tag) is not list or len(tag) != 4 or any(type(part) is not int for part in tag):
            raise Fault(
                "tags", f"{tag!r:.60} is no tag; write [choice, segment, word, region], counted from 0"
            )
        choice, segment, word, region = tag
        if not 0 <= choice < len(texts):
            raise Fault("tags", f"{tag}: the line has {len(texts)} texts, counted from 0; write one of them")
        segments = [texts[choice]] if type(texts[choice]) is str else texts[choice]
        if not 0 <= segment < len(segments):
            raise Fault(
                "tags", f"{tag}: the text has {len(segments)} segments, counted from 0; write one of them"
            )
        words = len(segments[segment].split())
        if not 0 <= word < words:
            raise Fault("tags", f"{tag}: the segment has {words} words, counted from 0; write one of them")
        if not 0 <= region < regions:
            raise Fault("tags", f"{tag}: the image has {regions} regions, counted from 0; write one of them")
        return tag

    def _classify(self, fields: dict[str, Any], *_: Any) -> None:
        label, scores = fields.get("label"), fields.get("scores")
        if label is not None and scores is not None:
            raise Fault("label", "given beside scores; leave one of them out")
        self.columns.labels_N.append(UNKNOWN if label is None else self._class(label))
        self.columns.scores_N.append(UNKNOWN if scores is None else self._weights(scores))

    def _class(self, label: Any) -> int:
        if type(label) not in (str, int):
            raise Fault("label", f"{label!r} is no class; write its name, or its number counted from 0")
        named = type(label) is str
        if self._classes is None:
            self._refuse_other_kind(label, named)
        elif not named and not 0 <= label < len(self._classes):
            raise Fault("label", _no_class(label, self._classes, self._remedy))
        return self._number_of("label", label) if named else label

    def _refuse_other_kind(self, label: str | int, named: bool) -> None:
        if self._named is None:
            self._named = named
        if named != self._named:
            kinds = ("a number", "a name")
            raise Fault(
                "label",
                f"{label!r} is {kinds[named]}, but {kinds[self._named]} in the lines before; write one kind",
            )
        if not named and not 0 <= label < 2**20:
            raise Fault("label", f"{label} is no number of a class; they are counted from 0")

    def _number_of(self, field: str, name: str) -> int:
        known = self.columns.class_of
        if self._classes is None:
            return known.setdefault(name, len(known))
        if name not in known:
            raise Fault(field, _no_class(name, self._classes, self._remedy))
        return known[name]

    def _weights(self, scores: Any) -> int:
        if type(scores) is not dict:
            raise Fault("scores", f"{scores!r} is no object; write {{class: weight, …}}")
        for name, weight in scores.items():
            if not _is_number(weight) or not 0 <= weight <= 1:
                raise Fault("scores", f"{name!r} weighs {weight!r}; write a number from 0 to 1")
            self.columns.score_classes.append(self._number_of("scores", name))
            self.columns.score_weights.append(weight)
        return len(scores)

    def _score(self, fields: dict[str, Any], *_: Any) -> None:
        value = fields.get("value")
        if value is not None and not _is_number(value):
            raise Fault("value", f"{value!r} is no number; write one, or leave the field out")
        self.columns.values_N.append(float("nan") if value is None else float(value))

    def _choose(self, fields: dict[str, Any], _: list[int], texts: list[int]) -> None:
        label = fields.get("label")
        if label is not None and (type(label) is not int or not 0 <= label < len(texts)):
            raise Fault(
                "label", f"{label!r} is none of the {len(texts)} choices; write its number, counted from 0"
            )
        self.columns.labels_N.append(UNKNOWN if label is None else label)

    def _point(self, fields: dict[str, Any], images: list[int], _: list[int]) -> None:
        boxes = fields.get("boxes")
        if boxes is None:
            boxes = []
        if type(boxes) is not list or not all(_is_box(box) for box in boxes):
            raise Fault(
                "boxes", f"{boxes!r} is no list of boxes; write [[x1, y1, x2, y2], …], x1 < x2 and y1 < y2"
            )
        width, height = self._sizes[images[0]].tolist()
        # Annotators' boxes may reach a little over the edge; 0, 0: boxes are shares.
        right, low = (1.01 * width + 2, 1.01 * height + 2) if width > 0 and height > 0 else (1.01, 1.01)
        for box in boxes:
            if box[2] > right or box[3] > low:
                raise Fault(
                    "boxes",
                    f"{box} reaches beyond its image ({width} x {height}); write corners [x1, y1, x2, y2], "
                    "in the unit of the store's boxes",
                )
        self.columns.boxes_N.append(boxes)


class ImageNumbers:
    """The number of each image by its id; KeyError where there is none. Of a few looked up again and again."""

    def __init__(self, corpus: Any) -> None:
        self._corpus = corpus
        self._found: dict[str, int] = {}

    def __getitem__(self, name: Any) -> int:
        if type(name) is not str:
            raise TypeError(name)
        if name not in self._found:
            image = self._corpus.image_of(name)
            if image is None:
                raise KeyError(name)
            self._found[name] = image
        return self._found[name]

    def __contains__(self, name: Any) -> bool:
        return self._corpus.image_of(name) is not None

    def __iter__(self) -> Iterator[str]:
        return self._corpus.image_ids()


def without_ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot and ending.isalnum() and len(ending) <= 5 else name


def _no_class(label: str | int, classes: list[str], remedy: str) -> str:
    names = ", ".join(classes[:6]) + (", …" if len(classes) > 6 else "")
    return f"{label!r} is none of the {len(classes)} classes ({names}); correct it, or {remedy}"


def _is_box(box: Any) -> bool:
    if type(box) is not list or len(box) != 4:
        return False
    return all(map(_is_number, box)) and 0 <= box[0] < box[2] and 0 <= box[1] < box[3]


def _is_number(value: Any) -> bool:
    """Not NaN, not infinite, nor so large that it becomes so."""
    return type(value) in (int, float) and abs(value) < 1e30
