"""The report of trials of which the answer is known."""

import json
import shutil
import sqlite3

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from made_trial import ITEMS, write_made_index, write_trial
from page_reader import Page
from small_search import addition

from interbert.__main__ import main
from interbert.ab.experiment import EVERYONE, ArmSettings, Experiment
from interbert.ab.read import read_trial
from interbert.ab.report import report_of

TRIAL = Experiment(name="some", salt="s", arms={"a": ArmSettings(share=0.5), "b": ArmSettings(share=0.5)})


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write_made_index(tmp_path_factory.mktemp("made") / "index")


@pytest.fixture(scope="module")
def planted(index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    write_trial(folder, TRIAL, index, ctr={"a": 0.05, "b": 0.08}, among={"b": 10})
    return folder


def test_a_planted_difference_is_found_and_nothing_warns(planted):
    report = report_of(read_trial(planted))
    ctr = report["figures"]["ctr"]
    found = ctr["difference"]
    assert found["low"] <= 0.03 <= found["high"] and found["p"] < 1e-4 and found["low"] > 0
    assert ctr["arms"]["a"]["value"] == pytest.approx(0.05, abs=0.01)
    assert found["lift"] == pytest.approx(0.6, abs=0.3)
    assert report["warnings"] == [] and report["checks"]["resplit"]["honest"]
    assert report["checks"]["sample_ratio_p"] > 0.001


def test_its_counts_are_those_of_the_database(planted):
    report = report_of(read_trial(planted))
    with sqlite3.connect(planted / "events.sqlite") as database:
        for name, arm in report["arms"].items():
            where = f"FROM searches s JOIN {{}} e ON e.search = s.id WHERE s.arm = '{name}'"
            one = [
                database.execute(f"SELECT count(*) {where.format(t)}").fetchone()[0]
                for t in ("exposures", "clicks")
            ]
            assert [arm["exposures"], arm["clicks"]] == one
            users = database.execute(
                "SELECT count(DISTINCT user) FROM searches WHERE arm = ?", (name,)
            ).fetchone()[0]
            seconds = [
                row[0] for row in database.execute("SELECT seconds FROM searches WHERE arm = ?", (name,))
            ]
            assert arm["users"] == users and arm["searches"] == len(seconds) and arm["models"] == [name * 64]
            assert arm["seconds"]["p95"] == pytest.approx(np.percentile(seconds, 95))
    assert report["arms"]["b"]["seconds"]["p50"] > 1.5 * report["arms"]["a"]["seconds"]["p50"]


def test_who_shows_the_same_again_and_again_is_seen(planted):
    arms = report_of(read_trial(planted))["shown"]["arms"]
    assert arms["a"]["coverage"] == 1 and arms["b"]["coverage"] == 10 / ITEMS
    assert arms["a"]["exposure_gini"] < 0.1 and arms["b"]["exposure_gini"] > 0.8


def test_lists_are_as_diverse_as_the_first_arms_vectors_say(planted):
    rates = report_of(read_trial(planted))["figures"]["diversity"]["arms"]
    for arm, items in (("a", ITEMS), ("b", 10)):
        rows = (
            np.stack([addition(number).vector_W for number in range(items)])
            .astype(np.float16)
            .astype(np.float64)
        )
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        together = rows @ rows.T
        mean = (together.sum() - np.trace(together)) / (items * (items - 1))  # of any two, as lists are drawn
        assert rates[arm]["value"] == pytest.approx(1 - mean, abs=4 * rates[arm]["error"])
        assert rates[arm]["error"] < 0.01


def test_arms_of_unequal_shares_are_compared_by_as_many_searches(index, tmp_path):
    arms = {"a": ArmSettings(share=0.9), "b": ArmSettings(share=0.02)}
    write_trial(tmp_path, Experiment(name="some", salt="s", arms=arms), index, users=1500)
    shown = report_of(read_trial(tmp_path))["shown"]
    assert shown["searches"] < 100
    covered = [arm["coverage"] for arm in shown["arms"].values()]
    assert abs(covered[0] - covered[1]) < 0.15


def test_lost_users_are_a_banner_before_all_else(index, tmp_path, capsys):
    write_trial(tmp_path, TRIAL, index, lost=0.2)
    assert main(["ab", "report", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("warning: Users did not come to the arms by their shares")
    text = Page((tmp_path / "report.html").read_text()).text
    assert 0 < text.index("Something sorts them") < text.index("Figures")


def test_the_verb_writes_a_page_and_the_same_as_json(planted, capsys):
    assert main(["ab", "report", str(planted)]) == 0
    said = capsys.readouterr().out
    assert "difference: +" in said and said.rstrip().endswith("report.html")
    report = json.loads((planted / "report.json").read_text())
    page = Page((planted / "report.html").read_text())
    assert not page.fetched and "script" not in page.tags
    assert f"{100 * report['figures']['ctr']['difference']['value']:+.2f} points" in page.text
    assert "The checks find nothing." in page.text


def test_an_a_a_trial_says_that_it_is_one(index, tmp_path):
    write_trial(tmp_path, TRIAL, index, users=400, model="m" * 64)
    report = report_of(read_trial(tmp_path))
    assert report["same_model"] and any("A/A" in text for text in report["warnings"])


def test_a_model_that_was_changed_users_of_two_arms_and_early_looks_are_told(index, tmp_path):
    planned = TRIAL.model_copy(update={"planned_users": 10_000})
    write_trial(tmp_path, planned, index, users=100)
    with sqlite3.connect(tmp_path / "events.sqlite") as database:
        user, arm = database.execute("SELECT user, arm FROM searches ORDER BY id LIMIT 1").fetchone()
        other = "b" if arm == "a" else "a"
        database.execute("INSERT INTO searches VALUES ('x', 1, ?, ?, 'z', 1, 200, 0.1)", (user, other))
        database.execute("INSERT INTO searches VALUES ('y', 1, 'new', 'a', 'z', 1, 429, 0.1)")
        database.execute("INSERT INTO clicks VALUES ('y', 'never-seen', 1)")
    report = report_of(read_trial(tmp_path))
    for part in (
        "1 users were in both arms",
        "Arm a was answered by 2 models",
        "of 10,000 planned",
        "1 clicks are on",
    ):
        assert any(part in text for text in report["warnings"]), part
    assert report["arms"]["a"]["refused"] == 1 and report["crossed"] == 1
    assert sum(arm["users"] for arm in report["arms"].values()) == 100


def test_nothing_yet_one_arm_and_an_index_that_is_gone(index, tmp_path):
    write_trial(tmp_path / "none", TRIAL, index, users=0)
    assert main(["ab", "report", str(tmp_path / "none")]) == 0
    (none,) = report_of(read_trial(tmp_path / "none"))["warnings"][:1]
    assert none == "0 users of arm a saw anything: of so few no figure is told."
    assert "No search has been made yet" in (tmp_path / "none" / "report.html").read_text()
    write_trial(tmp_path / "one", EVERYONE, index, users=60)
    report = report_of(read_trial(tmp_path / "one"))
    assert report["figures"]["ctr"]["arms"]["all"]["value"] > 0 and "sample_ratio_p" not in report["checks"]
    shutil.copytree(index, tmp_path / "index")
    write_trial(tmp_path / "gone", TRIAL, tmp_path / "index", users=60)
    shutil.rmtree(tmp_path / "index")
    report = report_of(read_trial(tmp_path / "gone"))
    assert report["items"] is None and report["shown"]["arms"]["a"]["coverage"] is None
    assert report["figures"]["diversity"]["arms"]["a"] is None
    assert main(["ab", "report", str(tmp_path / "gone")]) == 0
    assert "not known" in (tmp_path / "gone" / "report.html").read_text()


def test_no_events(tmp_path, capsys):
    assert main(["ab", "report", str(tmp_path)]) == 2
    assert "interbert serve --events" in capsys.readouterr().err


@pytest.mark.skipif(not CHROMIUM, reason="no chromium here (make debian-packages)")
def test_a_browser_shows_it_on_a_phone(planted, tmp_path):
    assert main(["ab", "report", str(planted)]) == 0
    browser = Browser(tmp_path)
    try:
        browser.screen(390, 800)
        browser.open(f"file://{planted}/report.html")
        assert browser.js("document.documentElement.scrollWidth") <= 390
        assert browser.js("document.querySelectorAll('table').length") == 3 and browser.complaints == []
    finally:
        browser.close()
