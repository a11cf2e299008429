"""How a command is told of captions: the same options wherever images come in."""

import argparse
from pathlib import Path
from typing import Any

CHOICES = ("auto", "name", "stem", "number")


def add_caption_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--captions", nargs="+", action="extend", default=[], type=Path, metavar="FILE",
        help="JSON, lines of JSON, CSV or TSV, in the layouts of docs/importing.md; also .gz",
    )  # fmt: skip
    parser.add_argument(
        "--split", nargs="+", action="extend", default=[], metavar="NAME",
        help="of the caption files: only the images and captions of these splits, such as train restval",
    )  # fmt: skip
    parser.add_argument("--encoding", default="utf-8", metavar="NAME", help="of the caption files (utf-8)")
    parser.add_argument(
        "--match", choices=CHOICES, default="auto",
        help="when a caption's image is the data's: the same name with or without ending, the same file name in "
        "another folder, the same number at the end; auto: the strictest that fits a file",
    )  # fmt: skip
    parser.add_argument(
        "--allow-unmatched", action="store_true",
        help="take also caption files that have no caption, or match no image",
    )  # fmt: skip


def caption_files(arguments: argparse.Namespace) -> Any:
    """What the options say. ValueError: a file is not there, or none of captions."""
    from interbert.sources.captions.files import CaptionFiles

    for path in arguments.captions:
        if not path.is_file():
            what = "a folder; name the files in it" if path.is_dir() else "no such file"
            raise ValueError(f"--captions {path}: {what}")
    files = CaptionFiles(
        tuple(arguments.captions),
        tuple(dict.fromkeys(arguments.split)),
        arguments.encoding,
        arguments.match,
        arguments.allow_unmatched,
    )
    files.layouts()
    return files
