"""A trained model searches among what it has never seen: figures, and a page of what it found best and worst."""

from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.real_pairs.pairs import TESTS
from benchmarks.real_pairs.probe import recalls_of
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.files import read_json, write_json, write_text
from interbert.ranks.distributed import Ranks
from interbert.search.encoder import CPU_TOKENS, model_in
from interbert.tasks.distillation.stages import HeldOut
from interbert.tasks.finetuning.finish_retrieval import predictions
from interbert.tasks.retrieval.evaluation import Options, evaluate_model
from interbert.tasks.retrieval.found import Found
from interbert.tokenizer import load_tokenizer

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


def first_stage(run: Path, data: Path, pictures: Path, max_text_tokens: int) -> dict[str, dict[str, Any]]:
    """By test: recalls both ways of the vectors that a search begins with, every image there to be found."""
    encoder, _ = model_in(run / "export", torch.device("cpu"))
    tokenizer, known = load_tokenizer(run / "export"), {}
    for name in TESTS:
        store = data / f"{name}.h5"
        if not store.is_file():
            continue
        with Corpus([store]) as corpus:
            asked = HeldOut.of(corpus, token_table(corpus, tokenizer, max_text_tokens))
            asked = replace(asked, captions_C=np.arange(corpus.captions))
            scores_CI = asked.first_stage(encoder, CPU_TOKENS)
            owner_C = torch.from_numpy(asked.own_C.astype(np.int64))
            known[name] = recalls_of(torch.from_numpy(scores_CI), owner_C) | {"images": corpus.images}
            write_text(run / f"{name}.html", page(name, _lines(corpus, scores_CI, asked.own_C), pictures))
    write_json(run / "real.json", known)
    return known


def _lines(corpus: Corpus, scores_CI: np.ndarray, own_C: np.ndarray) -> list[dict[str, Any]]:
    """As `predictions` has them, of captions that ask for their images."""
    found = []
    for caption, (scores_I, own) in enumerate(zip(scores_CI, own_C, strict=True)):
        label, best = corpus.image_id(int(own)), corpus.image_id(int(scores_I.argmax()))
        rank = 1 + float((scores_I > scores_I[own]).sum())
        found.append(
            {"text": corpus.caption_text(caption), "label": label, "prediction": best, "rank": rank}
            | {"scores": {label: float(scores_I[own])}, "right": rank == 1}
        )
    return found


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
