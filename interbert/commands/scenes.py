"""`python -m interbert scenes`: write a store of embedded scenes, examples about them, or a picture of one."""

import argparse
import time
from pathlib import Path
from typing import get_args

from interbert.commands.output import add_overwrite, output_path

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")

EXAMPLES = 2000

HELP = (
    "write a data set of the embedded world of coloured shapes, examples about it, or a picture of one scene"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from interbert.config import Language, World
    from interbert.sources.scenes.detector import DEFAULT_REGIONS
    from interbert.sources.scenes.world import SPLITS, WINDOW

    parser.description = (
        "Scenes of 3-6 objects, what a detector would report of them, captions. Same options, same bytes. "
        f"The first caption of each scene is true of no other within its window of {WINDOW} scenes. Splits "
        "never share a scene. A tokenizer for the captions is put beside the file where there is none."
    )
    parser.add_argument("--images", type=int, metavar="N", help="how many scenes")
    parser.add_argument(
        "--pages", type=int, metavar="N",
        help="write a crawl of N web pages about scenes instead: WARCs, and labels of all that they say",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="seed of all that is drawn (1)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="store to write, such as data/train.h5")
    parser.add_argument(
        "--split", choices=SPLITS, default="train", help="part of the world to draw from (train)"
    )
    parser.add_argument(
        "--feature-width", type=int, default=256, metavar="D", help="width of a feature (256)"
    )
    parser.add_argument("--captions", type=int, default=5, metavar="C", help="captions a scene (5)")
    parser.add_argument(
        "--swapped", type=int, default=0, metavar="K", help="falsified captions a scene: hard negatives (0)"
    )
    parser.add_argument(
        "--noise",
        type=float,
        metavar="SHARE",
        help="share of captions that speak of another scene or have lost words, as those of the web (0); of --pages "
        "the share of texts that do not tell what a picture shows (0.5)",
    )
    parser.add_argument(
        "--language",
        choices=get_args(Language),
        default="en",
        help="language of the captions; with both each is said in English and in Chinese (en)",
    )
    parser.add_argument(
        "--regions",
        type=_span,
        default=DEFAULT_REGIONS,
        metavar="MIN:MAX",
        help="fewest and most regions of an image ({}:{})".format(*DEFAULT_REGIONS),
    )
    parser.add_argument(
        "--examples",
        choices=get_args(World),
        metavar="WORLD",
        help="write examples about the scenes of such a store instead, as JSON lines: "
        + ", ".join(get_args(World)),
    )
    parser.add_argument("--count", type=int, metavar="N", help="how many examples (2000)")
    _add_picture(parser)
    add_overwrite(parser)


def _add_picture(parser: argparse.ArgumentParser) -> None:
    from interbert.sources.scenes.world import image_id

    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw a scene into this file")
    parser.add_argument(
        "--image-id",
        metavar="ID",
        help=f"the scene to draw (the first); ids look like {image_id(1, 'train', 12)}",
    )


def run(args: argparse.Namespace) -> int:
    if args.output is None and args.picture is None:
        raise ValueError("nothing to do: give --output FILE, or --picture PNG")
    if args.image_id is not None and args.picture is None:
        raise ValueError("--image-id names the scene to draw: give --picture PNG with it")
    if args.examples is not None and (args.output is None or args.picture is not None):
        raise ValueError("--examples writes a file of its own: give --output FILE with it, and no --picture")
    if args.examples is not None and args.language != "en":
        raise ValueError("--examples are asked in English: leave --language out")
    if args.count is not None and args.examples is None:
        raise ValueError("--count is the number of examples: give --examples WORLD with it")
    if args.pages is not None and (
        args.output is None or args.picture is not None or args.examples is not None
    ):
        raise ValueError(
            "--pages writes a folder of its own: give --output DIR with it, and nothing else to write"
        )
    if args.noise is None:
        args.noise = 0.0 if args.pages is None else 0.5
    if args.output is not None:
        args.output = output_path(args.output, args.overwrite)
    if args.picture is not None:
        if args.picture.suffix.lower() not in PICTURES:
            raise ValueError(f"--picture {args.picture}: it must end in one of {', '.join(PICTURES)}")
        args.picture = output_path(args.picture, args.overwrite, name="--picture")
        if args.output is not None and args.output.resolve() == args.picture.resolve():
            raise ValueError(f"--output and --picture are both {args.picture}: name two files")
    if args.pages is not None:
        _write_pages(args)
    elif args.output is not None:
        (_write_examples if args.examples else _write)(args)
    if args.picture is not None:
        _draw(args)
    return 0


def _write(args: argparse.Namespace) -> None:
    if args.images is None:
        raise ValueError("--output needs --images N, the number of scenes to write")
    from interbert.sources.scenes.write import write_scenes

    start = time.perf_counter()
    write_scenes(
        args.output,
        args.images,
        args.seed,
        args.split,
        args.feature_width,
        args.captions,
        args.swapped,
        args.regions,
        args.noise,
        args.language,
    )
    spent = time.perf_counter() - start
    size = args.output.stat().st_size / 1e6
    print(f"{args.output}: {args.images} scenes, {size:.1f} MB, in {spent:.1f} s")


def _write_pages(args: argparse.Namespace) -> None:
    from interbert.sources.scenes.pages.write import write_pages

    if not 0 <= args.noise <= 1:
        raise ValueError(f"--noise {args.noise}: it is a share, from 0 to 1")
    start = time.perf_counter()
    photos = write_pages(args.output, args.pages, args.seed, args.split, args.noise)
    print(f"{args.output}: {args.pages} pages with {photos} pictures, in {time.perf_counter() - start:.1f} s")


def _write_examples(args: argparse.Namespace) -> None:
    """And how much of them can be answered blindly: learnt from one half, judged on the other."""
    if args.images is None:
        raise ValueError("--examples needs --images N, the number of scenes in the store that they are about")
    from interbert.files import read_json_lines
    from interbert.sources.scenes.worlds.write import WORLDS, write_examples
    from interbert.tasks.blind.blind import blind

    start = time.perf_counter()
    count = EXAMPLES if args.count is None else args.count
    write_examples(args.output, args.examples, count, args.images, args.seed, args.split, args.regions)
    print(f"{args.output}: {count} examples, in {time.perf_counter() - start:.1f} s")
    lines = read_json_lines(args.output)
    # What belongs together lies together, so only the lines about the middle are in both halves.
    first, second = lines[: count // 2], lines[count // 2 :]
    if first:
        found = blind(WORLDS[args.examples][0], first, second)
        print("answered blindly, learnt from the first half and judged on the second:")
        for name, value in found.each.items():
            print(f"  {name:<32}{100 * value:5.1f} %")
        print(f"  the best of these: {100 * found.low:.1f} to {100 * found.high:.1f} %")


def _draw(args: argparse.Namespace) -> None:
    from PIL import Image

    from interbert.files import replaced
    from interbert.sources.scenes.picture import recall, scene_picture
    from interbert.sources.scenes.world import image_id, parse_image_id

    name = args.image_id or image_id(args.seed, args.split, 0)
    if args.output is not None:
        seed, split, index = parse_image_id(name)
        if (seed, split) != (args.seed, args.split) or index >= args.images:
            last = image_id(args.seed, args.split, args.images - 1)
            raise ValueError(f"--image-id {name} is not in {args.output}, whose scenes end with {last}")
    picture = scene_picture(
        recall(name, args.captions, args.swapped, args.regions, args.noise, args.language)
    )
    with replaced(args.picture) as partial:
        picture.save(partial, format=Image.registered_extensions()[args.picture.suffix.lower()])
    print(f"{args.picture}: {name}")


def _span(text: str) -> tuple[int, int]:
    low, _, high = text.partition(":")
    if not (low.isdigit() and high.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}: write it as MIN:MAX, such as 10:36")
    return int(low), int(high)
