"""The objects that VinVL's detector predicted: the fields of an image that they make, the numbers of their names."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from interbert.sources.features.fields.choices import BACKGROUND, Choices
from interbert.sources.features.fields.numbers import from_base64
from interbert.sources.record import ImportFault


class Numbering:
    """Of classes and attributes: the user's, else by the alphabet."""

    def __init__(self, objects: Iterable[Any] | None, choices: Choices) -> None:
        """objects: of all images, gone through where the user names not all; None: there are none."""
        names, attributes = choices.class_names, choices.attribute_names
        self.notes: list[str] = []
        if objects is not None and (names is None or attributes is None):
            found, found_attributes = _found_names(objects)
            told = [f"{len(found)} names of classes"] if names is None else []
            if attributes is None and found_attributes:
                told.append(f"{len(found_attributes)} of attributes")
            names = found if names is None else names
            attributes = found_attributes if attributes is None else attributes
            if told:
                self.notes.append(
                    f"classes: the {' and '.join(told)} that are found here, by the alphabet; give --class-names "
                    "FILE for numbers that other files have too"
                )
        self.class_names = list(names) if names else None
        self.attribute_names = list(attributes) if attributes else None
        self._numbers = {name: number for number, name in enumerate(names or ())}
        self._attribute_numbers = {name: number for number, name in enumerate(attributes or ())}

    def fields(self, found: list[dict], row: dict[str, Any]) -> dict[str, Any]:
        """What the list of an image's objects says. row: what else is known of it."""
        try:
            count = int(row.get("num_boxes", len(found)))
            if count != len(found):
                raise ImportFault(f"{len(found)} objects are predicted, but there are {count} features")
            fields: dict[str, Any] = {"num_boxes": count, "boxes": [item["rect"] for item in found]}
            if "features" not in row:
                texts = [from_base64(item["feature"], "feature") for item in found]
                fields["features"] = np.stack([np.frombuffer(text, "<f4") for text in texts])
            if all("class" in item for item in found):
                fields["obj_ids"] = [_number(item["class"], self._numbers, "class") for item in found]
            if all("conf" in item for item in found):
                fields["obj_conf"] = [item["conf"] for item in found]
            if self._attribute_numbers:
                surest = [_surest_attribute(item, self._attribute_numbers) for item in found]
                fields["attr_ids"], fields["attr_conf"] = map(list, zip(*surest, strict=True))
        except KeyError as error:
            raise ImportFault(f"an object without {error}") from None
        except (TypeError, AttributeError, IndexError) as error:
            raise ImportFault(f"objects that are none ({error})") from None
        return fields


def _surest_attribute(item: dict[str, Any], numbers: dict[str, int]) -> tuple[int, float]:
    """(number, confidence); an object that the detector saw no attribute of has number 0, with confidence 0."""
    names, scores = item.get("attributes") or (), item.get("attr_scores") or ()
    if not names:
        return 0, 0.0
    best = int(np.argmax(scores))
    return _number(names[best], numbers, "attribute"), scores[best]


def _found_names(objects: Iterable[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of classes and of attributes."""
    names, attributes, some_lack_them = set(), set(), False
    for item in (item for item in objects if isinstance(item, dict)):
        names.add(str(item.get("class", "")))
        found = item.get("attributes") or ()
        attributes.update(map(str, found))
        some_lack_them |= not found
    none = (BACKGROUND,) if attributes and some_lack_them else ()
    return tuple(sorted(names - {""})), (*none, *sorted(attributes))


def _number(name: Any, numbers: dict[str, int], what: str) -> int:
    if isinstance(name, int):
        return name
    if name not in numbers:
        raise ImportFault(f"{what} {name!r} is not among the names of --class-names")
    return numbers[name]
