"""Answers from the words alone: a linear model of which words there are, whatever their order.

Letters: N lines, C choices.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_LINES = 10_000
"""Learnt from: more bring nothing to so few words."""


def right_labels(
    train: Sequence[dict[str, Any]], judged: Sequence[dict[str, Any]], part: int | None = None
) -> np.ndarray:
    """[N]: whether the likeliest label is right. part: also told what is true of this one of two pictures."""
    train = train[:MOST_LINES]
    labels = [str(line["label"]) for line in train]
    if len(set(labels)) == 1:  # there is nothing to tell apart
        said = labels[:1] * len(judged)
    else:
        table, model = _table_and_model([_words(line, part) for line in train])
        model.fit(table.transform([_words(line, part) for line in train]), labels)
        said = model.predict(table.transform([_words(line, part) for line in judged]))
    return np.array([own == str(line["label"]) for own, line in zip(said, judged, strict=True)], float)


def right_choices(train: Sequence[dict[str, Any]], judged: Sequence[dict[str, Any]]) -> np.ndarray:
    """[N]: whether the choice whose words are likeliest to be right is the right one."""
    train = train[: MOST_LINES // 2]
    table, model = _table_and_model([words for line in train for words in _words_of_choices(line)])
    rows = table.transform([words for line in train for words in _words_of_choices(line)])
    model.fit(rows, [choice == line["label"] for line in train for choice in range(len(line["texts"]))])
    odds = model.decision_function(
        table.transform([words for line in judged for words in _words_of_choices(line)])
    )
    said_N = odds.reshape(len(judged), -1).argmax(axis=1)
    return (said_N == [line["label"] for line in judged]).astype(float)


def _table_and_model(documents: list[list[str]]):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    table = CountVectorizer(analyzer=lambda words: words, binary=True).fit(documents)
    return table, LogisticRegression(C=0.1, max_iter=300)


def _words(line: dict[str, Any], part: int | None) -> list[str]:
    """Words by the segment they are in, how many there are of each; and each with what is true of a picture."""
    text = line["texts"][0]
    words = []
    for place, segment in enumerate([text] if isinstance(text, str) else text):
        words += _counted([f"{place} {word}" for word in segment.split()])
    if part is None:
        return words
    told = f"told {line['parts'][part]}"
    return [*words, told, *(f"{told} {word}" for word in words)]


def _words_of_choices(line: dict[str, Any]) -> list[list[str]]:
    """Of each choice: its words, those that the question has too, and pairs of one word of each."""
    found = []
    for text in line["texts"]:
        *question, choice = [text] if isinstance(text, str) else text
        asked, said = set(" ".join(question).split()), set(choice.split())
        pairs = [f"{one} {other}" for one in asked for other in said]
        found.append([*said, *(f"again {word}" for word in said & asked), *pairs])
    return found


def _counted(words: list[str]) -> list[str]:
    """`red`, and for the second one `red 2`."""
    return [
        word if (times := words[:place].count(word)) == 0 else f"{word} {times + 1}"
        for place, word in enumerate(words)
    ]
