import pytest

from interbert.printing import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a red cube, ünïcode 日本 🙂", "a red cube, ünïcode 日本 🙂"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),  # the same in one byte, to some terminals
        ("over\rwritten\x08", "over\\rwritten\\x08"),
        ("two\nlines\tand a tab", "two\\nlines\\tand a tab"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\u2066\u2028\ufeff", "\\u2066\\u2028\\ufeff"),
        ("half \ud800", "half \\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_left(text, shown):
    assert printable(text) == shown


def test_our_own_lines_stay():
    assert printable_lines("one\x1b\ntwo") == "one\\x1b\ntwo"
    assert printable_lines(ValueError("a\nb")) == "a\nb"
