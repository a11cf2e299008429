"""What the page of results is made from."""

from dataclasses import dataclass
from typing import Any

from interbert.corpus.corpus import Corpus
from interbert.corpus.examples import Examples
from interbert.tasks.results.answers import Answers
from interbert.tasks.results.outputs import Outputs


@dataclass(frozen=True)
class Judged:
    results: dict[str, Any]
    """As in results.json."""
    examples: Examples
    outputs: Outputs
    answers: Answers
    corpus: Corpus | None
    """None where examples are text alone."""
