"""Which class is taken for which, of the most frequent ones."""

from dataclasses import dataclass

import numpy as np

from interbert.printing import in_page
from interbert.tasks.results.page.judged import Judged

MOST = 12


@dataclass(frozen=True)
class Confusion:
    names: list[str]
    """Of rows (what is right) and columns (what is said); the last one is `others` where there are more."""
    counts: np.ndarray
    """int64 [names, names]"""


def confusion_of(judged: Judged, most: int = MOST) -> Confusion | None:
    """None where no class is right alone: of other kinds, and of weights. Most frequent: meant or said."""
    examples, answers = judged.examples, judged.answers
    if examples.kind != "classify" or examples.scores is not None or not answers.counts_N.any():
        return None
    meant, said = examples.labels_N[answers.counts_N], answers.place_N[answers.counts_N]
    classes = len(examples.classes)
    often = np.bincount(meant, minlength=classes) + np.bincount(said, minlength=classes)
    kept = np.sort(np.argsort(-often, kind="stable")[:most])
    names = [examples.classes[class_] for class_ in kept.tolist()]
    row_of = np.full(classes, len(kept))
    row_of[kept] = np.arange(len(kept))
    names += [f"others ({classes - len(kept):,})"] if classes > len(kept) else []
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (row_of[meant], row_of[said]), 1)
    return Confusion(names, counts)


def confusion_table(confusion: Confusion) -> str:
    heads = "".join(f"<th>{in_page(name)}</th>" for name in confusion.names)
    rows = []
    for number, name in enumerate(confusion.names):
        own = confusion.counts[number]
        cells = "".join(_cell(count, int(own.sum()), number == at) for at, count in enumerate(own.tolist()))
        rows.append(f"<tr><th>{in_page(name)}</th>{cells}</tr>")
    return (
        f"<p class=soft>A row for each class that is right, a column for each that is said.</p><div class=scroll>"
        f"<table class=confusion id=confusion><thead><tr><th></th>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(count: int, of: int, right: bool) -> str:
    share = 100 * count / of if of else 0
    colour = "--good" if right else "--warn"
    shade = f"background: color-mix(in srgb, var({colour}) {0.75 * share:.0f}%, var(--card))"
    return f'<td style="{shade}" title="{share:.1f} % of the row">{count:,}</td>'
