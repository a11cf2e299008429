"""transformers' own common tests of models and of processors, on our classes.

Each is run as it is, for all classes of ours, unless it is named below with the reason why it is left out. They come
with transformers' source distribution (`tests/helpers/transformers_source.py`), so this is a part of `make prove`.
"""

from functools import cache

import pytest
from transformers_source import names_of, run_check

from tests.unit.model.common_case import model_case, processor_case

pytestmark = pytest.mark.thorough

MAPS = "attentions are by stream, of each pair's real tokens, and no tuple of padded tensors"
ONE_DEVICE = "the encoder stays on one device, by whose offsets attention goes"
NO_FLEX = "there is no flex_attention; `attn_implementation` says what there is"
NOT_TRACED = "the packed forward has shapes that depend on its masks, which a whole graph cannot"
OF_STAGES = "the test sets num_hidden_layers, which follow from the stages; stages are tested by themselves"

OF_MODELS_LEFT_OUT: dict[str, str] = {}
OF_PROCESSORS_LEFT_OUT: dict[str, str] = {}


@cache
def cases() -> dict[str, type]:
    return {"models": model_case(), "processors": processor_case()}


LEFT_OUT = {"models": OF_MODELS_LEFT_OUT, "processors": OF_PROCESSORS_LEFT_OUT}


@pytest.mark.parametrize("of", LEFT_OUT)
def test_our_classes_pass(of, subtests):
    case = cases()[of]
    for name in sorted(names_of(case) - LEFT_OUT[of].keys()):
        with subtests.test(name):
            run_check(case, name)


@pytest.mark.parametrize("of", LEFT_OUT)
def test_what_is_left_out_is_there(of):
    """A reason for a test that transformers has no longer is one too many."""
    assert LEFT_OUT[of].keys() <= names_of(cases()[of])
