"""Words that point at regions: read, found among the tokens, given what they point at."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from example_files import write_lines
from tuned import ONE_RANK, opened, settled

from interbert.batches.endless import Position
from interbert.config import SettingsError
from interbert.corpus.example_faults import ExamplesError
from interbert.corpus.examples import open_examples
from interbert.model.beginning import fill
from interbert.model.padded import pad
from interbert.model.shape.size import parameters
from interbert.tasks.finetuning.evaluate import evaluate_examples
from interbert.tasks.finetuning.judge import ExampleJudge
from interbert.tasks.results.answers import answers_of
from interbert.tokenizer import write_word_vocabulary

QUESTION = "w01 w02 w03"


def lines_of(corpus, count: int = 8) -> list[dict]:
    """Only where the second word points tells which choice is right: at the region that the choice's word means."""
    counts, rng = corpus.region_counts, np.random.default_rng(0)
    lines = []
    for number in np.flatnonzero(counts >= 4)[:count].tolist():
        right = int(rng.integers(2))
        tags = [[choice, 0, 1, 2] for choice in (0, 1)] + [[right, 1, 0, 2], [1 - right, 1, 0, 3]]
        texts = [[QUESTION, "w04"], [QUESTION, "w04"]]
        image = corpus.image_id(number)
        lines.append({"id": number, "images": [image], "texts": texts, "label": right, "tags": tags})
    return lines


def tagged(folder, tags: bool = True, **sections):
    lines = lines_of(opened(folder, "choose").corpus)
    path = str(write_lines(folder / "tagged.jsonl", lines))
    return opened(folder, "choose", task={"examples": path, "tags": tags}, **sections)


def start(task):
    model, read = task.start()
    return fill(model, read)


def batch_of(task):
    settings = settled(task)
    with task.loader(settings, task.plan(settings, ONE_RANK), ONE_RANK, Position()) as loader:
        (batch,) = next(loader).batches
    return replace(batch, features_RD=batch.features_RD.float())


def test_tagged_words_and_their_regions_are_found(tmp_path):
    task = tagged(tmp_path)
    batch = batch_of(task)
    for pair, (begin, end) in enumerate(pairwise(batch.cu_text.tolist())):
        mine = (batch.tagged_words_S >= begin) & (batch.tagged_words_S < end)
        words = (batch.tagged_words_S[mine] - begin).tolist()
        regions = (batch.tagged_regions_S[mine] - batch.cu_regions[pair]).tolist()
        right = pair % 2 == batch.groups.labels_G[pair // 2]
        assert (words, regions) == ([2, 5], [2, 2 if right else 3])  # [CLS] w01 w02 w03 [SEP] w04 [SEP]


def test_tags_beyond_what_is_kept_of_words_and_regions_are_left_out(tmp_path):
    batch = batch_of(tagged(tmp_path, data={"max_regions": 3}))
    assert len(batch.tagged_words_S) == 3 * len(batch.groups.labels_G), "region 3 is not there"
    batch = batch_of(tagged(tmp_path, data={"max_text_tokens": 5}))
    assert len(batch.tagged_words_S) == 2 * len(batch.groups.labels_G), "w02 is not there"


def learnt(task, steps: int = 80) -> np.ndarray:
    model, batch = start(task), batch_of(task)
    step = task.step(model).train()
    for module in model.modules():
        for dropout in {"hidden_dropout", "attention_dropout", "dropout"} & vars(module).keys():
            setattr(module, dropout, 0.0)
    # Choices that read alike have gradients that are nothing but rounding, which are not to be made large.
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, eps=1e-4)
    for _ in range(steps):
        loss, _ = step(batch, {"choose": 1 / len(batch.groups.labels_G)})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    judge = ExampleJudge(task.train.examples, task.train.tokens, task.corpus, settled(task))
    outputs, _ = judge.said(task.step(model), task.terms, ONE_RANK)
    return answers_of(task.train.examples, outputs, task.corpus).right_N


def test_what_only_tags_tell_is_learnt_with_them_alone(tmp_path):
    assert (learnt(tagged(tmp_path)) == 1).all()
    assert (learnt(tagged(tmp_path, tags=False), 2) == 0.5).all(), "both choices read alike"


def test_packed_tags_are_the_padded_ones(tmp_path):
    task = tagged(tmp_path)
    model, batch = start(task).eval(), batch_of(task)
    assert model.task.pointing.gain.abs().max() == 0, "it begins as it was without"
    before = model.answer(batch)
    assert torch.equal(before, model.answer(replace(batch, tagged_words_S=None, tagged_regions_S=None)))
    torch.nn.init.normal_(model.task.pointing.gain)
    ids, real = pad(batch.input_ids_T, batch.cu_text, 12)
    types, _ = pad(batch.token_types_T, batch.cu_text, 12)
    features, seen = pad(batch.features_RD, batch.cu_regions, 10)
    boxes, _ = pad(batch.boxes_R5, batch.cu_regions, 10)
    pair_S = torch.searchsorted(batch.cu_text[1:].long(), batch.tagged_words_S, right=True)
    places = [
        batch.tagged_words_S - batch.cu_text[pair_S],
        batch.tagged_regions_S - batch.cu_regions[pair_S],
    ]
    with torch.no_grad():
        packed = model.answer(batch)
        padded = model(
            input_ids=ids,
            attention_mask=real,
            token_type_ids=types,
            region_features=features,
            region_boxes=boxes,
            region_mask=seen,
            add_global=True,
            tags=torch.stack([pair_S, *places], 1),
        ).logits
    torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-5)
    assert (packed - before).abs().max() > 1e-3
    assert sum(p.numel() for p in model.parameters()) == sum(parameters(model.config).values())


def test_a_model_without_them_refuses_tags(tmp_path):
    model = start(opened(tmp_path, "choose"))
    with pytest.raises(ValueError, match=r"not tuned with task\.tags"):
        model(input_ids=torch.ones(1, 3, dtype=torch.int64), tags=torch.zeros(1, 3))
    with pytest.raises(SettingsError, match=r"no example has tags"):
        opened(tmp_path, "choose", task={"tags": True})


def test_a_model_tuned_with_them_is_not_judged_without(tmp_path):
    """Neither while it learns nor later: the figures would be those of half of it."""
    task = tagged(tmp_path)
    lines = [{name: of for name, of in line.items() if name != "tags"} for line in lines_of(task.corpus)]
    plain = write_lines(tmp_path / "plain.jsonl", lines)
    given = {"examples": str(task.train.examples.path), "validation": str(plain), "tags": True}
    with pytest.raises(
        SettingsError, match=r"plain\.jsonl has no tags in its lines, and .* tags in its lines"
    ):
        opened(tmp_path, "choose", task=given)
    write_word_vocabulary(["w01", "w02"], tmp_path / "tuned")
    start(task).save_pretrained(tmp_path / "tuned")
    stores, output = [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")], tmp_path / "judged"
    with pytest.raises(SettingsError, match=r"tuned with tags, and no example of .*plain\.jsonl has any"):
        evaluate_examples("choose", tmp_path / "tuned", plain, stores, output, ONE_RANK)
    assert not output.exists()


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("nonsense", "is no list"),
        ([[0, 0, 1]], r"\[0, 0, 1\] is no tag"),
        ([[2, 0, 1, 0]], "has 2 texts"),
        ([[0, 2, 1, 0]], "has 2 segments"),
        ([[0, 0, 3, 0]], "has 3 words"),
        ([[0, 0, 1, 12]], r"has \d+ regions"),
        ([[0, 0, 1, 0], [0, 0, 1, 1]], "another region already"),
    ],
)
def test_bad_tags_are_refused(tmp_path, tags, said):
    corpus = opened(tmp_path, "choose").corpus
    line = lines_of(corpus, 1)[0] | {"tags": tags}
    with pytest.raises(ExamplesError, match=f"line 1, tags: .*{said}"):
        open_examples(write_lines(tmp_path / "bad.jsonl", [line]), corpus, "choose")


def test_tags_are_of_one_image(tmp_path):
    line = {"id": 1, "texts": ["w01"], "label": "a", "tags": [[0, 0, 0, 0]]}
    with pytest.raises(ExamplesError, match="regions of one image alone"):
        open_examples(write_lines(tmp_path / "bad.jsonl", [line]), None, "classify")


def test_pieces_know_the_word_that_they_are_of(tmp_path):
    tokenizer = write_word_vocabulary(["why", "is", "glad", "?", "'", "s"], tmp_path / "tokenizer")
    texts = [("why is casey 's hat glad ?", "is he?"), ("why",)]
    ids, _ = tokenizer.encode_segments(texts, 30)
    numbers = tokenizer.words_of_segments(texts, 30)
    assert [len(each) for each in numbers] == [len(each) for each in ids]
    assert numbers[0] == [-1, 0, 1, *[2] * 5, 3, 3, *[4] * 3, 5, 6, -1, 0, 1, 1, 1, -1]
    assert numbers[1] == [-1, 0, -1]
    cut = tokenizer.words_of_segments(texts, 8)[0]
    assert len(cut) == 8 and cut[0] == cut[-1] == -1
