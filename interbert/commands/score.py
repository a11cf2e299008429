"""`python -m interbert score`: how well sentences fit an image, your own or one of a store."""

import argparse
import json
from pathlib import Path

from interbert.commands.extract import add_model_arguments, load

HELP = "score sentences against one image, your own or one of a store"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="such as runs/<name>/export")
    parser.add_argument("--text", action="append", required=True, metavar="SENTENCE", help="may be repeated")
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="an image of your own, with --detector or --encoder"
    )
    add_model_arguments(parser, "--detector")
    parser.add_argument("--data", nargs="+", type=Path, metavar="STORE", help="or a store, with --image-id")
    parser.add_argument("--image-id", metavar="ID", help="of the image in the store")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    from interbert.model.loading import load_ours
    from interbert.printing import printable
    from interbert.tasks.retrieval.scoring import score
    from interbert.tokenizer import load_tokenizer

    _check(arguments)
    regions = _of_file(arguments) if arguments.image else _of_store(arguments)
    model, tokenizer = load_ours(arguments.model), load_tokenizer(arguments.model)
    found = score(model, tokenizer, arguments.text, *regions)
    if arguments.json:
        pairs = zip(arguments.text, found, strict=True)
        print(json.dumps([{"text": text, "match_probability": p} for text, p in pairs], ensure_ascii=False))
        return 0
    for text, probability in sorted(zip(arguments.text, found, strict=True), key=lambda pair: -pair[1]):
        print(f"{probability:8.1%}  {printable(text)}")
    return 0


def _of_file(arguments: argparse.Namespace):
    from interbert.sources.images.containers.container import ImageError
    from interbert.sources.images.decode import Limits, decoded

    _, vision = load(arguments, arguments.detector)
    try:
        with decoded(arguments.image.read_bytes(), Limits(), vision.wanted) as picture:
            prepared = vision.prepare(picture)
    except (ImageError, OSError) as error:
        raise ValueError(f"{arguments.image}: {error}") from None
    (found,) = vision.regions([prepared])
    return found.features_ND, found.boxes_N4, prepared.size, vision.features_of


def _of_store(arguments: argparse.Namespace):
    from interbert.corpus.corpus import Corpus
    from interbert.show.overview import choose_images

    with Corpus(arguments.data) as corpus:
        (image,) = choose_images(corpus, 1, [arguments.image_id])
        features_RD, boxes_R4 = corpus.read([image], corpus.region_counts[[image]])
        return features_RD, boxes_R4, tuple(corpus.sizes[image].tolist()), corpus.features_of


def _check(arguments: argparse.Namespace) -> None:
    computed = arguments.detector is not None or arguments.encoder is not None
    own = arguments.image is not None and computed
    stored = arguments.data is not None and arguments.image_id is not None
    if own == stored or (arguments.image is not None) != computed:
        raise ValueError(
            "give --image FILE with --detector DIR or --encoder FILE.py:FUNCTION, or --data STORE with --image-id ID"
        )
