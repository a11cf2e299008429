"""`python -m interbert import FORMAT`: features in the formats that people hold, into stores."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interbert.commands.caption_options import add_caption_arguments, caption_files
from interbert.commands.output import SHARDS, add_overwrite, output_path
from interbert.printing import printable

if TYPE_CHECKING:
    from interbert.sources.features.fields.choices import Choices

HELP = "bring features of another format into a store"
FORMATS = {
    "auto": "whichever of these it is, told by what is in it",
    "bottom-up-tsv": "rows of bottom-up attention, LXMERT and VOLTA, arrays in base64",
    "vinvl-tsv": "VinVL's and Oscar's rows, with their predictions beside them",
    "vilbert-lmdb": "LMDB of an image id to a pickled dictionary: ViLBERT's, InterBERT's, VOLTA's, MMF's",
    "tensorpack-lmdb": "their LMDB for pretraining, captions inside",
    "uniter-lmdb": "UNITER's LMDB of npz records",
    "uniter-npz": "a folder of UNITER's npz files",
    "image-files": "folders of npz or npy, a file an image: bottom-up-attention.pytorch, OpenVQA, MMF, cocobu",
    "volta-h5": "VOLTA's HDF5, a group an image",
    "butd-h5": "hengyuan-hu's train36.hdf5 with its pickle of ids",
    "scan-npy": "SCAN's SPLIT_ims.npy of all images",
    "hf-table": "parquet or arrow of a Hugging Face data set with LXMERT's features",
}
DEFAULT_SHARD_GB = 4.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Foreign features into a store, or into a folder of stores where --output does not end in .h5.\n"
        "`import --explain FILE` says what is seen in a file, and writes nothing.\n"
        "Killed at any moment and started again, it goes on behind the last finished shard.\n"
        "Under mpirun each rank imports its part."
    )
    parser.description += (
        "\nThe official files of a task: import vqa2|nlvr2|snli-ve|vcr|refcoco|glue|muge|kdd2020 --help"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "formats:\n" + "\n".join(f"  {name:<16} {text}" for name, text in FORMATS.items())
    parser.add_argument(
        "format", nargs="?", default="auto", choices=FORMATS, metavar="FORMAT", help="see below (auto)"
    )
    parser.add_argument("--input", nargs="+", default=[], type=Path, metavar="PATH", help="files or folders")
    parser.add_argument("--output", type=Path, metavar="FILE|DIR", help="FILE.h5, or a new folder")
    parser.add_argument(
        "--explain", nargs="+", default=[], type=Path, metavar="FILE", help="say what is in it, and be done"
    )
    add_overwrite(parser)
    add_caption_arguments(parser)
    parser.add_argument(
        "--shard-gb",
        type=float,
        default=DEFAULT_SHARD_GB,
        metavar="N",
        help=f"size of a shard ({DEFAULT_SHARD_GB:g})",
    )
    parser.add_argument(
        "--skip-bad",
        type=int,
        default=0,
        metavar="MAX",
        help="leave up to MAX bad rows out and list them (0)",
    )
    _add_what_formats_lack(parser)


def _add_what_formats_lack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--classes", type=int, default=1601, metavar="K", help="of the detector, for hard labels (1601)"
    )
    parser.add_argument(
        "--class-names",
        type=Path,
        metavar="FILE",
        help="of the detector: a line each, a JSON list, or VinVL's label map",
    )
    parser.add_argument(
        "--sizes",
        type=Path,
        metavar="FILE",
        help="of the images, where the features lack them or err: COCO's JSON, or CSV with image_id,width,height",
    )
    parser.add_argument(
        "--feature-width",
        type=int,
        metavar="D",
        help="numbers of a region, where base64 leaves it open whether they are float16 or float32",
    )
    parser.add_argument(
        "--features-of",
        metavar="NAME",
        help="the detector, by any name: a model is refused the features of another than it was trained on",
    )
    parser.add_argument(
        "--boxes",
        default="whole",
        choices=("whole", "grid"),
        help="of regions without boxes: the whole image, or cells of a square grid (whole)",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.explain:
        return _explain(arguments)
    from interbert.corpus.cache import key
    from interbert.mpi import mpi_world
    from interbert.sources.features.formats import source_of
    from interbert.sources.importing.driver import Wishes, import_rows

    _check(arguments)
    output = store_output(arguments, [*arguments.input, *arguments.captions])
    world, start = mpi_world(), time.perf_counter()
    try:
        captions = caption_files(arguments)
        name, choices = _format(arguments, arguments.input, world.rank == 0), _choices(arguments)
        wishes = Wishes(
            output,
            int(arguments.shard_gb * 1e9),
            arguments.classes,
            f"{name}: {', '.join(path.name for path in arguments.input)}",
            arguments.skip_bad,
            arguments.features_of,
            read_ahead=True,
            class_names=choices.class_names,
            attribute_names=choices.attribute_names,
        )
        source = source_of(name)(arguments.input, choices)
        if world.rank == 0:
            for note in source.notes:
                print(printable(note), flush=True)
        report = import_rows(source, captions, wishes, world, key(name, choices))
    except BaseException as error:
        if world.size > 1:  # the others would wait for ever
            print(f"interbert: rank {world.rank}: {error}", flush=True)
            world.abort()
        raise
    if world.rank == 0:
        print(summary(output, report, time.perf_counter() - start))
    return 0


def _format(arguments: argparse.Namespace, inputs: list[Path], shown: bool) -> str:
    """The name of the format; what it was told by is said."""
    from interbert.sources.features.looks.recognise import recognise

    if arguments.format != "auto":
        return arguments.format
    seen = recognise(inputs)
    if seen.format is None:
        raise ValueError(f"{', '.join(map(str, inputs))}: {seen.what}")
    if shown:
        print(printable(f"{seen.format}: {seen.what}"), flush=True)
    return seen.format


def _choices(arguments: argparse.Namespace) -> "Choices":
    from interbert.sources.features.fields.choices import Choices, read_class_names, read_sizes

    names = (None, None) if arguments.class_names is None else read_class_names(arguments.class_names)
    sizes = {} if arguments.sizes is None else read_sizes(arguments.sizes)
    return Choices(arguments.feature_width, arguments.boxes, *names, sizes)


def _explain(arguments: argparse.Namespace) -> int:
    from interbert.sources.captions.explain import explain_captions
    from interbert.sources.features.formats import source_of
    from interbert.sources.features.looks.explain import explain
    from interbert.sources.features.looks.recognise import look_at, told_unknown

    _refuse_missing([*arguments.explain, arguments.class_names, arguments.sizes])
    choices, unknown = _choices(arguments), 0
    for path in arguments.explain:
        seen = look_at(path)
        if seen is None:
            lines = explain_captions(path, arguments.encoding)
        elif seen.format is None:
            lines = [f"  {seen.what}"]
        else:
            try:
                lines = explain(seen, source_of(seen.format)([path], choices), choices)
            except ValueError as fault:
                unknown, lines = unknown + 1, [f"  {seen.format}: {seen.what}", f"  {fault}"]
        if lines is None:
            unknown += 1
            lines = [f"  {told_unknown(path)}"]
        print("\n".join(map(printable, [path, *lines])))
    return 1 if unknown else 0


def store_output(arguments: argparse.Namespace, inputs: list[Path]) -> Path:
    from interbert.store.shards import SUFFIXES

    folder = None if arguments.output.suffix in SUFFIXES else SHARDS
    return output_path(arguments.output, arguments.overwrite, inputs, folder=folder)


def summary(output: Path, report: dict[str, Any], seconds: float) -> str:
    lines = [
        f"{printable(output)}: {report['images']:,} images, {report['captions']:,} captions, in {seconds:.0f} s"
    ]
    told = {
        "without_captions": "images have no caption",
        "without_size": "images are of unknown size, their boxes shares of 1 (--sizes FILE says sizes by id)",
        "captions_without_image": "images with captions have no features here",
        "captions_again": "captions came again, word for word, and are stored once",
        "other_split": "rows have no caption in the split and were left out",
    }
    lines += [f"  {report[name]:,} {what}" for name, what in told.items() if report[name]]
    if report["bad_rows"]:
        lines.append(f"  {len(report['bad_rows'])} bad rows were left out:")
        lines += [f"    {printable(fault)}" for fault in report["bad_rows"][:20]]
    return "\n".join(lines)


def _check(arguments: argparse.Namespace) -> None:
    if not arguments.input or arguments.output is None:
        raise ValueError("--input and --output are needed; or --explain FILE, which only says what is in it")
    _refuse_missing([*arguments.input, *arguments.captions, arguments.class_names, arguments.sizes])
    if arguments.feature_width is not None and arguments.feature_width < 1:
        raise ValueError("--feature-width is at least 1")
    if arguments.shard_gb <= 0:
        raise ValueError(f"--shard-gb {arguments.shard_gb}: above 0")
    if arguments.skip_bad < 0 or arguments.classes < 1:
        raise ValueError("--skip-bad is at least 0, --classes at least 1")


def _refuse_missing(paths: list[Path | None]) -> None:
    for path in paths:
        if path is not None and not path.exists():
            raise ValueError(f"{path}: no such file or folder")
