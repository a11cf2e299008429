"""`python -m interbert convert`: other people's weights into a directory of ours, and back."""

import argparse
import json
from pathlib import Path

from interbert.commands.output import MODEL, add_overwrite, output_path
from interbert.printing import printable_lines

HELP = "bring weights in (released InterBERT, BERT) or take them out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="kinds", metavar="KIND", required=True)

    released = kinds.add_parser("released", help="the authors' InterBERT, pretrained or fine-tuned")
    released.add_argument("--weights", type=Path, required=True, metavar="FILE", help=".safetensors or .bin")
    released.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the JSON beside the weights"
    )
    released.add_argument(
        "--tokenizer", type=Path, required=True, metavar="DIR", help="directory with its vocab.txt"
    )
    released.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="new Hugging Face directory"
    )
    released.add_argument(
        "--allow-missing",
        nargs="+",
        default=[],
        metavar="NAME",
        help="heads (or prefixes) that may stay random",
    )
    add_overwrite(released)
    released.set_defaults(convert=_released)

    back = kinds.add_parser("to-released", help="a directory of ours as weights in the authors' keys")
    back.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="Hugging Face directory of ours"
    )
    back.add_argument("--output", type=Path, required=True, metavar="FILE", help="new .safetensors file")
    add_overwrite(back)
    back.set_defaults(convert=_to_released)

    bert = kinds.add_parser("bert", help="a BERT: its layers become the joint and the text layers")
    bert.add_argument(
        "--weights", required=True, metavar="DIR|NAME", help="Hugging Face directory, or a hub name"
    )
    bert.add_argument("--output", type=Path, required=True, metavar="DIR", help="new Hugging Face directory")
    bert.add_argument(
        "--recipe", default="interbert_base", metavar="NAME|FILE", help="decides what BERT does not"
    )
    bert.add_argument(
        "--feature-width", type=int, default=2048, metavar="N", help="of the region features (2048)"
    )
    bert.add_argument("--classes", type=int, default=1601, metavar="N", help="of the detector (1601)")
    add_overwrite(bert)
    bert.set_defaults(convert=_bert)


def run(arguments: argparse.Namespace) -> int:
    return arguments.convert(arguments)


def _released(arguments: argparse.Namespace) -> int:
    inputs = [arguments.weights, arguments.config, arguments.tokenizer]
    output = output_path(arguments.output, arguments.overwrite, inputs, folder=MODEL)

    from interbert.model.convert import convert_released, read_weights  # seconds, once the words are right
    from interbert.tokenizer import load_tokenizer

    try:
        config = json.loads(arguments.config.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{arguments.config}, line {error.lineno}: not JSON ({error.msg})") from None
    tokenizer = load_tokenizer(arguments.tokenizer)
    model, report = convert_released(
        read_weights(arguments.weights),
        config,
        allow_missing=tuple(arguments.allow_missing),
        source=str(arguments.weights),
    )
    _check_vocabulary(arguments.tokenizer, tokenizer, arguments.weights, model)
    _write(model, tokenizer, output)
    print(f"{printable_lines(report)}\n{output}: {type(model).__name__}")
    return 0


def _to_released(arguments: argparse.Namespace) -> int:
    output = output_path(arguments.output, arguments.overwrite, [arguments.model])

    from safetensors.torch import save_file

    from interbert.files import replaced
    from interbert.model.convert import export_released
    from interbert.model.loading import load_ours

    weights = export_released(load_ours(arguments.model))
    with replaced(output) as partial:
        save_file(weights, partial)
    print(f"{output}: {len(weights)} keys")
    return 0


def _bert(arguments: argparse.Namespace) -> int:
    output = output_path(arguments.output, arguments.overwrite, [Path(arguments.weights)], folder=MODEL)

    from interbert.hub import local_folder
    from interbert.model.convert import load_bert
    from interbert.recipe import load_recipe
    from interbert.tokenizer import load_tokenizer

    settings = load_recipe(arguments.recipe)
    folder = local_folder(arguments.weights)
    tokenizer = load_tokenizer(folder)
    sizes = {"feature_width": arguments.feature_width, "classes": arguments.classes}
    model, report = load_bert(
        folder, settings.train.seed, settings.model.preset, **{**sizes, **settings.model.override}
    )
    _check_vocabulary(folder, tokenizer, folder, model)
    _write(model, tokenizer, output)
    print(f"{printable_lines(report)}\n{output}: {type(model).__name__}")
    return 0


def _check_vocabulary(tokenizer_folder: Path, tokenizer, weights: Path, model) -> None:
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"{tokenizer_folder} has {tokenizer.vocab_size} words, {weights} {model.config.vocab_size}: "
            "give the tokenizer that belongs to the weights"
        )


def _write(model, tokenizer, output: Path) -> None:
    from interbert.files import new_folder, partial_folder, settle_folder

    partial = new_folder(partial_folder(output))
    model.save_pretrained(partial)
    tokenizer.save(partial)
    settle_folder(partial, output)
