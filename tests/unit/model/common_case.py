"""Our classes, as transformers' own tests of models and processors want them."""

import unittest
from copy import deepcopy
from pathlib import Path
from tempfile import mkdtemp

import torch
from random_model import WIDTH, small_config
from transformers_source import module_of

from interbert.inference.processor import InterBertProcessor
from interbert.model import (
    InterBertConfig,
    InterBertForImageTextRetrieval,
    InterBertForMultipleChoice,
    InterBertForPreTraining,
    InterBertForQuestionAnswering,
    InterBertForRegionChoice,
    InterBertForSequenceClassification,
    InterBertForVisualReasoning,
    InterBertModel,
)
from interbert.tokenizer import write_word_vocabulary

PAIRS, WORDS, REGIONS, VOCABULARY = 3, 7, 5, 40
CLASSES = (
    InterBertModel,
    InterBertForPreTraining,
    InterBertForImageTextRetrieval,
    InterBertForQuestionAnswering,
    InterBertForSequenceClassification,
    InterBertForVisualReasoning,
    InterBertForMultipleChoice,
    InterBertForRegionChoice,
)


class Tester:
    """What transformers asks for sizes and inputs."""

    batch_size, seq_length, encoder_seq_length = PAIRS, WORDS, REGIONS + WORDS
    hidden_size, num_attention_heads, num_hidden_layers, vocab_size = 16, 2, 2, VOCABULARY
    num_choices, is_training = 2, True

    def get_config(self) -> InterBertConfig:
        config = small_config(VOCABULARY, 6)
        stages = [{"kind": "joint", "layers": 1, "heads": 2, "intermediate_size": 32}]
        stages += [{"kind": "text", "layers": 1, "heads": 2, "intermediate_size": 32}]
        fields = {**config.to_diff_dict(), "stages": stages, "initializer_range": 0.02}
        return InterBertConfig(**fields)

    def prepare_config_and_inputs_for_common(self) -> tuple[InterBertConfig, dict[str, torch.Tensor]]:
        drawn = torch.Generator().manual_seed(3)
        corner = torch.rand(PAIRS, REGIONS, 2, generator=drawn) / 2
        side = torch.rand(PAIRS, REGIONS, 2, generator=drawn) / 2
        inputs = {
            "input_ids": torch.randint(5, VOCABULARY, (PAIRS, WORDS), generator=drawn),
            "attention_mask": torch.ones(PAIRS, WORDS, dtype=torch.long),
            "token_type_ids": torch.zeros(PAIRS, WORDS, dtype=torch.long),
            "region_features": torch.randn(PAIRS, REGIONS, WIDTH, generator=drawn),
            "region_boxes": torch.cat([corner, corner + side, side.prod(-1, keepdim=True)], -1),
            "region_mask": torch.ones(PAIRS, REGIONS, dtype=torch.long),
        }
        return self.get_config(), inputs


def model_case() -> type[unittest.TestCase]:
    there = module_of("test_modeling_common")
    mixin = there.ModelTesterMixin
    # Which of ours has no loss.
    there.MODEL_MAPPING_NAMES = {**there.MODEL_MAPPING_NAMES, "interbert": InterBertModel.__name__}

    class InterBertTest(mixin, unittest.TestCase):
        all_model_classes = CLASSES
        test_can_init_all_missing_weights_before_2023 = True
        additional_model_inputs = ("region_features", "region_boxes")

        def setUp(self) -> None:
            self.model_tester = Tester()

        def test_attention_outputs(self):
            """Each class for itself: theirs hands the configuration of one to the next, with its head."""
            for one in CLASSES:
                with self.subTest(one.__name__):
                    self.all_model_classes = (one,)
                    super().test_attention_outputs()

        def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
            given = deepcopy(inputs_dict)
            if model_class is InterBertForVisualReasoning:
                given |= {
                    n: torch.stack([x, x.flip(0)], 1) for n, x in given.items() if n.startswith("region")
                }
            if model_class is InterBertForMultipleChoice:
                of_text = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
                given |= {n: torch.stack([given[n]] * 2, 1) for n in of_text if given.get(n) is not None}
            if return_labels and model_class is InterBertForPreTraining:
                given["labels"] = given["input_ids"].clone()
                given["region_labels"] = torch.ones(PAIRS, REGIONS, dtype=torch.long)
                given["match_labels"] = torch.tensor([1, 0, 1])
            elif return_labels and model_class is not InterBertModel:
                given["labels"] = torch.tensor([1, 0, 1])
            return given

    return InterBertTest


def processor_case() -> type[unittest.TestCase]:
    mixin = module_of("test_processing_common").ProcessorTesterMixin

    class InterBertProcessorTest(mixin, unittest.TestCase):
        processor_class = InterBertProcessor

        @classmethod
        def _setup_tokenizer(cls):
            words = [
                "a",
                "red",
                "blue",
                "square",
                "circle",
                "lower",
                "newer",
                "upper",
                "older",
                "longer",
                "string",
            ]
            return write_word_vocabulary(words, Path(mkdtemp()) / "tokenizer").fast

        @staticmethod
        def prepare_processor_dict() -> dict:
            return {"feature_width": WIDTH, "max_text_tokens": 24}

    return InterBertProcessorTest
