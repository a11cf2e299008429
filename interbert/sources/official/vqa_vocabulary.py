"""The answers that a VQA model chooses among: counted in annotations, or those of somebody else's head."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from interbert.corpus.example_faults import ExamplesError, Fault
from interbert.files import write_text
from interbert.sources.foreign_files.safe_pickle import loads
from interbert.sources.official.rows import text_in
from interbert.sources.official.vqa_answers import cleaned, plain
from interbert.sources.record import ImportFault


def frequent_answers(annotations: Iterable[dict[str, Any]], least: int) -> list[str]:
    """Cleaned answers that are the usual one of at least so many questions, sorted."""
    questions = defaultdict(set)
    for annotation in annotations:
        questions[cleaned(usual_answer(annotation))].add(annotation["question_id"])
    return sorted(answer for answer, ids in questions.items() if answer and len(ids) >= least)


def usual_answer(annotation: dict[str, Any]) -> str:
    """The one that the file names, or else the most frequent of the ten, the first of several."""
    named = annotation.get("multiple_choice_answer")
    return named if type(named) is str else Counter(answers_of(annotation)).most_common(1)[0][0]


def answers_of(annotation: dict[str, Any]) -> list[str]:
    ten = annotation.get("answers")
    if type(ten) is not list or not ten:
        raise Fault("answers", "missing; take the official file anew")
    # An empty answer is one, if a useless one: there are such in the official files.
    return [plain(one["answer"]) if _is_answer(one) else text_in(one, "answer") for one in ten]


def _is_answer(one: Any) -> bool:
    return type(one) is dict and type(one.get("answer")) is str


def write_answers(path: Path, answers: list[str]) -> None:
    """As `task.labels` and --answers read them."""
    write_text(path, json.dumps(answers, ensure_ascii=False, indent=0) + "\n")


def read_answers(path: Path) -> list[str]:
    """In the order of the head's outputs: a list, or {answer: number}, as JSON or pickled; or a line each."""
    try:
        tree = _tree(path)
    except (ImportFault, UnicodeDecodeError, ValueError) as error:
        raise ExamplesError(
            f"{path}: {error}; give a list of answers as JSON, as a pickle, or a line each"
        ) from None
    if type(tree) is dict:
        numbers = sorted(tree.values(), key=lambda number: number if type(number) is int else -1)
        if numbers != list(range(len(tree))):
            raise ExamplesError(f"{path}: the numbers of its answers are not 0 to {len(tree) - 1}, each once")
        tree = sorted(tree, key=tree.get)
    if type(tree) is not list or not tree or not all(type(answer) is str and answer for answer in tree):
        raise ExamplesError(f"{path}: is no list of answers; give one as JSON, as a pickle, or a line each")
    if len(set(tree)) < len(tree):
        twice = Counter(tree).most_common(1)[0][0]
        raise ExamplesError(f"{path}: the answer {twice!r} stands there twice; each has one place in a head")
    return tree


def _tree(path: Path) -> Any:
    if path.suffix in (".pkl", ".pickle"):
        return loads(path.read_bytes())
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        return json.loads(text)
    return [line for line in text.split("\n") if line]
