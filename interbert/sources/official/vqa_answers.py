"""Answers as VQA's official scorer cleans and counts them, its slips included: published figures have them in."""

import re
from collections.abc import Sequence
from functools import lru_cache

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = ("a", "an", "the")
_APOSTROPHES = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't
    not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll
    somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd
    there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll
    what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's
    won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""
"""Each is put in place of itself with one of its apostrophes missing, whichever it is."""


def _mended() -> dict[str, str]:
    found = {"somebody'd": "somebodyd"}  # the wrong way round there
    for word in _APOSTROPHES.split():
        for place in (at for at, letter in enumerate(word) if letter == "'"):
            found[word[:place] + word[place + 1 :]] = word
    return found


_MENDED = _mended()
_COMMA_IN_A_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
"""Meant was one without a digit before it either; a slip in the pattern lets that be."""
_PERIODS_TAKEN = 32
"""re.UNICODE, which stands where the count belongs."""


def official_accuracy(answer: str, ten: Sequence[str]) -> float:
    """The mean, over the ten who answered, of a third for each other one who agrees with it, at most 1.

    Where all ten say the same, letter by letter, nothing is cleaned, neither theirs nor this one.
    """
    answer, theirs = plain(answer), [plain(each) for each in ten]
    if len(set(theirs)) > 1:
        answer, theirs = cleaned(answer), [cleaned(each) for each in theirs]
    agree = theirs.count(answer)
    shares = [min(1.0, (agree - (each == answer)) / 3) for each in theirs]
    return sum(shares) / len(shares)


def plain(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(maxsize=2**17)
def cleaned(answer: str) -> str:
    """Without punctuation and articles, numbers in digits, apostrophes where they are lacking."""
    words = [_WORDS.get(word, word) for word in _without_punctuation(answer).lower().split()]
    return " ".join(_MENDED.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(answer: str) -> str:
    """A mark that touches a space anywhere goes, in all its places; any other becomes a space. With a comma inside a
    number all of them go."""
    goes, found = _COMMA_IN_A_NUMBER.search(answer) is not None, answer
    for mark in _PUNCTUATION:
        touches = f"{mark} " in answer or f" {mark}" in answer
        found = found.replace(mark, "" if goes or touches else " ")
    return _PERIOD.sub("", found, count=_PERIODS_TAKEN)
