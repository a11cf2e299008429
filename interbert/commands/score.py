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
    from interbert.inference.calls import score
    from interbert.inference.regions import regions_of_images, regions_of_store
    from interbert.printing import printable

    _check(arguments)
    if arguments.image:
        _, vision = load(arguments, arguments.detector)
        regions = regions_of_images([arguments.image], vision)
    else:
        regions = regions_of_store(arguments.data, [arguments.image_id])
    found = score(arguments.model, arguments.text, regions=regions)
    if arguments.json:
        pairs = zip(arguments.text, found, strict=True)
        print(json.dumps([{"text": text, "match_probability": p} for text, p in pairs], ensure_ascii=False))
        return 0
    for text, probability in sorted(zip(arguments.text, found, strict=True), key=lambda pair: -pair[1]):
        print(f"{probability:8.1%}  {printable(text)}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    computed = arguments.detector is not None or arguments.encoder is not None
    own = arguments.image is not None and computed
    stored = arguments.data is not None and arguments.image_id is not None
    if own == stored or (arguments.image is not None) != computed:
        raise ValueError(
            "give --image FILE with --detector DIR or --encoder FILE.py:FUNCTION, or --data STORE with --image-id ID"
        )
