"""What the rules of `interbert curate` do to made pages of which everything is known.

python benchmarks/curate_truth.py --pages 1000
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report
from interbert.curate.run import Wishes, curate
from interbert.curate.settings import load_settings
from interbert.curate.truth import GOOD, Truth, held_against
from interbert.sources.scenes.pages.write import LABELS, write_pages


def main() -> None:
    given = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        made = given.made or Path(folder) / "made"
        if given.made is None:
            write_pages(made, given.pages, given.seed, "train", given.noise)
        output = Path(folder) / "pairs"
        found = curate(Wishes([made], [], [], output, load_settings(given.config), given.workers))
        print(f"{found['pages']} pages, {found['kept']} pairs kept")
        truths = held_against(output, made / LABELS)
    for part, truth in sorted(truths.items(), reverse=True):
        show(part, truth)
    figures = {part: {"kinds": truth.kinds(), "rules": truth.rules()} for part, truth in truths.items()}
    report.write_json(given.json, figures)


def parse_arguments() -> argparse.Namespace:
    parser = report.parser(__doc__)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", type=float, default=0.5)
    parser.add_argument(
        "--made", type=Path, help="folder of `interbert scenes --pages`, instead of making one"
    )
    parser.add_argument("--config", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


def show(part: str, truth: Truth) -> None:
    print(f"\n## {part}\n\n| texts of kind | texts | dropped | by |\n|---|---|---|---|")
    for one in truth.kinds():
        print(f"| {one['kind']} | {one['texts']} | {one['dropped']:.1%} | {_most(one['by'])} |")
    print("\n| rule of texts | dropped | precision | of |\n|---|---|---|---|")
    for one in truth.rules():
        print(f"| {one['rule']} | {one['dropped']} | {one['precision']:.1%} | {_most(one['of'])} |")
    print("\n| images of kind | images | fates |\n|---|---|---|")
    for kind in sorted({kind for kind, _ in truth.image_fates}):
        fates = {fate: n for (own, fate), n in truth.image_fates.items() if own == kind}
        print(f"| {kind} | {sum(fates.values())} | {_most(fates)} |")
    total = sum(truth.best.values())
    good = sum(truth.best[kind] for kind in GOOD)
    print(f"\nof junk that is kept, {_share(truth.repaired)} is repaired to the true caption")
    print(f"best texts: {total}, true {good / max(total, 1):.1%}; {_most(truth.best)}")


def _share(counts: Counter) -> str:
    return f"{counts[True] / max(sum(counts.values()), 1):.1%}"


def _most(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda one: -one[1]))


if __name__ == "__main__":
    main()
