import time
import warnings

import numpy as np
import pytest
from made_examples import make_examples, make_outputs
from scipy import stats
from sklearn import metrics as sklearn

from interbert.tasks.results.answers import answers_of
from interbert.tasks.results.figures import Report, bootstrap, figures_of, mean_of, of_values, report
from interbert.tasks.results.metrics import METRICS, metric_of

RNG = np.random.default_rng(7)


def figures(examples, rows) -> dict[str, float]:
    outputs = make_outputs(rows)
    return figures_of(examples, outputs, answers_of(examples, outputs))


def repeated(examples_of, rows, counts_N):
    """The figures of a file in which each line stands that many times: the oracle of weighted figures."""
    order = np.repeat(np.arange(len(rows)), counts_N)
    return figures(examples_of(order), [rows[number] for number in order])


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_classes_against_scikit_learn(classes):
    labels, rows = RNG.integers(0, max(2, classes - 2), 200), RNG.dirichlet(np.ones(classes), 200)
    rows[np.arange(200), labels] += 0.3
    labels[::10] = -100  # predicted, and counted nowhere
    found = figures(make_examples("classify", classes=list("abcdefghi"[:classes]), labels=labels), rows)
    true, told = labels[labels >= 0], rows.argmax(1)[labels >= 0]
    wanted = {
        "accuracy": sklearn.accuracy_score(true, told),
        "macro_f1": sklearn.f1_score(true, told, average="macro"),
        "matthews": sklearn.matthews_corrcoef(true, told),
    }
    if classes == 2:
        wanted["f1"] = sklearn.f1_score(true, told, pos_label=1)
    assert found == pytest.approx(wanted, rel=1e-12)


def test_classes_where_one_answer_is_always_given():
    found = figures(make_examples("classify", classes="ab", labels=[0, 0, 1]), [[0.9, 0.1]] * 3)
    assert found == pytest.approx({"accuracy": 2 / 3, "macro_f1": 0.4, "f1": 0, "matthews": 0})


def test_a_class_that_is_neither_meant_nor_said_is_not_in_the_mean_of_f1():
    found = figures(make_examples("classify", classes="abc", labels=[0, 0, 1]), [[0.9, 0.1, 0]] * 3)
    assert found["macro_f1"] == pytest.approx(sklearn.f1_score([0, 0, 1], [0, 0, 0], average="macro"))
    assert found["macro_f1"] == pytest.approx(0.4)


def test_soft_labels_count_the_weight_of_the_answer():
    scores = [{0: 1.0}, {0: 0.3, 1: 0.9}, {2: 0.6}, {}]
    rows = [[0.9, 0.5, 0.1], [0.2, 0.3, 0.9], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]]
    found = figures(make_examples("classify", classes="abc", scores=scores), rows)
    assert found == pytest.approx({"soft_accuracy": (1.0 + 0 + 0.6 + 0) / 4})


def test_values_against_scipy():
    true = RNG.integers(0, 25, 300) / 5
    told = (true + RNG.normal(0, 2, 300)).round(1).astype(np.float32)
    true[5], kept = np.nan, np.arange(300) != 5
    found = figures(make_examples("score", values=true), told[:, None])
    true = true.astype(np.float32).astype(float)
    wanted = {
        "pearson": stats.pearsonr(true[kept], told[kept]).statistic,
        "spearman": stats.spearmanr(true[kept], told[kept]).statistic,
        "mean_squared_error": sklearn.mean_squared_error(true[kept], told[kept]),
    }
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_correlations_with_what_does_not_vary_are_undefined(constant):
    found = figures(make_examples("score", values=[0.1, 0.7, 3.0]), [[constant]] * 3)
    assert np.isnan(found["pearson"]) and np.isnan(found["spearman"])
    assert not np.isnan(found["mean_squared_error"])


def test_pairs_against_scikit_learn_and_sets_by_hand():
    counts = RNG.integers(1, 6, 80)
    rows = [RNG.random(count).round(1) for count in counts]  # rounded: ties
    match = RNG.integers(0, 2, counts.sum())
    match[::9] = -100
    found = figures(make_examples("match", pairs=counts, is_match=match), rows)
    flat, known = np.concatenate(rows).astype(np.float32), match >= 0
    sets, first = [], 0
    for row in rows:
        own = match[first : first + len(row)]
        first += len(row)
        if (own >= 0).all() and 0 < own.sum() < len(own):
            sets.append(own[np.flatnonzero(row == row.max())].mean())
    wanted = {
        "set_accuracy": np.mean(sets),
        "pair_accuracy": sklearn.accuracy_score(match[known], flat[known] > 0.5),
        "auc": sklearn.roc_auc_score(match[known], flat[known]),
    }
    assert 5 < len(sets) < 80 and found == pytest.approx(wanted)


def test_choices():
    rows, labels = RNG.random((50, 4)), RNG.integers(0, 4, 50)
    found = figures(make_examples("choose", pairs=[4] * 50, labels=labels), rows)
    assert found == {"accuracy": pytest.approx(sklearn.accuracy_score(labels, rows.argmax(1)))}


def test_without_any_label_there_is_no_figure():
    examples, outputs = make_examples("choose", pairs=[2, 2]), make_outputs([[0.1, 0.9]] * 2)
    answers = answers_of(examples, outputs)
    assert figures_of(examples, outputs, answers) == {}
    assert report(examples, outputs, answers) == (Report(0, {}), {})


MADE = {
    "classify": lambda order: make_examples("classify", classes="abc", labels=LABELS[order]),
    "score": lambda order: make_examples("score", values=LABELS[order] * 1.5),
    "match": lambda order: make_examples(
        "match", pairs=[3] * len(order), is_match=np.eye(3, dtype=int)[LABELS[order]].ravel()
    ),
    "choose": lambda order: make_examples("choose", pairs=[3] * len(order), labels=LABELS[order]),
}
LABELS = RNG.integers(0, 3, 30)


@pytest.mark.parametrize("kind", MADE)
def test_counting_an_example_twice_is_as_if_its_line_stood_there_twice(kind):
    """So each resample of the bootstrap is the figure of that resample."""
    from interbert.tasks.results.figures import _formulas

    rows = RNG.random((30, 1 if kind == "score" else 3)).round(1)
    examples, outputs = MADE[kind](np.arange(30)), make_outputs(rows)
    formulas = _formulas(examples, outputs, answers_of(examples, outputs), np.arange(30))
    counts_BN = RNG.integers(0, 4, (5, 30))
    for name, of in formulas.items():
        wanted = [repeated(MADE[kind], rows, counts_N)[name] for counts_N in counts_BN]
        np.testing.assert_allclose(of(counts_BN.astype(float)), wanted, rtol=1e-9, err_msg=name)


def test_every_figure_of_the_table_is_made_and_no_other():
    for kind, make in MADE.items():
        rows = RNG.random((30, 1 if kind == "score" else 3))
        names = [metric.name for metric in METRICS[kind]]
        assert [name for name in names if name in figures(make(np.arange(30)), rows)] == list(
            figures(make(np.arange(30)), rows)
        )
        assert set(figures(make(np.arange(30)), rows)) >= set(names) - {"f1", "soft_accuracy"}


def test_intervals_hold_the_truth_as_often_as_they_say():
    """95 % of 95 %-intervals of an accuracy of 0.7; four deviations of that share are 6 points."""
    held = 0
    for trial in range(200):
        right = np.random.default_rng(trial).random(150) < 0.7
        low, high = bootstrap({"accuracy": mean_of(right)}, 150, (0, 0), 300)["accuracy"]
        held += low <= 0.7 <= high
    assert 0.89 <= held / 200 <= 0.99


def test_intervals_are_those_of_scipy():
    values = RNG.normal(1, 2, (60, 2)) + RNG.normal(0, 2, (60, 1))
    formulas = of_values(values[:, 0], values[:, 1])
    low, high = bootstrap(formulas, 60, (3, 0), 4000)["pearson"]
    theirs = stats.bootstrap(
        values.T, lambda a, b: stats.pearsonr(a, b).statistic, paired=True, method="percentile",
        n_resamples=4000, vectorized=False, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.03)


def test_a_report_is_the_same_again_and_differs_by_seed():
    examples, outputs = MADE["classify"](np.arange(30)), make_outputs(RNG.random((30, 3)))
    answers = answers_of(examples, outputs)
    first, again, other = (report(examples, outputs, answers, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert {n: i.value for n, i in first[0].figures.items()} == figures_of(examples, outputs, answers)
    assert all(i.low <= i.value <= i.high for i in first[0].figures.values())


def test_by_type_the_most_frequent_first():
    types = ["", "colour", "count", "colour"] * 5
    labels = [0, 0, 1, 0] * 4 + [0, 0, -100, 1]
    examples = make_examples("classify", classes="ab", labels=labels, types=types)
    outputs = make_outputs([[0.9, 0.1]] * 20)
    whole, by_type = report(examples, outputs, answers_of(examples, outputs), resamples=50)
    assert whole.examples == 19 and list(by_type) == ["colour", "", "count"]
    assert [each.examples for each in by_type.values()] == [10, 5, 4]
    assert [each.figures["accuracy"].value for each in by_type.values()] == pytest.approx([0.9, 1, 0])
    examples = make_examples("classify", classes="ab", labels=labels)
    assert report(examples, outputs, answers_of(examples, outputs), resamples=5)[1] == {}


def test_a_thousand_resamples_of_many_examples_take_seconds():
    examples = make_examples(
        "classify", classes=list(map(str, range(50))), labels=RNG.integers(0, 50, 100_000)
    )
    outputs = make_outputs(RNG.random((100_000, 50), np.float32))
    answers = answers_of(examples, outputs)
    began = time.process_time()
    report(examples, outputs, answers, resamples=50)
    assert time.process_time() - began < 3


def test_metrics_are_chosen_and_refused():
    assert metric_of("classify", "auto").name == "accuracy"
    assert metric_of("classify", "auto", ["soft_accuracy"]).name == "soft_accuracy"
    assert metric_of("match", "auto", ["pair_accuracy", "auc"]).name == "pair_accuracy"
    with pytest.raises(
        ValueError, match=r"'bleu', which score does not have: give auto or pearson, spearman, mean"
    ):
        metric_of("score", "bleu")
    with pytest.raises(
        ValueError, match="takes labels of two classes, and the examples have none: give auto or acc"
    ):
        metric_of("classify", "f1", ["accuracy", "macro_f1", "matthews"])


def test_which_of_two_values_is_better():
    error, nan = metric_of("score", "mean_squared_error"), float("nan")
    assert error.better(0.1, 0.2) and not error.better(0.2, 0.1)
    assert metric_of("score", "auto").better(0.2, 0.1)
    assert error.better(0.1, nan) and not error.better(nan, 0.1) and not error.better(nan, nan)


def test_no_warning_is_given():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures(make_examples("score", values=[1.0]), [[1.0]])
        figures(make_examples("classify", classes="ab", labels=[1]), [[0.1, 0.9]])
        figures(make_examples("match", pairs=[1], is_match=[1]), [[0.4]])
