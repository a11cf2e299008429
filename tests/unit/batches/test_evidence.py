import pytest

from interbert.batches.evidence import evidence_to_read, refuse_unserved
from interbert.recipe import load_recipe


@pytest.mark.parametrize(
    ("recipe", "evidence", "line"),
    [
        ("interbert_base", None, "--set objectives.mrm=0 --set objectives.mrfr=1"),
        ("interbert_base", "labels", "--set objectives.mrm=0 --set objectives.moc=1"),
        ("imagebert_base", None, "--set objectives.moc=0"),
    ],
)
def test_the_line_that_is_told_serves(recipe, evidence, line):
    with pytest.raises(ValueError, match=r"cannot be served: .* It serves") as caught:
        refuse_unserved(load_recipe(recipe).objectives, evidence)
    assert str(caught.value).endswith(f"type {line}")
    sets = [word for word in line.split() if word != "--set"]
    served = load_recipe(recipe, sets).objectives
    refuse_unserved(served, evidence)
    assert all(name in str(caught.value) for name in served)


def test_what_is_read():
    assert evidence_to_read(["msm", "mrm"], "class_probs") == "class_probs"
    assert evidence_to_read(["moc"], "labels") == "labels"
    assert evidence_to_read(["msm", "mrfr"], "class_probs") is None
    assert evidence_to_read(["mrm", "moc"], "class_head") is None, "computed on the device"


def test_a_weight_of_nothing_is_no_objective():
    assert "mrm" not in load_recipe("scenes", ["objectives.mrm=0"]).objectives
    with pytest.raises(ValueError, match=r"weight of mrm is negative"):
        load_recipe("scenes", ["objectives.mrm=-1"])
