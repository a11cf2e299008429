"""`python -m interbert export`: a model as a program for other runtimes, held to what the model says."""

import argparse
from pathlib import Path

from interbert.commands.output import TOKENIZER, FolderKind, add_overwrite, output_path

HELP = "write a model for other runtimes (ONNX, torch.export), and hold it to the model"
PROGRAM = FolderKind(
    "program", (*TOKENIZER.files, "config.json", "model.onnx", "model.onnx.data", "model.pt2", "export.json")
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, type=Path, metavar="DIR", help="such as runs/<name>/export")
    parser.add_argument("--format", required=True, choices=("onnx", "torch-export"), help="of the program")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="new folder")
    parser.add_argument(
        "--quantise", choices=("int8",), help="the encoder's weights; in ONNX its products too"
    )
    parser.add_argument(
        "--outputs",
        nargs="+",
        default=[],
        metavar="NAME",
        help="what it computes (logits; match_probability; text_hidden, region_hidden, …)",
    )
    parser.add_argument(
        "--data", nargs="+", type=Path, metavar="STORE", help="pairs to compare on, instead of drawn ones"
    )
    parser.add_argument("--pairs", type=int, default=64, metavar="N", help="to compare on (64)")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="of timing; 0: none (10)")
    add_overwrite(parser)


def run(arguments: argparse.Namespace) -> int:
    from interbert.deploy.export import export, told
    from interbert.deploy.pairs import drawn, of_store
    from interbert.files import new_folder, partial_folder, settle_folder
    from interbert.model.loading import load_ours
    from interbert.tokenizer import load_tokenizer

    if arguments.pairs < 2 or arguments.rounds < 0:
        raise ValueError("--pairs must be 2 or more, --rounds 0 or more")
    output = output_path(
        arguments.output,
        arguments.overwrite,
        [arguments.model, *(arguments.data or [])],
        folder=PROGRAM,
    )
    model, tokenizer = load_ours(arguments.model), load_tokenizer(arguments.model)
    if arguments.data:
        longest = model.config.max_position_embeddings
        pairs = of_store(arguments.data, tokenizer, model.config, arguments.pairs, longest)
    else:
        pairs = drawn(model.config, arguments.pairs)
    partial = new_folder(partial_folder(output))
    int8 = arguments.quantise == "int8"
    exported = export(
        model, partial, arguments.format, pairs, tuple(arguments.outputs), int8, arguments.rounds
    )
    tokenizer.save(partial)
    settle_folder(partial, output)
    print(told(exported))
    print(f"\n{output / exported.file}: {exported.bytes / 2**20:.1f} MiB")
    return 0
