"""Single examples on the page: where the model is surest and wrong, and where it is right and hardly sure."""

import numpy as np

from interbert.corpus.examples import Examples
from interbert.printing import in_page
from interbert.show.scene import read_scene, scene_svg
from interbert.show.style import said
from interbert.tasks.results.answers import boxes_of
from interbert.tasks.results.page.judged import Judged

CARDS = 12
_BARS = 5
_NOT_SAID = "not known"


def galleries(judged: Judged) -> list[str]:
    """Sections of cards."""
    right, sure = judged.answers.right_N, judged.answers.sure_N
    if judged.examples.kind == "score":
        told = [("Furthest off", "", _furthest(judged))]
    elif not judged.answers.counts_N.any():
        told = [("Hardly sure", "", _places(np.isnan(right) & ~judged.outputs.damaged_N, sure))]
    else:
        told = [
            ("Surest and wrong", "No mistake was made with more confidence.", _places(right == 0, -sure)),
            (
                "Right, and hardly sure",
                "Right answers that were given with the least.",
                _places(right > 0, sure),
            ),
        ]
    return [
        f"<h2>{title}</h2>{f'<p class=soft>{about}</p>' if about else ''}<div class=cards>"
        f"{''.join(_card(judged, number) for number in numbers)}</div>"
        for title, about, numbers in told
        if numbers
    ]


def _places(wanted_N: np.ndarray, by_N: np.ndarray) -> list[int]:
    """The first of those wanted, by what is smallest."""
    found = np.flatnonzero(wanted_N)
    return found[np.argsort(by_N[found], kind="stable")[:CARDS]].tolist()


def _furthest(judged: Judged) -> list[int]:
    known_N = judged.answers.counts_N
    off_N = np.abs(np.where(known_N, judged.examples.values_N, 0) - judged.answers.sure_N)
    return _places(known_N, -off_N)


def _card(judged: Judged, number: int) -> str:
    examples = judged.examples
    type_ = f" · {in_page(examples.types[number])}" if examples.types[number] else ""
    return (
        f"<div class=card>{_pictures(judged, number)}{_words(judged, number)}"
        f"<ul class=scores>{_BARS_OF[examples.kind](judged, number)}</ul>"
        f"<p class=soft><small>{in_page(examples.ids[number])}{type_}</small></p></div>"
    )


def _pictures(judged: Judged, number: int) -> str:
    if judged.corpus is None or judged.examples.text_only:
        return ""
    shown = "".join(
        f"<figure>{svg}{f'<figcaption>{name}</figcaption>' if name else ''}</figure>"
        for name, svg in _scenes(judged, number)
    )
    return f"<div class=pictures>{shown}</div>"


def _scenes(judged: Judged, number: int) -> list[tuple[str, str]]:
    """(what it is, where that needs saying; picture) of each image; of a set, of its best and its true pair."""
    examples, place = judged.examples, int(judged.answers.place_N[number])
    first, last = examples.first_pair[number : number + 2].tolist()
    images = dict.fromkeys(examples.image_P[first:last].tolist())
    if examples.kind == "point":
        (image,) = images
        scene = read_scene(judged.corpus, image, most=len(judged.outputs.of(number)))
        return [("", scene_svg(scene, place if place >= 0 else None, list(boxes_of(examples, number))))]
    names = [""] * len(images)
    if examples.kind == "match":
        true = np.flatnonzero(examples.is_match_P[first:last] == 1)
        images = dict.fromkeys(int(examples.image_P[first + at]) for at in (place, *true[:1].tolist()))
        names = ["of the answer", "of the true pair"] if len(images) > 1 else [""]
    return [
        (name, scene_svg(read_scene(judged.corpus, image))) for name, image in zip(names, images, strict=True)
    ]


def _words(judged: Judged, number: int) -> str:
    """What all pairs of the example have in common; the rest of each stands beside its score."""
    examples, pair = judged.examples, judged.examples.first_pair[number]
    if examples.kind == "match" and not _one_text(examples, number):
        return ""
    segments = examples.texts[examples.text_P[pair]]
    if examples.kind == "choose":
        segments = segments[:-1]
    return f"<p>{_text(segments)}</p>" if segments else ""


def _one_text(examples: Examples, number: int) -> bool:
    """Whether all pairs of an example have the same text: as a caption has that finds images."""
    text_P = examples.text_P[examples.first_pair[number] : examples.first_pair[number + 1]]
    return bool((text_P == text_P[0]).all())


def _text(segments: tuple[str, ...]) -> str:
    return "".join(said("span", segment, " class=segment") for segment in segments)


def _bar(name: str, value: float, answer: bool, right: bool) -> str:
    """name: already escaped."""
    kind = " ".join(word for word, is_so in (("answer", answer), ("right", right)) if is_so)
    tick = " ✓" if right else ""
    return (
        f'<li class="{kind}"><span class=name>{name}{tick}</span><span class=track><i style="width: '
        f'{100 * min(max(value, 0), 1):.1f}%"></i></span><span class=told>{100 * value:.1f} %</span></li>'
    )


def _bars_of_classes(judged: Judged, number: int) -> str:
    """The most probable classes, and those that are right."""
    examples, row = judged.examples, judged.outputs.of(number)
    weights = _weights(judged, number)
    shown = np.argsort(-row, kind="stable")[:_BARS].tolist()
    shown += [class_ for class_ in weights if class_ not in shown]
    place = int(judged.answers.place_N[number])
    told = []
    for class_ in shown:
        weight = weights.get(class_, 0)
        name = in_page(examples.classes[class_]) + (f" (weight {weight:.2g})" if 0 < weight < 1 else "")
        told.append(_bar(name, float(row[class_]), class_ == place, weight > 0))
    return "".join(told)


def _weights(judged: Judged, number: int) -> dict[int, float]:
    """How right each class is, of those that are right at all."""
    examples = judged.examples
    if examples.scores is None:
        return {int(examples.labels_N[number]): 1.0} if examples.known_N[number] else {}
    offsets, classes, weights = examples.scores
    own = slice(offsets[number], offsets[number + 1])
    return dict(zip(classes[own].tolist(), weights[own].tolist(), strict=True))


def _bars_of_choices(judged: Judged, number: int) -> str:
    examples, row = judged.examples, judged.outputs.of(number).tolist()
    first, place = int(examples.first_pair[number]), int(judged.answers.place_N[number])
    label = int(examples.labels_N[number])
    return "".join(
        _bar(said("span", examples.texts[examples.text_P[first + at]][-1]), value, at == place, at == label)
        for at, value in enumerate(row)
    )


def _bars_of_pairs(judged: Judged, number: int) -> str:
    examples, row = judged.examples, judged.outputs.of(number).tolist()
    first, place = int(examples.first_pair[number]), int(judged.answers.place_N[number])
    told = []
    for at, value in enumerate(row):
        pair = first + at
        image = int(examples.image_P[pair])
        called = in_page(judged.corpus.image_id(image)) if judged.corpus is not None and image >= 0 else ""
        if called and _one_text(examples, number) and len(row) > 1:
            name = called
        else:
            name = _text(examples.texts[examples.text_P[pair]])
            if image != examples.image_P[first + place] and called:
                name += f" <small class=soft>with {called}</small>"
        told.append(_bar(name, value, at == place, examples.is_match_P[pair] == 1))
    return "".join(told)


def _bars_of_regions(judged: Judged, number: int) -> str:
    """The best regions; what was sought is drawn."""
    row = judged.outputs.of(number)
    if not len(row):
        return "<li>the image has no regions</li>"
    image = int(judged.examples.image_P[judged.examples.first_pair[number]])
    labels = read_scene(judged.corpus, image, most=len(row)).labels
    overlap = judged.answers.overlap_N[number]
    told = "".join(
        _bar(
            f"{in_page(labels[at])} <small class=soft>region {at}</small>", float(row[at]), place == 0, False
        )
        for place, at in enumerate(np.argsort(-row, kind="stable")[:_BARS].tolist())
    )
    known = (
        ""
        if np.isnan(overlap)
        else f"<li class=soft>overlap with what was sought: {100 * overlap:.0f} %</li>"
    )
    return told + known


def _value(judged: Judged, number: int) -> str:
    right = f"{judged.examples.values_N[number]:.3g}" if judged.examples.known_N[number] else _NOT_SAID
    return f"<li>said: {judged.answers.sure_N[number]:.3g}</li><li class=right>right: {right}</li>"


_BARS_OF = {
    "classify": _bars_of_classes,
    "score": _value,
    "choose": _bars_of_choices,
    "match": _bars_of_pairs,
    "point": _bars_of_regions,
}
