import re
from pathlib import Path

import pytest
from scipy import stats

from interbert.ab.experiment import ArmSettings, Experiment, must_be_user, read_experiment

HALVES = {"a": ArmSettings(share=0.5), "b": ArmSettings(share=0.5)}


def trial(salt="salt", a=0.5, b=0.5):
    return Experiment(name="some", salt=salt, arms={"a": ArmSettings(share=a), "b": ArmSettings(share=b)})


def test_users_come_by_shares_and_stay_where_they_are():
    users = [f"user-{number}" for number in range(40_000)]
    tenths = trial(a=0.6, b=0.1)
    dealt = [tenths.arm_of(user) for user in users]
    assert dealt == [tenths.arm_of(user) for user in users]
    counts = [dealt.count(arm) for arm in ("a", "b", None)]
    assert stats.chisquare(counts, [24_000, 4_000, 12_000]).pvalue > 0.001


def test_arms_grow_and_nobody_changes_sides():
    small, large = trial(a=0.1, b=0.2), trial(a=0.5, b=0.5)
    for number in range(5_000):
        before = small.arm_of(f"u{number}")
        assert before is None or large.arm_of(f"u{number}") == before


def test_another_salt_deals_anew_and_independently():
    users = [f"user-{number}" for number in range(10_000)]
    table = [[0, 0], [0, 0]]
    for user in users:
        table["ab".index(trial("one").arm_of(user))]["ab".index(trial("two").arm_of(user))] += 1
    assert stats.chi2_contingency(table).pvalue > 0.001
    assert trial("one").mark_of("u") != trial("two").mark_of("u")


@pytest.mark.parametrize(
    "text, said",
    [
        ("name: x\nsalt: s\narms: {a: {share: 0.5}, b: {share: 0.6}}", "1.1 together"),
        ("name: x\nsalt: s\narms: {a: {share: 0.3}, b: {share: 0.3}, c: {share: 0.3}}", "a trial compares 2"),
        ("name: x\nsalt: s\narms: {a: {share: 0.5}, b: {share: 0.5, index: i}}", "give both"),
        (
            "name: x\nsalt: s\narms: {a: {share: 0.5, index: i, model: m}, b: {share: 0.5}}",
            "the server's own",
        ),
        ("name: x\nsalt: s\narms: {a: {share: 0}, b: {share: 0.5}}", "arms.a.share"),
        ("name: x y\nsalt: s\narms: {a: {share: 0.5}, b: {share: 0.5}}", "name"),
        ("name: x\narms: {a: {share: 0.5}, b: {share: 0.5}}", "salt"),
        ("name: x\nsalt: s\narms: {a: {share: 0.5}, b: {share: 0.5}}\nmore: 1", "more"),
        ("name: [", "not YAML"),
    ],
)
def test_a_file_that_is_wrong_is_told_so(tmp_path, text, said):
    (tmp_path / "ab.yaml").write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_experiment(tmp_path / "ab.yaml")
    assert "ab.yaml" in str(caught.value)


@pytest.mark.parametrize("user", ["", "a b", "ü", "x" * 129, "a\n"])
def test_no_name_of_a_user(user):
    with pytest.raises(ValueError, match="x-user"):
        must_be_user(user)


def test_the_page_of_the_documentation_has_one_that_can_be_typed(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "serving.md").read_text()
    (block,) = re.findall(r"```text\n(name: .*?)```", page, re.S)
    (tmp_path / "ab.yaml").write_text(block)
    experiment = read_experiment(tmp_path / "ab.yaml")
    assert list(experiment.arms) == ["control", "second"] and experiment.arm_of("u") in experiment.arms
