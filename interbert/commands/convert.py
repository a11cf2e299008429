"""`python -m interbert convert`: other people's weights into a directory of ours, and back."""

import argparse
from pathlib import Path

from interbert.commands.output import MODEL, add_overwrite, output_path
from interbert.files import read_json
from interbert.printing import printable_lines

HELP = "bring weights in (released InterBERT, BERT, VisualBERT, UNITER, VOLTA) or take them out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(title="kinds", metavar="KIND", required=True)
    _add_released(kinds)
    _add_bert(kinds)
    _add_visualbert(kinds)
    for name, told in (("uniter", "UNITER's own"), ("volta", "VOLTA's controlled models")):
        _add_with_config(kinds.add_parser(name, help=told), name)


def _add_released(kinds: argparse._SubParsersAction) -> None:
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
    released.add_argument(
        "--task",
        choices=("classify", "score", "choose", "point"),
        help="of a fine-tuned one: what it was tuned for, so that evaluate and finetune take it",
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


def _add_bert(kinds: argparse._SubParsersAction) -> None:
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


def _add_visualbert(kinds: argparse._SubParsersAction) -> None:
    visual = kinds.add_parser("visualbert", help="transformers' VisualBERT")
    visual.add_argument(
        "--weights", required=True, metavar="DIR|NAME", help="Hugging Face directory, or a hub name"
    )
    visual.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="where its vocab.txt lies (the directory itself)"
    )
    _add_output(visual)
    visual.set_defaults(convert=_visualbert)

    to_visual = kinds.add_parser("to-visualbert", help="a directory of ours as transformers' VisualBERT")
    to_visual.add_argument("--model", type=Path, required=True, metavar="DIR", help="directory of ours")
    to_visual.add_argument(
        "--inexact", action="store_true", help="even where its outputs would be others (said which)"
    )
    _add_output(to_visual)
    to_visual.set_defaults(convert=_to_visualbert)


def _add_with_config(other: argparse.ArgumentParser, kind: str) -> None:
    other.add_argument("--weights", type=Path, required=True, metavar="FILE", help=".pt or .bin")
    other.add_argument("--config", type=Path, required=True, metavar="FILE", help="its JSON")
    other.add_argument(
        "--tokenizer", type=Path, required=True, metavar="DIR", help="directory of the BERT it began with"
    )
    _add_output(other)
    other.set_defaults(convert=_with_config, kind=kind)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="new Hugging Face directory"
    )
    add_overwrite(parser)


def run(arguments: argparse.Namespace) -> int:
    return arguments.convert(arguments)


def _released(arguments: argparse.Namespace) -> int:
    inputs = [arguments.weights, arguments.config, arguments.tokenizer]
    output = output_path(arguments.output, arguments.overwrite, inputs, folder=MODEL)

    from interbert.model.convert import convert_released, read_weights  # seconds, once the words are right
    from interbert.model.released_tasks import InterBertForTasks, for_task
    from interbert.tokenizer import load_tokenizer

    config = read_json(arguments.config)
    tokenizer = load_tokenizer(arguments.tokenizer)
    model, report = convert_released(
        read_weights(arguments.weights),
        config,
        allow_missing=tuple(arguments.allow_missing),
        source=str(arguments.weights),
    )
    if arguments.task:
        if not isinstance(model, InterBertForTasks):
            raise ValueError(
                f"{arguments.weights}: has no heads of tasks (vil_prediction …); leave --task out"
            )
        model = for_task(model, arguments.task)
    return _brought(model, report, tokenizer, arguments.tokenizer, arguments.weights, output)


def _to_released(arguments: argparse.Namespace) -> int:
    output = output_path(arguments.output, arguments.overwrite, [arguments.model])

    from safetensors.torch import save_file

    from interbert.files import replaced
    from interbert.model.convert import export_released
    from interbert.model.loading import load_ours
    from interbert.model.task_head import InterBertFineTuned

    model = load_ours(arguments.model)
    weights = export_released(model)
    if isinstance(model, InterBertFineTuned):
        print("left out: the head of its task; the authors' code has others")
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
    return _brought(model, report, tokenizer, folder, folder, output)


def _visualbert(arguments: argparse.Namespace) -> int:
    from interbert.hub import local_folder
    from interbert.model.convert import convert_visualbert, read_weights
    from interbert.tokenizer import load_tokenizer

    inputs = [Path(arguments.weights), *([arguments.tokenizer] if arguments.tokenizer else [])]
    output = output_path(arguments.output, arguments.overwrite, inputs, folder=MODEL)
    folder = local_folder(arguments.weights)
    tokenizer = load_tokenizer(arguments.tokenizer or folder)
    config = read_json(folder / "config.json")
    model, report = convert_visualbert(read_weights(folder), config, source=str(folder))
    return _brought(model, report, tokenizer, arguments.tokenizer or folder, folder, output)


def _to_visualbert(arguments: argparse.Namespace) -> int:
    from safetensors.torch import save_file

    from interbert.files import new_folder, partial_folder, settle_folder, write_json
    from interbert.model.convert import export_visualbert
    from interbert.model.loading import load_ours
    from interbert.tokenizer import load_tokenizer

    output = output_path(arguments.output, arguments.overwrite, [arguments.model], folder=MODEL)
    tokenizer = load_tokenizer(arguments.model)
    config, weights, notes = export_visualbert(load_ours(arguments.model), arguments.inexact)
    partial = new_folder(partial_folder(output))
    write_json(partial / "config.json", {**config, "pad_token_id": tokenizer.pad_id})
    save_file(weights, partial / "model.safetensors", {"format": "pt"})
    tokenizer.save(partial)
    settle_folder(partial, output)
    print("\n".join([*notes, f"{output}: VisualBertForPreTraining, {len(weights)} keys"]))
    return 0


def _with_config(arguments: argparse.Namespace) -> int:
    from interbert.model.convert import convert_uniter, convert_volta, read_weights
    from interbert.tokenizer import load_tokenizer

    inputs = [arguments.weights, arguments.config, arguments.tokenizer]
    output = output_path(arguments.output, arguments.overwrite, inputs, folder=MODEL)
    tokenizer = load_tokenizer(arguments.tokenizer)
    convert = {"uniter": convert_uniter, "volta": convert_volta}[arguments.kind]
    model, report = convert(
        read_weights(arguments.weights), read_json(arguments.config), str(arguments.weights)
    )
    return _brought(model, report, tokenizer, arguments.tokenizer, arguments.weights, output)


def _brought(model, report, tokenizer, words: Path, weights: Path, output: Path) -> int:
    _check_vocabulary(words, tokenizer, weights, model)
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
