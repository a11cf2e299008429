"""transformers' Trainer on our classes, for an epoch."""

import pytest
import torch
from transformers import AutoProcessor, Trainer, TrainingArguments, set_seed

from interbert.inference.regions import regions_of_store
from interbert.model import InterBertForImageTextRetrieval, InterBertForPreTraining
from interbert.model.loading import load_ours


@pytest.fixture
def arguments(tmp_path):
    return TrainingArguments(
        str(tmp_path / "out"),
        num_train_epochs=1,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        learning_rate=3e-3,
        gradient_accumulation_steps=2,
        gradient_checkpointing=True,
        remove_unused_columns=False,
        report_to="none",
        logging_steps=1,
        save_strategy="epoch",
        use_cpu=True,
        disable_tqdm=True,
    )


@pytest.fixture
def examples(world, corpus) -> list[dict]:
    """True pairs, and as many false ones."""
    ids = [corpus.image_id(n) for n in range(corpus.images)]
    regions = regions_of_store(world / "scenes.h5", ids)
    texts = [corpus.caption_text(n) for n in range(corpus.captions)]
    found = [
        {"text": texts[n], "regions": regions[(n // 2 + wrong) % len(regions)], "label": 1 - wrong}
        for n in range(len(texts))
        for wrong in (0, 1)
    ]
    return found


def test_an_epoch_of_matching(world, arguments, examples, tmp_path):
    set_seed(1)
    processor = AutoProcessor.from_pretrained(world / "model")
    model = InterBertForImageTextRetrieval.from_pretrained(world / "model")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    def collate(lines: list[dict]) -> dict:
        inputs = processor([line["text"] for line in lines], regions=[line["regions"] for line in lines])
        return dict(inputs) | {"labels": torch.tensor([line["label"] for line in lines])}

    trainer = Trainer(
        model, arguments, data_collator=collate, train_dataset=examples, eval_dataset=examples[:10]
    )
    start = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < start
    assert all(not torch.equal(before[name], p) for name, p in model.named_parameters())
    found = trainer.predict(examples[:10])
    assert found.predictions.shape == (10,) and found.label_ids.tolist() == [1, 0] * 5
    trainer.save_model(str(tmp_path / "saved"))
    ours = load_ours(tmp_path / "saved")
    inputs = {k: v for k, v in collate(examples[:3]).items() if k != "labels"}
    torch.testing.assert_close(ours(**inputs).match_probability, model.eval()(**inputs).match_probability)


def test_an_epoch_of_masked_words(world, arguments, examples):
    set_seed(1)
    processor = AutoProcessor.from_pretrained(world / "model")
    model = InterBertForPreTraining.from_pretrained(world / "model")

    def collate(lines: list[dict]) -> dict:
        inputs = processor([line["text"] for line in lines], regions=[line["regions"] for line in lines])
        ids, labels = inputs["input_ids"], torch.full_like(inputs["input_ids"], -100)
        labels[:, 2:4], ids[:, 2:4] = ids[:, 2:4].clone(), processor.tokenizer.mask_token_id
        matches = torch.tensor([line["label"] for line in lines])
        return dict(inputs) | {"labels": labels, "match_labels": matches}

    arguments.label_names = ["labels", "match_labels"]
    trainer = Trainer(
        model, arguments, data_collator=collate, train_dataset=examples, eval_dataset=examples[:8]
    )
    start = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < start
