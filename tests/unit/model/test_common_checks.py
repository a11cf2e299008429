"""transformers' own common tests of models and of processors, on our classes.

Each is run as it is, for all classes of ours, unless it is named below with the reason why it is left out. They come
with transformers' source distribution (`tests/helpers/transformers_source.py`), so this is a part of `make prove`.
"""

from functools import cache

import pytest
from transformers_source import names_of, run_check

from tests.unit.model.common_case import model_case, processor_case

pytestmark = pytest.mark.thorough

LAYERS = "it looks for transformers' own class of layers, which brings its whole registry; test_hugging_face.py sees "
LAYERS += "that ours are computed twice, and learn the same"
OF_MODELS_LEFT_OUT = {
    "test_gradient_checkpointing_enable_disable": LAYERS,
    "test_training_gradient_checkpointing": LAYERS,
    "test_training_gradient_checkpointing_use_reentrant_false": LAYERS,
    "test_training_gradient_checkpointing_use_reentrant_true": LAYERS,
    "test_retain_grad_hidden_states_attentions": "hidden states are put together from packed rows to be looked at: "
    "later layers read the rows",
    "test_sdpa_can_dispatch_non_composite_models": "what is not asked for is what we choose for the device, not sdpa",
}
AN_IMAGE = "it gives an image alone, and ours needs the detector whose features the model knows"
OF_PROCESSORS_LEFT_OUT = {
    "test_model_input_names": AN_IMAGE,
    "test_flat_kwarg_applied_when_modality_dict_lacks_it": AN_IMAGE,
}


MARKS_OF_THEIRS = (
    "accelerate_tests",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "torch_compile_test",
)


@pytest.fixture(autouse=True)
def known_marks(request):
    for name in MARKS_OF_THEIRS:
        request.config.addinivalue_line("markers", f"{name}: of transformers, without a meaning here")


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
