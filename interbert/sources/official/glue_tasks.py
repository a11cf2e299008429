"""The tasks of GLUE: their files, which columns are read, and how they are called where predictions are handed in."""

from dataclasses import dataclass

_TWO = ("sentence1", "sentence2")
_YES_NO = ("0", "1")
_FOLLOWS = ("entailment", "not_entailment")
MNLI_LABELS = ("contradiction", "entailment", "neutral")


@dataclass(frozen=True)
class GlueTask:
    texts: tuple[str, ...]
    """Headers of the columns with its one or two texts."""
    label: str
    """Header of the column with what is right."""
    labels: tuple[str, ...] = _YES_NO
    """Names of its classes, in the order of a head; () where it is a number from 0 to 5."""
    headless: tuple[str, ...] = ()
    """The columns of train and dev, which have no header."""
    splits: tuple[tuple[str, str], ...] = (("train", "train.tsv"), ("dev", "dev.tsv"), ("test", "test.tsv"))
    """Which file of examples is made of which of its files."""


TASKS = {
    "cola": GlueTask(("sentence",), "label", headless=("source", "label", "star", "sentence")),
    "sst2": GlueTask(("sentence",), "label"),
    "mrpc": GlueTask(("#1 String", "#2 String"), "Quality"),
    "stsb": GlueTask(_TWO, "score", labels=()),
    "qqp": GlueTask(("question1", "question2"), "is_duplicate"),
    "mnli": GlueTask(
        _TWO,
        "gold_label",
        MNLI_LABELS,
        splits=(
            ("train", "train.tsv"),
            ("dev", "dev_matched.tsv"),
            ("dev_mm", "dev_mismatched.tsv"),
            ("test", "test_matched.tsv"),
            ("test_mm", "test_mismatched.tsv"),
        ),
    ),
    "qnli": GlueTask(("question", "sentence"), "label", _FOLLOWS),
    "rte": GlueTask(_TWO, "label", _FOLLOWS),
    "wnli": GlueTask(_TWO, "label"),
    "ax": GlueTask(_TWO, "gold_label", MNLI_LABELS, splits=(("test", "diagnostic.tsv"),)),
}
SUBMISSIONS = {
    "glue-cola": "CoLA.tsv",
    "glue-sst2": "SST-2.tsv",
    "glue-mrpc": "MRPC.tsv",
    "glue-stsb": "STS-B.tsv",
    "glue-mnli": "MNLI-m.tsv",
    "glue-mnli-mm": "MNLI-mm.tsv",
    "glue-qnli": "QNLI.tsv",
    "glue-qqp": "QQP.tsv",
    "glue-rte": "RTE.tsv",
    "glue-wnli": "WNLI.tsv",
    "glue-ax": "AX.tsv",
}
"""The files that are handed in together, by what examples name their task."""


def official_name(task: str, split: str) -> str:
    """MNLI's mismatched files are judged and handed in by themselves."""
    return f"glue-{task}-mm" if split.endswith("_mm") else f"glue-{task}"
