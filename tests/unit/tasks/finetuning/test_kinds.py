"""Each kind of task: it can learn eight examples by heart, packed is as padded, and what cannot be is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from example_files import write_lines
from made_batches import make_batch, tiny_config
from plain_engine import plain_engine
from small_world import WordTokenizer
from transformers import BertConfig, BertForPreTraining
from tuned import ONE_RANK, lines_of, opened, settled, write_model

from interbert.batches.batch import Groups
from interbert.batches.endless import Position
from interbert.config import SettingsError
from interbert.corpus.examples import open_examples
from interbert.corpus.tokens import text_table
from interbert.model.beginning import fill
from interbert.model.loading import load_ours
from interbert.model.padded import pad
from interbert.tasks.finetuning.judge import ExampleJudge, figures_present, true_among_best
from interbert.tasks.finetuning.step import FineTuneStep
from interbert.tasks.results.answers import answers_of
from interbert.tasks.results.figures import figures_of

KINDS = ("classify", "weighed", "two", "words", "score", "choose", "match", "point")


def start(task):
    model, read = task.start()
    return fill(model, read)


def batches(task, steps: int = 1):
    """Of the first steps, as they are loaded."""
    settings = settled(task)
    with task.loader(settings, task.plan(settings, ONE_RANK), ONE_RANK, Position()) as loader:
        for _ in range(steps):
            yield from next(loader).batches


def learn(task, model, steps: int, rate: float = 3e-3) -> float:
    """The last step's mean loss."""
    step = task.step(model).train()
    (name,), (term,) = task.terms, task.terms.values()
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for stage in model.modules():
        for dropout in ("hidden_dropout", "attention_dropout", "dropout"):
            if hasattr(stage, dropout) and isinstance(getattr(stage, dropout), float):
                setattr(stage, dropout, 0.0)
    for batch in batches(task, steps):
        count = batch.counts()[term.counted_by]
        loss, stats = step(batch, {name: 1 / count})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(stats[0, 0]) / count


@pytest.mark.parametrize("kind", KINDS)
def test_eight_examples_are_learnt_by_heart(kind, tmp_path):
    task = opened(tmp_path, kind)
    model = start(task)
    first = learn(task, model, 1)
    last = learn(task, model, 100)
    judge = ExampleJudge(task.train.examples, task.train.tokens, task.corpus, settled(task))
    outputs, losses = judge.said(task.step(model), task.terms, ONE_RANK)
    right = answers_of(task.train.examples, outputs, task.corpus).right_N
    if kind == "score":
        assert np.abs(outputs.flat - task.train.examples.values_N).max() < 0.3
    elif kind in ("weighed", "point"):
        assert last < 0.9 * first  # overlaps and weights leave a rest that no answer takes away
        assert kind == "point" or (right > 0.9).all()
    else:
        assert (right == 1).all() and last < 0.3 * first, (right, first, last)
    assert losses["loss"] >= 0


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("kind", ["classify", "two", "words", "choose", "point"])
def test_packed_answers_are_the_padded_ones(kind, head, tmp_path):
    task = opened(tmp_path, kind, task={"head": head})
    model = start(task).eval()
    (batch,) = (replace(batch, features_RD=batch.features_RD.float()) for batch in batches(task))
    ids, real = pad(batch.input_ids_T, batch.cu_text, 12)
    types, _ = pad(batch.token_types_T, batch.cu_text, 12)
    images = {}
    if kind != "words":
        features, seen = pad(batch.features_RD.float(), batch.cu_regions, 10)
        boxes, _ = pad(batch.boxes_R5, batch.cu_regions, 10)
        images = {"region_features": features, "region_boxes": boxes, "region_mask": seen, "add_global": True}
    with torch.no_grad():
        padded = model(input_ids=ids, attention_mask=real, token_type_ids=types, **images).logits
        packed = model.answer(batch)
    expected = padded[:, 1:][seen][:, None] if kind == "point" else padded
    torch.testing.assert_close(packed, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_a_gradient(kind, tmp_path):
    """Also those that the kind has no use for, so that all ZeRO stages treat them alike."""
    task = opened(tmp_path, kind)
    model = start(task)
    learn(task, model, 1)
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_a_head_goes_on_or_is_made_new_and_another_ones_is_refused(tmp_path, caplog):
    caplog.set_level("INFO")
    task = opened(tmp_path, "classify")
    model = start(task)
    assert "the head is new" in caplog.text and "has none for a task" in caplog.text
    model.save_pretrained(tmp_path / "tuned")
    assert load_ours(tmp_path / "tuned").config.task["classes"] == ["blue", "green", "red"]
    caplog.clear()

    again = opened(tmp_path, "classify", model={"inherit_from": str(tmp_path / "tuned")})
    kept = start(again)
    assert "the head is new" not in caplog.text
    assert torch.equal(kept.task.classifier.weight, model.task.classifier.weight)
    with pytest.raises(
        SettingsError, match=r"head of another task: kind 'classify', here 'score'.*--new-head"
    ):
        start(opened(tmp_path, "score", model={"inherit_from": str(tmp_path / "tuned")}))
    new = opened(tmp_path, "score", task={"new_head": True}, model={"inherit_from": str(tmp_path / "tuned")})
    assert start(new).task.classifier.out_features == 1 and "--new-head" in caplog.text


def test_classes_that_the_head_does_not_have_are_told_what_to_do(tmp_path):
    """And a dry run, which builds no model, refuses a head as the run would."""
    task = opened(tmp_path, "classify")
    start(task).save_pretrained(tmp_path / "tuned")
    tuned = {"inherit_from": str(tmp_path / "tuned")}
    others = [line | {"label": f"dark {line['label']}"} for line in lines_of("classify", 8)]
    path = str(write_lines(tmp_path / "others.jsonl", others))
    with pytest.raises(
        ValueError, match=r"line 1, label: 'dark .* none of the 3 classes .*, or give --new-head"
    ):
        opened(tmp_path, "classify", task={"examples": path}, model=tuned)
    assert opened(tmp_path, "classify", task={"examples": path, "new_head": True}, model=tuned).shape()
    named = opened(tmp_path, "classify", task={"labels": ["red", "green", "blue"]}, model=tuned)
    with pytest.raises(SettingsError, match=r"has the head of another task: classes .*--new-head"):
        named.shape()


def test_a_group_larger_than_a_micro_batch_is_named_by_its_line(tmp_path):
    task = opened(tmp_path, "match")
    settings = settled(task)
    small = settings.model_copy(update={"step": settings.step.model_copy(update={"token_budget": 20})})
    told = r"match.jsonl, line \d: example 'match\d' may need \d+ tokens.*holds 20 .*raise that"
    with pytest.raises(ValueError, match=told):
        task.plan(small, ONE_RANK)


@pytest.mark.parametrize("origin", ["nothing", "bert"])
def test_text_alone_begins_without_any_store(origin, tmp_path):
    """Three steps of it, from fresh weights and from BERT's."""
    words = WordTokenizer.vocab_size
    begin = {"inherit_from": None, "preset": "tiny"}
    if origin == "bert":
        sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
        BertForPreTraining(BertConfig(vocab_size=words, **sizes)).save_pretrained(tmp_path / "bert")
        begin["bert"] = str(tmp_path / "bert")
    task = opened(tmp_path, "words", model=begin, data={"tokenizer": "words"})
    model = start(task)
    assert task.corpus is None and model.config.vocab_size == words
    assert model.config.hidden_size == (32 if origin == "bert" else 128) == task.shape().hidden_size
    before = model.task.classifier.weight.detach().clone()
    assert 0 < learn(task, model, 3) < 9 and not torch.equal(before, model.task.classifier.weight)


def test_matching_keeps_the_head_of_pretraining(tmp_path):
    task = opened(tmp_path, "match")
    before = load_ours(tmp_path / "model")
    model = start(task)
    assert list(model.heads) == ["match"]
    assert torch.equal(model.heads["match"].classifier.weight, before.heads["match"].classifier.weight)


def test_a_model_that_cannot_match_is_told(tmp_path):
    write_model(tmp_path / "model", match_head="none", prediction_heads=["tokens"])
    with pytest.raises(SettingsError, match="does not match captions and images"):
        start(opened(tmp_path, "match"))


@pytest.mark.parametrize("loss", ["binary", "cross_entropy", "triplet"])
def test_a_set_is_matched_by_each_loss(loss, tmp_path):
    task = opened(tmp_path, "match", task={"loss": loss})
    model = start(task)
    first, last = learn(task, model, 1), learn(task, model, 60)
    assert last < 0.5 * first, (first, last)


def test_a_loss_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"task\.loss is 'triplet', and classify is learnt by cross_entropy"):
        learn(opened(tmp_path, "classify", task={"loss": "triplet"}), start(opened(tmp_path, "classify")), 1)


def test_what_judges_must_know_what_is_right(tmp_path):
    task = opened(tmp_path, "classify", held_out=4)
    lines = [{k: v for k, v in line.items() if k != "label"} for line in lines_of("classify", 3)]
    path = tmp_path / "unknown.jsonl"
    path.write_text("".join(f"{line}\n".replace("'", '"') for line in lines))
    with pytest.raises(ValueError, match="no example says what is right"):
        opened(tmp_path, "classify", task={"validation": str(path)})
    assert task.held_out.examples.classes == task.train.examples.classes


@pytest.mark.parametrize(
    ("train", "held_out", "told"),
    [
        ("weighed", "classify", r"has a label in its lines, and .*weighed\.jsonl scores in its lines"),
        ("classify", "weighed", r"has scores in its lines, and .*classify\.jsonl a label in its lines"),
        ("two", "classify", r"has 1 image\(s\) or choices in each example, and .* 2 image"),
        ("classify", "words", r"has text alone, and .* images"),
    ],
)
def test_what_is_learnt_from_and_judged_on_is_of_one_task(train, held_out, told, tmp_path):
    """Else it would be found out at the first validation, an epoch later."""
    path = write_lines(tmp_path / "held_out.jsonl", lines_of(held_out, 3))
    with pytest.raises(SettingsError, match=rf"held_out\.jsonl {told}.*write both in one way"):
        labels = ["red", "green", "blue", "True", "False", "0", "1"]
        opened(tmp_path, train, task={"validation": str(path), "labels": labels})


def test_probes_answer_for_every_kind(tmp_path):
    for kind in KINDS:
        task = opened(tmp_path / kind if not (tmp_path / kind).mkdir() else tmp_path, kind)
        model = start(task).eval()
        step = task.step(model).eval()
        (name,) = task.terms
        loss, _, _ = step(task.probe(model.config), {name: 1.0})
        assert torch.isfinite(loss) and loss > 0, kind


def test_the_figures_that_examples_have_are_known_beforehand(tmp_path):
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        task = opened(tmp_path / kind, kind)
        judge = ExampleJudge(task.train.examples, task.train.tokens, task.corpus, settled(task))
        outputs, _ = judge.said(task.step(start(task)), task.terms, ONE_RANK)
        answers = answers_of(task.train.examples, outputs, task.corpus)
        found = figures_of(task.train.examples, outputs, answers)
        assert set(figures_present(task.train.examples)) == set(found) and judge.figure in found, kind
        engine = plain_engine(task.settings, task.terms, task.step(start(task)))
        assert judge.names(task.terms) == list(judge.figures(engine, ONE_RANK)), kind


def test_a_head_of_weighed_classes_judges_what_has_labels_or_none(tmp_path):
    task = opened(tmp_path, "weighed")
    step, labelled = task.step(start(task)), lines_of("classify", 4)
    for lines in (labelled, [{k: v for k, v in line.items() if k != "label"} for line in labelled]):
        path = write_lines(tmp_path / "others.jsonl", lines)
        examples = open_examples(path, task.corpus, "classify", task.head.classes)
        tokens = text_table(examples, task.tokenizer, 12)
        judge = ExampleJudge(examples, tokens, task.corpus, settled(task), soft=True)
        outputs, _ = judge.said(step, task.terms, ONE_RANK)
        assert outputs.table_NK().shape == (4, 3)


def test_equally_likely_pairs_share_what_is_right():
    cu_group = torch.arange(0, 7, 2, dtype=torch.int32)
    groups = Groups(cu_group, examples_G=torch.arange(3), largest=2, known=2)
    matches = torch.tensor([1, 0, 1, 0, -100, -100])
    batch = replace(make_batch([3] * 6, [2] * 6, mask=False), is_match_P=matches, groups=groups)
    said = torch.tensor([0.5, 0.5, 0.9, 0.1, 0.9, 0.1])
    assert true_among_best(said, batch) == [1.5, 2]


def test_other_architectures_answer_too(tmp_path):
    stages = [{"kind": "joint", "layers": 2, "heads": 4, "intermediate_size": 48}]
    write_model(tmp_path / "model", stages=stages, match_head="cls", global_token="none")
    task = opened(tmp_path, "classify")
    model = start(task)
    assert model.task.classifier.in_features == tiny_config().hidden_size
    assert learn(task, model, 60) < 0.7
    assert isinstance(task.step(model), FineTuneStep) and WordTokenizer.vocab_size == model.config.vocab_size
