"""Evaluating exported models from files: what launch/evaluate.py does.

Either one model on given stores, or a run: its model before and after training, on its held-out scenes or on
given stores, into its evaluation.json.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xxhash

from interbert.corpus.corpus import DISTINCTIVE, Corpus
from interbert.corpus.tokens import token_table, tokenise_texts
from interbert.corpus.unknown import warn_of_unknown
from interbert.files import read_json, write_json, write_text
from interbert.kernels.cpu.bf16 import has_bf16
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.loading import load_ours
from interbert.ranks.distributed import Ranks
from interbert.recipe import read_config
from interbert.sources.scenes.splits import make_scenes, scene_store
from interbert.store.features_of import refuse_other_features
from interbert.tasks.retrieval.found import Found
from interbert.tasks.retrieval.lineup import captions_of
from interbert.tasks.retrieval.pairs import PairScorer
from interbert.tasks.retrieval.queries import rank_all, read_queries
from interbert.tasks.retrieval.retrieval import evaluate_retrieval
from interbert.tasks.retrieval.shortlist import make_shortlist, read_vectors
from interbert.tasks.retrieval.tile_work import score_tiles
from interbert.tokenizer import Tokenizer, load_tokenizer
from interbert.train.checkpoints.tuned_on import read_note
from interbert.train.folder.run_folder import RunFolder

log = logging.getLogger(__name__)

TOKEN_BUDGET = {"cpu": 4096, "cuda": 131072}
"""Tokens of a micro-batch."""


class EvaluationError(ValueError):
    """A model, data or options that cannot be evaluated together."""


@dataclass(frozen=True)
class Options:
    split_captions: Literal["distinctive", "all"] | None = None
    """distinctive: of each image one caption that is true of it alone, and apart from these one vaguer one.
    Default: distinctive where the data marks such captions, else all."""
    max_images: int | None = None
    max_regions: int | None = None
    max_text_tokens: int | None = None
    """Default: as many as the model has positions for."""
    token_budget: int | None = None
    """Tokens of a micro-batch. Default: 4,096 on a CPU, 131,072 on a GPU."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the device multiplies matrices in it, else fp32."""
    folds: int = 1
    """Also the mean of the figures within so many runs of neighbouring images."""
    within_folds: bool = False
    """Score no pairs but those within the folds."""
    shortlist: int | None = None
    """Only pairs of which one is among so many nearest of the other, by `vectors`."""
    vectors: str | None = None
    """File with a vector of each image and each caption of the data."""
    skip_damaged: bool = False
    """Compare images with their checksums, and leave out those that have changed."""


def evaluate_model(
    folder: Path,
    data: Sequence[str | Path],
    ranks: Ranks,
    options: Options,
    work: Path | None = None,
    told: Found | None = None,
) -> dict[str, Any]:
    """The retrieval figures of the model in a Hugging Face directory; the same on every rank.

    Scores are kept in `work` as they are made, so that a killed evaluation goes on where it was. told: is filled with
    who is found by each query.
    """
    with Corpus(data) as corpus:
        model, tokenizer = load_for(folder, corpus)
        noted = read_note(folder)
        found = _retrieval(model, tokenizer, corpus, ranks, options, work, str(folder), told)
        found |= {"model": str(folder), "checkpoint": noted.checkpoint, **noted.of(corpus.fingerprint)}
        return found


def evaluate_queries(
    folder: Path,
    data: Sequence[str | Path],
    path: Path,
    ranks: Ranks,
    options: Options,
    work: Path | None = None,
    submission: Path | None = None,
) -> dict[str, Any]:
    """Figures of the queries in a file, each ranked against all images of the data; the same on every rank.

    submission: also a line for each query with its ten best images.
    """
    with Corpus(data) as corpus:
        model, tokenizer = load_for(folder, corpus)
        queries = read_queries(path, corpus)
        tokens = tokenise_texts([(text,) for text in queries.texts], tokenizer, _longest(model, options))
        warn_of_unknown(tokens, tokenizer, str(path))
        images, damaged = _whole_images(corpus, options, ranks)
        everyone, shortlist = np.arange(len(queries)), None
        if options.shortlist:
            of_images, of_queries = read_vectors(Path(options.vectors), corpus, len(queries))
            all_pairs = [(np.arange(len(images)), everyone)]
            shortlist = make_shortlist(of_images[images], of_queries, options.shortlist, all_pairs)
        model, precision = _placed(model, options, ranks)
        scorer = PairScorer(
            model,
            corpus,
            tokens,
            images,
            everyone,
            token_budget=options.token_budget or TOKEN_BUDGET[ranks.device.type],
            max_regions=options.max_regions,
            device=ranks.device,
            shortlist=shortlist,
            text_of=queries.texts.__getitem__,
        )
        scored = score_tiles(scorer, ranks, work, progress=ranks.is_main, title=str(folder))
        found = rank_all(scored, queries, images, ranks)
        if submission is not None:
            lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in found.predictions(corpus)]
            ranks.main_only(lambda: write_text(submission, "".join(lines)))
        left_out = {"left_out": len(damaged)} if damaged else {}
        noted = read_note(folder)
        told = {"precision": precision, "data": [str(path) for path in corpus.paths], "model": str(folder)}
        told |= {"checkpoint": noted.checkpoint, **noted.of(corpus.fingerprint)}
        return found.figures() | left_out | told


def evaluate_run(
    run: Path, data: Sequence[str | Path], ranks: Ranks, options: Options, work: Path | None = None
) -> dict[str, Any]:
    """{"before": …, "after": …} of a run, kept in its evaluation.json; what is there is not done again."""
    folder, output = RunFolder(run), run / "evaluation.json"
    if not folder.export.is_dir():
        raise EvaluationError(f"{run}: no {folder.export.name} folder there; the run has to finish first")
    models = {"before": folder.initial, "after": folder.export}
    data = list(data) or ranks.main_only(lambda: [held_out_scenes(folder)])
    known = ranks.main_only(lambda: read_json(output) if output.is_file() else {})
    results = {}
    for name, model in models.items():
        if not model.is_dir():
            continue
        inputs = ranks.main_only(lambda model=model: _identify(model, data, options))
        results[name] = known.get(name, {})
        if results[name].get("inputs") != inputs:
            results[name] = evaluate_model(model, data, ranks, options, work) | {"inputs": inputs}
            ranks.main_only(lambda: write_json(output, results))
    return results


def held_out_scenes(folder: RunFolder) -> str:
    """The test split of the scenes that a run was trained on."""
    if not folder.config.is_file():
        raise EvaluationError(f"{folder.path}: no {folder.config.name} there; is it the folder of a run?")
    settings = read_config(folder.config)
    if settings.scenes is None or settings.data.train not in (
        [],
        [str(scene_store(settings.scenes, "train"))],
    ):
        raise EvaluationError(f"{folder.path}: it trained on data of its own; give held-out stores by --data")
    path = scene_store(settings.scenes, "test")
    if not path.exists():
        make_scenes(settings.scenes)
    return str(path)


def load_for(folder: Path, corpus: Corpus) -> tuple[InterBertForPreTraining, Tokenizer]:
    """The model and tokenizer in a Hugging Face directory, checked against each other and the data."""
    model = load_ours(folder)
    tokenizer = load_tokenizer(folder)
    if "match" not in model.heads:
        raise EvaluationError(f"{folder}: the model has no match head (prediction_heads in config.json)")
    config = model.config
    _must_agree(folder, "feature_width", config.feature_width, "features of the data", corpus.feature_width)
    refuse_other_features(folder, config.features_of, corpus.paths[0], corpus.features_of)
    _must_agree(folder, "vocab_size", config.vocab_size, "words of its tokenizer", tokenizer.vocab_size)
    return model.eval(), tokenizer


def choose_captions(corpus: Corpus, images: np.ndarray, split: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(captions to rank, vague captions to rank apart)."""
    distinctive = captions_of(corpus, images, DISTINCTIVE, first_only=True)
    if split == "all" or (split is None and len(distinctive) == 0):
        return captions_of(corpus, images), np.zeros(0, np.int64)
    if len(distinctive) == 0:
        raise EvaluationError("the data marks no caption as distinctive: give --split-captions all")
    return distinctive, captions_of(corpus, images, 1 - DISTINCTIVE, first_only=True)


def format_queries(result: dict[str, Any]) -> str:
    """For people."""
    rows = []
    if "text_to_image" in result:
        found = result["text_to_image"]
        names = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "mean_recall": "mean"}
        rows.append("   ".join(f"{told} {100 * found[name]:.1f} %" for name, told in names.items()))
    counted = "{images:,} images, {queries:,} queries, {precision}".format(**result)
    without = result["without_answer"]
    return "\n".join([*rows, counted + (f"; of {without:,} it is not known what fits" if without else "")])


def format_table(results: dict[str, dict[str, Any]]) -> str:
    """Results by name (may be empty), one line for each direction."""
    width = max(len(name) + (32 if "folds" in result else 24) for name, result in results.items())
    rows = [f"{'':<{width}}{'R@1':>8}{'R@5':>8}{'R@10':>8}{'median':>9}{'mean':>9}"]
    for name, result in results.items():
        parts = {"": result} | ({"vague, ": result["vague"]} if "vague" in result else {})
        folds = {f"{prefix}in folds, ": part["folds"] for prefix, part in parts.items() if "folds" in part}
        for prefix, part in (parts | folds).items():
            for way in ("text_to_image", "image_to_text"):
                figures = part[way]
                label = f"{name} {prefix}{way.replace('_', ' ')}".strip()
                shares = "".join(f"{100 * figures[r]:>6.1f} %" for r in ("r1", "r5", "r10"))
                rows.append(
                    f"{label:<{width}}{shares}{figures['median_rank']:>9.1f}{figures['mean_rank']:>9.1f}"
                )
    last = result["images"], result["captions"], result["precision"]
    rows.append("{:,} images, {:,} captions, {}".format(*last))
    if "left_out" in result:
        rows.append(f"{result['left_out']:,} more images are left out, for they are damaged")
    if "shortlist" in result:
        found = result["shortlist"]
        rows.append(
            f"shortlist of {found['nearest']}: {found['pairs']:,} pairs ({found['share_of_pairs']:.1%}), with "
            f"{found['true_pairs_inside']:.1%} of the true ones; of {found['images_with_a_true_caption_inside']:.1%} "
            "of the images a caption is on it"
        )
    return "\n".join(rows)


def _retrieval(
    model: InterBertForPreTraining,
    tokenizer: Tokenizer,
    corpus: Corpus,
    ranks: Ranks,
    options: Options,
    work: Path | None,
    title: str,
    told: Found | None,
) -> dict[str, Any]:
    max_tokens = _longest(model, options)
    ranks.main_only(lambda: token_table(corpus, tokenizer, max_tokens) and None)  # one rank fills the cache
    tokens = token_table(corpus, tokenizer, max_tokens)
    warn_of_unknown(tokens, tokenizer, title)
    images, damaged = _whole_images(corpus, options, ranks)
    captions, vague = choose_captions(corpus, images, options.split_captions)
    vectors = read_vectors(Path(options.vectors), corpus) if options.vectors else None
    model, precision = _placed(model, options, ranks)
    result = evaluate_retrieval(
        model,
        corpus,
        tokens,
        images=images,
        captions=captions,
        vague=vague,
        folds=options.folds,
        within_folds=options.within_folds,
        nearest=options.shortlist,
        vectors=vectors,
        token_budget=options.token_budget or TOKEN_BUDGET[ranks.device.type],
        max_regions=options.max_regions,
        ranks=ranks,
        work=work,
        device=ranks.device,
        progress=ranks.is_main,
        title=title,
        told=told,
    )
    left_out = {"left_out": len(damaged)} if damaged else {}
    return result | left_out | {"precision": precision, "data": [str(path) for path in corpus.paths]}


def _longest(model: InterBertForPreTraining, options: Options) -> int:
    positions = model.config.max_position_embeddings
    max_tokens = options.max_text_tokens or positions
    if max_tokens > positions:
        raise EvaluationError(f"--max-text-tokens is {max_tokens}, but the model has {positions} positions")
    return max_tokens


def _whole_images(corpus: Corpus, options: Options, ranks: Ranks) -> tuple[np.ndarray, dict[int, str]]:
    """Those that are evaluated, and what is said of each that is left out."""
    images = np.arange(min(options.max_images or corpus.images, corpus.images))
    damaged = ranks.main_only(lambda: corpus.damaged_images(images)) if options.skip_damaged else {}
    for told in damaged.values():
        log.info("left out: %s", told)
    return images[~np.isin(images, np.array(list(damaged), np.int64))], damaged


def _placed(
    model: InterBertForPreTraining, options: Options, ranks: Ranks
) -> tuple[InterBertForPreTraining, str]:
    """The model on its device, and its precision."""
    best = "bf16" if has_bf16(ranks.device) else "fp32"
    precision = best if options.precision == "auto" else options.precision
    return model.to(ranks.device, torch.bfloat16 if precision == "bf16" else torch.float32), precision


def _identify(model: Path, data: Sequence[str | Path], options: Options) -> str:
    """Of everything that decides the figures."""
    digest = xxhash.xxh3_128()
    for path in sorted(path for path in model.iterdir() if path.is_file()):
        digest.update(path.name.encode())
        with open(path, "rb") as file:
            while chunk := file.read(2**24):
                digest.update(chunk)
    with Corpus(data) as corpus:
        digest.update(corpus.fingerprint.encode())
    if options.vectors:
        digest.update(Path(options.vectors).read_bytes())
    asked = asdict(options)
    if not options.skip_damaged:  # which earlier versions did not know
        del asked["skip_damaged"]
    digest.update(repr(sorted(asked.items())).encode())
    return digest.hexdigest()


def _must_agree(folder: Path, field: str, have: int, what: str, want: int) -> None:
    if have != want:
        raise EvaluationError(
            f"{folder}: {field} is {have}, but the {what} number {want}; they must be made for each other"
        )
