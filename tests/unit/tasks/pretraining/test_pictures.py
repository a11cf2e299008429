"""The picture of a validation pair, from a store and a random model."""

import numpy as np
import torch

from interbert.batches.unmasked import pair_batch
from interbert.corpus.corpus import Corpus
from interbert.corpus.tokens import token_table
from interbert.model.interbert import InterBertForPreTraining
from interbert.model.shape.configuration import InterBertConfig
from interbert.recipe import load_recipe
from interbert.show.drawing import draw_regions
from interbert.sources.scenes.write import write_scenes
from interbert.tasks.pretraining.pictures import PairPicture, choose_pair, region_labels, validation_picture
from interbert.tokenizer import load_tokenizer


def make_model(corpus, tokenizer, **override) -> InterBertForPreTraining:
    config = InterBertConfig.from_preset(
        "tiny",
        vocab_size=tokenizer.vocab_size,
        classes=corpus.classes,
        feature_width=corpus.feature_width,
        initializer_range=0.3,
        **override,
    )
    return InterBertForPreTraining.from_seed(config, 0).eval()


def test_a_validation_pair_is_drawn(tmp_path):
    write_scenes(tmp_path / "scenes.h5", 4, seed=1, split="validation", feature_width=16, captions=2)
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    settings = load_recipe("scenes", data={"validation": [str(tmp_path / "scenes.h5")]})
    picture = PairPicture(settings, tokenizer)
    with Corpus([tmp_path / "scenes.h5"]) as corpus:
        model = make_model(corpus, tokenizer)
        image, caption = choose_pair(corpus)
        assert corpus.caption_kind[caption] == 1
        assert corpus.caption_image[caption] == image
        labels = region_labels(corpus, image, 2)
        assert labels[0].startswith("1 ")
        assert labels[0][2:] in corpus.class_names

        drawn = picture(model, torch.device("cpu"))
        assert (np.asarray(drawn) == np.asarray(picture(model, torch.device("cpu")))).all()

        # Moving the attention moves the picture; the scene beside it stays as it is.
        with torch.no_grad():
            model.interbert.stages[0][-1].qkv.weight.mul_(-1.5)
        moved = picture(model, torch.device("cpu"))
        assert moved.size == drawn.size
        differing = np.argwhere((np.asarray(moved) != np.asarray(drawn)).any(axis=-1))
        body = differing[differing[:, 0] > 40]
        assert len(body)
        assert body[:, 1].min() > draw_regions(*corpus.sizes[image], np.zeros((0, 4))).width


def test_the_heat_map_is_the_attention_of_words_to_regions(tmp_path, monkeypatch):
    write_scenes(tmp_path / "scenes.h5", 2, seed=1, feature_width=16, captions=1)
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    with Corpus([tmp_path / "scenes.h5"]) as corpus:
        model = make_model(corpus, tokenizer)
        batch, boxes = pair_batch(corpus, token_table(corpus, tokenizer, 36), 1, 1, max_regions=5)
        seen = {}
        monkeypatch.setattr(
            "interbert.tasks.pretraining.pictures.attention_picture",
            lambda scene, words, weights, names, title, note: seen.update(
                weights=weights, names=names, title=title
            ),
        )
        validation_picture(model, batch, tokenizer.words(batch.input_ids_T), None)
        attention = (
            model.forward_packed(batch, output_attentions=True)
            .attentions["joint"][-1][0]
            .mean(dim=0)
            .detach()
        )
        words = batch.input_ids_T.numel()
        assert len(boxes) == 5
        assert seen["weights"].shape == (words, 6)
        np.testing.assert_allclose(seen["weights"], attention[6:, :6], rtol=1e-5)
        assert seen["names"] == ["*", "1", "2", "3", "4", "5"]
        assert "P(match) = " in seen["title"]
        validation_picture(make_model(corpus, tokenizer, global_token="none"), batch, [""] * words, None)
        assert seen["weights"].shape == (words, 5)
        assert seen["names"] == ["1", "2", "3", "4", "5"]
