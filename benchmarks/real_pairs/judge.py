"""A trained model searches among what it has never seen: figures, and a page of what it found best and worst."""

from html import escape
from pathlib import Path
from typing import Any

import torch

from benchmarks.real_pairs.pairs import TESTS
from interbert.corpus.corpus import Corpus
from interbert.files import read_json, write_json, write_text
from interbert.ranks.distributed import Ranks
from interbert.tasks.finetuning.finish_retrieval import predictions
from interbert.tasks.retrieval.evaluation import Options, evaluate_model
from interbert.tasks.retrieval.found import Found

SHOWN = 8
_WAYS = ("text_to_image", "image_to_text")
_STYLE = (
    "body{font:15px sans-serif;margin:2em}td{padding:.3em 1em .3em 0;vertical-align:middle}img{height:64px}"
)


def judged(run: Path, data: Path, pictures: Path, max_text_tokens: int) -> dict[str, dict[str, Any]]:
    """By test: recalls both ways. What is there is not done again."""
    output = run / "real.json"
    known = read_json(output) if output.is_file() else {}
    ranks = Ranks.alone()
    ranks.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options = Options(max_text_tokens=max_text_tokens)
    for name in TESTS:
        store = data / f"{name}.h5"
        if name in known or not store.is_file():
            continue
        told = Found()
        found = evaluate_model(run / "export", [store], ranks, options, run / f"{name}.tiles", told)
        known[name] = {way: found[way] for way in _WAYS} | {"images": found["images"]}
        with Corpus([store]) as corpus:
            lines = [line for line in predictions(told, corpus) if line["type"] == _WAYS[0]]
        write_text(run / f"{name}.html", page(name, lines, pictures))
        write_json(output, known)
    return known


def page(name: str, lines: list[dict[str, Any]], pictures: Path) -> str:
    """Captions whose picture is found first, the surest; and those whose picture is found last."""
    right = sorted((one for one in lines if one["right"]), key=lambda one: -one["scores"][one["label"]])
    wrong = sorted((one for one in lines if not one["right"]), key=lambda one: -one["rank"])
    parts = [
        f"<h2>{title}</h2><table>{''.join(_row(one, pictures) for one in chosen[:SHOWN])}</table>"
        for title, chosen in (("Found first, the surest", right), ("Found last", wrong))
    ]
    head = f"<!doctype html><meta charset=utf-8><title>{name}</title><style>{_STYLE}</style>"
    return f"{head}<h1>{name}: {len(right)} of {len(lines)} found first</h1>{''.join(parts)}\n"


def _row(line: dict[str, Any], pictures: Path) -> str:
    own, best = (_image(line[which], pictures) for which in ("label", "prediction"))
    place = "" if line["right"] else f"<td>place {line['rank']:.0f}; first: {best}</td>"
    return f"<tr><td>{own}</td><td>{escape(line['text'])}</td>{place}</tr>"


def _image(name: str, pictures: Path) -> str:
    return f'<img src="{escape((pictures / f"{name}.png").absolute().as_uri())}" title="{escape(name)}">'
